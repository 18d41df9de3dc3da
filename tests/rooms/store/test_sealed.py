"""Whatever is sealed opens only where it was sealed: every sealed value of every table is put in every other's place."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

import gateway_sdk as sdk
import psycopg
import pytest

from gateway import ids
from gateway.delivery import changes
from gateway.delivery.room import PostRoom
from gateway.errors import Sealed
from gateway.policy.roles import Person, Role
from gateway.store import consents, contradictions, deliveries, keys, messages, people, referrals, webhooks
from gateway.store.session import Tx
from tests.rooms.delivery.test_attempt import HUB, submit, work
from tests.support import HOUSING, REFERRAL, Agencies, referral

PLAIN = {
    "api_keys.fingerprint": "SHA-256 of a random secret",
    "sessions.fingerprint": "SHA-256 of a random secret",
    "browsers.fingerprint": "SHA-256 of a random secret",
    "throttles.key": "keyed hash",
    "client_credentials.fingerprint": "SHA-256 of a random secret",
    "client_assertions.jti": "SHA-256 of what a client calls an assertion",
    "consents.subject_index": "keyed hash",
    "referrals.subject_index": "keyed hash",
    "contradictions.reference_index": "keyed hash",
    "deliveries.reference_index": "keyed hash",
    "idempotency.body_index": "keyed hash",
    "audit.link": "SHA-256 of what is in the row",
    "audit_checkpoints.link": "SHA-256 of what is in the audit",
    "audit_checkpoints.signature": "a signature of what is in the row",
}
"""The columns of bytes that are not sealed, and what is in them."""


def fields(tx: Tx, attempt: Any) -> None:
    row = tx.one("SELECT delivery, number, fields, referral FROM attempts JOIN deliveries ON deliveries.id = delivery "
                 "WHERE attempts.id = %(id)s", {"id": attempt})  # fmt: skip
    assert row is not None
    deliveries.open_fields(keys.of(tx, row["referral"]), row["delivery"], row["number"], row["fields"])


def other_reference(tx: Tx, delivery: str) -> None:
    [found] = contradictions.open_of(tx, [delivery])
    contradictions.reference(tx, deliveries.get(tx, delivery), found)


def words(tx: Tx, message: str) -> None:
    row = tx.one("SELECT * FROM messages WHERE id = %(id)s", {"id": message})
    assert row is not None
    messages.Message.of_row(row).open(referrals.key(tx, row["referral"]))


def secrets(tx: Tx, webhook: str) -> None:
    found = webhooks.lock(tx, webhook)
    assert found is not None
    assert len(found.secrets(tx.vault, tx.now())) == 2


class Column(NamedTuple):
    """*owner*: the column that names what a value belongs to. *read*: opens it, as the gateway does."""

    owner: str
    read: Callable[[Tx, Any], object]


SEALED: Mapping[str, Column] = {
    "data_keys.wrapped": Column("record", keys.of),
    "consents.document": Column("id", lambda tx, one: consents.get(tx, one, hub=HUB.hub)),
    "consent_versions.document": Column("consent", consents.versions),
    "referrals.payload": Column("id", lambda tx, one: referrals.sealed(tx, one).open(tx.vault)),
    "former_contacts.contact": Column(
        "referral", lambda tx, one: referrals.former_contacts(tx, referrals.sealed(tx, one))
    ),
    "deliveries.reference": Column("id", lambda tx, one: deliveries.reference(tx, deliveries.get(tx, one))),
    "deliveries.route": Column("id", lambda tx, one: deliveries.route(tx, deliveries.get(tx, one))),
    "deliveries.given": Column("id", lambda tx, one: deliveries.given(tx, deliveries.get(tx, one))),
    "attempts.fields": Column("id", fields),
    "contradictions.reference": Column("delivery", other_reference),
    "messages.content": Column("id", words),
    "webhooks.secret": Column("id", secrets),
    "webhooks.old_secret": Column("id", secrets),
    "people.totp": Column("name", lambda tx, one: people.totp_secret(tx, people.get(tx, one))),
}


def test_every_column_of_bytes_is_known(database: str) -> None:
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT table_name || '.' || column_name FROM information_schema.columns "
            "WHERE table_schema = 'public' AND data_type = 'bytea'"
        ).fetchall()
    assert {row[0] for row in rows} == {*SEALED, *PLAIN}


@pytest.fixture
def filled(room: PostRoom, agencies: Agencies) -> PostRoom:
    """Each sealed column has values: of two women, and where there can be, two of one."""
    for number in range(2):
        agreed, identifier = submit(room, HOUSING, subject="GLA-7Q2M")
        work(room)
        with room.store.begin() as tx:
            for phone in ("07700 900111", "07700 900222"):
                [whole] = referrals.open_all(tx, [identifier], because="test").values()
                contact = {"phone": {**REFERRAL["contact"]["phone"], "number": phone}}
                referrals.change_contact(tx, referrals.sealed(tx, identifier), whole, contact, by="test")
            [sent] = deliveries.of_referral(tx, identifier)
            deliveries.keep_given(tx, sent, tx.now(), "Duty officer")
            contradictions.keep(tx, sent, contradictions.Source.POLL, by="test", reference="OTHER-1")
            messages.keep(tx, sent, sdk.Message("question 1", "Has she a passport?"))
            _route(tx, agreed, number)
            someone = Person(f"worker-{number}", Role.AUDITOR)
            people.add(tx, someone, "", by="test")
            people.offer_totp(tx, someone, "A" * 32)
            made, _ = webhooks.create(tx, hub=HUB.hub, url="https://hub.example/", types=[], by="test")
            webhooks.rotate(tx, made, timedelta(hours=1), by="test")
        changes.withdraw_consent(room, agreed, HUB)
    return room


def _route(tx: Tx, agreed: str, number: int) -> None:
    """A referral whose agency was found by the directory."""
    delivery, route = ids.new("del"), {"need": "housing", "agency": HOUSING, "passed_over": []}
    document = referral(agreed, HOUSING)
    new = referrals.New(
        ids.new("ref"),
        HUB.hub,
        document,
        {HOUSING: (delivery, "housing")},
        f"routed {number}",
        b"",
        routes={HOUSING: route},
    )
    assert referrals.save(tx, [new])


class Place(NamedTuple):
    column: str
    ctid: str
    owner: Any
    value: bytes


def places(tx: Tx) -> list[Place]:
    return [
        Place(name, row["ctid"], row["owner"], row["value"])
        for name, column in SEALED.items()
        for row in tx.all(
            f"SELECT ctid::text, {column.owner} AS owner, {name} AS value FROM {name.split('.')[0]} "  # type: ignore[arg-type]
            f"WHERE {name} IS NOT NULL ORDER BY ctid"
        )
    ]


def test_a_sealed_value_opens_nowhere_else(filled: PostRoom) -> None:
    with filled.store.begin() as tx:
        every = places(tx)
        assert {place.column for place in every} == set(SEALED)
        assert min(sum(place.column == name for place in every) for name in SEALED) >= 2
        for place in every:
            SEALED[place.column].read(tx, place.owner)
            for value in {other.value for other in every} - {place.value}:
                table, column = place.column.split(".")
                tx.put("SAVEPOINT before")
                tx.put(f"UPDATE {table} SET {column} = %(value)s WHERE ctid = %(ctid)s::tid",  # type: ignore[arg-type]
                       {"value": value, "ctid": place.ctid})  # fmt: skip
                with pytest.raises(Sealed):
                    SEALED[place.column].read(tx, place.owner)
                tx.put("ROLLBACK TO SAVEPOINT before")
