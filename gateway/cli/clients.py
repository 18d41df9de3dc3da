"""``gateway clients``: hubs' machines that get short-lived access tokens (OAuth 2.0 client credentials)."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import Invalid
from . import terminal
from .hubs import Overlap, Scopes, brief, scopes
from .terminal import AsJson

app = typer.Typer(no_args_is_help=True, help="Hubs' machines that get short-lived access tokens.")

PublicKey = Annotated[
    Path | None,
    typer.Option("--public-key", exists=True, dir_okay=False, help="of the client: a JWK, or PEM; Ed25519 or P-256"),
]
Identifier = Annotated[str, typer.Argument(help="a client's id, from gateway clients list")]


@app.command("add")
def add(
    hub: Annotated[str, typer.Argument(help="for example glasgow-hub")],
    public_key: PublicKey = None,
    scope: Scopes = None,
    bound: Annotated[bool, typer.Option("--bound", help="its tokens hold only with its TLS certificate")] = False,
) -> None:
    """Register a client of a hub, and print its id: with its public key, or else with a secret, which is shown once."""
    from ..store import clients

    chosen, key = scopes(scope), _read(public_key)
    with terminal.opened() as room, room.store.begin() as tx:
        identifier, secret = clients.add(tx, hub, chosen, key, bound=bound, by=terminal.actor())
    if not room.settings.tokens.keys:
        print("access tokens are off: set tokens.keys; see docs/operations.md", file=sys.stderr)
    if bound and room.settings.certificate_header is None:
        print("no certificate reaches the gateway: set certificate_header and trusted_proxies", file=sys.stderr)
    print(identifier if secret is None else f"{identifier}\n{secret}")


def _read(path: Path | None) -> Mapping[str, Any] | None:
    from .. import tokens

    try:
        return tokens.public_key(path.read_bytes()) if path else None
    except Invalid as problem:
        raise typer.BadParameter(problem.detail, param_hint="--public-key") from None


@app.command("list")
def listing(as_json: AsJson = False) -> None:
    """Hubs' clients, what each may do, what it proves itself with, and when it last called."""
    from ..store import clients

    with terminal.opened() as room, room.store.begin() as tx:
        rows = clients.everyone(tx)
    if not as_json:
        rows = [
            {**brief(row, "client"), "credentials": f"{row['credentials']}{', bound' if row['bound'] else ''}"}
            for row in rows
        ]
    terminal.show(rows, as_json, "clients")


@app.command("rotate")
def rotate(identifier: Identifier, public_key: PublicKey = None, overlap: Overlap = "24h") -> None:
    """Give a client a new public key, or print a new secret. Those before it go on working for a while."""
    from ..store import clients

    key, time = _read(public_key), terminal.duration(overlap, "--overlap")
    with terminal.opened() as room, room.store.begin() as tx:
        secret = clients.rotate(tx, identifier, key, time, by=terminal.actor())
    if secret:
        print(secret)


@app.command("revoke")
def revoke(identifier: Identifier) -> None:
    """Take a client out of use, at once, with the tokens it has."""
    from ..store import clients

    with terminal.opened() as room, room.store.begin() as tx:
        clients.revoke(tx, identifier, by=terminal.actor())
