"""The records that the sandbox keeps: users, sessions, grants, and what was handed out for them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field


def _new_id() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class User:
    """Somebody with an account. ``tracks`` are pairs of a title and "public" or "private"."""

    number: int
    username: str
    password: str = field(repr=False)  # in the clear: it is gone when the process ends
    full_name: str
    tracks: tuple[tuple[str, str], ...] = ()


@dataclass
class Session:
    """One browser, logged in if ``username`` is set. ``id`` is the value of its cookie."""

    username: str | None = None
    id: str = field(repr=False, default_factory=_new_id)
    csrf: str = field(repr=False, default_factory=_new_id)


@dataclass
class Grant:
    """The permission that a user gave. If it is revoked, all its tokens are."""

    username: str
    revoked: bool = False


@dataclass
class RequestToken:
    """OAuth 1.0a temporary credentials (RFC 5849 section 2.1).

    ``username`` and ``verifier`` are set when the user allows the request.
    """

    secret: str = field(repr=False)
    callback: str
    realms: list[str]
    created_at: float  # seconds since the epoch
    verifier: str | None = field(repr=False, default=None)
    username: str | None = None


@dataclass
class Code:
    """An authorization code (OAuth 2.1) and what it is bound to."""

    grant: Grant
    redirect_uri: str
    challenge: str
    created_at: float  # seconds since the epoch
    used: bool = False


@dataclass(frozen=True)
class Access:
    """An access token of either protocol; only OAuth 1.0a has a ``secret``."""

    grant: Grant
    secret: str | None = field(repr=False, default=None)
    expires_at: float = float("inf")  # seconds since the epoch

    def is_alive(self, now: float) -> bool:
        """Return whether the API accepts the token at that time."""
        return not self.grant.revoked and now < self.expires_at


STARTING_USERS = (
    User(
        743372812,
        "joe",
        "joe",
        "Joe Sample",
        (
            ("Morning on the Spree", "public"),
            ("Night Bus (demo)", "private"),
            ("Kreuzberg Rain", "public"),
            ("For Ann, unfinished", "private"),
            ("Loops 1 to 9", "public"),
        ),
    ),
    User(
        743372813,
        "ann",
        "ann",
        "Ann Example",
        (("Field Recording 12", "public"), ("Sketch", "private")),
    ),
)
