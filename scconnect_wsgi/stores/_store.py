"""The contract of a store."""

from __future__ import annotations

from typing import Protocol

from scconnect_wsgi.errors import NotConnected
from scconnect_wsgi.stores._connection import Connection


class Store(Protocol):
    """Keeps connections for all threads and processes of a site.

    Every method raises StoreUnavailable if the store cannot be reached; the next call tries again.
    """

    def save(self, connection: Connection) -> Connection:
        """Write a connection, and return it as stored, with its new version.

        Raises ConnectionChanged, and writes nothing, unless the stored version is the one that the
        connection was loaded with; version 0 means that its id is not stored yet. A lease is
        neither required nor changed.
        """

    def load(self, id: str) -> Connection:
        """Return the connection with this id.

        Raises NotConnected, and Undecipherable if it was encrypted with a key that is gone.
        """

    def delete(self, id: str) -> None:
        """Delete a connection and its lease; a missing one is ignored."""

    def of_user(self, user: str) -> list[Connection]:
        """Return all connections of a user, ended ones too, in the same order each time.

        A connection that cannot be decrypted is left out, here and in ``of_account``, and logged.
        """

    def of_account(self, urn: str) -> list[Connection]:
        """Return all connections with an account of the provider, of all users."""

    def lease(self, id: str, owner: str, seconds: float) -> bool:
        """Give ``owner`` the exclusive section of a connection, and return whether it was free.

        The lease ends with ``release``, or after so many seconds by the store's own clock, so that
        a holder that crashed blocks nobody for longer. Returns False for a missing connection.
        """

    def release(self, id: str, owner: str) -> None:
        """End the exclusive section if this owner still holds it."""


def no_such_connection() -> NotConnected:
    """Return the error for an id that is not stored, or that belongs to another user."""
    return NotConnected(
        "There is no such connection. Likely causes: it was disconnected, or never made."
    )
