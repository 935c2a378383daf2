"""The connections of a site's users: stored when a flow ends, used for API calls, and ended.

    connections = Connections(flow, store, identify=identify)
    application = connections.wrap(application, secret_key=SECRET_KEY, base_url=BASE_URL)

    session = connections.session(oauth_token_id, user=user)

The middleware knows nothing of this: a site with storage of its own needs none of it.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Unpack

from scconnect_wsgi.account import Account
from scconnect_wsgi.callables import check_callable, check_identify
from scconnect_wsgi.connections._accounts import AccountOf, account_url, fetch_account
from scconnect_wsgi.connections._adapter import OnLost
from scconnect_wsgi.connections._addresses import is_within
from scconnect_wsgi.connections._adopt import Adoption, checked_account, is_account
from scconnect_wsgi.connections._endpoints import Endpoint, page_addresses
from scconnect_wsgi.connections._flow_storage import (
    FlowStorage,
    flow_storage_of,
    has_method,
    outcomes_in,
)
from scconnect_wsgi.connections._logins import StoredLogins, end_logins, new_login_key
from scconnect_wsgi.connections._naming import connection_id, login_id, user_at
from scconnect_wsgi.connections._options import (
    NOT_FOR_LOGIN,
    FlowOptions,
    WrapOptions,
    check_names,
    check_paths,
)
from scconnect_wsgi.connections._refresh import Refresher, error_that_ended, needs_refresh
from scconnect_wsgi.connections._revive import revive
from scconnect_wsgi.connections._saving import save_over_previous
from scconnect_wsgi.connections._session import ApiSession
from scconnect_wsgi.connections._wrapped import WrappedApplication
from scconnect_wsgi.errors import (
    ConfigurationError,
    ConnectError,
    NotConnected,
    NotSignedIn,
    ProviderError,
    StorageFailed,
    Undecipherable,
)
from scconnect_wsgi.events import Events, OnEvent
from scconnect_wsgi.keys import NEW_KEY, checked_encryption, checked_keys
from scconnect_wsgi.login import (
    SESSION,
    SIGN_OUT,
    LoginApplication,
    LoginParts,
    Session,
    SessionCookie,
)
from scconnect_wsgi.middleware import (
    DEFAULT_ASSETS_PATH,
    DEFAULT_CALLBACK_PATH,
    DEFAULT_START_PATH,
    Pages,
    SCConnect,
    SiteHooks,
)
from scconnect_wsgi.redaction import hides_locals, safe_traceback
from scconnect_wsgi.stores import Connection, Store, no_such_connection
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.users import UserNameError, user_name

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment
    from webob import Request

    from scconnect_wsgi.flow import ApiFlow

log: logging.Logger = logging.getLogger("scconnect_wsgi")

LOGIN_MAX_AGE = 1_209_600  # seconds: two weeks
PAGE = 100  # connections that ``all`` loads at once; a token may be long
NOT_GIVEN = "was not given to Connections, so nobody knows whose connection it is."
NOBODY = "Nobody is signed in on this site, or their session has ended. Sign in, and connect again."


class Connections:
    """The connections that one flow makes, in one store.

    ``identify(request)`` returns the name of the site's user who is signed in; None, an empty
    string and "None" mean nobody. A worker that only calls the API leaves it out.
    ``on_lost(connection, error)`` is called once, in one of the processes, when a connection ends
    that only its user can mend: ``error`` is a ConnectionRevoked or a RefreshLost. Raises
    ConfigurationError for a provider without ``api_url``.

    ``account(fields)`` returns the Account of a token, for a provider that does not say it as
    SoundCloud does: ``fields`` are those of the token's ``extra`` and of the answer at the
    provider's ``account_path``, which win. Its ``urn`` must be the same each time, and unlike that
    of every other account. It may raise a ConnectError.

    ``on_event(event)`` hears of each flow that ``wrap`` or ``login`` starts or ends, of each
    refresh, and of connections that end, for metrics: an Event.
    """

    def __init__(
        self,
        flow: ApiFlow,
        store: Store,
        *,
        identify: Callable[[Request], str | None] | None = None,
        on_lost: OnLost | None = None,
        account: AccountOf | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        if getattr(flow, "provider", None) is None:
            raise ConfigurationError("flow", "must be an OAuth2(...) or an OAuth1(...).")
        if isinstance(store, type) or not callable(getattr(store, "of_user", None)):
            raise ConfigurationError("store", "must be a store, such as SQLStore(...).")
        check_identify(identify)
        check_callable("on_lost", on_lost, ["connection", "error"])
        check_callable("account", account, ["fields"])
        check_callable("on_event", on_event, ["event"])
        _check_encryption(store, flow)
        if flow.provider.api_url is None:
            raise ConfigurationError(
                "flow", "needs a provider with api_url, the one address tokens are sent to."
            )
        self._api_url = flow.provider.api_url
        if not is_within(self._api_url, account_url(self._api_url, flow.provider)):
            raise ConfigurationError(
                "flow",
                "needs a provider whose api_url and account_path can be read in one way only: "
                "without '.' and '..'.",
            )
        self._flow = flow
        self._store = store
        self._identify = identify
        self._on_lost = on_lost
        self._account = account
        self._on_event = on_event
        self._events = Events(on_event)
        # What SCConnect finds through ``store_token``. A function of your own that calls
        # ``connect`` may be given it as an attribute of the same name.
        self.flow_storage: FlowStorage = flow_storage_of(store, identify)

    def store_token(self, token: AccessToken, request: Request) -> dict[str, str]:
        """Store a new token and return the page's fields.

        Pass it as ``SCConnect(store_token=...)``. The fields are ``oauth_token_id`` and
        ``username``, and ``account_shared`` if another user of the site has connected the same
        account: nothing is merged, and that user is not named. Raises NotSignedIn if nobody is
        signed in, StorageFailed if ``identify`` is missing, returns a wrong type or names another
        user than that of SCConnect, and what ``connect`` raises.
        """
        try:
            user = self._user(request)
        except ConfigurationError as error:
            raise StorageFailed(f"The site could not store the token: {error.message}") from None
        if user is None:
            raise NotSignedIn(NOBODY)
        # SCConnect refuses this before the provider is asked, unless a function is in between
        if request.environ.get("scconnect.user", user) != user:
            raise StorageFailed(
                "The site could not store the token: the flow is bound to another user than "
                "Connections would store it for. Give SCConnect and Connections the same identify."
            )
        callback_url = request.environ.get("scconnect.callback_url", "")
        connection = self._connect(token, user=user, callback_url=callback_url)
        fields = {"oauth_token_id": connection.id, "username": connection.account.username}
        if self.shared(connection):
            fields["account_shared"] = "1"
        return fields

    @hides_locals
    def connect(
        self, token: AccessToken, *, user: str | None, callback_url: str = ""
    ) -> Connection:
        """Ask the provider whose token it is, and store it for a user of the site, replacing the
        previous one.

        If ``user`` is None, the user is the account itself, by its ``urn`` (for a provider other
        than SoundCloud, the API's origin and ``urn``): for sites that users log in to with their
        account. Raises NotSignedIn for an empty user and TypeError for one that is not a string,
        before the provider is asked; ProviderError and ProviderUnavailable if the provider does not
        say whose token it is; and StorageFailed.
        """
        return self._connect(token, user=user, callback_url=callback_url)

    @hides_locals
    def adopt(
        self,
        token: AccessToken,
        *,
        user: str | None,
        account: str | int | None = None,
        callback_url: str = "",
    ) -> Connection:
        """Take over a token that another library has kept for a user of the site.

        A token with a refresh token is refreshed first, so that nobody else can use that up. This
        happens once, however many processes adopt the token at once or again: they all get the same
        connection. Whatever fails afterwards, the new token is in the store, and adopting the same
        token again goes on from there. ``account`` is whose token it is, if the site knows that: a
        urn, or the number at its end. If this user has connected that account already, that
        connection is returned, and the provider is not asked.

        Raises ConnectionRevoked, RefreshLost or NotConnected if the user must connect again;
        ProviderError if the provider says that it is another account's token; what ``connect``
        raises; TypeError or ValueError for a token or an account of a wrong type; and
        ConfigurationError for a store of your own without ``claim``.
        """
        _check_claims(self._store)
        if not isinstance(token, AccessToken):
            raise TypeError(f"token must be an AccessToken, not {type(token).__name__}.")
        checked_account(account)
        user = _checked_owner(user)

        def connection_of(token: AccessToken) -> Connection:
            connection = self._connection_of(token, user=user, callback_url=callback_url)
            if account is not None and not is_account(account, connection.account.urn):
                raise ProviderError(
                    "This token is for another account than the one that was given. It is kept: "
                    "adopt it again with the right account, or without one."
                )
            return connection

        adoption = Adoption(
            self._store,
            Refresher(self._store, self._flow, events=self._events),
            connection_of,
            token=token,
            api_url=self._api_url,
            callback_url=callback_url,
        )
        if user is not None and account is not None:
            for known in self.of_user(user):
                if is_account(account, known.account.urn):
                    return adoption.remember(known)
        adopted = adoption.run()
        if user is not None and not self._belongs_to(adopted, user):
            raise NotConnected("This token was adopted already, for another user of this site.")
        return adopted

    def _connect(self, token: AccessToken, *, user: str | None, callback_url: str) -> Connection:
        """Do what ``connect`` does, and keep the locals for a debugging server."""
        connection = self._connection_of(token, user=user, callback_url=callback_url)
        return save_over_previous(self._store, connection)

    def _connect_login(self, token: AccessToken, callback_url: str) -> Connection:
        """Store a token for the user that its account is, with a key for logins."""
        connection = self._connection_of(token, user=None, callback_url=callback_url)
        return save_over_previous(self._store, replace(connection, login_key=new_login_key()))

    def _connection_of(
        self, token: AccessToken, *, user: str | None, callback_url: str
    ) -> Connection:
        """Ask whose token it is, and return its connection, which is not stored yet."""
        user = _checked_owner(user)
        account = self.account(token)
        if user is None:
            user = self._user_of(account)
        return Connection(
            id=connection_id(user, self._api_url, account.urn),
            user=user,
            api_url=self._api_url,
            token=token,
            obtained_at=int(time.time()),
            account=account,
            callback_url=callback_url,
        )

    @hides_locals
    def account(self, token: AccessToken) -> Account:
        """Ask the provider whose token it is.

        Returns an empty Account for a provider without an address for that, unless the callable
        ``account`` was given. Raises ProviderError and ProviderUnavailable.
        """
        return fetch_account(self._flow, self._api_url, token, self._account)

    @hides_locals
    def session(self, id: str, *, user: str) -> ApiSession:
        """Return a session for API calls with a connection of this user.

        Raises NotConnected if there is none, ConnectionRevoked or RefreshLost if it has ended, and
        TypeError for a user that is not a string.
        """
        connection = self._load_owned(id, user)
        if connection.ended:
            raise error_that_ended(connection)
        return ApiSession(
            connection,
            self._store,
            self._flow,
            self._report_lost,
            account=self._account,
            events=self._events,
        )

    @hides_locals
    def revive(self, id: str, *, user: str) -> Connection:
        """Look again at a connection of this user that has ended, and return it if it works.

        The provider is asked with the tokens that were kept: ``/me``, and a refresh if the token is
        due or not accepted. A connection that has not ended is returned at once. Raises the error
        that ended the connection (ConnectionRevoked or RefreshLost) if it is still refused;
        ProviderError, ProviderUnavailable or StoreUnavailable if that cannot be found out now;
        NotConnected, and TypeError for a user that is not a string.
        """
        connection = self._load_owned(id, user)
        if not connection.ended:
            return connection
        return revive(connection, self._store, self._flow, self._events)

    @hides_locals
    def of_user(self, user: str, *, ended: bool = False) -> list[Connection]:
        """Return a user's connections that work, as far as is known without asking the provider.

        With ``ended``, those that have ended are among them, with the reason in ``ended``: for a
        settings page. An empty user has none. Raises TypeError for a user that is not a string.
        """
        user = _checked_user(user)
        if not user:
            return []
        own = [found for found in self._store.of_user(user) if self._belongs_to(found, user)]
        return own if ended else [found for found in own if not found.ended]

    def all(self) -> Iterator[Connection]:
        """Yield every connection with this API, of all users, for a worker or a report.

        Ended ones are among them, with the reason in ``ended``. They are loaded in pages of
        100, when they are needed, so nothing is held open between two of them. Connections may be
        made, changed and deleted meanwhile: each is yielded once at most, and only one that was
        made or deleted meanwhile may be missing. One that cannot be decrypted is left out. Raises
        StoreUnavailable, and ConfigurationError for a store of your own without ``all``.
        """
        if not has_method(self._store, "all"):
            raise ConfigurationError("store", "has no method all(after, limit), as a Store has.")
        after = ""
        while page := self._store.all(after, PAGE):
            after = page[-1].id
            # One without a user is a token that is being adopted
            yield from (found for found in page if found.user and found.api_url == self._api_url)

    @hides_locals
    def shared(self, connection: Connection) -> bool:
        """Return whether another user of the site has connected the same account."""
        urn = connection.account.urn
        if not urn:
            return False
        return any(
            other.user != connection.user
            and (other.api_url, other.account.urn) == (connection.api_url, urn)
            for other in self._store.of_account(urn)
        )

    @hides_locals
    def disconnect(self, id: str, *, user: str) -> None:
        """Forget a connection of this user, and tell the provider to end it, if it supports that.

        The connection is forgotten first, so it is gone whatever the provider answers, and however
        long that takes. Raises NotConnected; StoreUnavailable, and then the provider knows nothing;
        and TypeError for a user that is not a string.
        """
        connection, problem = self._load_to_forget(id, user)
        self._store.delete(id)
        try:
            if connection is not None:
                self._sign_out(connection)
        except ConnectError as error:
            problem = error.message
        if problem:
            log.warning(
                "Connection %s is deleted here, but the provider was not told: %s", id, problem
            )
        self._events.report("disconnected")

    @hides_locals
    def wrap(
        self,
        app: WSGIApplication,
        *,
        secret_key: str | bytes | Sequence[str | bytes] | None = None,
        base_url: str | Callable[[Request], str] | None = None,
        **options: Unpack[WrapOptions],
    ) -> WrappedApplication:
        """Return ``app`` with the button, and with the two addresses of ``serving``.

        ``secret_key`` must be given; it, ``base_url`` and ``options`` are those of SCConnect. The
        users are those whom ``identify`` names. The application finds this object as
        ``environ["scconnect.connections"]``. Raises ConfigurationError, which names the option, for
        values that cannot work, for an unknown option, and without ``identify``.
        """
        check_names(options, WrapOptions.__annotations__)
        if self._identify is None:
            raise ConfigurationError(
                "identify",
                f"{NOT_GIVEN} Give it, or use login() if users log in with their account.",
            )
        keys = _given_key(secret_key)
        assets_path = options.get("assets_path", DEFAULT_ASSETS_PATH)
        sc_connect = SCConnect(
            app,
            self._flow,
            secret_key=keys,
            store_token=self.store_token,
            base_url=base_url,
            identify=self._identify,
            on_event=self._on_event,
            **options,
        )
        check_paths(options, page_addresses(assets_path))
        served = self.serving(sc_connect, assets_path, base_url=base_url)
        return WrappedApplication(served, self, sc_connect)

    @hides_locals
    def login(
        self,
        app: WSGIApplication,
        *,
        secret_key: str | bytes | Sequence[str | bytes] | None = None,
        base_url: str | Callable[[Request], str] | None = None,
        require: bool | Callable[[WSGIEnvironment], object] = False,
        max_age: int = LOGIN_MAX_AGE,
        **options: Unpack[FlowOptions],
    ) -> LoginApplication:
        """Return ``app`` with a login: whoever connects an account is logged in.

        For users who are logged in, the application finds ``REMOTE_USER`` in its environ, which is
        the ``user`` of their connection, an Account as ``scconnect.account``, and in
        ``scconnect.session`` a callable that returns an ApiSession. For strangers all three are
        absent, whatever a client sent. ``POST /sc-connect/sign-out`` ends a browser's session.

        With ``require``, strangers get a page with the button, and come back to the page that they
        have asked for; it may be a callable that says so for an environ. ``max_age`` is the number
        of seconds after which a session ends that nobody uses. ``secret_key`` must be given; it,
        ``base_url`` and ``options`` are those of SCConnect. Raises ConfigurationError, which names
        the option, for values that cannot work, for an unknown option, and if ``identify`` was
        given to this object: here the accounts are the users.
        """
        for name, problem in NOT_FOR_LOGIN.items():
            if name in options:
                raise ConfigurationError(name, problem)
        if callable(require):
            check_callable("require", require, ["environ"])
        check_names(options, FlowOptions.__annotations__)
        if self._identify is not None:
            raise ConfigurationError(
                "identify",
                "was given to Connections, so this site has users of its own: use wrap(), or leave "
                "it out to have users log in with their account.",
            )
        keys = checked_keys(_given_key(secret_key), "secret_key")
        checked_encryption(options.get("encryption"))
        assets_path = options.get("assets_path", DEFAULT_ASSETS_PATH)
        page_paths = page_addresses(assets_path)
        check_paths(options, [*page_paths, f"{assets_path}{SIGN_OUT}"])
        logins = StoredLogins(
            self._store, self._flow.audience, self._connect_login, self._load_owned
        )
        parts = LoginParts(
            connections=self,
            logins=logins,
            cookie=SessionCookie(keys, self._flow.audience, max_age, options.get("encryption")),
            hooks=SiteHooks(base_url, None, None),
            api_session=lambda session: self.session(session.id, user=session.user),
            sc_connect=lambda inside: SCConnect(
                inside,
                self._flow,
                secret_key=keys,
                store_token=logins.store_token,
                base_url=base_url,
                on_event=self._on_event,
                **options,
            ),
            page_endpoint=lambda inside: Endpoint(
                inside, assets_path, base_url, _logged_in, self.of_user, self.disconnect
            ),
            page_paths=page_paths,
            start_path=options.get("request_token_path", DEFAULT_START_PATH),
            callback_path=options.get("access_token_path", DEFAULT_CALLBACK_PATH),
            assets_path=assets_path,
            pages=Pages(assets_path, self._flow, options.get("texts")),
        )
        return LoginApplication(app, parts, require=require, max_age=max_age)

    @hides_locals
    def sign_out_everywhere(self, user: str) -> None:
        """End all sessions of a user who has logged in through ``login``, in every browser.

        They are out within a minute on every host, and may log in again. The connection stays.
        Raises StoreUnavailable, Undecipherable if the connection cannot be read, and TypeError for
        a user that is not a string.
        """
        user = _checked_user(user)
        if not user:
            return
        found = self.of_user(user, ended=True)
        for connection in found:
            end_logins(self._store, connection)
        if not found:
            with suppress(NotConnected):  # of_user leaves out what cannot be read
                self._load_owned(login_id(user, self._api_url), user)

    def serving(
        self,
        app: WSGIApplication,
        path: str = DEFAULT_ASSETS_PATH,
        *,
        base_url: str | Callable[[Request], str] | None = None,
    ) -> WSGIApplication:
        """Return ``app`` with two addresses below ``path`` for the page's script:
        ``connections.json`` and ``disconnect``.

        ``wrap`` does this too. It is the outermost wrapper, around SCConnect, which answers every
        other name below ``path``. ``base_url`` is that of SCConnect: only its pages are answered.
        Without it, browsers that send no Fetch Metadata (Safari before 16.4) are told by the Host
        header, which must then be the public one. Raises ConfigurationError.
        """
        if self._identify is None:
            raise ConfigurationError("identify", NOT_GIVEN)
        if not callable(app):
            raise ConfigurationError("app", "must be a WSGI application.")
        return Endpoint(app, path, base_url, self._user, self.of_user, self.disconnect)

    def _user(self, request: Request) -> str | None:
        if self._identify is None:
            raise ConfigurationError("identify", NOT_GIVEN)
        try:
            return user_name(self._identify(request))
        except UserNameError as error:
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
        try:
            connection = self._store.load(_checked_id(id))
        except Undecipherable as error:
            if error.user not in ("", user):
                raise no_such_connection() from None
            raise
        if not self._belongs_to(connection, user):
            raise no_such_connection()
        return connection

    def _load_to_forget(self, id: str, user: str) -> tuple[Connection | None, str]:
        """Load a connection of this user; None, and why, if it cannot be decrypted."""
        try:
            return self._load_owned(id, user), ""
        except Undecipherable as error:
            if not error.user:  # the store cannot tell whose it is
                raise
            return None, error.message

    def _belongs_to(self, connection: Connection, user: str) -> bool:
        """Compare again: a store may hold other providers' connections too, and its database may
        ignore case.
        """
        return bool(user) and connection.user == user and connection.api_url == self._api_url

    def _sign_out(self, connection: Connection) -> None:
        """Tell the provider that a connection, which is deleted already, is no longer used."""
        if connection.ended or not self._flow.signs_out:
            return
        token = connection.token
        if needs_refresh(connection) and token.refresh_token is not None:
            # An expired token cannot sign out. Nobody else can refresh a deleted connection.
            token = self._flow.refresh(token, connection.callback_url)
        self._flow.sign_out(token)

    def _report_lost(self, connection: Connection, error: NotConnected) -> None:
        log.warning(
            "Connection %s, %s: %s (error_id %s) See %s",
            connection.id,
            error.code,
            error.message,
            error.error_id,
            error.documentation,
        )
        if self._on_lost is not None:
            self._call_on_lost(self._on_lost, connection, error)
        self._events.report("connection_ended", error)

    def _call_on_lost(self, on_lost: OnLost, connection: Connection, error: NotConnected) -> None:
        """Call ``on_lost``, and log what it raises."""
        handled = sys.exception()  # the site may call us from an except block of its own
        try:
            on_lost(connection, error)
            return
        except Exception:
            shown = safe_traceback({}, connection.token, handled=handled)
        log.error("The on_lost callable of this site raised:\n%s", shown)


def _logged_in(request: Request) -> str | None:
    """Return the user who is logged in through ``login``."""
    session = request.environ.get(SESSION)
    return session.user if isinstance(session, Session) else None


def _given_key(
    secret_key: str | bytes | Sequence[str | bytes] | None,
) -> str | bytes | Sequence[str | bytes]:
    if secret_key is None:
        raise ConfigurationError("secret_key", f"is missing: {NEW_KEY}")
    return secret_key


def _check_claims(store: Store) -> None:
    if outcomes_in(store) is None:
        raise ConfigurationError("store", "lacks claim, settle and outcome, which a Store has.")


def _check_encryption(store: Store, flow: ApiFlow) -> None:
    """Raise ConfigurationError if a store encrypts with what the provider knows.

    Neither attribute is part of a contract: a site's own store or flow may lack it.
    """
    encryption = getattr(store, "encryption", None)
    is_credential = getattr(flow, "is_credential", None)
    if encryption is not None and is_credential is not None:
        encryption.refuse_credentials(is_credential, "encryption")


def _checked_id(id: object) -> str:
    """Return the id of a connection. Raises NotConnected for one that none of ours can have: it may
    come from a page, and databases refuse some characters. Raises TypeError for a non-string.
    """
    if id is None:
        raise no_such_connection()
    if not isinstance(id, str):
        raise TypeError(f"id must be a string, not {type(id).__name__}.")
    if not (id.isascii() and id.isprintable()):
        raise no_such_connection()
    return id


def _checked_owner(user: str | None) -> str | None:
    """Return the user whom a new connection is for; None stands for the account itself.

    Raises NotSignedIn for nobody, and TypeError as ``_checked_user`` does.
    """
    if user is None:
        return None
    owner = _checked_user(user)
    if not owner:
        raise NotSignedIn(NOBODY)
    return owner


def _checked_user(user: object) -> str:
    """Return the name of a user, or an empty string for nobody. Raises TypeError for a non-string,
    and for a string that no database keeps.
    """
    if user is None:
        raise TypeError("user must be a string, not NoneType.")
    try:
        return user_name(user) or ""
    except UserNameError as error:
        raise TypeError(f"user must be {error}") from None
