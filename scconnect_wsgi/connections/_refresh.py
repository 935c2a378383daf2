"""Refresh a stored token exactly once, however many threads and processes ask.

A provider may accept each refresh token only once, as SoundCloud does. So the steps are:

1. Enter the connection's exclusive section (a lease in the store), or wait for it.
2. Load the connection again. If its token has changed, use the new one.
3. Mark the connection as being refreshed, send the refresh token, store the new token, and leave.

The second caller waits, and uses the token that the first one stored. The mark is written before
the refresh token is sent. A caller that finds a mark knows that an earlier answer was never stored,
because a process crashed or a connection broke, and that the refresh token may be used up.

Whether a connection has changed is decided by its token and not by its version, so that a new token
is stored even if the holder's lease has run out.
"""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from scconnect_wsgi.errors import (
    ConnectError,
    ConnectionBusy,
    ConnectionChanged,
    ConnectionRevoked,
    InvalidGrant,
    NotConnected,
    RefreshLost,
    StoreUnavailable,
)
from scconnect_wsgi.stores import Connection, Store
from scconnect_wsgi.token import AccessToken

if TYPE_CHECKING:
    from scconnect_wsgi.flow import ApiFlow

log: logging.Logger = logging.getLogger("scconnect_wsgi")

MARGIN = 60  # seconds before its end that a token is refreshed; at most a tenth of its lifetime
GRACE = 10.0  # seconds that a lease outlasts the HTTP deadline, for the store and for DNS
LEASE_PAUSE = 0.06  # seconds, at most, between two attempts to get the lease
STORE_PAUSE = 0.6  # seconds, at most, between two attempts to write, while a store restarts
ENDINGS: dict[str, tuple[type[NotConnected], str]] = {
    ConnectionRevoked.code: (
        ConnectionRevoked,
        "The provider no longer accepts the tokens of this connection: the user revoked the "
        "permission, or it expired. The user must connect again.",
    ),
    RefreshLost.code: (
        RefreshLost,
        "The provider very likely issued a new token, but it never arrived here: the network "
        "failed, or the process that asked for it was killed. The user must connect again.",
    ),
}


def needs_refresh(connection: Connection, clock: Callable[[], float] = time.time) -> bool:
    """Return whether the token has expired or is about to, by this host's clock."""
    expires_at = connection.token.expires_at
    if expires_at is None:
        return False
    lifetime = max(0, expires_at - connection.obtained_at)
    return clock() >= expires_at - min(MARGIN, lifetime // 10)


def is_expired(connection: Connection, clock: Callable[[], float] = time.time) -> bool:
    """Return whether the token has expired, by this host's clock."""
    expires_at = connection.token.expires_at
    return expires_at is not None and clock() >= expires_at


def error_that_ended(connection: Connection) -> NotConnected:
    """Return the error that ended a connection."""
    kind, message = ENDINGS.get(connection.ended, ENDINGS[ConnectionRevoked.code])
    return kind(message)


def load_live(store: Store, id: str) -> Connection:
    """Load a connection that works. Raises NotConnected, or the error that ended the connection."""
    connection = store.load(id)
    if connection.ended:
        raise error_that_ended(connection)
    return connection


def mark_ended(store: Store, connection: Connection, code: str) -> Connection:
    """Mark a connection as ended by the error with this code, and return it as stored.

    If its token has changed in the meantime, nothing is marked: the connection works again, and is
    returned as it was found. Raises the error that ended the connection if another caller marked it
    first.
    """
    token = connection.token
    while connection.token == token:
        try:
            return store.save(replace(connection, ended=code))
        except ConnectionChanged:
            connection = load_live(store, connection.id)
    return connection


class Refresher:
    """Refreshes tokens of the connections in one store, with one flow.

    ``clock`` returns seconds since the epoch. ``monotonic`` and ``sleep`` are what waiting uses.
    """

    def __init__(
        self,
        store: Store,
        flow: ApiFlow,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._store = store
        self._flow = flow
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep

    def refresh(self, stale: Connection) -> Connection:
        """Return the connection with a token other than the stale one.

        Any process may have refreshed it. If the provider refused, the returned connection has
        ``ended`` set. Only one call in all processes returns such a connection, the others raise.
        Raises NotConnected (of any kind), ProviderError, ProviderUnavailable, StoreUnavailable, and
        ConnectionBusy if other callers have held the exclusive section for too long.
        """
        owner = secrets.token_urlsafe(16)
        lease = self._flow.transport.timeout + GRACE
        give_up_at = self._monotonic() + lease + GRACE
        while True:
            current = load_live(self._store, stale.id)
            if not self._is_stale(current, stale):
                return current
            if self._store.lease(stale.id, owner, lease):
                with self._released(stale.id, owner), suppress(ConnectionChanged):
                    return self._refresh_in_section(stale)
            elif self._monotonic() > give_up_at:
                raise ConnectionBusy(
                    "The token of this connection is being refreshed elsewhere, and that has taken "
                    "too long. Try again."
                )
            self._sleep(_jittered(LEASE_PAUSE))

    def _is_stale(self, current: Connection, stale: Connection) -> bool:
        """Return whether the stored token is still the stale one, or has itself expired and can be
        refreshed.
        """
        if current.token == stale.token:
            return True
        return is_expired(current, self._clock) and current.token.refresh_token is not None

    @contextmanager
    def _released(self, id: str, owner: str) -> Iterator[None]:
        try:
            yield
        finally:
            with suppress(StoreUnavailable):  # the lease ends by itself
                self._store.release(id, owner)

    def _refresh_in_section(self, stale: Connection) -> Connection:
        """Refresh while holding the lease.

        Raises ConnectionChanged if another write came in between: the caller tries again.
        """
        current = load_live(self._store, stale.id)
        if not self._is_stale(current, stale):
            return current
        if current.token.refresh_token is None:
            return mark_ended(self._store, current, ConnectionRevoked.code)
        earlier_answer_lost = current.refreshing_since is not None
        if not earlier_answer_lost:
            current = self._store.save(replace(current, refreshing_since=int(self._clock())))
        return self._redeem(current, earlier_answer_lost)

    def _redeem(self, marked: Connection, earlier_answer_lost: bool) -> Connection:
        """Send the refresh token of a marked connection, and store the new token.

        The mark is removed only if neither this call nor an earlier one may have used the refresh
        token up.
        """
        try:
            token = self._flow.refresh(marked.token, marked.callback_url)
        except InvalidGrant:
            code = RefreshLost.code if earlier_answer_lost else ConnectionRevoked.code
            return mark_ended(self._store, marked, code)
        except ConnectError as error:
            if not earlier_answer_lost and not error.outcome_unknown:
                with suppress(ConnectError):
                    self._store.save(replace(marked, refreshing_since=None))
            raise
        return self._store_fresh(marked, token)

    def _store_fresh(self, marked: Connection, token: AccessToken) -> Connection:
        """Store a token that the provider will not issue a second time, even if the store is
        restarting.
        """
        fresh = replace(
            marked, token=token, obtained_at=int(self._clock()), refreshing_since=None, ended=""
        )
        give_up_at = self._monotonic() + GRACE
        while True:
            try:
                return self._write_over(marked.token, fresh)
            except StoreUnavailable:
                if self._monotonic() > give_up_at:
                    log.error("A refreshed token could not be stored: its user must connect again.")
                    raise
            self._sleep(_jittered(STORE_PAUSE))

    def _write_over(self, old: AccessToken, fresh: Connection) -> Connection:
        """Replace the stored connection if it still has the old token; return what is stored then.

        Another token means that the user has connected again, or that an earlier attempt to write
        succeeded although it was reported as failed.
        """
        while True:
            try:
                return self._store.save(fresh)
            except ConnectionChanged:
                found = self._store.load(fresh.id)
            if found.token != old:
                return found
            fresh = replace(fresh, version=found.version)


def _jittered(longest: float) -> float:
    """Return a random part of a pause, so that waiters do not retry in step."""
    return random.uniform(longest / 6, longest)  # noqa: S311  # no secret
