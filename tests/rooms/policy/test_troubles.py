"""What people are told is a sentence, whatever the trouble and the count."""

from itertools import product

import pytest

from gateway.policy.troubles import OF_PEOPLE, Kind, Phase, says


@pytest.mark.parametrize(("kind", "phase"), list(product(Kind, Phase)), ids=str)
def test_every_trouble_has_its_sentence(kind: Kind, phase: Phase) -> None:
    sentences = [says("glasgow-housing", kind, phase, count) for count in (None, 0, 1, 2)]
    for sentence in sentences:
        assert sentence.startswith("glasgow-housing")
        assert sentence.endswith(".")
        assert "None" not in sentence
    counted = kind not in {Kind.OUTAGE, *OF_PEOPLE}
    if counted and (kind, phase) != (Kind.LATE, Phase.OVER):
        assert "no deliver" in sentences[1]
        assert "1 delivery " in sentences[2]
        assert "2 deliveries " in sentences[3]


def test_no_two_say_the_same() -> None:
    said = [says("a", kind, phase, 1) for kind, phase in product(Kind, Phase)]
    assert len(set(said)) == len(said)
