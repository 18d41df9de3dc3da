"""What a key may do: every route of a hub asks for a scope, and a new one without fails here."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from starlette.testclient import TestClient

from gateway.delivery.room import PostRoom
from gateway.policy.scopes import MEANINGS, Scope
from gateway.store import callers
from tests.rooms.api.conftest import Hub, Open
from tests.rooms.api.test_referrals import problem

NO_SCOPE = {  # what needs none, and why
    "/": "leads to the console",
    "/healthz": "says nothing",
    "/readyz": "says nothing",
    "/schemas/v1/{name}.json": "public documents",
    "/openapi.json": "public document",
    "/.well-known/oauth-authorization-server": "public document",
    "/v1/token": "the client proves itself",
    "/v1/callbacks/{agency}": "the agency proves itself, as its adapter says",
    "/metrics": "metrics_token",
}


def application(client: TestClient) -> Any:
    return client.app.app.app  # type: ignore[attr-defined]


def routes(client: TestClient) -> Iterator[tuple[str, str, list[str]]]:
    """``(method, path, scopes)`` of every route that is not the console's."""
    document = application(client).openapi()["paths"]
    for route in iter_route_contexts(application(client).routes):
        if not str(route.path).startswith("/console"):
            for method in sorted((route.methods or set()) - {"HEAD"}):
                security = document.get(route.path, {}).get(method.lower(), {}).get("security", [])
                yield method, str(route.path), [scope for one in security for scope in one["hub"]]


def key(room: PostRoom, *scopes: str) -> str:
    with room.store.begin() as tx:
        return callers.add_hub(tx, "glasgow-hub", by="test", scopes=scopes)


def ask(client: TestClient, method: str, path: str, secret: str, content: bytes = b"{}") -> Any:
    address = path.replace("{", "").replace("}", "")
    return Hub(client, secret).call(method, address, content=content, headers={"Content-Type": "application/json"})


def test_every_route_asks_for_a_scope_or_is_named_here(client: TestClient) -> None:
    found = list(routes(client))
    assert len(found) > 30
    assert {path for _, path, scopes in found if not scopes} == set(NO_SCOPE)
    assert {scope for _, _, scopes in found for scope in scopes} == set(Scope) == set(MEANINGS)


def test_every_route_is_opened_by_its_scope_and_by_no_other(client: TestClient, room: PostRoom) -> None:
    tried = 0
    for scope in Scope:
        only, others = key(room, scope), key(room, *(set(Scope) - {scope}))
        for method, path, scopes in routes(client):
            if scopes == [scope]:
                refused = problem(ask(client, method, path, others), 403, "scope-missing")
                assert refused["scope"] == scope
                opened = ask(client, method, path, only)
                assert opened.status_code not in (401, 403, 500), (method, path, opened.text)
                tried += 1
    assert tried > 25


def test_nothing_is_said_of_a_request_before_it_is_known_who_calls(process: Open) -> None:
    client = process(rates={"failures_a_minute": 1000})
    for method, path, scopes in routes(client):
        if scopes:
            problem(ask(client, method, path, "gw_guess", b"["), 401, "unauthenticated")


def test_what_is_missing_is_said_in_the_header(client: TestClient, room: PostRoom) -> None:
    answer = ask(client, "GET", "/v1/events", key(room, Scope.WEBHOOKS))
    assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="events:read"'
    unknown = ask(client, "GET", "/v1/events", "gw_guess")
    assert unknown.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert client.get("/v1/events").headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("word", [" ", "gw_", "Bearer", "Basic gw_x", "Bearer  ", "bearer\tx"])
def test_what_is_no_bearer_token_is_nobody(client: TestClient, word: str) -> None:
    problem(client.get("/v1/events", headers={"Authorization": word}), 401, "unauthenticated")
