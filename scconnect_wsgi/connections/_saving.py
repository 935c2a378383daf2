"""Store a new connection, replacing the previous one with the same id."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from scconnect_wsgi.errors import (
    ConnectionChanged,
    NotConnected,
    StoreUnavailable,
    Undecipherable,
)
from scconnect_wsgi.stores import Connection, Store

ATTEMPTS = 5  # the user may have clicked twice, or the database may be restarting
PAUSE = 0.2  # seconds between two attempts


def save_over_previous(
    store: Store, connection: Connection, *, sleep: Callable[[float], object] = time.sleep
) -> Connection:
    """Store a new connection regardless of the stored version, and return it as stored.

    Raises what ``Store.save`` raises, after several attempts if waiting may help.
    """
    for _ in range(ATTEMPTS - 1):
        with suppress(ConnectionChanged, StoreUnavailable):
            return _save(store, connection)
        sleep(PAUSE)
    return _save(store, connection)


def _save(store: Store, connection: Connection) -> Connection:
    return store.save(replace(connection, version=_stored_version(store, connection.id)))


def _stored_version(store: Store, id: str) -> int:
    """Return the version to write over: 0 if there is no connection with that id.

    A connection that can no longer be decrypted is deleted: nobody can use it, and its user is
    connecting again anyway.
    """
    try:
        return store.load(id).version
    except NotConnected:
        return 0
    except Undecipherable:
        store.delete(id)
        return 0
