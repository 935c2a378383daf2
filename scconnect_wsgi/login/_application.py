"""The application that ``Connections.login`` returns.

/sc-connect/sign-out            end this browser's session
/sc-connect/connections.json    the user's connection, for the page's script
/sc-connect/disconnect          end it
/oauth/access_token             SCConnect finishes a flow; the response logs the user in
/oauth/request_token, files     SCConnect
everything else                 SCConnect -> SignedIn -> Gate -> the wrapped application
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from webob import Request

from scconnect_wsgi.errors import ConfigurationError, StartRefused
from scconnect_wsgi.login._require import Gate, Require
from scconnect_wsgi.login._session import Session, SessionCookie, from_note
from scconnect_wsgi.login._sessions import Logins, Sessions
from scconnect_wsgi.login._sign_out import SignOut
from scconnect_wsgi.login._signed_in import SignedIn, forget_users, with_privacy
from scconnect_wsgi.middleware import NOTE, Pages, SCConnect, SiteHooks, changing_headers
from scconnect_wsgi.urls import origin

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SIGN_OUT = "/sign-out"


@dataclass(frozen=True)
class LoginParts:
    """What a LoginApplication is made of.

    ``sc_connect(app)`` puts an application inside SCConnect; ``page_endpoint(app)`` puts one inside
    the addresses for the page's script, which are ``page_paths``.
    """

    connections: object
    logins: Logins
    cookie: SessionCookie
    hooks: SiteHooks
    api_session: Callable[[Session], object]
    sc_connect: Callable[[WSGIApplication], SCConnect]
    page_endpoint: Callable[[WSGIApplication], WSGIApplication]
    page_paths: Iterable[str]
    start_path: str
    callback_path: str
    assets_path: str
    pages: Pages


class LoginApplication:
    """A site's application, whose users log in with their account.

    ``connections`` are in the environ of each request as ``scconnect.connections``; ``sc_connect``
    is the SCConnect inside. Raises ConfigurationError for values that cannot work.
    """

    def __init__(
        self, app: WSGIApplication, parts: LoginParts, *, require: Require, max_age: int
    ) -> None:
        if not callable(app):
            raise ConfigurationError("app", "must be a WSGI application.")
        if not isinstance(require, bool) and not callable(require):
            raise ConfigurationError(
                "require", "must be True, False or a callable that takes a request's environ."
            )
        self.connections: object = parts.connections
        self._hooks = parts.hooks
        self._sessions = Sessions(parts.cookie, parts.logins, parts.hooks, max_age)
        if require:
            app = Gate(
                app,
                require,
                self._root_path,
                self._own_origin,
                parts.start_path,
                parts.pages,
            )
        inside = self._signed_in(app, parts)
        self.sc_connect: SCConnect = parts.sc_connect(inside)
        page_endpoint = self._signed_in(parts.page_endpoint(inside), parts)
        sign_out = SignOut(self._sessions, parts.hooks, self._root_path, parts.pages)
        self._routes: dict[str, WSGIApplication] = {
            parts.assets_path + SIGN_OUT: sign_out,
            parts.callback_path: self._finish,
            **dict.fromkeys(parts.page_paths, page_endpoint),
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        forget_users(environ)
        environ.pop(NOTE, None)
        environ["scconnect.connections"] = self.connections
        app = self._routes.get(environ.get("PATH_INFO", ""), self.sc_connect)
        return app(environ, start_response)

    def _finish(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer the callback of a flow. If it has stored a token, its user is logged in."""

        def log_in(_status: str, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
            note = environ.get(NOTE, "")
            cookie = self._sessions.begin(from_note(note), environ) if note else ""
            return with_privacy(headers, cookie) if cookie else headers

        return self.sc_connect(environ, changing_headers(start_response, log_in))

    def _root_path(self, environ: WSGIEnvironment) -> str:
        """Return the path of the site's first page, without the slash at its end."""
        try:
            return urlsplit(self._hooks.root(Request(environ))).path
        except StartRefused:  # where the site is is not known, but a page must be shown
            return self._hooks.root_path(environ)

    def _own_origin(self, environ: WSGIEnvironment) -> str:
        """Return the origin of the site, or an empty string if that is not known."""
        try:
            return origin(self._hooks.root(Request(environ)))
        except StartRefused:
            return ""

    def _signed_in(self, app: WSGIApplication, parts: LoginParts) -> SignedIn:
        return SignedIn(app, self._sessions, parts.api_session, self._root_path, parts.pages)
