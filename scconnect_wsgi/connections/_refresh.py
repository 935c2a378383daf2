"""Refresh a stored token exactly once, however many threads and processes ask.

A provider may accept each refresh token only once, as SoundCloud does. So the steps are:

1. Enter the connection's exclusive section (a lease in the store), or wait for it.
2. Load the connection again. If its token has changed, use the new one.
3. Mark the connection as being refreshed, see that the lease lasts long enough, send the refresh
   token, store the new token, and leave.

The second caller waits, and uses the token that the first one stored. The mark is written before
the refresh token is sent. A caller that finds a mark, and no failure recorded since, knows that an
earlier answer was never stored, because a process crashed or a connection broke, and that the
refresh token may be used up. A mark that is younger than any lease may be that of a holder whose
lease was cut short, because the clock of the store jumped, and who is waiting for the answer.

Whether a connection has changed is decided by its token and not by its version, so that a new token
is stored even if the holder's lease has run out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from scconnect_wsgi.connections._failed_refresh import (
    ClientPause,
    check_pause,
    failed_refresh,
    is_final,
    pauses_client,
    shared_pause,
)
from scconnect_wsgi.connections._section import (
    BeginAgain,
    Clocks,
    ExclusiveSection,
    Lease,
    jittered,
)
from scconnect_wsgi.connections._waiting import sleep
from scconnect_wsgi.errors import (
    ConnectError,
    ConnectionChanged,
    ConnectionRevoked,
    InvalidGrant,
    NotConnected,
    ProviderUnavailable,
    RefreshLost,
    StoreUnavailable,
)
from scconnect_wsgi.events import Events
from scconnect_wsgi.stores import Connection, FailedRefresh, Store
from scconnect_wsgi.token import AccessToken

if TYPE_CHECKING:
    from scconnect_wsgi.flow import ApiFlow

log: logging.Logger = logging.getLogger("scconnect_wsgi")

Load = Callable[[Store, str], Connection]

MARGIN = 60  # seconds before its end that a token is refreshed; at most a tenth of its lifetime
GRACE = 10.0  # seconds that a lease outlasts the HTTP deadline, for the store and for DNS
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


def needs_refresh_for_upload(
    connection: Connection, clock: Callable[[], float] = time.time
) -> bool:
    """Return whether the token may expire while a large file is sent: half of its life is over."""
    expires_at = connection.token.expires_at
    if expires_at is None:
        return False
    return clock() >= expires_at - max(0, expires_at - connection.obtained_at) / 2


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

    ``events`` hears of each refresh token that was sent. ``clock`` returns seconds since the epoch.
    ``monotonic`` and ``sleep`` are what waiting uses.
    """

    def __init__(
        self,
        store: Store,
        flow: ApiFlow,
        *,
        events: Events | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = sleep,
    ) -> None:
        self._store = store
        self._flow = flow
        self._events = events or Events()
        self._clocks = Clocks(clock, monotonic, sleep)
        lease = flow.transport.timeout + GRACE
        self._section = ExclusiveSection(store, lease, GRACE, self._clocks)
        self._client_pause = ClientPause(store, flow)

    def refresh(
        self, stale: Connection, *, wait: bool = True, load: Load = load_live
    ) -> Connection:
        """Return the connection with a token other than the stale one.

        Any process may have refreshed it. If the provider refused, the returned connection has
        ``ended`` set. Only one call in all processes returns such a connection, the others raise.
        Raises NotConnected (of any kind), ProviderError, ProviderUnavailable (with ``retry_after``
        in the pause after a refresh that failed), StoreUnavailable, and ConnectionBusy if other
        callers have held the exclusive section for too long; without ``wait``, if any holds it.
        ``load(store, id)`` loads the connection each time, and may raise NotConnected.
        """
        return self._refresh(stale, load, wait=wait)

    def refresh_ended(self, stale: Connection) -> Connection:
        """Do the same for a connection that has ended: it works again if the provider agrees.

        Otherwise the returned connection still has ``ended`` set.
        """
        return self._refresh(stale, lambda store, id: store.load(id), wait=True)

    def _refresh(self, stale: Connection, load: Load, *, wait: bool) -> Connection:
        def refreshed_elsewhere() -> Connection | None:
            current = load(self._store, stale.id)
            return None if self._must_refresh(current, stale) else current

        def refreshed_here(lease: Lease) -> Connection:
            current = load(self._store, stale.id)
            return self._redeem(current, lease) if self._must_refresh(current, stale) else current

        return self._section.run(stale.id, refreshed_elsewhere, refreshed_here, wait=wait)

    def _must_refresh(self, current: Connection, stale: Connection) -> bool:
        """Return whether the stored token is still the stale one, or has itself expired and can be
        refreshed.

        Raises ProviderUnavailable if it is, in the pause after a refresh that failed.
        """
        is_stale = current.token == stale.token or (
            is_expired(current, self._clocks.now) and current.token.refresh_token is not None
        )
        if is_stale:
            check_pause(current.failed_refresh, self._clocks.now())
        return is_stale

    def _redeem(self, current: Connection, lease: Lease) -> Connection:
        """Refresh within the exclusive section.

        Raises BeginAgain if the lease may end while the refresh token is on its way, and
        ConnectionChanged if another write came in between.
        """
        if current.token.refresh_token is None:
            return mark_ended(self._store, current, ConnectionRevoked.code)
        if self._may_be_in_flight(current):
            raise BeginAgain
        self._check_client_pause(current)
        # Even over an earlier mark: a holder that was stopped for too long can then no longer write
        # one, because the version has changed
        marked = self._store.save(replace(current, refreshing_since=int(self._clocks.now())))
        if lease.left() < self._flow.transport.timeout + GRACE / 2:
            self._store.save(replace(marked, refreshing_since=current.refreshing_since))
            raise BeginAgain
        return self._send(marked, earlier_answer_lost=current.refreshing_since is not None)

    def _may_be_in_flight(self, current: Connection) -> bool:
        """Return whether somebody may be waiting for the answer to this refresh token."""
        marked_at = current.refreshing_since
        failed = current.failed_refresh
        if marked_at is None or (failed is not None and failed.failed_at >= marked_at):
            return False
        return abs(self._clocks.now() - marked_at) < GRACE

    def _check_client_pause(self, current: Connection) -> None:
        """Raise ProviderUnavailable while the client is paused, and pause this connection too."""
        cause = self._client_pause.cause()
        if cause is None:
            return
        try:
            check_pause(cause, self._clocks.now())
        except ProviderUnavailable:
            self._remember(current, shared_pause(cause, current.failed_refresh))
            raise

    def _send(self, marked: Connection, *, earlier_answer_lost: bool) -> Connection:
        """Send the refresh token of a marked connection, and log and report how that went.

        The site hears of it after the store, or a hook that takes long could cost the new token.
        """
        began_at = self._clocks.monotonic()
        try:
            connection = self._exchange(marked, earlier_answer_lost=earlier_answer_lost)
        except ConnectError as error:
            _log_failure(marked, error)
            self._events.report("refresh_failed", error, self._clocks.monotonic() - began_at)
            raise
        if not connection.ended:
            self._events.report("token_refreshed", seconds=self._clocks.monotonic() - began_at)
        return connection

    def _exchange(self, marked: Connection, *, earlier_answer_lost: bool) -> Connection:
        """Exchange the refresh token of a marked connection for a new token, and store that.

        The mark is removed only if neither this call nor an earlier one may have used the refresh
        token up.
        """
        try:
            token = self._flow.refresh(marked.token, marked.callback_url)
        except InvalidGrant:
            return self._end(marked, earlier_answer_lost=earlier_answer_lost)
        except ConnectError as error:
            failed = failed_refresh(error, marked.failed_refresh, self._clocks.now())
            if is_final(error, failed):
                return self._end(marked, earlier_answer_lost=earlier_answer_lost)
            if pauses_client(error):
                self._client_pause.begin(failed)
            may_be_used_up = earlier_answer_lost or error.outcome_unknown
            since = marked.refreshing_since if may_be_used_up else None
            self._remember(replace(marked, refreshing_since=since), failed)
            raise
        return self._store_fresh(marked, token)

    def _end(self, marked: Connection, *, earlier_answer_lost: bool) -> Connection:
        code = RefreshLost.code if earlier_answer_lost else ConnectionRevoked.code
        answered = replace(marked, refreshing_since=None, failed_refresh=None)
        return mark_ended(self._store, answered, marked.ended or code)

    def _remember(self, connection: Connection, failed: FailedRefresh) -> None:
        """Store a failure, if the store works and nobody else has changed the connection."""
        with suppress(ConnectError):
            self._store.save(replace(connection, failed_refresh=failed))

    def _store_fresh(self, marked: Connection, token: AccessToken) -> Connection:
        """Store a token that the provider will not issue a second time, even if the store is
        restarting.
        """
        fresh = replace(
            marked,
            token=token,
            obtained_at=int(self._clocks.now()),
            refreshing_since=None,
            failed_refresh=None,
            ended="",
        )
        give_up_at = self._clocks.monotonic() + GRACE
        while True:
            try:
                return self._write_over(marked.token, fresh)
            except StoreUnavailable:
                if self._clocks.monotonic() > give_up_at:
                    log.error("A refreshed token could not be stored: its user must connect again.")
                    raise
            self._clocks.sleep(jittered(STORE_PAUSE))

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
            # The key of its logins is all that may have changed beside the token
            fresh = replace(fresh, version=found.version, login_key=found.login_key)


def _log_failure(connection: Connection, error: ConnectError) -> None:
    """Log a refresh that failed: once, and not for each caller who waited for it."""
    log.warning(
        "The token of connection %s could not be refreshed, %s: %s (error_id %s) See %s",
        connection.id,
        error.code,
        error.message,
        error.error_id,
        error.documentation,
    )
