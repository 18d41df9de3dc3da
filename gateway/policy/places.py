"""Places: the seven hub areas, the councils in them and the health boards over these; and how far the roll-out is.

Codes are the Government Statistical Service's: S12… for councils, S08… for health boards, as in the Standard
Geography Code Register of the Scottish Government, whose codes of 2019 Public Health Scotland and the census of 2022
use. Health boards' areas are whole councils since 2014 (SSI 2013/347). A hub area or a health
board is the set of its councils, so that every question about places is one about sets of councils.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from gateway.settings import AREAS


class Phase(StrEnum):
    """How far the roll-out is in a hub area. Nothing is accepted for, nor sent to, one that is planned."""

    PLANNED = "planned"
    PILOT = "pilot"
    LIVE = "live"

    @property
    def is_on(self) -> bool:
        return self is not Phase.PLANNED


@dataclass(frozen=True)
class Council:
    name: str
    area: str
    board: str


COUNCILS: Mapping[str, Council] = {
    "S12000036": Council("City of Edinburgh", "edinburgh-and-borders", "S08000024"),
    "S12000026": Council("Scottish Borders", "edinburgh-and-borders", "S08000016"),
    "S12000017": Council("Highland", "highland", "S08000022"),
    "S12000048": Council("Perth and Kinross", "perth-and-kinross", "S08000030"),
    "S12000033": Council("Aberdeen City", "aberdeen", "S08000020"),
    "S12000042": Council("Dundee City", "dundee", "S08000030"),
    "S12000049": Council("Glasgow City", "glasgow", "S08000031"),
    "S12000008": Council("East Ayrshire", "ayrshire", "S08000015"),
    "S12000021": Council("North Ayrshire", "ayrshire", "S08000015"),
    "S12000028": Council("South Ayrshire", "ayrshire", "S08000015"),
}
BOARDS: Mapping[str, str] = {
    "S08000015": "NHS Ayrshire and Arran",
    "S08000016": "NHS Borders",
    "S08000020": "NHS Grampian",
    "S08000022": "NHS Highland",
    "S08000024": "NHS Lothian",
    "S08000030": "NHS Tayside",
    "S08000031": "NHS Greater Glasgow and Clyde",
}
PLACES: frozenset[str] = frozenset({*AREAS, *COUNCILS, *BOARDS})


@cache
def councils(place: str) -> frozenset[str]:
    """The councils of *place*, a hub area or a code; none if there is no such place."""
    return frozenset(code for code, council in COUNCILS.items() if place in (code, council.area, council.board))


def name(place: str) -> str:
    """What people call *place*."""
    if place in COUNCILS:
        return COUNCILS[place].name
    return BOARDS.get(place) or place.replace("-", " ").title().replace(" And ", " and ")
