"""An operator, or a tool, sends the delivery process a signal while her referral is on the wire."""

import signal

from tests.support import ALL_CATEGORIES, HEALTH
from tests.walks.stories.telling import Held, Story


def test_no_signal_makes_it_tell_what_it_holds(story: Story) -> None:
    """At the first, Celery would print every thread's variables."""
    process = story.house.processes["delivery"]
    story.house.agencies[HEALTH].fail_next("timeout")  # it has it, and says nothing
    made = story.refers(story.agrees({HEALTH: ALL_CATEGORIES}), HEALTH)
    story.house.wait("it is on the wire", lambda: story.case(made, HEALTH))
    for sign in (signal.SIGUSR1, signal.SIGUSR2):
        process.send_signal(sign)
    story.becomes(made, HEALTH, state="delivered")
    assert process.poll() is None
    log = story.house.log.read_text()
    assert "Ileana" not in log
    assert "LOCAL VARIABLES" not in log
    story.ends(
        holds={(made, HEALTH): Held(times=2)},  # the same key again, which it honours
        told={"": ["referral.accepted"], HEALTH: ["asking: timeout, delivered"]},
        audited=["delivery.doubt", "delivery.repeat"],
    )
