"""The logins that connections stand for: how one begins, and whether it is still good.

A login is good as long as its connection works and has the key that it was begun with. A connection
gets its key, a random word, at the first login, and keeps it when it is refreshed or connected
again. A new key ends all logins; so does deleting the connection, since the next one has another
key.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from scconnect_wsgi.account import Account
from scconnect_wsgi.connections._flow_storage import flow_storage_of
from scconnect_wsgi.errors import (
    ConnectionChanged,
    NotConnected,
    StorageFailed,
)
from scconnect_wsgi.login import Session, to_note
from scconnect_wsgi.middleware import NOTE
from scconnect_wsgi.stores import Connection, Store
from scconnect_wsgi.token import AccessToken

if TYPE_CHECKING:
    from webob import Request

KEY_BYTES = 12  # of random; nobody guesses it, and it is compared only


def new_login_key() -> str:
    """Return a new key, which ends all logins with the one before."""
    return secrets.token_urlsafe(KEY_BYTES)


class StoredLogins:
    """The logins with the connections of one store.

    ``connect(token, callback_url)`` stores a token for the user that its account is, with a login
    key. ``load(id, user)`` loads a connection of a user.
    """

    def __init__(
        self,
        store: Store,
        audience: str,
        connect: Callable[[AccessToken, str], Connection],
        load: Callable[[str, str], Connection],
    ) -> None:
        self._store = store
        self._audience = audience
        self._connect = connect
        self._load = load
        # SCConnect finds it through ``store_token``
        self.flow_storage = flow_storage_of(store)

    def store_token(self, token: AccessToken, request: Request) -> Mapping[str, str]:
        """Store a token, and note who is logged in. Return the fields for the page.

        A page that the flow was to lead back to gets none: it knows who is logged in. Raises what
        ``Connections.connect`` raises, and StorageFailed for a store that loses login keys.
        """
        stored = self._connect(token, request.environ.get("scconnect.callback_url", ""))
        connection = self._load(stored.id, stored.user)
        if not connection.login_key:
            raise StorageFailed(
                "The store of this site loses the field login_key of a connection, so nobody can "
                "be logged in. StoreContract tests that it keeps every field."
            )
        session = Session(
            connection.id,
            connection.user,
            connection.login_key,
            connection.account,
            stamp=int(time.time() * 1000),
        )
        request.environ[NOTE] = to_note(session)
        if request.environ.get("scconnect.return_to"):
            return {}
        return {"oauth_token_id": connection.id, "username": connection.account.username}

    def account_of(self, session: Session) -> Account | None:
        """Return the account of a session, or None if it is over.

        Raises StoreUnavailable, and Undecipherable if the connection cannot be read.
        """
        try:
            connection = self._load(session.id, session.user)
            is_over = self._has_ended(session)
        except NotConnected:
            return None
        if connection.ended or is_over or connection.login_key != session.login_key:
            return None
        return connection.account

    def end(self, session: Session, seconds: float) -> None:
        """Remember for so many seconds that a session has ended.

        A store of the site's own that was written before stores had claims remembers nothing: then
        only the browser forgets its cookie. Raises StoreUnavailable.
        """
        if self.flow_storage.outcomes is not None:
            name = self._name_of_end(session)
            self._store.claim(name, seconds)
            self._store.settle(name, "signed out")

    def _has_ended(self, session: Session) -> bool:
        if self.flow_storage.outcomes is None:
            return False
        return self._store.outcome(self._name_of_end(session)) is not None

    def _name_of_end(self, session: Session) -> str:
        text = f"sign-out {self._audience} {session.nonce}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def end_logins(store: Store, connection: Connection) -> None:
    """Give a connection a new login key, unless it is deleted meanwhile.

    Raises StoreUnavailable.
    """
    while True:
        try:
            store.save(replace(connection, login_key=new_login_key()))
        except ConnectionChanged:
            pass
        else:
            return
        try:
            connection = store.load(connection.id)
        except NotConnected:
            return
