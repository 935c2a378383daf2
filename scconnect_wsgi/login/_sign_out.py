"""The end of this browser's session.

    POST /sc-connect/sign-out   303 to the first page, 204 for a script
    GET  /sc-connect/sign-out   a page with a button that does so

Only a page of the site itself may end a session. Nothing else does: an image of another site could
otherwise log everybody out who sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from webob import Request

from scconnect_wsgi.errors import StartRefused
from scconnect_wsgi.login._answers import answer, is_script
from scconnect_wsgi.login._sessions import Sessions
from scconnect_wsgi.middleware import (
    FixedResponse,
    Message,
    Notice,
    Pages,
    SiteHooks,
    is_from_own_site,
    redirect,
)
from scconnect_wsgi.urls import origin

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class SignOut:
    """The WSGI application at the address for signing out."""

    def __init__(
        self,
        sessions: Sessions,
        hooks: SiteHooks,
        root_path: Callable[[WSGIEnvironment], str],
        pages: Pages,
    ) -> None:
        self._sessions = sessions
        self._hooks = hooks
        self._root_path = root_path
        self._pages = pages

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        try:
            response = self._answer(environ)
        except Notice as notice:
            notice.log()
            response = answer(environ, notice, self._root_path(environ), self._pages)
        return response(environ, start_response)

    def _answer(self, environ: WSGIEnvironment) -> WSGIApplication:
        """Return the response to a request, or raise a Notice."""
        method = environ["REQUEST_METHOD"]
        if method in ("GET", "HEAD"):
            raise Notice("200 OK", "Sign out?", "You can log in again later.", button="Sign out")
        if method != "POST":
            raise Notice(
                "405 Method Not Allowed",
                "Not allowed",
                Message(
                    "Nothing was changed.",
                    "For the developer of the page: this address accepts only POST, and GET for a "
                    "page with a button.",
                ),
                headers=[("Allow", "GET, HEAD, POST")],
            )
        self._check_sender(environ)
        cookie = self._sessions.end(environ)
        if is_script(environ):
            headers = [("Cache-Control", "no-store"), ("Set-Cookie", cookie)]
            return FixedResponse("204 No Content", headers, b"")
        return redirect(f"{self._root_path(environ)}/", [cookie])

    def _check_sender(self, environ: WSGIEnvironment) -> None:
        """Raise a Notice unless a page of this site has sent the request."""
        try:
            own_origin = origin(self._hooks.root(Request(environ)))
        except StartRefused as error:
            raise Notice(
                "403 Forbidden",
                "Not from here",
                Message("Nothing was changed.", error.message),
            ) from None
        is_typed = environ.get("HTTP_SEC_FETCH_SITE") == "none"  # no address is typed with POST
        if is_typed or not is_from_own_site(environ, own_origin):
            raise Notice(
                "403 Forbidden",
                "Not from here",
                Message(
                    "Only a page of {site} may sign you out.",
                    "For the developer: a page with the Referrer-Policy no-referrer cannot say "
                    "where it is; same-origin is enough.",
                    {"site": own_origin},
                ),
            )
