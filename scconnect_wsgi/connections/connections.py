"""The connections of a site's users: kept when a flow ends, used with the API, and ended.

    connections = Connections(flow, SQLStore("sqlite:///connections.sqlite3"), identify=current_user)
    application = SCConnect(application, flow, store_token=connections.store_token, identify=current_user, ...)
    application = connections.serving(application)  # the page can ask, and disconnect

    session = connections.session(oauth_token_id, user=user)

The middleware knows nothing of this: a site with storage of its own uses none of it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from scconnect_wsgi.account import Account
from scconnect_wsgi.connections.adapter import OnLost
from scconnect_wsgi.connections.endpoints import Endpoint
from scconnect_wsgi.connections.refresh import due, ending, refresh
from scconnect_wsgi.connections.session import ApiSession
from scconnect_wsgi.errors import (
    ConfigurationError,
    ConnectError,
    ConnectionChanged,
    NotConnected,
    ProviderError,
    StoreUnavailable,
    Undecipherable,
    WrongUser,
)
from scconnect_wsgi.protocols.oauth1 import OAuth1
from scconnect_wsgi.protocols.oauth2 import OAuth2
from scconnect_wsgi.redaction import safe_traceback
from scconnect_wsgi.stores import Connection, Store
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.transport.client import HTTPRequest

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from webob import Request

log: logging.Logger = logging.getLogger("scconnect_wsgi")

NOBODY = "Nobody is signed in on this site (any more). Sign in, then connect again."
# At writing a new connection: its user may have clicked twice, the database may be restarting
ATTEMPTS = 5
PAUSE = 0.2  # seconds between two


class Connections:
    """The connections that one flow gives, in one store.

    ``identify(request)`` names the user of the site who is signed in; None or an empty string is
    nobody. ``on_lost(connection, error)`` hears once, in whichever process it happens, of a
    connection that only its user can mend: a ConnectionRevoked or a RefreshLost. Raises
    ConfigurationError for a provider without ``api_url``.
    """

    def __init__(
        self,
        flow: OAuth1 | OAuth2,
        store: Store,
        *,
        identify: Callable[[Request], str | None],
        on_lost: OnLost | None = None,
    ) -> None:
        if flow.provider.api_url is None:
            raise ConfigurationError(
                "flow", "needs a provider with api_url, the one address tokens are sent to."
            )
        self._api_url = flow.provider.api_url
        self._flow = flow
        self._store = store
        self._identify = identify
        self._hook = on_lost

    def store_token(self, token: AccessToken, request: Request) -> dict[str, str]:
        """Keep a new token, as ``SCConnect(store_token=...)``; ``oauth_token_id`` and ``username``
        for the page.

        ``account_shared`` is there, too, where another user of the site has connected the same
        account: nothing is merged, and nothing said about who. Raises WrongUser where nobody is
        signed in, and what ``connect`` raises.
        """
        user = self._user(request)
        if user is None:
            raise WrongUser(NOBODY)
        connection = self.connect(
            token, user=user, callback_url=request.environ.get("scconnect.callback_url", "")
        )
        fields = {"oauth_token_id": connection.id, "username": connection.account.username}
        return {**fields, "account_shared": "1"} if self.shared(connection) else fields

    def connect(
        self, token: AccessToken, *, user: str | None, callback_url: str = ""
    ) -> Connection:
        """Ask whose token it is, and keep it for a user of the site: in place of the one before, if
        there was one.

        With None the account itself is the user, as ``Account.user_at`` names it: for sites whose
        users log in with it. Raises ProviderError and ProviderUnavailable where the provider does
        not say whose it is, and StorageFailed; before anybody is asked, WrongUser for an empty
        user, who is nobody, and TypeError for one that is no string.
        """
        if user is not None and not _text(user):
            raise WrongUser(NOBODY)
        account = self.account(token)
        if user is None and not account.urn:
            raise ProviderError(
                "The provider does not say whose account this is, so nobody can be logged in by it."
            )
        user = account.user_at(self._api_url) if user is None else user
        id = _id(user, self._api_url, account.urn)
        return self._save(
            Connection(
                id, user, self._api_url, token, int(time.time()), account, callback_url=callback_url
            )
        )

    def account(self, token: AccessToken) -> Account:
        """Whose token it is, by ``/me``;

        an empty Account for a provider that has no such address.
        """
        url = f"{self._api_url.rstrip('/')}/me"
        answer = self._flow.transport.send(lambda: self._call("GET", url, token))
        if answer.status == 404:
            return Account()
        try:
            fields = json.loads(answer.body)
        except (ValueError, RecursionError):
            fields = None
        if answer.status != 200 or not isinstance(fields, dict):
            raise ProviderError(
                f"The API does not say whose account was connected (status {answer.status})."
            )
        return Account.of(fields, self._api_url)

    def session(self, id: str, *, user: str) -> ApiSession:
        """A session for calls of the API with a connection of this user.

        Raises NotConnected where there is none, ConnectionRevoked or RefreshLost where it has
        ended, and TypeError for a user that is no string.
        """
        connection = self._owned(id, user)
        if connection.ended:
            raise ending(connection)
        return ApiSession(connection, self._store, self._flow, self._lost)

    def of_user(self, user: str) -> list[Connection]:
        """The connections of a user that work, as far as is known without a question to the
        provider.

        An empty user has none. Raises TypeError for one that is no string.
        """
        found = self._store.of_user(user) if _text(user) else []
        return [one for one in found if self._is_of(one, user) and not one.ended]

    def shared(self, connection: Connection) -> bool:
        """Whether another user of the site has connected the same account."""
        urn = connection.account.urn
        others = self._store.of_account(urn) if urn else []
        return any(
            one.user != connection.user and one.api_url == connection.api_url for one in others
        )

    def disconnect(self, id: str, *, user: str) -> None:
        """Forget a connection of this user, after telling the provider where it takes that. Raises
        NotConnected.

        A user that is no string is a TypeError. Whatever the provider answers, the connection is
        gone.
        """
        connection = self._owned(id, user)
        try:
            if not connection.ended:
                self._sign_out(connection)
        except ConnectError as error:
            log.warning(
                "A connection is forgotten here, but the provider was not told: %s", error.message
            )
        finally:
            self._store.delete(id)

    def serving(self, app: WSGIApplication, path: str = "/sc-connect") -> WSGIApplication:
        """``app``, and below ``path`` what the page's script asks: ``connections.json`` and
        ``disconnect``.

        The outermost wrapper, outside of SCConnect, to which every other name below ``path``
        belongs.
        """
        return Endpoint(app, path, self._user, self.of_user, self.disconnect)

    def _user(self, request: Request) -> str | None:
        user: object = self._identify(request)
        if user is None or isinstance(user, str):
            return user or None
        raise ConfigurationError("identify", "must return a string or None: str(user.id), for one.")

    def _owned(self, id: str, user: str) -> Connection:
        user = _text(user)
        connection = self._store.load(id)
        if not self._is_of(
            connection, user
        ):  # in the words for one that is not there: nothing is said about others
            raise NotConnected(
                "There is no such connection. Likely causes: it was disconnected, or never made."
            )
        return connection

    def _is_of(self, connection: Connection, user: str) -> bool:
        """A store may hold other providers' connections, and its database may compare text without
        case.
        """
        return bool(user) and connection.user == user and connection.api_url == self._api_url

    def _save(self, new: Connection) -> Connection:
        for attempt in range(ATTEMPTS):
            try:
                return self._store.save(replace(new, version=self._version(new.id)))
            except (ConnectionChanged, StoreUnavailable):
                if attempt == ATTEMPTS - 1:
                    raise
            time.sleep(PAUSE)
        raise AssertionError("the loop ends with a connection or an error")

    def _version(self, id: str) -> int:
        try:
            return self._store.load(id).version
        except NotConnected:
            return 0
        except Undecipherable:  # nobody can use it any more: the user, who connects again, mends it
            self._store.delete(id)
            return 0

    def _sign_out(self, connection: Connection) -> None:
        url = getattr(self._flow.provider, "sign_out_url", None)
        if url is None:
            return
        if (
            due(connection) and connection.token.refresh_token is not None
        ):  # a token that ended signs nobody out
            connection = refresh(self._store, self._flow, connection)
        body = json.dumps({"access_token": connection.token.token})  # as SoundCloud documents it
        answer = self._flow.transport.send(lambda: self._call("POST", url, connection.token, body))
        if answer.status >= 400:
            raise ProviderError(
                f"The provider refused to end the session of the token (status {answer.status})."
            )

    def _call(self, method: str, url: str, token: AccessToken, body: str = "") -> HTTPRequest:
        headers = {
            **self._flow.provider.headers,
            "Authorization": self._flow.authorization(token, method, url),
        }
        return HTTPRequest(
            method, url, {**headers, **({"Content-Type": "application/json"} if body else {})}, body
        )

    def _lost(self, connection: Connection, error: NotConnected) -> None:
        log.warning("%s: %s", error.code, error.message)
        if self._hook is None:
            return
        try:
            self._hook(connection, error)
        except Exception:
            log.error(
                "The on_lost callable of this site raised:\n%s",
                safe_traceback("", connection.token),
            )


def _text(user: object) -> str:
    """Return a user as it was given.

    Raises TypeError for one that is no string, which would find no connection.
    """
    if not isinstance(user, str):
        raise TypeError(f"user must be a string, not {type(user).__name__}: str(user.id), for one.")
    return user


def _id(user: str, api_url: str, urn: str) -> str:
    """The id of a user's connection with an account: always the same one, so that connecting again
    replaces it.

    Two clicks at once cannot make two, and what a site wrote down stays valid. It is no secret:
    whoever uses one says for which user, and that is compared. For an account that is not known, it
    is one that never came before.
    """
    if not urn:
        return secrets.token_urlsafe(24)
    digest = hashlib.sha256(json.dumps([user, api_url, urn]).encode("ascii")).digest()
    return urlsafe_b64encode(digest[:24]).decode("ascii")
