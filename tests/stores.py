"""Every kind of store, fresh, for tests that hold for all of them."""

from __future__ import annotations

from scconnect_wsgi.account import Account
from scconnect_wsgi.encryption import Encryption
from scconnect_wsgi.flow import AccessToken
from scconnect_wsgi.stores import Connection
from scconnect_wsgi.stores.sql import SQLStore

# A name, and what makes a fresh store in a folder of the test's own.
KINDS = {
    "sqlite file": lambda folder: SQLStore(f"sqlite:///{folder}/connections.sqlite3"),
    "sqlite file, encrypted": lambda folder: SQLStore(
        f"sqlite:///{folder}/connections.sqlite3", encryption=Encryption("a key that is as long as keys have to be")
    ),
    "sqlite memory": lambda folder: SQLStore("sqlite://"),
}
# Those that other processes see.
SHARED_KINDS = {name: make for name, make in KINDS.items() if name != "sqlite memory"}


def connection(id="one", **fields):
    """A connection that was never stored."""
    token = AccessToken("an access token", refresh_token="a refresh token", expires_at=2_000_000_000, extra={"n": [1]})
    account = Account("soundcloud:users:1", "joe", "Joe Sample", "https://pics.example/1", "https://sc.example/joe")
    given = {"user": "user 1", "api_url": "https://api.example", "token": token, "account": account, **fields}
    return Connection(id, **given)
