"""Sessions of the sandbox's pages: a cookie, a CSRF token, and who is logged in."""

from __future__ import annotations

import hmac

import webob

from scconnect_wsgi.sandbox._records import Session
from scconnect_wsgi.sandbox._state import State
from scconnect_wsgi.sandbox._templates import field_of

COOKIE = "sandbox_session"


class Sessions:
    """The sessions of all browsers."""

    def __init__(self, state: State) -> None:
        self._state = state

    def of(self, request: webob.Request) -> Session:
        """Return the session of a request, a new one if it has none."""
        session = self._state.sessions.get(request.cookies.get(COOKIE, ""))
        return session or self._begin(None)

    def log_in(self, session: Session, username: str) -> Session:
        """Replace a session by one of that user.

        The new one has another id, since somebody else may have planted the old one.
        """
        self.end(session)
        return self._begin(username)

    def end(self, session: Session) -> None:
        """End a session."""
        self._state.sessions.pop(session.id, None)

    def _begin(self, username: str | None) -> Session:
        session = Session(username)
        return self._state.remember(self._state.sessions, session.id, session)


def has_csrf_token(request: webob.Request, session: Session) -> bool:
    """Return whether a form was sent from a page that we showed in this session."""
    return hmac.compare_digest(session.csrf.encode(), field_of(request, "csrf").encode())


def with_cookie(response: webob.Response, session: Session) -> webob.Response:
    """Set the cookie of a session on a response, and return the response."""
    response.set_cookie(COOKIE, session.id, path="/", httponly=True, samesite="Lax")
    return response
