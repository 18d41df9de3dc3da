"""The service directory and the phases of the roll-out: small, read often, changed seldom.

Every process keeps the whole of it. One number says which version it is; whoever needs the directory asks for
that number along with another statement, so that keeping up costs no round trip of its own.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from gateway import ids
from gateway.errors import NotFound
from gateway.policy.places import Phase
from gateway.policy.routing import Eligibility, Service

from . import audit
from .session import Store, Tx


@dataclass(frozen=True)
class Directory:
    """All services, and the phase of every hub area, as of *version*. *sources*: ``{id of the import: service}``."""

    version: int
    sources: Mapping[str, Service]
    phases: Mapping[str, Phase]

    @property
    def services(self) -> list[Service]:
        return list(self.sources.values())

    @cached_property
    def schedules(self) -> Mapping[str, list[tuple[Mapping[str, Any], ...]]]:
        """``{agency: those of each of its services}``."""
        found: dict[str, list[tuple[Mapping[str, Any], ...]]] = {}
        for service in self.services:
            found.setdefault(service.agency, []).append(service.schedules)
        return found

    @property
    def areas_on(self) -> frozenset[str]:
        return frozenset(name for name, phase in self.phases.items() if phase.is_on)


class Looking:
    """A look at the directory that is on its way to the database."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._version = tx.put("SELECT version FROM directory")

    def result(self) -> Directory:
        """The directory as it stands; read anew only if it has changed."""
        row = self._version.fetchone()
        assert row is not None, "the migration makes it"
        kept: Directory | None = self._tx.kept.get("directory")
        if kept is None or kept.version != row["version"]:
            self._tx.kept["directory"] = kept = _read(self._tx)
        return kept


def look(tx: Tx) -> Directory:
    """The directory as it stands."""
    return Looking(tx).result()


def kept(store: Store) -> Directory | None:
    """The directory as this process saw it last, at no cost: where the clock of the same process looks all the time."""
    found: Directory | None = store.kept.get("directory")
    return found


def _read(tx: Tx) -> Directory:
    row = tx.one(  # one statement, so that all of it is of one version
        "SELECT (SELECT version FROM directory) AS version, "
        "  (SELECT coalesce(jsonb_agg(services ORDER BY agency, id), '[]') FROM services) AS services, "
        "  (SELECT jsonb_object_agg(name, phase ORDER BY name) FROM areas) AS areas"
    )
    assert row is not None
    sources = {one["source_id"]: _service(one) for one in row["services"]}
    return Directory(row["version"], sources, {name: Phase(phase) for name, phase in row["areas"].items()})


def _service(row: Mapping[str, Any]) -> Service:
    document = dict(row["document"])
    for name in ("needs", "urgency", "places"):
        document[name] = frozenset(document[name])
    for name in ("schedules", "phones"):
        document[name] = tuple(document[name])
    return Service(row["id"], row["agency"], **{**document, "rules": Eligibility(**document["rules"])})


def _document(service: Service) -> str:
    known = {name: value for name, value in asdict(service).items() if name not in ("id", "agency")}
    return json.dumps(known, default=sorted, sort_keys=True)  # sets, in an order


@dataclass(frozen=True)
class Change:
    """One thing that an import does. *verb*: ``add``, ``change`` or ``remove``."""

    verb: str
    source: str
    service: Service


def changes(directory: Directory, wanted: Mapping[str, Service], agencies: Sequence[str]) -> list[Change]:
    """What makes the services of *agencies* those that are *wanted*, ``{source id: service}``; others stay as they are.

    A wanted service that is there already keeps its id, whatever id it came with; a new one is given one.
    """
    found = []
    for source, service in wanted.items():
        there = directory.sources.get(source)
        kept = Service(**{**vars(service), "id": there.id if there else ids.new("svc")})
        if there != kept:
            found.append(Change("change" if there else "add", source, kept))
    gone = ((source, one) for source, one in directory.sources.items() if one.agency in agencies)
    return found + [Change("remove", source, one) for source, one in gone if source not in wanted]


def apply(tx: Tx, found: Sequence[Change], *, by: str) -> None:
    """Carry out *found*, audited; every process sees it at its next look."""
    for change in found:
        if change.verb == "remove":
            tx.put("DELETE FROM services WHERE id = %(id)s", {"id": change.service.id})
        else:
            tx.put(
                "INSERT INTO services (id, source_id, agency, document) VALUES (%(id)s, %(source)s, %(agency)s, %(document)s::jsonb) "
                "ON CONFLICT (id) DO UPDATE SET agency = excluded.agency, document = excluded.document, changed_at = now()",
                {"id": change.service.id, "source": change.source, "agency": change.service.agency,
                 "document": _document(change.service)},
            )  # fmt: skip
        audit.write(tx, by, f"directory.{change.verb}", change.service.id, agency=change.service.agency)
    if found:
        _changed(tx)


def lock(tx: Tx) -> Directory:
    """The directory, and nobody else changes it until the transaction ends."""
    tx.put("SELECT FROM directory FOR UPDATE")
    return look(tx)


def _changed(tx: Tx) -> None:
    tx.put("UPDATE directory SET version = version + 1")


def areas(tx: Tx) -> list[dict[str, Any]]:
    """``{area, phase, since}`` of every hub area; *since* None: never switched."""
    return tx.all("SELECT name AS area, phase, changed_at AS since FROM areas ORDER BY name")


def switch(tx: Tx, area: str, phase: Phase, *, by: str, reason: str) -> None:
    """Move *area* to *phase*, audited. What waits because it was off is due at once. Raises NotFound."""
    if not tx.run(
        "UPDATE areas SET phase = %(phase)s, changed_at = now() WHERE name = %(area)s", {"area": area, "phase": phase}
    ):
        raise NotFound(f"there is no area {area}; there are {', '.join(row['area'] for row in areas(tx))}")
    if phase.is_on:
        tx.put(
            "UPDATE deliveries SET due_at = now() FROM referrals "
            "WHERE referrals.id = deliveries.referral AND referrals.area = %(area)s AND state = 'waiting' AND code = 'area_off'",
            {"area": area},
        )
    audit.write(tx, by, "area.switch", area, phase=phase, reason=reason)
    _changed(tx)
