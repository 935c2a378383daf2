"""Fill in the templates of the demo's page, in which every value is escaped."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from string import Template

from scconnect_wsgi.demo._days import DAYS, Day

HERE = Path(__file__).parent
START = "/oauth/request_token?return_to=/"


@dataclass(frozen=True)
class Look:
    """One look of the button: the classes beside ``sc-connect-button``, and the markup."""

    caption: str
    classes: str = ""
    text: str = "Connect with SoundCloud"
    busy: str = "Waiting for SoundCloud …"
    is_busy: bool = False
    direction: str = "ltr"

    @property
    def markup(self) -> str:
        """Return the markup to copy: a link where the flow starts, or a plain button."""
        classes = " ".join(filter(None, ["sc-connect-button", self.classes]))
        if "sc-disconnect" in self.classes:
            return f'<button type="button" class="{classes}">{self.text}</button>'
        return (
            f'<a class="{classes}" data-sc-connect href="{START}"\n'
            f'   data-sc-busy="{self.busy}">{self.text}</a>'
        )


@dataclass(frozen=True)
class Picture:
    """One picture of the button, in the folder of the browser files."""

    file: str
    width: int
    height: int
    text: str

    @property
    def markup(self) -> str:
        """Return the markup to copy: a link where the flow starts, or a plain button."""
        size = f'width="{self.width}" height="{self.height}"'
        image = f'<img src="/sc-connect/{self.file}.svg" {size}\n   alt="{self.text}">'
        if self.file == "sc-disconnect":
            return f'<button type="button">{image}</button>'
        return f'<a data-sc-connect href="{START}">{image}</a>'


LOOKS = (
    Look("Orange"),
    Look("Light", "sc-light"),
    Look("Dark", "sc-dark"),
    Look("Light or dark, as the page is", "sc-auto"),
    Look("Small", "sc-small", "Connect", "Waiting …"),
    Look("Small, with another look", "sc-light sc-small", "Connect", "Waiting …"),
    Look("Disconnect", "sc-disconnect", "Disconnect", "Disconnecting …"),
    Look("Disconnect, dark", "sc-dark sc-disconnect", "Disconnect", "Disconnecting …"),
    Look("While the popup is open", is_busy=True),
    Look("In any language", "sc-auto", "Conectar con SoundCloud", "Esperando …"),
    Look("Of another provider", "sc-other", "Connect with Discogs", "Waiting for Discogs …"),
    Look("Of another provider, small", "sc-other sc-small", "Connect", "Waiting …"),
    Look("From right to left", "", "الاتصال بواسطة ساوندكلاود", "في الانتظار…", direction="rtl"),
)
PICTURES = (
    Picture("sc-connect", 242, 31, "Connect with SoundCloud"),
    Picture("sc-connect-light", 242, 31, "Connect with SoundCloud"),
    Picture("sc-connect-dark", 242, 31, "Connect with SoundCloud"),
    Picture("sc-connect-small", 104, 24, "Connect with SoundCloud"),
    Picture("sc-disconnect", 141, 31, "Disconnect from SoundCloud"),
)


@dataclass(frozen=True)
class UseCase:
    """Code to copy for one way to use the package: two files in ``code/``."""

    name: str
    title: str
    when: str

    def code(self, kind: str) -> str:
        """Return the code: ``kind`` is "python" or "html"."""
        return (HERE / "code" / f"{self.name}.{kind}.txt").read_text("utf-8").rstrip("\n")


USE_CASES = (
    UseCase(
        "optional",
        "Optional",
        "Users have an account of yours, and may connect SoundCloud in their settings.",
    ),
    UseCase(
        "mandatory",
        "Mandatory",
        "Users have an account of yours, and need a connected one of SoundCloud for everything.",
    ),
    UseCase(
        "login",
        "Login",
        "Users have no account of yours: who connects is logged in, by the urn of that account.",
    ),
)


def _template(name: str) -> Template:
    return Template((HERE / f"{name}.html").read_text("utf-8"))


_INDEX = _template("index")
_CARD = _template("card")
_DAY = _template("day")
_LOOK = _template("look")
_PICTURE = _template("picture")
_USE_CASE = _template("use_case")
# The place of an account until the page's script has asked for it, so that nothing moves then
_WAITING = '<li class="account waiting" aria-hidden="true"></li>'


class Page:
    """The demo's page. ``sandbox_url`` is the address of the sandbox."""

    def __init__(self, sandbox_url: str) -> None:
        self._constant = {
            "sandbox_url": html.escape(sandbox_url),
            "looks": "".join(map(_look, LOOKS)),
            "pictures": "".join(map(_picture, PICTURES)),
            "use_cases": "".join(map(_use_case, USE_CASES)),
        }

    def show(self, cards: str, today: Day) -> str:
        """Return the page, with the cards of the protocols and the day that SoundCloud has."""
        return _INDEX.substitute(self._constant, cards=cards, days=_days(today))


def card(*, accounts: int, **values: str) -> str:
    """Return the card of a protocol, with places for so many accounts."""
    escaped = {name: html.escape(value) for name, value in values.items()}
    return _CARD.substitute(escaped, accounts=_WAITING * accounts)


def _filled(template: Template, **values: object) -> str:
    escaped = {name: html.escape(str(value)) for name, value in values.items()}
    return template.substitute(escaped)


def _days(today: Day) -> str:
    return "".join(
        _filled(
            _DAY,
            name=day.name,
            title=day.title,
            soundcloud=day.soundcloud,
            site=day.site,
            checked="checked" if day is today else "",
        )
        for day in DAYS
    )


def _look(look: Look) -> str:
    return _filled(
        _LOOK,
        caption=look.caption,
        classes=look.classes,
        text=look.text,
        busy=look.busy,
        is_busy="true" if look.is_busy else "false",
        direction=look.direction,
        markup=look.markup,
    )


def _picture(picture: Picture) -> str:
    return _filled(_PICTURE, markup=picture.markup, **vars(picture))


def _use_case(case: UseCase) -> str:
    return _filled(
        _USE_CASE,
        name=case.name,
        title=case.title,
        when=case.when,
        python=case.code("python"),
        html=case.code("html"),
    )
