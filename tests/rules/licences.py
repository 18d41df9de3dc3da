"""What we build on, and under which licence, from what the distributions say of themselves: ``make licences``."""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

HOME = Path(__file__).parents[2]
PAGE = HOME / "docs" / "licences.md"
LOCKED = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]+\])?==([^\s;\\]+)", re.MULTILINE)
PLAIN = {  # SPDX's names for what older metadata say in other words
    "Apache 2.0": "Apache-2.0", "Apache License 2.0": "Apache-2.0", "Apache Software License": "Apache-2.0",
    "BSD License": "BSD", "MIT License": "MIT", "ISC License (ISCL)": "ISC", "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only", "The Unlicense (Unlicense)": "Unlicense",
    "Python Software Foundation License": "PSF-2.0", "3-Clause BSD License": "BSD-3-Clause", "new BSD": "BSD-3-Clause",
}  # fmt: skip
HEAD = """# Licences

Every distribution in the lock, and the licence it names in its own metadata; `make licences` renews the list. Those that
only tests and checks need are among them. A licence that nobody has looked at stops a test.

| distribution | licence |
| --- | --- |
"""


def locked() -> dict[str, str]:
    """``{name: version}`` of every distribution in the lock, names after PEP 503."""
    text = (HOME / "requirements.txt").read_text("utf-8")
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in LOCKED.findall(text)}


def licence(name: str) -> str | None:
    """The licence *name* says it has, in SPDX's words where there are; None: it is not for this machine or Python."""
    try:
        told = distribution(name).metadata
    except PackageNotFoundError:
        return None
    classes = [line.rpartition(" :: ")[2] for line in told.get_all("Classifier", []) if line.startswith("License ::")]
    named = [word for word in classes if not word.endswith("pproved")]  # by the OSI, or by Debian
    text = (
        told.get("License-Expression")
        or " AND ".join(PLAIN.get(word, word) for word in named)
        or told.get("License", "")
    )
    return PLAIN.get(text.strip(), text.strip().partition("\n")[0])


def rows() -> Iterator[tuple[str, str]]:
    """What the page lists, as far as it can be told on this machine."""
    for name in sorted(locked()):
        found = licence(name)
        if found is not None:
            yield name, found


if __name__ == "__main__":
    PAGE.write_text(HEAD + "".join(f"| {name} | {found} |\n" for name, found in rows()), "utf-8")
