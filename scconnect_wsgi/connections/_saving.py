"""Store a new connection, replacing the previous one with the same id."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from scconnect_wsgi.connections._waiting import sleep
from scconnect_wsgi.errors import (
    ConnectionChanged,
    NotConnected,
    StoreUnavailable,
    Undecipherable,
)
from scconnect_wsgi.stores import Connection, Store

# Attempts while others write the same connection. Each time one of them succeeds, and needs no
# further attempt, so this is how many may write it at once.
COLLISIONS = 100
RESTARTS = 5  # attempts while the store cannot be reached: it may be restarting
PAUSE = 0.2  # seconds, at most, between two attempts


def save_over_previous(
    store: Store, connection: Connection, *, sleep: Callable[[float], object] = sleep
) -> Connection:
    """Store a new connection regardless of the stored version, and return it as stored.

    Raises what ``Store.save`` raises, after several attempts if waiting may help.
    """
    collisions = restarts = 0
    while True:
        try:
            return _save(store, connection)
        except ConnectionChanged:
            collisions += 1
            if collisions == COLLISIONS:
                raise
        except StoreUnavailable:
            restarts += 1
            if restarts == RESTARTS:
                raise
        # A random part of the pause, so that processes which collided do not meet again
        sleep(random.uniform(PAUSE / 10, PAUSE))  # noqa: S311  # no secret


def _save(store: Store, connection: Connection) -> Connection:
    return store.save(written_over(_stored(store, connection.id), connection))


def written_over(stored: Connection | None, connection: Connection) -> Connection:
    """Return a new connection as it is written over the stored one, if there is one.

    Logins go on if their user connects again. Those with a connection that had ended are over.
    """
    if stored is None:
        return replace(connection, version=0)
    login_key = connection.login_key if stored.ended else stored.login_key or connection.login_key
    return replace(connection, version=stored.version, login_key=login_key)


def _stored(store: Store, id: str) -> Connection | None:
    """Return the connection to write over, or None if there is none with that id.

    A connection that can no longer be read is deleted: nobody can use it, and its user is
    connecting again anyway.
    """
    try:
        return store.load(id)
    except NotConnected:
        return None
    except Undecipherable:
        store.delete(id)
        return None
