"""What the sandbox remembers:

users, sessions, tokens and nonces, in memory, bounded, behind one lock.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

LIMIT = 10_000  # of each kind; the oldest goes first
REQUEST_TOKEN_LIFETIME = 10 * 60  # seconds; as long as a flow of ours may take
CODE_LIFETIME = (
    60  # seconds; the OAuth 2.1 draft recommends at most 10 minutes, good servers take one
)
NONCE_WINDOW = 5 * 60  # seconds a timestamp may be off, and so how long a nonce is remembered

T = TypeVar("T")


@dataclass(frozen=True)
class User:
    """Somebody with an account here."""

    number: int
    username: str
    password: str = field(repr=False)  # in the clear: it goes away with the process
    full_name: str
    tracks: tuple[tuple[str, str], ...] = ()  # title, sharing


@dataclass
class Session:
    """One browser, logged in or not yet."""

    csrf: str = field(repr=False, default_factory=secrets.token_urlsafe)
    username: str | None = None


@dataclass
class Grant:
    """What one user allowed one application, once. All its tokens die with it."""

    username: str
    revoked: bool = False


@dataclass
class RequestToken:
    """OAuth 1.0a temporary credentials (RFC 5849 section 2.1)."""

    secret: str = field(repr=False)
    callback: str
    realms: list[str]
    born: float = field(default_factory=time.time)
    verifier: str | None = field(repr=False, default=None)
    username: str | None = None


@dataclass
class Code:
    """An authorization code (OAuth 2.1) and what it is bound to."""

    grant: Grant
    redirect_uri: str
    challenge: str
    born: float = field(default_factory=time.time)
    used: bool = False


@dataclass(frozen=True)
class Access:
    """An access token of either protocol; ``secret`` belongs to OAuth 1.0a alone."""

    grant: Grant
    secret: str | None = field(repr=False, default=None)
    expires_at: float = float("inf")

    def alive(self) -> bool:
        """Whether it opens anything now."""
        return not self.grant.revoked and time.time() < self.expires_at


class Counts(Counter[str]):
    """How often each endpoint was reached; safe to read and to add to from any thread."""

    def __init__(self, *counts: Any) -> None:
        super().__init__(*counts)
        self._lock = threading.Lock()

    def hit(self, name: str) -> None:
        """One more."""
        with self._lock:
            self[name] += 1


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


class State:
    """Everything the sandbox knows.

    Take ``lock`` to look and then change; ``remember`` takes it itself. Whoever makes a code, a token
    or a secret calls ``on_secret`` with it.
    """

    def __init__(self, on_secret: Callable[[str], object] | None = None) -> None:
        self.on_secret: Callable[[str], object] = on_secret or (lambda secret: None)
        self.lock: threading.RLock = threading.RLock()
        self.counts: Counts = Counts()
        self.users: dict[str, User] = {user.username: user for user in STARTING_USERS}
        self.sessions: dict[str, Session] = {}
        self.request_tokens: dict[str, RequestToken] = {}
        self.codes: dict[str, Code] = {}
        self.access: dict[str, Access] = {}
        self.refresh: dict[str, Grant] = {}
        self._nonces: dict[tuple[str, ...], float] = {}

    def remember(self, store: dict[str, T], key: str, value: T) -> T:
        """Put ``value`` into one of the stores and let its oldest entries go."""
        with self.lock:
            store[key] = value
            _trim(store)
        return value

    def sign_up(self, username: str, password: str) -> User | None:
        """A new user, or None where the name is taken."""
        with self.lock:
            if username in self.users:
                return None
            number = max(user.number for user in self.users.values()) + 1
            return self.remember(self.users, username, User(number, username, password, username))

    def request_token(self, token: str) -> RequestToken | None:
        """Temporary credentials that are known and not too old."""
        with self.lock:
            found = self.request_tokens.get(token)
            if found is not None and time.time() - found.born > REQUEST_TOKEN_LIFETIME:
                del self.request_tokens[token]
                return None
            return found

    def first_use(self, *nonce: str) -> bool:
        """Whether this nonce comes for the first time within the window (RFC 5849 section 3.3)."""
        now = time.time()
        with self.lock:
            while self._nonces and next(iter(self._nonces.values())) < now - 2 * NONCE_WINDOW:
                del self._nonces[next(iter(self._nonces))]
            if nonce in self._nonces:
                return False
            self._nonces[nonce] = now
            _trim(self._nonces)
            return True

    def revoke(self, username: str | None = None) -> None:
        """Take back what ``username`` (None: everybody) allowed, answered or still under way."""
        with self.lock:
            for grant in self._grants():
                if username in (None, grant.username):
                    grant.revoked = True
            for token, held in list(self.request_tokens.items()):
                if held.username is not None and username in (None, held.username):
                    del self.request_tokens[token]

    def expire(self, username: str | None = None) -> None:
        """Access tokens of ``username`` (None:

        everybody) of OAuth 2.1 end now; their refresh tokens work.
        """
        with self.lock:
            for token, access in list(self.access.items()):
                if access.secret is None and username in (None, access.grant.username):
                    del self.access[token]

    def _grants(self) -> Iterator[Grant]:
        yield from (code.grant for code in self.codes.values())
        yield from (access.grant for access in self.access.values())
        yield from self.refresh.values()


def _trim(store: dict[Any, Any]) -> None:
    while len(store) > LIMIT:
        del store[next(iter(store))]
