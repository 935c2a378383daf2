"""SCConnect wraps a WSGI application and answers the three addresses of "Connect with SoundCloud".

    GET /anything             the wrapped application, untouched
    GET /oauth/request_token  who asks? -> flow.begin -> to the provider, with a signed cookie
    GET /oauth/access_token   the cookie -> flow.finish -> store_token -> to close.html, cookie removed
    GET /sc-connect/...       the browser files, from memory

Which protocol runs is the flow's business alone. Nothing is written to an SCConnect after it is
built (but see once.py), so one serves any number of threads.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from webob import Request, Response

from scconnect_wsgi.errors import (
    ConfigurationError,
    ConnectError,
    FlowExpired,
    FlowFinished,
    WrongUser,
)
from scconnect_wsgi.flow import Flow
from scconnect_wsgi.middleware.cookies import FlowCookies, Held, user_mark
from scconnect_wsgi.middleware.files import browser_files
from scconnect_wsgi.middleware.guard import Verdict, is_speculative, judge_start
from scconnect_wsgi.middleware.hooks import OnFailure, Result, Site, StoreToken, with_fields
from scconnect_wsgi.middleware.replay import Once
from scconnect_wsgi.middleware.responses import adding, forget_query, mount, page, redirect
from scconnect_wsgi.query import read_query
from scconnect_wsgi.urls import checked_path, origin, path_of_this_origin

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from scconnect_wsgi.encryption import Encryption

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
    ``scconnect.close_url`` in its environ. A callable that raises is called once more, then the
    page gets ``storage_failed``.

    ``base_url`` is the public root of the wrapped application, ``https://host[:port][/prefix]``, or
    a callable that makes it from the request; it may be left out on a loopback host only.
    ``cookie_max_age`` is in seconds, at most 900. ``identify(request)`` names the user of the site
    (None or an empty string: nobody), and binds a flow to them. ``on_failure(error, request)`` may
    answer a failure as ``store_token`` answers a success; with HAND_OVER the wrapped application
    finds ``scconnect.error``. An Encryption makes the cookies unreadable too. Paths are relative to
    the mount. Raises ConfigurationError for values that cannot work.
    """

    def __init__(
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
        is_credential = getattr(
            flow, "is_credential", None
        )  # a flow of somebody else need not have it
        self._cookies = FlowCookies(
            secret_key, flow.audience, cookie_max_age, encryption, is_credential
        )
        self._site = Site(
            base_url, identify, None if isinstance(on_failure, HandOver) else on_failure
        )
        self._store_token = store_token
        self._hands_failures_over = on_failure is HAND_OVER
        self._callback_path = checked_path(access_token_path, "access_token_path")
        self._assets_path = checked_path(assets_path, "assets_path")
        self._assets_first, self._assets_end = (
            f"{assets_path}/",
            f"{assets_path}0",
        )  # 0 comes next after the slash
        files = {
            f"{assets_path}/{name}": file
            for name, file in browser_files(assets_path.count("/")).items()
        }
        start_path = checked_path(request_token_path, "request_token_path")
        self._first = Once()
        self._routes: dict[str, WSGIApplication] = {
            start_path: self._start,
            access_token_path: self._finish,
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
        """Answer what is ours; pass everything else through, untouched."""
        try:
            path = environ["PATH_INFO"]
        except KeyError:  # PEP 3333 lets a server leave an empty one out
            path = ""
        # Operators, no calls: this is all that the site's other pages pay.
        if path in self._routes:
            return self._routes[path](environ, start_response)
        if (
            path < self._assets_first or path >= self._assets_end
        ):  # not startswith(), at a third of its cost
            return self._app(environ, start_response)
        return self._missing(environ, start_response)

    def _missing(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self._show(
            environ,
            start_response,
            "404 Not Found",
            "Not found",
            "There is nothing at this address.",
        )

    def _start(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The request-token path: begin a flow and send the user to the provider."""
        answer = self._screen(environ, start_response, "GET, HEAD, POST")
        if not isinstance(answer, dict):
            return answer
        try:
            return_to = path_of_this_origin(answer.get("return_to", ""))
        except ValueError:
            message = "For whoever made it: return_to is a path of this site, such as /account, of at most 512 letters."
            return self._show(
                environ, start_response, "400 Bad Request", "This link is damaged", message
            )
        request, home = Request(environ), return_to or self._close_page(mount(environ))
        try:
            root = self._site.root(request)
            home = return_to or self._close_page(root)
            verdict = judge_start(environ, origin(root))
            if verdict is not Verdict.START:
                return self._question(environ, start_response, verdict)
            user = user_mark(self._site.user(request))
            departure = self._flow.begin(root + self._callback_path)
            header = environ.get("HTTP_COOKIE", "")
            cookies = self._cookies.issue(
                header, departure.flow_id, root, user, departure.pending, return_to
            )
        except ConnectError as error:
            failure = error
        else:
            return redirect(start_response, departure.authorize_url, cookies)
        return self._fail(failure, request, start_response, home, [])

    def _finish(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The access-token path: exchange what came back, store the token, send the popup home."""
        answer = self._screen(environ, start_response, "GET, HEAD")
        if not isinstance(answer, dict):
            return answer
        request, home = Request(environ), self._close_page(mount(environ))
        cookies: list[str] = []  # what the browser is told from here on, however it ends
        try:
            root = self._site.root(request)
            home = self._close_page(root)
            user = user_mark(self._site.user(request))
            held = self._held(environ, answer, root, cookies)
            home = held.return_to or home
            if held.user != user:
                raise WrongUser("Another user of this site began this connection. Start again.")
            callback_url = environ["scconnect.callback_url"] = (
                held.base + self._callback_path
            )  # for refreshing
            token = self._flow.finish(callback_url, answer, held.pending)
            if not isinstance(self._store_token, HandOver):
                result = self._site.store(self._store_token, token, request)
                return self._go_home(result, request, start_response, home, cookies)
        except ConnectError as error:
            # Answered below: what the site's own code raises there is not to be chained to it
            failure = error
        else:
            return self._hand_over(environ, start_response, home, cookies, token=token)
        return self._fail(failure, request, start_response, home, cookies)

    def _screen(
        self, environ: WSGIEnvironment, start_response: StartResponse, methods: str
    ) -> dict[str, str] | Iterable[bytes]:
        """The query of a request that may have an effect; the answer to one that may not."""
        method, show = environ["REQUEST_METHOD"], partial(self._show, environ, start_response)
        if method not in methods.split(", "):
            message = (
                f"Nothing was changed. For whoever made the page: this address takes {methods}."
            )
            return show(
                "405 Method Not Allowed", "Not allowed", message, headers=[("Allow", methods)]
            )
        if method == "HEAD":
            return show("200 OK", "Connect", "This address is for people who click.")
        if is_speculative(
            environ
        ):  # not a 2xx, or the browser would keep it and show it at the real click
            return show(
                "403 Forbidden",
                "Not yet",
                "This page is not fetched ahead of a click. Press the button.",
            )
        try:
            return read_query(environ.get("QUERY_STRING", ""))
        except ValueError:
            message = "A part of it was lost on the way. Nothing was changed; please go back and try again."
            return show("400 Bad Request", "This address cannot be read", message)

    def _held(
        self, environ: WSGIEnvironment, answer: Mapping[str, str], root: str, cookies: list[str]
    ) -> Held:
        """What the cookie of this answer's flow keeps; ``cookies`` gets the flow's end."""
        header, flow_id, secure = (
            environ.get("HTTP_COOKIE", ""),
            self._flow.flow_id(answer),
            root.startswith("https:"),
        )
        try:
            held = self._cookies.read(header, flow_id, secure)
        except FlowExpired:
            cookies += self._cookies.drop(flow_id, secure)
            raise
        cookies += self._cookies.end(header, flow_id, secure)
        if not self._first.is_first(
            f"{held.born} {flow_id}"
        ):  # a provider may give a request token again
            raise FlowFinished(
                "This connection is already being finished: the button was clicked twice."
            )
        return held

    def _fail(
        self,
        error: ConnectError,
        request: Request,
        start_response: StartResponse,
        home: str,
        cookies: list[str],
    ) -> Iterable[bytes]:
        """Failures take the same road home as successes."""
        log.warning("%s: %s", error.code, error.message)
        if self._hands_failures_over:
            return self._hand_over(request.environ, start_response, home, cookies, error=error)
        return self._go_home(
            self._site.failed(error, request), request, start_response, home, cookies
        )

    def _go_home(
        self,
        result: Result,
        request: Request,
        start_response: StartResponse,
        home: str,
        cookies: list[str],
    ) -> Iterable[bytes]:
        if isinstance(result, Response):
            return result(request.environ, adding(start_response, cookies))
        return redirect(start_response, with_fields(home, result or {}), cookies)

    def _hand_over(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        home: str,
        cookies: list[str],
        **found: object,
    ) -> Iterable[bytes]:
        """Let the wrapped application answer.

        The query goes: a code or a verifier is nothing for its logs.
        """
        forget_query(environ)
        environ.update({f"scconnect.{name}": value for name, value in found.items()})
        environ["scconnect.close_url"] = partial(with_fields, home)
        return self._app(environ, adding(start_response, cookies))

    def _close_page(self, root: str) -> str:
        """Where a flow ends whose link names no other place:

        a path, so that it cannot leave the origin.
        """
        return f"{urlsplit(root).path}{self._assets_path}/close.html"

    def _question(
        self, environ: WSGIEnvironment, start_response: StartResponse, verdict: Verdict
    ) -> Iterable[bytes]:
        if verdict is Verdict.FORBID:
            message = (
                "A connection begins with a click on a page of this site, in a window of its own."
            )
            return self._show(environ, start_response, "403 Forbidden", "Not from here", message)
        message = "Another site brought you here. If you want to connect your account with this site, continue."
        return self._show(
            environ, start_response, "200 OK", "Connect your account?", message, button="Continue"
        )

    def _show(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        status: str,
        title: str,
        message: str,
        **more: Any,
    ) -> Iterable[bytes]:
        prefix = self._site.prefix(environ)
        body = page(
            start_response, status, title, message, prefix + self._assets_path, prefix + "/", **more
        )
        return [] if environ["REQUEST_METHOD"] == "HEAD" else body
