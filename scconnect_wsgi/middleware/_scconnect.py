"""SCConnect wraps a WSGI application and answers the addresses of "Connect with SoundCloud".

    GET /anything             the wrapped application, untouched
    GET /oauth/request_token  check who asks -> flow.begin -> to the provider, with signed cookies
    GET /oauth/access_token   the cookies -> flow.finish -> store_token -> to close.html
                              or, if it is another deployment's, to that one (``_relay``)
    GET /sc-connect/...       the browser files, from memory

Only the flow knows which protocol it speaks. Nothing is written to an SCConnect after it is built
(except in its Outcomes and its CallbackLog), so any number of threads may share one. A callback
that comes twice is answered twice in the same way (``_outcomes``).
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, NoReturn
from urllib.parse import urlsplit

from webob import Request

from scconnect_wsgi.callables import check_callable
from scconnect_wsgi.errors import (
    AccessDenied,
    ConfigurationError,
    ConnectError,
    FlowExpired,
    FlowFinished,
)
from scconnect_wsgi.events import Events, FlowEvents, OnEvent
from scconnect_wsgi.flow import Flow
from scconnect_wsgi.keys import checked_keys
from scconnect_wsgi.middleware._callback_log import CallbackLog
from scconnect_wsgi.middleware._cookies import CLOCK_SKEW, FlowCookies, user_mark
from scconnect_wsgi.middleware._ending import Ending
from scconnect_wsgi.middleware._environ import script_path
from scconnect_wsgi.middleware._files import CLOSE_PAGE, common_files
from scconnect_wsgi.middleware._flow_state import FlowState
from scconnect_wsgi.middleware._guard import check_start, checked_query
from scconnect_wsgi.middleware._hooks import OnFailure, SiteHooks, StoreToken
from scconnect_wsgi.middleware._outcomes import Outcomes, SharedOutcomes, flow_name
from scconnect_wsgi.middleware._pages import Message, Notice, Pages, QuietNotice
from scconnect_wsgi.middleware._relay import Relay
from scconnect_wsgi.middleware._relay_key import check_relay_key
from scconnect_wsgi.middleware._replay import ReplayGuard
from scconnect_wsgi.middleware._responses import call_or_else, redirect
from scconnect_wsgi.middleware._signed_in import (
    RETURNED,
    SIGNED_IN,
    check_user,
    return_page,
    sign_in_address,
)
from scconnect_wsgi.middleware._storage import FlowStorage, agreed_identify, storage_behind
from scconnect_wsgi.middleware._translations import Texts
from scconnect_wsgi.query import with_query
from scconnect_wsgi.redaction import forget_locals, hides_locals
from scconnect_wsgi.urls import (
    checked_endpoint,
    checked_page,
    checked_path,
    origin,
    path_of_this_origin,
    sandbox_problem,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from scconnect_wsgi.encryption import Encryption

    Handler = Callable[[WSGIEnvironment], WSGIApplication]

log: logging.Logger = logging.getLogger("scconnect_wsgi")

DEFAULT_START_PATH = "/oauth/request_token"
DEFAULT_CALLBACK_PATH = "/oauth/access_token"
DEFAULT_ASSETS_PATH = "/sc-connect"


class HandOver(enum.Enum):
    """The type of HAND_OVER."""

    HAND_OVER = "the wrapped application answers itself"


HAND_OVER = HandOver.HAND_OVER


class SCConnect:
    """A WSGI application with a working "Connect with SoundCloud" button.

    ``flow`` is an OAuth2 or an OAuth1. ``secret_key`` signs the cookies: a string or bytes that
    nobody can guess (``scconnect secret`` makes one) and the provider does not know, or several
    from oldest to newest. ``store_token(token, request)`` keeps the token and returns the object
    for the page's callback (a mapping, None, or a webob.Response that is sent as it is); with
    HAND_OVER the wrapped application is called instead and finds ``scconnect.token`` and
    ``scconnect.close_url`` in its environ. A callable that raises is called once more; if it raises
    again, the page gets ``storage_failed``.

    ``base_url`` is the public root of the wrapped application, ``https://host[:port][/prefix]``, or
    a callable that makes it from the request; it may be left out on a loopback host only, and not
    behind a proxy. ``cookie_max_age`` is in seconds, at most 900. ``identify(request)`` returns the
    name of the site's user (None or an empty string if nobody is signed in); only that user can
    finish the flow. It is required if the storage behind ``store_token`` (a Connections) has one,
    and must name the same user. If nobody is signed in at the start, the user is sent to
    ``sign_in_url``, the path of the site's sign-in page, with the path to go back to in the field
    ``next``; without ``sign_in_url`` the flow fails with ``not_signed_in``. ``on_failure(error,
    request)`` may answer a failure as ``store_token`` answers a success; with HAND_OVER the wrapped
    application finds ``scconnect.error``. With an Encryption the cookies cannot be read either.
    ``texts`` has the site's own sentences for the pages that the middleware shows itself: for each
    language those that take the place of our English ones. ``on_event(event)`` hears of each flow
    that starts, connects or fails, for metrics: an Event. Paths are relative to the mount.

    Several deployments may share one callback URL at the provider (docs/relay.md).
    ``callback_url`` is the registered one, if it is another deployment's; that one has
    ``relay_to``, the origins of the others, such as ``["http://localhost:8000"]``. All of them
    share ``relay_key``: a string, or several from oldest to newest, and not the ``secret_key``.

    Raises ConfigurationError for values that cannot work.
    """

    @hides_locals
    def __init__(  # noqa: PLR0913  # the options of a site, by name
        self,
        app: WSGIApplication,
        flow: Flow,
        *,
        secret_key: str | bytes | Sequence[str | bytes],
        store_token: StoreToken | Literal[HandOver.HAND_OVER],
        base_url: str | Callable[[Request], str] | None = None,
        request_token_path: str = DEFAULT_START_PATH,
        access_token_path: str = DEFAULT_CALLBACK_PATH,
        assets_path: str = DEFAULT_ASSETS_PATH,
        cookie_max_age: int = 600,
        identify: Callable[[Request], str | None] | None = None,
        sign_in_url: str | None = None,
        on_failure: OnFailure | Literal[HandOver.HAND_OVER] | None = None,
        encryption: Encryption | None = None,
        callback_url: str | None = None,
        relay_to: Sequence[str] = (),
        relay_key: str | bytes | Sequence[str | bytes] | None = None,
        texts: Texts | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        _check_parts(app, flow, store_token)
        check_callable("on_event", on_event, ["event"])
        self._app = app
        self._flow = flow
        # These two are not part of the Flow contract: somebody else's flow may lack them
        is_credential = getattr(flow, "is_credential", None)
        client_id = getattr(flow, "client_id", None)
        self._cookies = FlowCookies(
            secret_key, flow.audience, cookie_max_age, encryption, is_credential
        )
        storage = storage_behind(store_token)
        self._hooks = SiteHooks(
            base_url,
            agreed_identify(identify, storage),
            None if isinstance(on_failure, HandOver) else on_failure,
        )
        if sign_in_url is not None and identify is None:
            raise ConfigurationError(
                "sign_in_url", "needs identify, which says whether a user is signed in."
            )
        self._sign_in_path = "" if sign_in_url is None else checked_page(sign_in_url, "sign_in_url")
        self._start_path = checked_endpoint(request_token_path, "request_token_path")
        self._callback_path = checked_endpoint(access_token_path, "access_token_path")
        self._relay = Relay(
            flow,
            callback_url=callback_url,
            relay_to=relay_to,
            relay_key=relay_key,
            callback_path=self._callback_path,
            lifetime=cookie_max_age,
        )
        self._relay.check_root(base_url)
        check_relay_key(relay_key, secret_key, encryption, storage)
        url_is_derived = self._hooks.root_is_derived and not self._relay.has_callback_url
        self._callback_log = CallbackLog(client_id, url_is_derived)
        _warn_of_a_sandbox(base_url, flow)
        self._store_token = store_token
        self._hands_failures_over = on_failure is HAND_OVER
        self._outcomes = _outcomes(storage, secret_key, flow.audience, cookie_max_age)
        self._events = Events(on_event)
        self._assets_path = checked_path(assets_path, "assets_path")
        # Every path that begins with "/sc-connect/" is between these two: 0 follows the slash
        self._assets_first = f"{assets_path}/"
        self._assets_end = f"{assets_path}0"
        self._pages = Pages(assets_path, flow, texts)
        known = {**common_files(), CLOSE_PAGE: self._pages.close_page()}
        files = {f"{assets_path}/{name}": file for name, file in known.items()}
        self._routes: dict[str, WSGIApplication] = {
            self._start_path: partial(self._answer, self._start),
            self._callback_path: partial(self._answer, self._finish),
            **files,
        }
        self._check_paths(files)
        if isinstance(base_url, str):
            self._check_root(base_url)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer our own addresses; pass everything else through, untouched."""
        try:
            path = environ["PATH_INFO"]
        except KeyError:  # PEP 3333 lets a server leave it out if it is empty
            path = ""
        # Operators and no calls: this is the whole cost for the site's other pages.
        if path in self._routes:
            return self._routes[path](environ, start_response)
        # Comparisons, because startswith() takes three times as long
        if path < self._assets_first or path >= self._assets_end:
            return self._app(environ, start_response)
        return self._answer(self._missing, environ, start_response)

    def _check_paths(self, files: Container[str]) -> None:
        """Raise ConfigurationError if two of the addresses are one. ``files`` are their paths."""
        if self._sign_in_path.partition("?")[0] in self._routes:
            raise ConfigurationError(
                "sign_in_url", "must be a page of the wrapped application, not a path of SCConnect."
            )
        if self._start_path == self._callback_path or self._start_path in files:
            raise ConfigurationError(
                "request_token_path", "must differ from the callback's path and the browser files'."
            )
        if self._callback_path in files:
            raise ConfigurationError(
                "access_token_path", "must differ from the paths of the browser files."
            )

    def _check_root(self, base_url: str) -> None:
        """Raise ConfigurationError if ``base_url`` is the address of one of the two endpoints."""
        path = urlsplit(base_url).path.rstrip("/")
        for endpoint in (self._start_path, self._callback_path):
            if path.endswith(endpoint.rstrip("/")):
                raise ConfigurationError(
                    "base_url", f"must be the address of the site, without {endpoint} at its end."
                )

    def _answer(
        self, handle: Handler, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer a request with what its handler returns, or with the page that it raises."""
        page = None
        try:
            response = handle(environ)
        except Notice as notice:
            page = notice
        if page is not None:
            page.log()
            response = self._pages.response(page, environ, self._hooks.root_path(environ))
            if page.error_id and page.code:  # it ends a flow
                self._events.report("failed", page, environ=environ)
        return response(environ, start_response)

    def _missing(self, environ: WSGIEnvironment) -> NoReturn:
        """Refuse a path that could only be a browser file's, and is not."""
        raise QuietNotice(
            "404 Not Found",
            "Not found",
            Message(
                "There is nothing at this address.",
                "For the developer: SCConnect answers every address below "
                f"{self._assets_path}. Those of connections.serving() work only if it is outside: "
                "connections.serving(SCConnect(...)). connections.wrap() does that.",
            ),
        )

    def _start(self, environ: WSGIEnvironment) -> WSGIApplication:
        """Answer the request-token path: begin a flow, and send the user to the provider."""
        query = checked_query(environ, "GET, HEAD, POST")
        ending = self._ending(environ)
        ending.return_to = _return_to(query)
        try:
            return self._begin(query, ending)
        except ConnectError as error:
            failure = error
        return self._fail(failure, ending)

    def _begin(self, query: Mapping[str, str], ending: Ending) -> WSGIApplication:
        """Return the redirect to the provider, or to the sign-in page.

        Raises a Notice if the user must be asked first.
        """
        request = ending.request
        root = self._hooks.root(request)
        root_path = urlsplit(root).path
        ending.close_page = self._close_page(root_path)
        start = self._start_address(root_path, query, ending.return_to)
        check_start(request.environ, origin(root), start)
        name = self._hooks.user(request)
        if name is None and self._hooks.name_users:
            sign_in = self._sign_in_path and root_path + self._sign_in_path
            return redirect(sign_in_address(sign_in, start, query), [])
        user = user_mark(name)
        self._callback_log.log(self._relay.callback_url(root))
        departure = self._relay.begin(root)
        cookies = self._cookies.issue(
            request.environ.get("HTTP_COOKIE", ""),
            departure.flow_id,
            root,
            user,
            departure.pending,
            ending.return_to,
            departure.authorize_url,
        )
        ending.events.started()
        return redirect(departure.authorize_url, cookies)

    def _start_address(self, root_path: str, query: Mapping[str, str], return_to: str) -> str:
        """Return the address of a start, with only those fields of its query that are ours."""
        fields = {"return_to": return_to, SIGNED_IN: "1" if SIGNED_IN in query else ""}
        own = {name: value for name, value in fields.items() if value}
        return with_query(root_path + self._start_path, own)

    def _finish(self, environ: WSGIEnvironment) -> WSGIApplication:
        """Answer the access-token path: exchange the query for a token, and store it."""
        query = checked_query(environ, "GET, HEAD")
        ending = self._ending(environ)

        def finish() -> WSGIApplication:
            try:
                return self._connect(query, ending)
            except ConnectError as error:
                failure = error
            return self._fail(failure, ending)

        return call_or_else(finish, ending.abandon)

    def _connect(self, query: Mapping[str, str], ending: Ending) -> WSGIApplication:
        """Return the response to the callback of a flow. The first one finishes the flow."""
        request = ending.request
        root = self._hooks.root(request)
        ending.close_page = self._close_page(urlsplit(root).path)
        onward = self._forward(query, root, ending)
        if onward is not None:
            return onward
        user = self._hooks.user(request)
        secure = root.startswith("https:")
        if not user and RETURNED not in query and self._has_a_user(query, secure, request):
            raise return_page(query)
        state = self._end_flow(query, secure, ending)
        ending.return_to = state.return_to
        check_user(state.user, user_mark(user))
        request.environ["scconnect.user"] = user  # the storage must store it for the same one
        name = flow_name(self._flow.audience, self._flow.flow_id(query), state.created_at)
        if not self._outcomes.claim(name):
            return self._repeat(name, ending)
        ending.settle = partial(self._outcomes.settle, name)
        return self._obtain(query, state, ending)

    def _forward(
        self, query: Mapping[str, str], root: str, ending: Ending
    ) -> WSGIApplication | None:
        """Return the response to a callback that belongs to another deployment, or None."""
        request = ending.request
        raw = request.environ.get("QUERY_STRING", "")
        arrived = request.host + script_path(request.environ)
        try:
            return self._relay.forward(query, raw, root=root, arrived=arrived)
        except ConnectError:
            # The page with the button is at the other deployment: close.html knows by this
            ending.extra = {"relay": "refused"}
            raise

    def _obtain(
        self, query: Mapping[str, str], state: FlowState, ending: Ending
    ) -> WSGIApplication:
        """Obtain a token, store it, and return the response."""
        request = ending.request
        callback_url = self._relay.callback_url(state.base_url)
        request.environ["scconnect.callback_url"] = callback_url  # needed to refresh the token
        request.environ["scconnect.return_to"] = state.return_to
        token = self._flow.finish(callback_url, query, state.pending)
        if isinstance(self._store_token, HandOver):
            return ending.hand_over(self._app, "scconnect.token", token)
        return ending.with_result(self._hooks.store(self._store_token, token, request))

    def _repeat(self, name: str, ending: Ending) -> WSGIApplication:
        """Return the response to a callback that came again: that of the first one."""
        log.info("A callback came twice. The second one is answered as the first.")
        outcome = self._outcomes.wait(name)
        if outcome is None:
            raise FlowFinished(
                "This callback came twice, and how the first one ended is not known: it takes too "
                "long, or was interrupted, or is long ago. See whether the account is connected."
            )
        return ending.repeat(outcome)

    def _has_a_user(self, query: Mapping[str, str], secure: bool, request: Request) -> bool:
        """Return whether a signed-in user started the query's flow, which is still in progress."""
        if not self._hooks.name_users:
            return False
        header = request.environ.get("HTTP_COOKIE", "")
        try:
            return bool(self._cookies.read(header, self._flow.flow_id(query), secure).user)
        except ConnectError:
            return False  # _end_flow says what is wrong with it

    def _end_flow(self, query: Mapping[str, str], secure: bool, ending: Ending) -> FlowState:
        """Return the state of the query's flow, and have the browser forget its cookie."""
        header = ending.request.environ.get("HTTP_COOKIE", "")
        flow_id = self._flow.flow_id(query)
        try:
            state = self._cookies.read(header, flow_id, secure)
        except FlowExpired:
            ending.cookies = self._cookies.drop(header, flow_id, secure)
            raise
        ending.cookies = self._cookies.end(header, flow_id, secure)
        return state

    def _fail(self, error: ConnectError, ending: Ending) -> WSGIApplication:
        """Return the response to a failure.

        Call this outside of the ``except`` block: the exceptions that the site's own code raises
        here must not be chained to the error.
        """
        # What the site gets has no frames: those of this request hold the code and the cookies
        forget_locals(error).with_traceback(None)
        # A user who refuses is nobody's fault
        level = logging.INFO if isinstance(error, AccessDenied) else logging.WARNING
        log.log(
            level,
            "%s: %s (error_id %s) See %s",
            error.code,
            error.message,
            error.error_id,
            error.documentation,
        )
        ending.failure = error
        if self._hands_failures_over:
            return ending.hand_over(self._app, "scconnect.error", error)
        return ending.with_result(self._hooks.failed(error, ending.request))

    def _ending(self, environ: WSGIEnvironment) -> Ending:
        """Return the Ending of a request whose public root is not known yet."""
        close_page = self._close_page(script_path(environ))
        return Ending(Request(environ), close_page, FlowEvents(self._events, environ))

    def _close_page(self, root_path: str) -> str:
        """Return the address of close.html: a path, so that it cannot lead to another origin."""
        return f"{root_path}{self._assets_path}/close.html"


def _check_parts(app: object, flow: object, store_token: object) -> None:
    """Raise ConfigurationError for an application, a flow or a storage of the wrong kind."""
    if store_token is not HAND_OVER:
        if not callable(store_token):
            raise ConfigurationError("store_token", "must be a callable, or HAND_OVER.")
        check_callable("store_token", store_token, ["token", "request"])
    if not callable(app):
        raise ConfigurationError("app", "must be a WSGI application.")
    if not isinstance(getattr(flow, "audience", None), str):
        raise ConfigurationError("flow", "must be an OAuth2(...) or an OAuth1(...).")


def _outcomes(
    storage: FlowStorage | None,
    secret_key: str | bytes | Sequence[str | bytes],
    audience: str,
    cookie_max_age: int,
) -> Outcomes:
    """Return the outcomes of flows, which all processes share if the storage can keep them."""
    if storage is None or storage.outcomes is None:
        return Outcomes(ReplayGuard(), None)
    keys = checked_keys(secret_key, "secret_key")
    lifetime = cookie_max_age + 2 * CLOCK_SKEW  # no cookie of the flow is accepted later
    shared = SharedOutcomes(storage.outcomes, keys, audience, lifetime)
    return Outcomes(ReplayGuard(), shared)


def _warn_of_a_sandbox(base_url: object, flow: Flow) -> None:
    """Log a warning if a public site has a provider that only this machine can reach."""
    if not isinstance(base_url, str):
        return
    authorize_url = getattr(getattr(flow, "provider", None), "authorize_url", "")
    problem = sandbox_problem(base_url, authorize_url)
    if problem:
        log.warning("base_url %s", problem)


def _return_to(query: Mapping[str, str]) -> str:
    """Return the path that a link names as the end of its flow, or an empty string."""
    try:
        return path_of_this_origin(query.get("return_to", ""))
    except ValueError:
        raise Notice(
            "400 Bad Request",
            "This link is damaged",
            Message(
                "Nothing was changed.",
                "For the developer of the link: return_to must be a path of this site, such as "
                "/account, of at most 512 characters.",
            ),
        ) from None
