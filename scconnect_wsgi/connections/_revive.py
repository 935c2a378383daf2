"""Look again at a connection that has ended.

A provider may have refused everybody for an hour, and then every user would have to connect again.
The tokens of an ended connection are kept, so the provider can be asked once more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scconnect_wsgi.connections._refresh import (
    Refresher,
    error_that_ended,
    mark_ended,
    needs_refresh,
)
from scconnect_wsgi.connections._verdict import TokenVerdict, ask_me
from scconnect_wsgi.errors import (
    ConnectError,
    ConnectionChanged,
    ConnectionRevoked,
    ProviderError,
    UnclearRefusal,
)
from scconnect_wsgi.events import Events
from scconnect_wsgi.stores import Connection, Store

if TYPE_CHECKING:
    from scconnect_wsgi.flow import ApiFlow


def revive(connection: Connection, store: Store, flow: ApiFlow, events: Events) -> Connection:
    """Return a connection that works again, or raise why it does not.

    A token that is due is refreshed first, once in all processes. Any other is shown to ``/me``,
    and refreshed if that does not accept it. Raises the error that ended the connection if the
    provider still refuses, and ProviderError, ProviderUnavailable or StoreUnavailable if it cannot
    be asked.
    """
    can_refresh = connection.token.refresh_token is not None
    if not (can_refresh and needs_refresh(connection)):
        verdict = ask_me(flow, connection)
        if verdict is TokenVerdict.ACCEPTED:
            return _save_live(store, connection)
        if not can_refresh:
            raise _refusal(connection, verdict)
    return _refreshed(connection, store, flow, events)


def _save_live(store: Store, connection: Connection) -> Connection:
    """Store that a connection works, unless its token was replaced meanwhile."""
    token = connection.token
    while connection.ended and connection.token == token:
        try:
            return store.save(replace(connection, ended=""))
        except ConnectionChanged:
            connection = store.load(connection.id)
    if connection.ended:
        raise error_that_ended(connection)
    return connection


def _refusal(connection: Connection, verdict: TokenVerdict) -> ConnectError:
    if verdict is TokenVerdict.REFUSED:
        return error_that_ended(connection)
    return ProviderError(
        "The API does not say whether it accepts the token of this connection, so the connection "
        "stays ended. Try again later."
    )


def _refreshed(ended: Connection, store: Store, flow: ApiFlow, events: Events) -> Connection:
    """Return the connection with a new token, unless ``/me`` refuses that one too."""
    try:
        connection = Refresher(store, flow, events=events).refresh_ended(ended)
    except UnclearRefusal:
        raise error_that_ended(ended) from None
    if connection.ended:
        raise error_that_ended(connection)
    try:
        verdict = ask_me(flow, connection)
    except ConnectError:  # the provider has just granted that token
        return connection
    if verdict is not TokenVerdict.REFUSED:
        return connection
    marked = mark_ended(store, connection, ConnectionRevoked.code)
    if marked.ended:
        raise error_that_ended(marked)
    return marked  # the user has connected again meanwhile
