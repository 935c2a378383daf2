"""The diagrams in docs/pictures show the package as it is."""

import inspect
import re
import runpy
from xml.etree import ElementTree

import pytest
from support.paths import CHECKOUT
from test_architecture import ROOMS

from scconnect_wsgi import SCConnect

TOOL = runpy.run_path(str(CHECKOUT / "tools" / "draw_pictures.py"))
PICTURES = CHECKOUT / "docs" / "pictures"


@pytest.mark.parametrize("name", TOOL["DRAWINGS"])
def test_a_picture_is_as_the_tool_draws_it(name):
    drawn = TOOL["DRAWINGS"][name]()
    ElementTree.fromstring(drawn)
    stale = "PYTHONPATH=. python tools/draw_pictures.py"
    assert (PICTURES / f"{name}.svg").read_text("utf-8") == drawn, stale


def test_there_is_no_other_picture():
    assert {path.stem for path in PICTURES.iterdir()} == set(TOOL["DRAWINGS"])


def test_the_flow_passes_the_addresses_of_the_middleware():
    options = inspect.signature(SCConnect).parameters
    start, callback, close = TOOL["routes"]()
    assert start == options["request_token_path"].default
    assert callback == options["access_token_path"].default
    assert close == f"{options['assets_path'].default}/close.html"
    drawn = (PICTURES / "flow.svg").read_text("utf-8")
    assert all(f">{address}<" in drawn for address in (start, callback, close))


def test_every_room_is_in_the_picture_above_those_it_imports():
    rows = [set(names) for _, names in TOOL["ROWS"]]
    assert sorted(name for row in rows for name in row) == sorted(ROOMS)
    for number, row in enumerate(rows):
        at_hand = set().union(*rows[number:])
        for name in row:
            assert ROOMS[name] <= at_hand, name


def test_every_room_is_explained():
    page = (CHECKOUT / "docs" / "architecture.md").read_text("utf-8")
    table = page.partition("## The rooms")[2].partition("\n## ")[0]
    firsts = re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE)
    explained = re.findall(r"`(\w+)`", " ".join(firsts))
    assert sorted(explained) == sorted(ROOMS.keys() - {"__init__", "__main__"})
