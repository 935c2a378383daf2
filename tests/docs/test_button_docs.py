"""docs/button.md names every look of button.css, and only properties that it has."""

import re

from support.documentation import DOCS
from support.paths import CHECKOUT

PAGE = (DOCS / "button.md").read_text("utf-8")
CSS = (CHECKOUT / "assets" / "button.css").read_text("utf-8")


def test_every_look_is_there():
    looks = set(re.findall(r"\.(sc-[a-z-]+)", CSS))
    assert {"sc-light", "sc-small", "sc-other"} < looks
    assert looks <= set(re.findall(r"`(sc-[a-z-]+)`", PAGE))


def test_a_property_that_is_named_colours_something():
    named = set(re.findall(r"`(--sc-[a-z-]+)`", PAGE))
    assert len(named) == 9
    assert named <= set(re.findall(r"var\((--sc-[a-z-]+)\)", CSS))


def test_every_picture_is_served():
    for name in re.findall(r"`(sc-[a-z-]+)`, \d+ x \d+", PAGE):
        for ending in (".svg", ".png", "@2x.png"):
            assert (CHECKOUT / "assets" / f"{name}{ending}").is_file(), name + ending
