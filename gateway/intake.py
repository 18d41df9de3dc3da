"""The counter: a referral arrives."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from gateway_schemas import categories_under
from gateway_sdk import Adapter

from . import ids, router
from .errors import ConsentMissing, Invalid, KeyReused, NeedsMissing, Problem
from .plugins import Agency
from .policy import contract, minimise, places
from .policy.consent import Consent, Missing, decide
from .store import consents, deliveries, directory, referrals
from .store.callers import Caller
from .store.session import Store, StoreUnavailable, Tx

CLERKS = 1  # commits on their way at once in one process; two were slower: smaller groups, more waiting for one another
MOST = 64  # referrals in one commit

WHY_NOT = {
    "other_subject": "the consent record is another woman's",
    "not_approved": "no second worker has approved sending it without her consent",
    "not_yet": "consent is recorded as given in the future",
    "expired": "her consent has ended",
    "withdrawn": "she withdrew her consent",
    "not_recipient": "she did not agree to this agency",
    "not_purpose": "she did not agree to this purpose",
    "not_category": "she did not agree to this kind of data",
}


@dataclass(frozen=True)
class Submission:
    """A referral that is complete and well formed, before consent was looked at.

    *asked*: the agencies it names; those for its needs are picked among the *known* ones when its consent is at hand.
    """

    asked: Sequence[Agency]
    new: referrals.New
    known: Mapping[str, Agency]

    @property
    def consent(self) -> str:
        identifier: str = self.new.document["consent"]
        return identifier

    @property
    def her(self) -> tuple[str, str]:
        """Her hub, and what it calls her."""
        return self.new.hub, self.new.document["subject"]

    @property
    def names_needs(self) -> bool:
        """Whether the gateway has to pick an agency."""
        return len(self.asked) < len(self.new.document["requests"])


def read(
    agencies: Mapping[str, Agency], draft: Any, body: bytes, key: str, caller: Caller, traceparent: str | None = None
) -> Submission:
    """Check what needs no look-up: the schema, the agencies, what each needs.

    *draft* is the parsed *body*; *key* the hub's Idempotency-Key; *traceparent* the trace it belongs to. Raises Invalid, NeedsMissing.
    """
    referral = contract.check("referral", draft)
    asked = _asked(referral, agencies)
    _require_needs(referral, asked)
    new = referrals.New(ids.new("ref"), caller.hub, referral, _queued(asked), key, body, traceparent)
    return Submission(asked, new, agencies)


def _queued(asked: Sequence[Agency]) -> dict[str, tuple[str, str]]:
    return {agency.name: (ids.new("del"), agency.purpose) for agency in asked}


def take(store: Store, submissions: Sequence[Submission]) -> list[referrals.Receipt | Problem]:
    """Route, check consent, seal, queue one delivery an agency: all of *submissions* in one commit, each with its own
    answer.

    When a key and its body came before, the answer is the first one's receipt, whatever became of the
    consent. Problems: AreaOff, NobodyServes, NeedsMissing, ConsentMissing, NotFound, KeyReused.
    """
    with store.begin(hub={one.new.hub for one in submissions}) as tx:
        looking = directory.Looking(tx)
        known = consents.get_all(tx, [(one.consent, one.new.hub) for one in submissions])
        services = looking.result()
        declined = deliveries.declined(tx, {one.her for one in submissions if one.names_needs})
        settled = [
            _settle(one, known.get((one.consent, one.new.hub)), services, declined.get(one.her, frozenset()))
            for one in submissions
        ]
        receipts = referrals.save(tx, [one for one in settled if isinstance(one, referrals.New)])
        return [
            receipts.get(one.new.id) or _earlier(tx, one.new) or _sure(found)
            for one, found in zip(submissions, settled, strict=True)
        ]


def submit(
    store: Store, agencies: Mapping[str, Agency], draft: Any, body: bytes, key: str, caller: Caller
) -> referrals.Receipt:
    """Take one referral. Raises Invalid, NeedsMissing, ConsentMissing, NotFound, KeyReused."""
    [answer] = take(store, [read(agencies, draft, body, key, caller)])
    if isinstance(answer, Problem):
        raise answer
    return answer


def _sure(found: referrals.New | Problem) -> Problem:
    assert isinstance(found, Problem), "what was neither stored nor known was refused"
    return found


def _earlier(tx: Tx, new: referrals.New) -> referrals.Receipt | Problem | None:
    try:
        return referrals.first_answer(tx, new.hub, new.key, new.body)
    except KeyReused as problem:
        return problem


def _settle(
    submission: Submission,
    record: consents.Record | None,
    services: directory.Directory,
    declined: frozenset[str],
) -> referrals.New | Problem:
    """What is to be stored of *submission*, with an agency for each need, none that *declined* her; or why it is refused."""
    if record is None:
        return consents.unknown(submission.consent)
    try:
        router.require_on(services, submission.new.document["area"])
        asked, new = _routed(submission, record, services, declined)
        _require_consent(record.consent, new.document, asked, record.read_at)
    except Problem as problem:
        return problem
    return new


def _routed(
    submission: Submission, record: consents.Record, services: directory.Directory, declined: frozenset[str]
) -> tuple[Sequence[Agency], referrals.New]:
    """All agencies that are asked, and the referral that names them. Raises NobodyServes, NeedsMissing."""
    named, new = submission.asked, submission.new
    if not submission.names_needs:
        return named, new
    document, routes = router.route(
        new.document, record, submission.known, services,
        asked=[agency.name for agency in named], declined=declined,
    )  # fmt: skip
    found = [submission.known[name] for name in routes]
    _require_needs(document, found)
    return [*named, *found], replace(
        new, document=document, deliveries={**new.deliveries, **_queued(found)}, routes=routes
    )


class Counter:
    """Takes referrals for one event loop: those that arrive while a commit is on its way share the next one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[tuple[Submission, asyncio.Future[referrals.Receipt]]] = []
        self._clerks: set[asyncio.Task[None] | None] = set()

    async def submit(self, submission: Submission) -> referrals.Receipt:
        """As take(), for one. Raises its problem."""
        answer: asyncio.Future[referrals.Receipt] = asyncio.get_running_loop().create_future()
        self._waiting.append((submission, answer))
        if len(self._clerks) < CLERKS:
            self._clerks.add(asyncio.create_task(self._serve()))
        return await answer

    async def _serve(self) -> None:
        try:
            while self._waiting:
                together, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                taken = await asyncio.to_thread(_take_all, self._store, [submission for submission, _ in together])
                for (_, answer), found in zip(together, taken, strict=True):
                    if answer.done():  # the caller has gone; what was taken stays taken
                        continue
                    if isinstance(found, Exception):
                        answer.set_exception(found)
                    else:
                        answer.set_result(found)
        finally:
            self._clerks.discard(asyncio.current_task())


def _take_all(store: Store, submissions: Sequence[Submission]) -> Sequence[referrals.Receipt | Exception]:
    """take(), where one that cannot be taken at all spoils it for nobody else."""
    try:
        return take(store, submissions)
    except StoreUnavailable as error:
        return [error] * len(submissions)
    except Exception as error:  # noqa: BLE001  it reaches its own caller, who raises it
        if len(submissions) == 1:
            return [error]
        return [answer for one in submissions for answer in _take_all(store, [one])]


def _asked(referral: Mapping[str, Any], agencies: Mapping[str, Agency]) -> list[Agency]:
    """The agencies the referral names, each once, for its own purpose, in its own area. Raises Invalid."""
    asked: dict[str, Agency] = {}
    errors: list[dict[str, str]] = []
    council = referral.get("council")
    if council and council not in places.councils(referral["area"]):
        within = ", ".join(sorted(places.councils(referral["area"])))
        errors.append({"pointer": "/council", "expected": f"a council of the area: {within}"})
    for place, request in enumerate(referral["requests"]):
        where = f"/requests/{place}"
        if "need" in request:
            if "agency" in request:
                errors.append({"pointer": where, "expected": "agency or need, not both"})
            continue
        agency = agencies.get(request["agency"])
        if agency is None or referral["area"] not in agency.settings.areas:
            serving = [other.name for other in agencies.values() if referral["area"] in other.settings.areas]
            errors.append({"pointer": f"{where}/agency", "expected": f"an agency of the area: {', '.join(serving)}"})
        elif request["purpose"] != agency.purpose:
            errors.append(
                {"pointer": f"{where}/purpose", "expected": f"{agency.purpose}, the purpose of {agency.name}"}
            )
        elif agency.name in asked:
            errors.append({"pointer": f"{where}/agency", "expected": "each agency once"})
        else:
            asked[agency.name] = agency
    if errors:
        raise Invalid(f"At {errors[0]['pointer']}: expected {errors[0]['expected']}.", errors=errors)
    return list(asked.values())


def _require_needs(referral: Mapping[str, Any], asked: Sequence[Agency]) -> None:
    missing = [
        {"agency": agency.name, "pointer": pointer}
        for agency in asked
        for pointer in minimise.missing_needs(referral, agency.name, agency.adapter.needs)
    ]
    if missing:
        first = missing[0]
        raise NeedsMissing(f"{first['agency']} needs {first['pointer']}: fill it in and submit again.", missing=missing)


def _require_consent(consent: Consent, referral: Mapping[str, Any], asked: Sequence[Agency], at: datetime) -> None:
    missing: list[dict[str, Any]] = []
    for agency in asked:
        answer = decide(
            consent,
            subject=referral["subject"],
            agency=agency.name,
            purpose=agency.purpose,
            required=agency.required_categories,
            at=at,
        )
        if isinstance(answer, tuple):
            missing += [_describe(entry, agency.adapter) for entry in answer]
    if missing:
        raise ConsentMissing(
            f"{_sentence(missing)} Ask her, record what she agrees to, and submit again.", missing=missing
        )


def _describe(entry: Missing, adapter: Adapter) -> dict[str, Any]:
    described: dict[str, Any] = {name: str(value) for name, value in asdict(entry).items() if value is not None}
    if entry.category:
        described["pointers"] = [
            pointer for pointer in adapter.needs.required if entry.category in categories_under(pointer)
        ]
    return described


def _sentence(missing: list[dict[str, Any]]) -> str:
    lines = [
        f"{entry['agency']}: {WHY_NOT[entry['reason']]}" + (f" ({entry['category']})" if "category" in entry else "")
        for entry in missing
    ]
    return "; ".join(lines) + "."
