"""The connections of a site's users: stored when a flow ends, used for API calls, and ended.

    connections = Connections(flow, store, identify=current_user)
    options = {"store_token": connections.store_token, "identify": current_user}
    application = SCConnect(application, flow, secret_key=SECRET_KEY, base_url=BASE_URL, **options)
    application = connections.serving(application)  # what the page's script may ask

    session = connections.session(oauth_token_id, user=user)

The middleware knows nothing of this: a site with storage of its own needs none of it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from scconnect_wsgi.account import Account
from scconnect_wsgi.connections._accounts import fetch_account
from scconnect_wsgi.connections._adapter import OnLost
from scconnect_wsgi.connections._endpoints import Endpoint
from scconnect_wsgi.connections._naming import connection_id, user_at
from scconnect_wsgi.connections._refresh import Refresher, error_that_ended, needs_refresh
from scconnect_wsgi.connections._saving import save_over_previous
from scconnect_wsgi.connections._session import ApiSession
from scconnect_wsgi.errors import (
    ConfigurationError,
    ConnectError,
    NotConnected,
    ProviderError,
    StorageFailed,
    WrongUser,
)
from scconnect_wsgi.redaction import safe_traceback
from scconnect_wsgi.stores import Connection, Store, no_such_connection
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.users import user_name

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from webob import Request

    from scconnect_wsgi.flow import ApiFlow

log: logging.Logger = logging.getLogger("scconnect_wsgi")

NOBODY = "Nobody is signed in on this site, or their session has ended. Sign in, and connect again."


class Connections:
    """The connections that one flow makes, in one store.

    ``identify(request)`` returns the name of the site's user who is signed in; None, an empty
    string and "None" mean nobody. A worker that only calls the API leaves it out.
    ``on_lost(connection, error)`` is called once, in one of the processes, when a connection ends
    that only its user can mend: ``error`` is a ConnectionRevoked or a RefreshLost. Raises
    ConfigurationError for a provider without ``api_url``.
    """

    def __init__(
        self,
        flow: ApiFlow,
        store: Store,
        *,
        identify: Callable[[Request], str | None] | None = None,
        on_lost: OnLost | None = None,
    ) -> None:
        if flow.provider.api_url is None:
            raise ConfigurationError(
                "flow", "needs a provider with api_url, the one address tokens are sent to."
            )
        self._api_url = flow.provider.api_url
        self._flow = flow
        self._store = store
        self._refresher = Refresher(store, flow)
        self._identify = identify
        self._on_lost = on_lost

    def store_token(self, token: AccessToken, request: Request) -> dict[str, str]:
        """Store a new token and return the page's fields.

        Pass it as ``SCConnect(store_token=...)``. The fields are ``oauth_token_id`` and
        ``username``, and ``account_shared`` if another user of the site has connected the same
        account: nothing is merged, and that user is not named. Raises WrongUser if nobody is signed
        in, StorageFailed if ``identify`` is missing or returns a wrong type, and what ``connect``
        raises.
        """
        try:
            user = self._user(request)
        except ConfigurationError as error:
            raise StorageFailed(f"The site could not store the token: {error.message}") from None
        if user is None:
            raise WrongUser(NOBODY)
        callback_url = request.environ.get("scconnect.callback_url", "")
        connection = self.connect(token, user=user, callback_url=callback_url)
        fields = {"oauth_token_id": connection.id, "username": connection.account.username}
        if self.shared(connection):
            fields["account_shared"] = "1"
        return fields

    def connect(
        self, token: AccessToken, *, user: str | None, callback_url: str = ""
    ) -> Connection:
        """Ask the provider whose token it is, and store it for a user of the site, replacing the
        previous one.

        If ``user`` is None, the user is the account itself, by its ``urn`` (for a provider other
        than SoundCloud, the API's origin and ``urn``): for sites that users log in to with their
        account. Raises WrongUser for an empty user and TypeError for one that is not a string,
        before the provider is asked; ProviderError and ProviderUnavailable if the provider does not
        say whose token it is; and StorageFailed.
        """
        if user is not None and not _checked_user(user):
            raise WrongUser(NOBODY)
        account = self.account(token)
        if user is None:
            user = self._user_of(account)
        connection = Connection(
            id=connection_id(user, self._api_url, account.urn),
            user=user,
            api_url=self._api_url,
            token=token,
            obtained_at=int(time.time()),
            account=account,
            callback_url=callback_url,
        )
        return save_over_previous(self._store, connection)

    def account(self, token: AccessToken) -> Account:
        """Ask ``/me`` whose token it is.

        Returns an empty Account for a provider without that address. Raises ProviderError and
        ProviderUnavailable.
        """
        return fetch_account(self._flow, self._api_url, token)

    def session(self, id: str, *, user: str) -> ApiSession:
        """Return a session for API calls with a connection of this user.

        Raises NotConnected if there is none, ConnectionRevoked or RefreshLost if it has ended, and
        TypeError for a user that is not a string.
        """
        connection = self._load_owned(id, user)
        if connection.ended:
            raise error_that_ended(connection)
        return ApiSession(connection, self._store, self._flow, self._report_lost)

    def of_user(self, user: str) -> list[Connection]:
        """Return a user's connections that work, as far as is known without asking the provider.

        An empty user has none. Raises TypeError for a user that is not a string.
        """
        if not _checked_user(user):
            return []
        stored = self._store.of_user(user)
        return [found for found in stored if self._belongs_to(found, user) and not found.ended]

    def shared(self, connection: Connection) -> bool:
        """Return whether another user of the site has connected the same account."""
        urn = connection.account.urn
        if not urn:
            return False
        return any(
            other.user != connection.user and other.api_url == connection.api_url
            for other in self._store.of_account(urn)
        )

    def disconnect(self, id: str, *, user: str) -> None:
        """Tell the provider to end a connection of this user, if it supports that, and forget it.

        The connection is gone whatever the provider answers. Raises NotConnected, and TypeError for
        a user that is not a string.
        """
        connection = self._load_owned(id, user)
        try:
            if not connection.ended:
                self._sign_out(connection)
        except ConnectError as error:
            log.warning(
                "Connection %s is deleted here, but the provider was not told: %s",
                connection.id,
                error.message,
            )
        finally:
            self._store.delete(id)

    def serving(self, app: WSGIApplication, path: str = "/sc-connect") -> WSGIApplication:
        """Return ``app`` with two addresses below ``path`` for the page's script:
        ``connections.json`` and ``disconnect``.

        This is the outermost wrapper, around SCConnect, which answers every other name below
        ``path``.
        """
        return Endpoint(app, path, self._user, self.of_user, self.disconnect)

    def _user(self, request: Request) -> str | None:
        if self._identify is None:
            raise ConfigurationError(
                "identify", "was not given to Connections, so nobody knows whose connection it is."
            )
        user: object = self._identify(request)
        try:
            return user_name(user)
        except TypeError as error:
            raise ConfigurationError("identify", f"must return {error}") from None

    def _user_of(self, account: Account) -> str:
        user = user_at(account, self._api_url)
        if not user:
            raise ProviderError(
                "The provider does not say whose account this is, so nobody can be logged in by it."
            )
        return user

    def _load_owned(self, id: str, user: str) -> Connection:
        """Load a connection of this user; another user's is treated as missing."""
        user = _checked_user(user)
        connection = self._store.load(id)
        if not self._belongs_to(connection, user):
            raise no_such_connection()
        return connection

    def _belongs_to(self, connection: Connection, user: str) -> bool:
        """Compare again: a store may hold other providers' connections too, and its database may
        ignore case.
        """
        return bool(user) and connection.user == user and connection.api_url == self._api_url

    def _sign_out(self, connection: Connection) -> None:
        if not self._flow.signs_out:
            return
        if needs_refresh(connection) and connection.token.refresh_token is not None:
            # an expired token cannot sign out
            connection = self._refresher.refresh(connection)
        self._flow.sign_out(connection.token)

    def _report_lost(self, connection: Connection, error: NotConnected) -> None:
        log.warning("Connection %s, %s: %s", connection.id, error.code, error.message)
        if self._on_lost is None:
            return
        try:
            self._on_lost(connection, error)
        except Exception:
            log.error(
                "The on_lost callable of this site raised:\n%s",
                safe_traceback("", connection.token),
            )


def _checked_user(user: object) -> str:
    """Return a user as given, or an empty string for nobody. Raises TypeError for a non-string."""
    if user is None:
        raise TypeError("user must be a string, not NoneType.")
    try:
        return user_name(user) or ""
    except TypeError as error:
        raise TypeError(f"user must be {error}") from None
