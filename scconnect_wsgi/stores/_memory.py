"""Connections in the memory of one process: for tests, and to try the package out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from scconnect_wsgi.errors import ConnectionChanged
from scconnect_wsgi.redaction import hides_all_locals
from scconnect_wsgi.stores._codec import TokenCodec
from scconnect_wsgi.stores._connection import Connection
from scconnect_wsgi.stores._names import storable
from scconnect_wsgi.stores._records import read_connection, write_connection
from scconnect_wsgi.stores._store import no_such_connection

_CODEC = TokenCodec(None)


@dataclass
class _Lease:
    owner: str
    ends_at: float


@dataclass
class _Claim:
    ends_at: float
    outcome: str | None = None


@hides_all_locals
class MemoryStore:
    """A Store that keeps everything in this process: for tests, and to try the package out.

    It is not for a running site. When the process ends, all connections are gone, and every user
    has to connect again. A second process, such as another worker of your server, knows none of
    them, and a forked one has a copy of its own, so two processes could use one refresh token. It
    never encrypts. Use SQLStore with a SQLite file instead; that is one line as well.

    Any number of threads can use it. ``clock`` returns seconds, by which leases and claims end.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._connections: dict[str, Connection] = {}
        self._leases: dict[str, _Lease] = {}
        self._claims: dict[str, _Claim] = {}

    def save(self, connection: Connection) -> Connection:
        """Write a connection over the version it was loaded with. Raises ConnectionChanged."""
        stored = _copy(replace(connection, version=connection.version + 1))
        with self._lock:
            previous = self._connections.get(stored.id)
            if connection.version != (previous.version if previous else 0):
                raise ConnectionChanged(
                    "The connection was changed, made or deleted since it was loaded. Load it "
                    "again."
                )
            self._connections[stored.id] = stored
        return _copy(stored)

    def load(self, id: str) -> Connection:
        """Return the connection with this id. Raises NotConnected."""
        with self._lock:
            found = self._connections.get(id)
        if found is None:
            raise no_such_connection()
        return _copy(found)

    def delete(self, id: str) -> None:
        """Delete a connection and its lease; a missing one is ignored."""
        with self._lock:
            self._connections.pop(storable(id), None)
            self._leases.pop(id, None)

    def of_user(self, user: str) -> list[Connection]:
        """Return all connections of a user of the site."""
        return [found for found in self._sorted() if found.user == storable(user)]

    def of_account(self, urn: str) -> list[Connection]:
        """Return all connections with an account of the provider."""
        return [found for found in self._sorted() if found.account.urn == storable(urn)]

    def all(self, after: str, limit: int) -> list[Connection]:
        """Return the next connections after an id, of all users, or the first ones."""
        return [found for found in self._sorted() if found.id > storable(after)][:limit]

    def lease(self, id: str, owner: str, seconds: float) -> bool:
        """Give ``owner`` the exclusive section of a connection, and return whether it was free."""
        with self._lock:
            now = self._clock()
            held = self._leases.get(storable(id))
            if id not in self._connections or (held is not None and held.ends_at > now):
                return False
            self._leases[id] = _Lease(owner, now + seconds)
            return True

    def release(self, id: str, owner: str) -> None:
        """End the exclusive section if this owner still holds it."""
        with self._lock:
            held = self._leases.get(storable(id))
            if held is not None and held.owner == owner:
                del self._leases[id]

    def claim(self, name: str, seconds: float) -> bool:
        """Claim a name for so many seconds, and return whether it was free."""
        with self._lock:
            now = self._clock()
            self._claims = {key: kept for key, kept in self._claims.items() if kept.ends_at > now}
            if storable(name) in self._claims:
                return False
            self._claims[name] = _Claim(now + seconds)
            return True

    def settle(self, name: str, outcome: str) -> None:
        """Keep an outcome with a claim for as long as the claim lasts."""
        with self._lock:
            if storable(name) in self._claims:
                self._claims[name].outcome = outcome

    def outcome(self, name: str) -> str | None:
        """Return the outcome that is kept with a claim, or None."""
        with self._lock:
            claim = self._claims.get(storable(name))
            return claim.outcome if claim and claim.ends_at > self._clock() else None

    def close(self) -> None:
        """Do nothing: there is no connection to close, and what is kept stays until the end."""

    def _sorted(self) -> list[Connection]:
        with self._lock:
            found = list(self._connections.values())
        return [_copy(each) for each in sorted(found, key=lambda each: each.id)]


def _copy(connection: Connection) -> Connection:
    """Return a connection that shares nothing with this one: a token's ``extra`` can be changed.

    It is written and read as in every other store, so that a test meets what they refuse or change.
    """
    return read_connection(lambda: write_connection(connection, _CODEC), _CODEC)
