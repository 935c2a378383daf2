"""The bad days that a visitor of the demo can give SoundCloud, and what a site does about each."""

from __future__ import annotations

from dataclasses import dataclass

from scconnect_wsgi.sandbox import Sandbox


@dataclass(frozen=True)
class Day:
    """One way that SoundCloud can be.

    ``name`` is its name in the page and in addresses, ``title`` its name for people. ``soundcloud``
    says what SoundCloud does then, ``site`` what the site makes of it. ``faults`` are the sandbox's
    words for it.
    """

    name: str
    title: str
    soundcloud: str
    site: str
    faults: tuple[str, ...] = ()


GOOD = Day(
    "good",
    "A good day",
    "SoundCloud works.",
    "All is well: every connection works.",
)
EXPIRED = Day(
    "expired",
    "An hour later",
    "Access tokens have expired.",
    "The site uses the refresh token, once, and asks again. Users notice nothing. "
    "(Tokens of OAuth 1.0a do not expire.)",
)
WITHDRAWN = Day(
    "withdrawn",
    "Permission taken back",
    "Users have removed this site.",
    "The connection ends, and its user is asked to connect again. "
    "That works at once: press the button.",
)
DAYS = (
    GOOD,
    Day(
        "slow",
        "Slow",
        "Every answer takes two seconds.",
        "The page says that it waits, and then shows the tracks. "
        "A call that takes longer than ten seconds is given up, so no worker hangs.",
        ("slow=2",),
    ),
    Day(
        "down",
        "Down",
        "It hangs up without an answer.",
        "The page says that SoundCloud is silent, and keeps the connection. "
        "When SoundCloud is back, nobody has to connect again.",
        ("down",),
    ),
    Day(
        "busy",
        "Too many requests",
        "429, with Retry-After: 30.",
        "A short wait would be waited for. Thirty seconds are too long for a page, "
        "so it says when to try again.",
        ("429=30",),
    ),
    Day(
        "html",
        "HTML instead of JSON",
        "A web page, with status 200.",
        "The page is not taken for an answer. The connection is kept.",
        ("html",),
    ),
    Day(
        "locked",
        "401 for the tracks",
        "Only the tracks are refused.",
        "The site asks /me whether the token is still good. It is, so only this call fails, "
        "and the connection stays.",
        ("unauthorized-at=/me/tracks",),
    ),
    EXPIRED,
    Day(
        "refused",
        "Everybody refused",
        "No token is accepted, whoever asks.",
        "The connection ends, as if its user had taken the permission back. On the next good day "
        "the site looks again, and nobody has to connect again.",
        ("revoked",),
    ),
    WITHDRAWN,
)
_BY_NAME = {day.name: day for day in DAYS}


class Days:
    """Changes the days of a sandbox. ``today`` is the one it has now."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.today: Day = GOOD

    def choose(self, name: str) -> Day | None:
        """Begin the day of that name and return it, or None if there is none."""
        day = _BY_NAME.get(name)
        if day is None:
            return None
        self._sandbox.misbehave(*day.faults)
        if day is EXPIRED:
            self._sandbox.expire()
        if day is WITHDRAWN:
            self._sandbox.revoke()
        self.today = day
        return day
