"""What the wrapped application knows of the user: ``REMOTE_USER``, the account, and the API.

It also sees that no cache gives one user's page to another. An application of 2008 does not know
that its pages depend on a cookie, so what RFC 9111 section 3.5 says of a request with
``Authorization`` holds here too: no shared cache keeps the answer unless the application has said
that it may.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from scconnect_wsgi.errors import StorageFailed
from scconnect_wsgi.login._answers import answer, failure
from scconnect_wsgi.login._sessions import Sessions, Visitor
from scconnect_wsgi.middleware import changing_headers

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from scconnect_wsgi.login._session import Session
    from scconnect_wsgi.middleware import Pages

log: logging.Logger = logging.getLogger("scconnect_wsgi")

SESSION = "scconnect.login"  # in the environ: the Session of the user who is logged in
DISCONNECTED = "scconnect.disconnected"  # in the environ: the id that this request has ended
# Not must-revalidate, which RFC 9111 counts too: Trac says that of the pages of each user
_FOR_SHARED_CACHES = ("public", "s-maxage")
_FOR_NONE = ("private", "no-store")
_ABOUT_THE_USER = {"REMOTE_USER", "HTTP_REMOTE_USER", "AUTH_TYPE", "HTTP_AUTH_TYPE"}
_LENGTHS = {len(name) for name in _ABOUT_THE_USER}
_OUR_KEYS = (SESSION, DISCONNECTED, "scconnect.account", "scconnect.session")


def forget_users(environ: WSGIEnvironment) -> None:
    """Remove whatever a client or an outer server says about who the user is.

    That is ``REMOTE_USER`` and the header of that name, in each spelling in which a server may pass
    it on: applications cannot tell who has put it there.
    """
    # Most names have another length, so nothing else is done for them
    for name in [name for name in environ if len(name) in _LENGTHS]:
        if name.upper().replace("-", "_") in _ABOUT_THE_USER:
            del environ[name]
    for name in _OUR_KEYS:
        environ.pop(name, None)


class SignedIn:
    """A WSGI application around another one, which it tells who is logged in.

    ``api_session(session)`` returns an ApiSession. ``root_path(environ)`` returns the path of the
    site's first page, without the slash at its end.
    """

    def __init__(
        self,
        app: WSGIApplication,
        sessions: Sessions,
        api_session: Callable[[Session], object],
        root_path: Callable[[WSGIEnvironment], str],
        pages: Pages,
    ) -> None:
        self._app = app
        self._sessions = sessions
        self._api_session = api_session
        self._root_path = root_path
        self._pages = pages

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        try:
            visitor = self._sessions.check(environ)
        except StorageFailed as error:
            return self._unavailable(error, environ)(environ, start_response)
        session = visitor.session
        if session is None and not visitor.cookie:
            return self._app(environ, start_response)
        if session is not None:
            environ[SESSION] = session
            environ["REMOTE_USER"] = session.user
            environ["scconnect.account"] = session.account
            environ["scconnect.session"] = partial(self._api_session, session)
        return self._app(environ, self._with_cookie(visitor, environ, start_response))

    def _with_cookie(
        self, visitor: Visitor, environ: WSGIEnvironment, start_response: StartResponse
    ) -> StartResponse:
        """Return a ``start_response`` that keeps the response private, and sets the cookie."""

        def add(_status: str, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
            cookie = visitor.cookie
            if visitor.session is not None and environ.get(DISCONNECTED) == visitor.session.id:
                cookie = self._sessions.removal(environ)
            return with_privacy(headers, cookie)

        return changing_headers(start_response, add)

    def _unavailable(self, error: StorageFailed, environ: WSGIEnvironment) -> WSGIApplication:
        log.error(
            "Whether a user is still logged in is not known: %s (error_id %s) See %s",
            error.message,
            error.error_id,
            error.documentation,
        )
        page = failure(
            error,
            "503 Service Unavailable",
            "Please try again",
            "The site cannot look up who you are at the moment. You are still logged in. Try again "
            "in a few seconds.",
        )
        return answer(environ, page, self._root_path(environ), self._pages)


def with_privacy(headers: list[tuple[str, str]], cookie: str) -> list[tuple[str, str]]:
    """Return the headers of a response to one user, which no other user may get.

    ``cookie`` is a Set-Cookie value, or empty. A response that the application has meant for shared
    caches stays as it is: it is the same for everybody, and must not carry a cookie. The next
    response will.
    """
    control = ",".join(value for name, value in headers if name.lower() == "cache-control").lower()
    if any(word in control for word in _FOR_SHARED_CACHES) and "private" not in control:
        return headers
    added = []
    if not any(word in control for word in _FOR_NONE):
        added.append(("Cache-Control", "private"))
    if cookie:
        added += [("Vary", "Cookie"), ("Set-Cookie", cookie)]
    return [*headers, *added]
