"""An outage, told by the delivery process itself, though it is killed as soon as it knows."""

import pytest

from tests.rooms.wire.hostile import always, reply, serving
from tests.rooms.wire.test_alerts import posted
from tests.support import HOUSING, consent, referral
from tests.walks.conftest import Gateway


@pytest.mark.parametrize("house", ["embedded"], indirect=True)
def test_an_alert_survives_the_process_that_found_the_trouble(walk: Gateway) -> None:
    with serving(always(reply(b"", "204 No Content"))) as receiver:
        walk.environment["GATEWAY_ALERTS__WEBHOOK"] = receiver.url
        walk.stop("delivery")
        walk.agencies[HOUSING].fail_next("unavailable", times=1000)
        agreed = walk.consent(consent())
        for _ in range(12):
            walk.submit(referral(agreed, HOUSING))
        walk.start("delivery", "worker")

        def known() -> bool:
            with walk.store.begin() as tx:
                return bool(tx.all("SELECT FROM troubles WHERE kind = 'outage'"))

        walk.wait("the outage is known", known)
        walk.kill("delivery")
        with walk.store.begin() as tx:  # whatever it held
            tx.run("UPDATE alerts SET due_at = now() WHERE due_at IS NOT NULL")
        walk.start("delivery", "worker")
        walk.wait("people are told", lambda: receiver.requests)
        headers, document = posted(receiver)
        assert (document["type"], document["data"]["agency"]) == ("agency.outage.begins", HOUSING)
        assert all(
            posted(receiver, place)[0]["webhook-id"] == headers["webhook-id"] for place in range(len(receiver.requests))
        )
        assert walk.stop("delivery") == 0
