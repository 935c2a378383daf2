"""The memory of the sandbox: bounded, behind one lock, and gone when the process ends.

``_state_file`` keeps it if that is wanted.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from scconnect_wsgi.sandbox._records import (
    STARTING_LIKES,
    STARTING_PLAYLISTS,
    STARTING_TRACKS,
    STARTING_USERS,
    Access,
    Code,
    Grant,
    Playlist,
    RequestToken,
    Session,
    Track,
    User,
)

LIMIT = 10_000  # records of each kind; the oldest is dropped first
REQUEST_TOKEN_LIFETIME = 10 * 60  # seconds; as long as SCConnect lets a flow take
CODE_LIFETIME = 60  # seconds; the OAuth 2.1 draft allows at most 10 minutes
NONCE_WINDOW = 5 * 60  # seconds a timestamp may be off, and a nonce is remembered
ISSUED = "scconnect_wsgi.sandbox.issued"  # the audit event; its arguments: secret, record

K = TypeVar("K")
T = TypeVar("T")


class Counts(Counter[str]):
    """How often each endpoint was reached. Any thread may read it and add to it."""

    def __init__(self, *counts: Any) -> None:
        super().__init__(*counts)
        self._lock = threading.Lock()

    def hit(self, name: str) -> None:
        """Add one to the count of ``name``."""
        with self._lock:
            self[name] += 1


class State:
    """Everything that the sandbox knows.

    The methods take ``lock`` themselves; take it as well to read a record and then change it.
    ``clock`` returns the time in seconds since the epoch.

    Each code and token that is handed out raises the audit event ISSUED (``sys.addaudithook``)
    with the code or token and its record, which may hold further secrets. So a test can look for
    leaks of whatever any sandbox of its process hands out.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock: Callable[[], float] = clock
        self.lock: threading.RLock = threading.RLock()
        self.counts: Counts = Counts()
        self.users: dict[str, User] = {user.username: user for user in STARTING_USERS}
        self.tracks: dict[int, Track] = {track.number: track for track in STARTING_TRACKS}
        self.playlists: dict[int, Playlist] = {each.number: each for each in STARTING_PLAYLISTS}
        self.likes: dict[str, tuple[int, ...]] = dict(STARTING_LIKES)
        self.sessions: dict[str, Session] = {}
        self.request_tokens: dict[str, RequestToken] = {}
        self.codes: dict[str, Code] = {}
        self.access: dict[str, Access] = {}
        self.refresh: dict[str, Grant] = {}
        self.number_tracks()
        self._nonces: dict[tuple[str, ...], float] = {}

    def issue(self, store: dict[str, T], secret: str, record: T) -> T:
        """Keep the record of a code or token that is handed out, and raise ISSUED for it."""
        sys.audit(ISSUED, secret, record)
        return self.remember(store, secret, record)

    def remember(self, store: dict[K, T], key: K, value: T) -> T:
        """Keep ``value`` in one of the stores, whose oldest entries make room for it."""
        with self.lock:
            store[key] = value
            _trim(store)
        return value

    def sign_up(self, username: str, password: str) -> User | None:
        """Create and return a user. Returns None if the name is taken."""
        with self.lock:
            if username in self.users:
                return None
            number = max(user.number for user in self.users.values()) + 1
            return self.remember(self.users, username, User(number, username, password, username))

    def add_track(self, owner: User, title: str, sharing: str, **fields: Any) -> Track:
        """Keep a track that was uploaded, and return it. ``fields`` are further ones of Track."""
        with self.lock:
            number = next(self._track_numbers)
            track = Track(number, owner, title, sharing, created_at=self.clock(), **fields)
            return self.remember(self.tracks, number, track)

    def request_token(self, token: str) -> RequestToken | None:
        """Return the record of a request token, or None if it is unknown or has expired."""
        with self.lock:
            found = self.request_tokens.get(token)
            if found is None:
                return None
            if self.clock() - found.created_at > REQUEST_TOKEN_LIFETIME:
                del self.request_tokens[token]
                return None
            return found

    def first_use(self, *nonce: str) -> bool:
        """Return whether a nonce is new within the window (RFC 5849 section 3.3)."""
        now = self.clock()
        with self.lock:
            while self._nonces and next(iter(self._nonces.values())) < now - 2 * NONCE_WINDOW:
                del self._nonces[next(iter(self._nonces))]
            if nonce in self._nonces:
                return False
            self._nonces[nonce] = now
            _trim(self._nonces)
            return True

    def revoke(self, username: str | None = None) -> None:
        """Revoke what ``username`` (None: everybody) has allowed, flows under way included."""
        with self.lock:
            for grant in self.grants():
                if username in (None, grant.username):
                    grant.revoked = True
            for token, found in list(self.request_tokens.items()):
                if found.username is not None and username in (None, found.username):
                    del self.request_tokens[token]

    def expire(self, username: str | None = None) -> None:
        """End the OAuth 2.1 access tokens of ``username`` (None: everybody).

        Their refresh tokens still work.
        """
        with self.lock:
            for token, access in list(self.access.items()):
                if access.secret is None and username in (None, access.grant.username):
                    del self.access[token]

    def number_tracks(self) -> None:
        """Begin to count new tracks behind those that are there."""
        self._track_numbers = itertools.count(max(self.tracks) + 1)

    def uploads(self) -> list[Track]:
        """Return the tracks that were uploaded."""
        return [track for track in self.tracks.values() if track not in STARTING_TRACKS]

    def grants(self) -> Iterator[Grant]:
        """Yield the grant of each code and token."""
        for code in self.codes.values():
            yield code.grant
        for access in self.access.values():
            yield access.grant
        yield from self.refresh.values()


def _trim(store: dict[Any, Any]) -> None:
    while len(store) > LIMIT:
        del store[next(iter(store))]
