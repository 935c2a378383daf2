"""Where connections are kept: what one consists of, and what a store must be able to do.

    store = SQLStore("sqlite:///connections.sqlite3")  # of scconnect_wsgi.stores.sql

A site with storage of its own needs none of this. A store of another kind is a class with the seven
methods of ``Store``; tests/stores/test_store_contract.py says what they promise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from scconnect_wsgi.account import Account
from scconnect_wsgi.token import AccessToken


@dataclass(frozen=True)
class Connection:
    """One account at a provider, connected by one user of the site.

    ``id`` reaches the page as ``oauth_token_id``; ``user`` is the site's own name for its user. The
    token is for the API below ``api_url`` and for no other. ``obtained_at`` and
    ``refreshing_since`` are in seconds since the epoch. ``ended`` is empty while the connection
    works, or the code of the error that ended it.
    """

    id: str
    user: str
    api_url: str
    token: AccessToken
    obtained_at: int = (
        0  # when the token came, which with expires_at says how long such tokens live
    )
    account: Account = field(default_factory=Account)
    callback_url: str = ""  # of the flow: some providers want it again with a refresh
    refreshing_since: int | None = (
        None  # set before a refresh token is redeemed, cleared when the new one is stored
    )
    ended: str = ""
    version: int = 0  # counts the writes; 0 was never stored


class Store(Protocol):
    """Keeps connections for all threads and processes of a site.

    Every method raises StoreUnavailable where the store cannot be reached, and recovers by itself.
    """

    def save(self, connection: Connection) -> Connection:
        """Write a connection if the stored version is still the one it was loaded with; as it is
        stored now.

        Version 0 is for an id that is not there yet. Raises ConnectionChanged where the stored
        version is another, the connection is gone, or the id is taken. A lease is neither needed
        nor touched.
        """

    def load(self, id: str) -> Connection:
        """The connection of that id.

        Raises NotConnected, and Undecipherable where its key is gone.
        """

    def delete(self, id: str) -> None:
        """Forget a connection and its lease; one that is not there is none."""

    def of_user(self, user: str) -> list[Connection]:
        """Every connection of a user of the site, ended ones too, in an order that stays.

        One that cannot be decrypted is left out, here and in of_account, and said in the log.
        """

    def of_account(self, urn: str) -> list[Connection]:
        """Every connection with an account of the provider, whoever made it."""

    def lease(self, id: str, owner: str, seconds: float) -> bool:
        """Give ``owner`` the one exclusive section of a connection, unless somebody holds it.

        It ends with ``release``, or by itself after so many seconds of the store's own clock: a
        holder that crashed is in nobody's way for longer. False, too, where there is no such
        connection.
        """

    def release(self, id: str, owner: str) -> None:
        """End the exclusive section, if it is still this owner's."""
