"""What is installed as an adapter, and whether its files are those that were allowed. Nothing of it is imported here."""

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions

from gateway_sdk import ENTRY_POINTS

from .errors import Misconfigured


@dataclass(frozen=True)
class Installed:
    """An adapter that could be loaded. *hash*: of its distribution's files; None: installed editable, so they change."""

    adapter: str
    distribution: str
    version: str
    hash: str | None


def installed() -> list[Installed]:
    """Every adapter there is."""
    return [
        Installed(entry.name, distribution.name, distribution.version, _hash(distribution))
        for distribution in distributions()
        for entry in distribution.entry_points
        if entry.group == ENTRY_POINTS
    ]


def require(adapter: str, wanted: str | None) -> None:
    """Raises Misconfigured unless *adapter* is installed with the *wanted* hash, once; None: whatever it is."""
    if wanted and {one.hash for one in installed() if one.adapter == adapter} != {wanted}:
        raise Misconfigured(
            f"adapter {adapter}: its installed files are not those of adapter_hashes; nothing of it was loaded. "
            "If you know why, take the new hash from gateway adapters"
        )


def _hash(distribution: Distribution) -> str | None:
    """SHA-256 over the names and contents of the installed files, but for what the installer writes about itself."""
    if json.loads(distribution.read_text("direct_url.json") or "{}").get("dir_info", {}).get("editable"):
        return None
    own = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
    files = [file for file in distribution.files or () if file.name not in own and file.suffix != ".pyc"]
    whole = hashlib.sha256()
    for file in sorted(files, key=str):
        whole.update(f"{file}\0{hashlib.sha256(file.read_binary()).hexdigest()}\n".encode())
    return f"sha256:{whole.hexdigest()}"
