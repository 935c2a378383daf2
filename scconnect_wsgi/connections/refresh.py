"""Refreshing a stored token once, whoever asks: a refresh token is used up by its first use.

    the exclusive section -> load again -> still needed? -> mark -> redeem -> save -> leave

Who comes second waits, and takes what the first one got. The mark is written before the refresh
token leaves: whoever finds one knows that an earlier answer was never stored, for a crash or a
broken line, and that the refresh token may be used up. Tokens are compared, not versions, so that a
new token is kept even by a holder whose lease has run out.
"""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Iterator
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

MARGIN = 60  # seconds before its end that a token is refreshed; at most a tenth of its life
GRACE = (
    10.0  # seconds that a lease outlasts the HTTP deadline, for the store and the look-up of a name
)
PAUSE = (
    0.01,
    0.06,
)  # seconds between two looks at the store, at random: the waiting are not to move in step
ENDINGS: dict[str, tuple[type[NotConnected], str]] = {
    ConnectionRevoked.code: (
        ConnectionRevoked,
        "The provider takes the tokens of this connection no more: the user took the permission back, or it ran out. "
        "The user must connect again.",
    ),
    RefreshLost.code: (
        RefreshLost,
        "The provider very likely gave a new token, and it never arrived here: the line broke, or the process that "
        "asked was ended. The user must connect again.",
    ),
}


def due(connection: Connection) -> bool:
    """Whether the token is about to end, or has ended, by this host's clock."""
    end = connection.token.expires_at
    return end is not None and time.time() >= end - min(
        MARGIN, max(0, end - connection.obtained_at) // 10
    )


def over(connection: Connection) -> bool:
    """Whether the token has ended, by this host's clock."""
    return connection.token.expires_at is not None and time.time() >= connection.token.expires_at


def ending(connection: Connection) -> NotConnected:
    """The error that ended a connection."""
    kind, message = ENDINGS.get(connection.ended, ENDINGS[ConnectionRevoked.code])
    return kind(message)


def loaded(store: Store, id: str) -> Connection:
    """The connection of that id. Raises NotConnected, or the error that ended it."""
    connection = store.load(id)
    if connection.ended:
        raise ending(connection)
    return connection


def refresh(store: Store, flow: ApiFlow, stale: Connection) -> Connection:
    """A connection with another token than the stale one, redeemed here or meanwhile by somebody
    else.

    Where the provider refused, the connection that comes back has ``ended``, and this call is the
    only one in all processes that it comes back from: the others raise. Raises NotConnected (of
    whichever kind), ProviderError, ProviderUnavailable, StoreUnavailable, and ConnectionBusy where
    others have held the section for too long.
    """
    owner, lease = secrets.token_urlsafe(16), flow.transport.timeout + GRACE
    patience = time.monotonic() + lease + GRACE
    while True:
        current = loaded(store, stale.id)
        if not _needed(current, stale):
            return current
        if store.lease(stale.id, owner, lease):
            with _released(store, stale.id, owner), suppress(ConnectionChanged):
                return _refresh(store, flow, stale)
        elif time.monotonic() > patience:
            raise ConnectionBusy(
                "Others have been refreshing the token of this connection for too long. Try again."
            )
        time.sleep(random.uniform(*PAUSE))  # noqa: S311  # no secret


def end(store: Store, connection: Connection, code: str) -> Connection:
    """Mark a connection as ended, unless its token has changed: then it goes on, as it is returned.

    Raises the error that ended it where somebody else was first.
    """
    token = connection.token
    while connection.token == token:
        try:
            return store.save(replace(connection, ended=code))
        except ConnectionChanged:
            connection = loaded(store, connection.id)
    return connection


def _needed(current: Connection, stale: Connection) -> bool:
    """Whether the stored token is the stale one still, or has ended as well and can be refreshed."""
    return current.token == stale.token or (
        over(current) and current.token.refresh_token is not None
    )


@contextmanager
def _released(store: Store, id: str, owner: str) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(StoreUnavailable):  # the lease ends by itself
            store.release(id, owner)


def _refresh(store: Store, flow: ApiFlow, stale: Connection) -> Connection:
    """Within the exclusive section.

    Raises ConnectionChanged where a write came between: it is to be tried again.
    """
    current = loaded(store, stale.id)
    if not _needed(current, stale):
        return current
    if current.token.refresh_token is None:
        return end(store, current, ConnectionRevoked.code)
    unheard = current.refreshing_since is not None
    marked = current if unheard else store.save(replace(current, refreshing_since=int(time.time())))
    try:
        token = flow.refresh(marked.token, marked.callback_url)
    except InvalidGrant:  # no revocation if the stored token has changed meanwhile; `end` looks
        return end(store, marked, RefreshLost.code if unheard else ConnectionRevoked.code)
    except ConnectError as error:
        if not (unheard or error.outcome_unknown):
            with suppress(ConnectError):
                store.save(replace(marked, refreshing_since=None))
        raise
    return _keep(store, marked, token)


def _keep(store: Store, marked: Connection, token: AccessToken) -> Connection:
    """Store a token that nobody will give again, over writes that came between and through a
    restart of the store.
    """
    fresh = replace(
        marked, token=token, obtained_at=int(time.time()), refreshing_since=None, ended=""
    )
    patience = time.monotonic() + GRACE
    while True:
        try:
            try:
                return store.save(fresh)
            except ConnectionChanged:
                found = store.load(fresh.id)
                if (
                    found.token != marked.token
                ):  # the user has connected again, or the write before did succeed
                    return found
                fresh = replace(fresh, version=found.version)
        except StoreUnavailable:
            if time.monotonic() > patience:
                log.error(
                    "A refreshed token could not be stored: its user will have to connect again."
                )
                raise
            time.sleep(random.uniform(*PAUSE) * 10)  # noqa: S311  # no secret
