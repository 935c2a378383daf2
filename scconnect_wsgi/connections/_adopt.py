"""Take over tokens that another library has kept, whose access tokens have usually expired.

A refresh token of that library can be used only once, so what the provider gives for it must not be
lost, whoever else adopts the same token, and whatever fails. The steps are:

1. Keep the token in the store, as a connection of nobody, whose id is a digest of the token.
2. Refresh it there, once for all threads and processes, as any other connection.
3. Ask whose token it is.
4. Write down the id of the connection that the token becomes; that is a claim, which outlives it.
5. Store that connection, and delete the one of nobody.

Adopting the same token again finds what an interrupted adoption has left behind, and goes on there.
After the last step it finds the claim, and the connection.

The age of what is kept says whether step 2 is done, and not its token: a row may be read in another
way the next time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from scconnect_wsgi.connections._refresh import (
    Refresher,
    error_that_ended,
    is_expired,
    load_live,
)
from scconnect_wsgi.connections._saving import written_over
from scconnect_wsgi.errors import ConnectionChanged, ConnectionRevoked, NotConnected
from scconnect_wsgi.stores import Connection, Store
from scconnect_wsgi.token import AccessToken

NOBODY = ""  # no user of a site is called that, so nobody finds the connection of step 1
NOT_REFRESHED = 0  # ``obtained_at`` of a connection that is before step 2
REMEMBERED = 10 * 365 * 24 * 3600  # seconds; longer than anybody keeps the other library's tables

ConnectionOf = Callable[[AccessToken], Connection]


class Adoption:
    """One token on its way to becoming a connection.

    ``connection_of(token)`` asks whose token it is, and returns its connection, not stored yet.
    """

    def __init__(
        self,
        store: Store,
        refresher: Refresher,
        connection_of: ConnectionOf,
        *,
        token: AccessToken,
        api_url: str,
        callback_url: str,
    ) -> None:
        self._store = store
        self._refresher = refresher
        self._connection_of = connection_of
        self._token = token
        self._digest = _digest(token, api_url)
        self._claim = f"adopted token {self._digest}"
        self._kept = Connection(
            id=f"adopting-{self._digest}",
            user=NOBODY,
            api_url=api_url,
            token=replace(token, extra=_in_json(token.extra)),
            obtained_at=NOT_REFRESHED,
            callback_url=callback_url,
        )

    def run(self) -> Connection:
        """Return the connection that the token has become, now or earlier."""
        earlier = self._adopted_earlier()
        if earlier is not None:
            return earlier
        if self._token.refresh_token is not None:
            return self._refresh_and_store()
        if is_expired(self._kept):
            raise ConnectionRevoked(
                "This access token has expired, and there is no refresh token with it. The user "
                "must connect again."
            )
        connection = self._connection_of(self._token)
        # Nobody knows when it was obtained, and any other token of that account is as good
        return self._store_as(replace(connection, obtained_at=NOT_REFRESHED))

    def remember(self, connection: Connection) -> Connection:
        """Return a connection that the user has made already, and end the adoption with it.

        So the token is not adopted after the user has disconnected it.
        """
        if self._store.outcome(self._claim) is None:
            self._write_down(connection)
            self._store.delete(self._kept.id)
        return connection

    def _refresh_and_store(self) -> Connection:
        with suppress(ConnectionChanged):  # somebody else has kept it already
            self._store.save(self._kept)
        try:
            current = self._refreshed()
            connection = self._connection_of(current.token)
            return self._store_as(replace(connection, obtained_at=current.obtained_at))
        except NotConnected:
            earlier = self._adopted_earlier()
            if earlier is None:
                raise
        return earlier

    def _refreshed(self) -> Connection:
        """Return what is kept, with the token that the provider gave for the refresh token.

        If the provider refuses, nothing is kept any longer: the next attempt asks it again.
        """
        try:
            current = self._load_kept(self._store, self._kept.id)
            if current.obtained_at == NOT_REFRESHED or is_expired(current):
                current = self._refresher.refresh(current, load=self._load_kept)
            if current.ended:
                raise error_that_ended(current)
        except NotConnected as error:
            if error.code != NotConnected.code:  # there is one, and it has ended
                self._store.delete(self._kept.id)
            raise
        return current

    def _load_kept(self, store: Store, id: str) -> Connection:
        """Load what is kept. Raises NotConnected if the adoption is over.

        Somebody who began before that may have kept the token again, which is used up.
        """
        kept = load_live(store, id)
        if self._adopted_earlier() is not None:  # after the line above, so that none is missed
            raise NotConnected("This token was adopted meanwhile.")
        return kept

    def _adopted_earlier(self) -> Connection | None:
        """Return the connection that the token has become already, if it has.

        Raises NotConnected if that connection is gone, or the error that ended it.
        """
        id = self._store.outcome(self._claim)
        if id is None:
            return None
        kept = self._load(self._kept.id)  # before the next line, because it is deleted last
        connection = self._load(id)
        if kept is not None:
            if kept.obtained_at > (connection.obtained_at if connection else NOT_REFRESHED):
                return None  # interrupted before it was stored
            self._store.delete(kept.id)
        if connection is None:
            raise NotConnected(
                "This token was adopted before, and its connection has been deleted since. The "
                "user must connect again."
            )
        if connection.ended:
            raise error_that_ended(connection)
        return connection

    def _store_as(self, connection: Connection) -> Connection:
        if not connection.account.urn:  # its id is random, but all who adopt it must agree
            connection = replace(connection, id=self._digest)
        self._write_down(connection)
        stored = self._save(connection)
        self._store.delete(self._kept.id)
        return stored

    def _write_down(self, connection: Connection) -> None:
        self._store.claim(self._claim, REMEMBERED)
        self._store.settle(self._claim, connection.id)

    def _save(self, connection: Connection) -> Connection:
        """Store a connection over one whose token is older, and return what is stored then."""
        while True:
            stored = self._load(connection.id)
            if stored and not stored.ended and stored.obtained_at >= connection.obtained_at:
                return stored  # others have adopted the same token, and may have refreshed it since
            with suppress(ConnectionChanged):
                return self._store.save(written_over(stored, connection))

    def _load(self, id: str) -> Connection | None:
        try:
            return self._store.load(id)
        except NotConnected:
            return None


def _in_json(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields as a store gives them back, without those that it cannot keep.

    Another library may have kept a date among them, and nobody needs that.
    """
    kept = {}
    for name, value in extra.items():
        with suppress(TypeError, ValueError, RecursionError):
            kept[str(name)] = json.loads(json.dumps(value, allow_nan=False))
    return kept


def _digest(token: AccessToken, api_url: str) -> str:
    """Return a name for a token, which says nothing about it."""
    secret = token.refresh_token or token.token
    return hashlib.sha256(json.dumps([api_url, secret]).encode("ascii")).hexdigest()


def is_account(given: str | int, urn: str) -> bool:
    """Return whether a site's key of an account is that of the account with this urn.

    It may be the urn, or the number at its end, which other libraries keep.
    """
    key = str(given)
    return urn != "" and (key == urn or (key.isdecimal() and key == urn.rpartition(":")[2]))


def checked_account(given: object) -> str | int | None:
    """Return a site's key of an account, or None. Raises TypeError and ValueError."""
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (str, int)):
        raise TypeError(f"account must be a urn, a number or None, not {type(given).__name__}.")
    if given == "":
        raise ValueError("account must not be empty. If it is not known, leave it out.")
    return given
