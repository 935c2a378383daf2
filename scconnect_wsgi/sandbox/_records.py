"""The records that the sandbox keeps: users, sessions, grants, and what was handed out for them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field


def _new_id() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class User:
    """Somebody with an account."""

    number: int
    username: str
    password: str = field(repr=False)  # in the clear: it is gone when the process ends
    full_name: str

    @property
    def urn(self) -> str:
        """The urn, which says who this is."""
        return f"soundcloud:users:{self.number}"


@dataclass(frozen=True)
class Track:
    """A track of a user.

    ``details`` are the further fields of the upload that the API shows again, such as ``genre``.
    ``slug`` is the end of its address on soundcloud.com.
    """

    number: int
    owner: User
    title: str
    sharing: str = "public"  # or "private"
    duration: int = 180_000  # milliseconds
    created_at: float = 1_768_478_400.0  # seconds since the epoch
    details: Mapping[str, str | bool] = field(default_factory=dict)

    @property
    def urn(self) -> str:
        """The urn, which is the key of a track."""
        return f"soundcloud:tracks:{self.number}"

    @property
    def slug(self) -> str:
        """The end of its address on soundcloud.com."""
        return str(self.details.get("permalink") or f"track-{self.number}")

    def is_seen_by(self, user: User) -> bool:
        """Return whether the API shows this track to ``user``."""
        return self.sharing == "public" or self.owner == user


@dataclass(frozen=True)
class Playlist:
    """A playlist of a user, with the numbers of its tracks."""

    number: int
    owner: User
    title: str
    tracks: tuple[int, ...]
    sharing: str = "public"  # or "private"

    @property
    def urn(self) -> str:
        """The urn, which is the key of a playlist."""
        return f"soundcloud:playlists:{self.number}"

    @property
    def slug(self) -> str:
        """The end of its address on soundcloud.com, behind ``sets``."""
        return f"set-{self.number}"

    def is_seen_by(self, user: User) -> bool:
        """Return whether the API shows this playlist to ``user``."""
        return self.sharing == "public" or self.owner == user


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


_JOE = User(743372812, "joe", "joe", "Joe Sample")
_ANN = User(743372813, "ann", "ann", "Ann Example")
STARTING_USERS = (_JOE, _ANN)
STARTING_TRACKS = (
    Track(1001, _JOE, "Morning on the Spree"),
    Track(1002, _JOE, "Night Bus (demo)", "private", 181_000),
    Track(1003, _JOE, "Kreuzberg Rain", "public", 182_000),
    Track(1004, _JOE, "For Ann, unfinished", "private", 183_000),
    Track(1005, _JOE, "Loops 1 to 9", "public", 184_000),
    Track(1006, _ANN, "Field Recording 12"),
    Track(1007, _ANN, "Sketch", "private", 181_000),
)
STARTING_PLAYLISTS = (
    Playlist(2001, _JOE, "Berlin", (1001, 1003)),
    Playlist(2002, _JOE, "Not yet", (1002, 1004), "private"),
    Playlist(2003, _ANN, "Outdoors", (1006, 1007)),
)
STARTING_LIKES = {"joe": (1006, 1001), "ann": (1003,)}  # numbers of tracks
