"""The contract of a store.

A store keeps two things. Connections stay until they are deleted. Claims end by themselves: a claim
says that one process is finishing a flow, so that no other process finishes it too, and keeps how
the flow ended, so that a callback which arrived twice is answered alike. Another kind of claim
keeps for years which connection a token of another library has become.
"""

from __future__ import annotations

from typing import Protocol

from scconnect_wsgi.errors import NotConnected
from scconnect_wsgi.stores._connection import Connection


class Store(Protocol):
    """Keeps connections for all threads and processes of a site.

    Names (ids, users, urns) are compared to the letter, and up to 255 characters of them are kept.
    What a store cannot keep as it is, it refuses with StorageFailed.
    ``scconnect_wsgi.testing.StoreContract`` tests what is said here.

    Every method raises StoreUnavailable if the store cannot be reached; the next call tries again.
    """

    def save(self, connection: Connection) -> Connection:
        """Write a connection, and return it as stored, with its new version.

        Raises ConnectionChanged, and writes nothing, unless the stored version is the one that the
        connection was loaded with; version 0 means that its id is not stored yet. A lease is
        neither required nor changed. Raises StorageFailed for a connection that could not be read
        again, such as one with a NUL or a lone surrogate in a name.
        """

    def load(self, id: str) -> Connection:
        """Return the connection with this id.

        Raises NotConnected, and Undecipherable if it was encrypted with a key that is gone, or was
        damaged.
        """

    def delete(self, id: str) -> None:
        """Delete a connection and its lease; a missing one is ignored."""

    def of_user(self, user: str) -> list[Connection]:
        """Return all connections of a user, ended ones too, in the same order each time.

        A connection that cannot be read is left out, here and in ``of_account``, and logged: it was
        damaged, or its key is gone.
        """

    def of_account(self, urn: str) -> list[Connection]:
        """Return all connections with an account of the provider, of all users."""

    def all(self, after: str, limit: int) -> list[Connection]:
        """Return at most ``limit`` connections of all users and APIs, ended ones too: the next ones
        after the id ``after``, or the first ones if that is empty.

        The order of the ids is the same each time, and ``after`` need not be stored any more. So a
        caller who always passes the last id that it got sees each connection once, and misses none
        that was there from the beginning to the end. A list is empty only at the end: a connection
        that cannot be read is left out, and the next one takes its place.
        """

    def lease(self, id: str, owner: str, seconds: float) -> bool:
        """Give ``owner`` the exclusive section of a connection, and return whether it was free.

        The lease ends with ``release``, or after so many seconds by the store's own clock, so that
        a holder that crashed blocks nobody for longer. Returns False for a missing connection.
        """

    def release(self, id: str, owner: str) -> None:
        """End the exclusive section if this owner still holds it."""

    def claim(self, name: str, seconds: float) -> bool:
        """Claim a name, and return whether it was free. Of many callers at once, one gets it.

        The claim ends after so many seconds by the store's own clock. Nothing else ends it, so a
        claimant that crashed keeps the name until then. Ended claims do not pile up: the store
        deletes them by itself, at the latest when further claims are made.
        """

    def settle(self, name: str, outcome: str) -> None:
        """Keep a text, which is not empty, with a claim for as long as the claim lasts.

        It replaces an earlier one, and is encrypted if the store encrypts. A claim that has ended,
        or was never made, is ignored.
        """

    def outcome(self, name: str) -> str | None:
        """Return the text that ``settle`` kept with a claim.

        Returns None if there is none yet, if the claim has ended, or if the text cannot be
        decrypted.
        """


def no_such_connection() -> NotConnected:
    """Return the error for an id that is not stored, or that belongs to another user."""
    return NotConnected(
        "There is no such connection. Likely causes: it was disconnected, or never made."
    )
