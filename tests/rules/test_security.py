"""What docs/security.md says was tried was tried."""

import re

from tests.rooms.api import test_bodies, test_callback_borders, test_openapi, test_other_hubs, test_server
from tests.rooms.wire import table
from tests.rules.test_house import HOME

PAGE = (HOME / "docs" / "security.md").read_text("utf-8")


def test_as_much_was_tried_as_is_said() -> None:
    councils = len(test_callback_borders.COUNCILS)
    assert dict(
        re.findall(r"^\| ([^|`]+(?:`[^`]+`)?) \| (\d+) \|$", PAGE.partition("## Inputs tried")[2], re.MULTILINE)
    ) == {
        "documents to a hub's routes": str(len(test_bodies.HOSTILE)),
        "strange ids and parameters": str(len(test_bodies.ADDRESSES)),
        "strange values of headers": str(len(test_bodies.NAMES) * len(test_bodies.VALUES)),
        "heads that are no HTTP": str(len(test_server.NO_HTTP)),
        "ways to send slowly": str(len(test_server.SLOW)),
        "bodies to each route that takes one, spoilt at random": str(test_bodies.EXAMPLES),
        "requests made up from `/openapi.json`": str(test_openapi.AT_LEAST),
        "replies over HTTP, and the same where a token is asked for": str(2 * len(table.HTTP)),
        "replies in JSON": str(len(table.JSON)),
        "replies in XML": str(len(table.XML)),
        "routes asked for another hub's records": str(test_other_hubs.ADDRESSES),
        "callbacks by address, signer and holder": str(councils**3 + councils**2),
    }
