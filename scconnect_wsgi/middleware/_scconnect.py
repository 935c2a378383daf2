"""SCConnect wraps a WSGI application and answers the addresses of "Connect with SoundCloud".

    GET /anything             the wrapped application, untouched
    GET /oauth/request_token  check who asks -> flow.begin -> to the provider, with a signed cookie
    GET /oauth/access_token   the cookie -> flow.finish -> store_token -> to close.html
    GET /sc-connect/...       the browser files, from memory

Only the flow knows which protocol it speaks. Nothing is written to an SCConnect after it is built
(except in its ReplayGuard), so any number of threads may share one.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, NoReturn
from urllib.parse import urlsplit

from webob import Request

from scconnect_wsgi.errors import (
    ConfigurationError,
    ConnectError,
    FlowExpired,
    FlowFinished,
    WrongUser,
)
from scconnect_wsgi.flow import Flow
from scconnect_wsgi.middleware._cookies import FlowCookies, user_mark
from scconnect_wsgi.middleware._ending import Ending
from scconnect_wsgi.middleware._environ import script_path
from scconnect_wsgi.middleware._files import browser_files
from scconnect_wsgi.middleware._flow_state import FlowState
from scconnect_wsgi.middleware._guard import check_start, checked_query
from scconnect_wsgi.middleware._hooks import OnFailure, SiteHooks, StoreToken
from scconnect_wsgi.middleware._pages import Notice
from scconnect_wsgi.middleware._replay import ReplayGuard
from scconnect_wsgi.middleware._responses import redirect
from scconnect_wsgi.urls import checked_path, origin, path_of_this_origin

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from scconnect_wsgi.encryption import Encryption

    Handler = Callable[[WSGIEnvironment], WSGIApplication]

log: logging.Logger = logging.getLogger("scconnect_wsgi")


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
    a callable that makes it from the request; it may be left out on a loopback host only.
    ``cookie_max_age`` is in seconds, at most 900. ``identify(request)`` returns the name of the
    site's user (None or an empty string if nobody is signed in); only that user can finish the
    flow. ``on_failure(error, request)`` may answer a failure as ``store_token`` answers a success;
    with HAND_OVER the wrapped application finds ``scconnect.error``. With an Encryption the cookies
    cannot be read either. Paths are relative to the mount. Raises ConfigurationError for values
    that cannot work.
    """

    def __init__(  # noqa: PLR0913  # the options of a site, by name
        self,
        app: WSGIApplication,
        flow: Flow,
        *,
        secret_key: str | bytes | Sequence[str | bytes],
        store_token: StoreToken | Literal[HandOver.HAND_OVER],
        base_url: str | Callable[[Request], str] | None = None,
        request_token_path: str = "/oauth/request_token",  # noqa: S107  # a path
        access_token_path: str = "/oauth/access_token",  # noqa: S107  # a path
        assets_path: str = "/sc-connect",
        cookie_max_age: int = 600,
        identify: Callable[[Request], str | None] | None = None,
        on_failure: OnFailure | Literal[HandOver.HAND_OVER] | None = None,
        encryption: Encryption | None = None,
    ) -> None:
        if store_token is not HAND_OVER and not callable(store_token):
            raise ConfigurationError("store_token", "must be a callable, or HAND_OVER.")
        if not callable(app):
            raise ConfigurationError("app", "must be a WSGI application.")
        if not isinstance(getattr(flow, "audience", None), str):
            raise ConfigurationError("flow", "must be an OAuth2(...) or an OAuth1(...).")
        self._app = app
        self._flow = flow
        # Not part of the Flow contract: somebody else's flow may lack it
        is_credential = getattr(flow, "is_credential", None)
        self._cookies = FlowCookies(
            secret_key, flow.audience, cookie_max_age, encryption, is_credential
        )
        self._hooks = SiteHooks(
            base_url, identify, None if isinstance(on_failure, HandOver) else on_failure
        )
        self._store_token = store_token
        self._hands_failures_over = on_failure is HAND_OVER
        self._replay_guard = ReplayGuard()
        start_path = checked_path(request_token_path, "request_token_path")
        self._callback_path = checked_path(access_token_path, "access_token_path")
        self._assets_path = checked_path(assets_path, "assets_path")
        # Every path that begins with "/sc-connect/" is between these two: 0 follows the slash
        self._assets_first = f"{assets_path}/"
        self._assets_end = f"{assets_path}0"
        files = {
            f"{assets_path}/{name}": file
            for name, file in browser_files(assets_path.count("/")).items()
        }
        self._routes: dict[str, WSGIApplication] = {
            start_path: partial(self._answer, self._start),
            access_token_path: partial(self._answer, self._finish),
            **files,
        }
        if start_path in (self._callback_path, *files):
            raise ConfigurationError(
                "request_token_path", "must differ from the callback's path and the browser files'."
            )
        if self._callback_path in files:
            raise ConfigurationError(
                "access_token_path", "must differ from the paths of the browser files."
            )

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

    def _answer(
        self, handle: Handler, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer a request with what its handler returns, or with the page that it raises."""
        try:
            response = handle(environ)
        except Notice as notice:
            root_path = self._hooks.root_path(environ)
            response = notice.response(assets=root_path + self._assets_path, home=root_path + "/")
        return response(environ, start_response)

    def _missing(self, environ: WSGIEnvironment) -> NoReturn:
        """Refuse a path that could only be a browser file's, and is not."""
        raise Notice("404 Not Found", "Not found", "There is nothing at this address.")

    def _start(self, environ: WSGIEnvironment) -> WSGIApplication:
        """Answer the request-token path: begin a flow, and send the user to the provider."""
        query = checked_query(environ, "GET, HEAD, POST")
        ending = self._ending(environ)
        ending.return_to = _return_to(query)
        try:
            return self._begin(ending)
        except ConnectError as error:
            failure = error
        return self._fail(failure, ending)

    def _begin(self, ending: Ending) -> WSGIApplication:
        """Return the redirect to the provider. Raises a Notice if the user must be asked first."""
        request = ending.request
        root = self._hooks.root(request)
        ending.close_page = self._close_page(urlsplit(root).path)
        check_start(request.environ, origin(root))
        user = user_mark(self._hooks.user(request))
        departure = self._flow.begin(root + self._callback_path)
        cookies = self._cookies.issue(
            request.environ.get("HTTP_COOKIE", ""),
            departure.flow_id,
            root,
            user,
            departure.pending,
            ending.return_to,
        )
        return redirect(departure.authorize_url, cookies)

    def _finish(self, environ: WSGIEnvironment) -> WSGIApplication:
        """Answer the access-token path: exchange the query for a token, and store it."""
        query = checked_query(environ, "GET, HEAD")
        ending = self._ending(environ)
        try:
            return self._connect(query, ending)
        except ConnectError as error:
            failure = error
        return self._fail(failure, ending)

    def _connect(self, query: Mapping[str, str], ending: Ending) -> WSGIApplication:
        """Obtain a token, store it, and return the response."""
        request = ending.request
        root = self._hooks.root(request)
        ending.close_page = self._close_page(urlsplit(root).path)
        user = user_mark(self._hooks.user(request))
        state = self._end_flow(query, root.startswith("https:"), ending)
        ending.return_to = state.return_to
        if state.user != user:
            raise WrongUser("Another user of this site started this connection. Start again.")
        callback_url = state.base_url + self._callback_path
        request.environ["scconnect.callback_url"] = callback_url  # needed to refresh the token
        token = self._flow.finish(callback_url, query, state.pending)
        if isinstance(self._store_token, HandOver):
            return ending.hand_over(self._app, "scconnect.token", token)
        return ending.with_result(self._hooks.store(self._store_token, token, request))

    def _end_flow(self, query: Mapping[str, str], secure: bool, ending: Ending) -> FlowState:
        """Return the state of the query's flow, and make sure that it is not used again."""
        header = ending.request.environ.get("HTTP_COOKIE", "")
        flow_id = self._flow.flow_id(query)
        try:
            state = self._cookies.read(header, flow_id, secure)
        except FlowExpired:
            ending.cookies = self._cookies.drop(flow_id, secure)
            raise
        ending.cookies = self._cookies.end(header, flow_id, secure)
        # With the time, because a provider may give the same request token twice
        if not self._replay_guard.first_use(f"{state.created_at} {flow_id}"):
            raise FlowFinished(
                "This connection is already being finished: the button was clicked twice."
            )
        return state

    def _fail(self, error: ConnectError, ending: Ending) -> WSGIApplication:
        """Return the response to a failure.

        Call this outside of the ``except`` block: the exceptions that the site's own code raises
        here must not be chained to the error.
        """
        log.warning("%s: %s", error.code, error.message)
        if self._hands_failures_over:
            return ending.hand_over(self._app, "scconnect.error", error)
        return ending.with_result(self._hooks.failed(error, ending.request))

    def _ending(self, environ: WSGIEnvironment) -> Ending:
        """Return the Ending of a request whose public root is not known yet."""
        return Ending(Request(environ), self._close_page(script_path(environ)))

    def _close_page(self, root_path: str) -> str:
        """Return the address of close.html: a path, so that it cannot lead to another origin."""
        return f"{root_path}{self._assets_path}/close.html"


def _return_to(query: Mapping[str, str]) -> str:
    """Return the path that a link names as the end of its flow, or an empty string."""
    try:
        return path_of_this_origin(query.get("return_to", ""))
    except ValueError:
        raise Notice(
            "400 Bad Request",
            "This link is damaged",
            "For the developer of the link: return_to must be a path of this site, such as "
            "/account, of at most 512 characters.",
        ) from None
