"""The authorization endpoints: the user logs in if necessary, and allows or denies access."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

import webob

from scconnect_wsgi.sandbox._oauth1 import OAuth1Server
from scconnect_wsgi.sandbox._oauth2 import OAuth2Server, RefusedError
from scconnect_wsgi.sandbox._pages import Accounts
from scconnect_wsgi.sandbox._sessions import Sessions, has_csrf_token, with_cookie
from scconnect_wsgi.sandbox._templates import message, page, redirect


class Decision(NamedTuple):
    """Who decided, and how."""

    username: str
    allowed: bool


class Consent:
    """The authorization endpoints of both protocols."""

    def __init__(
        self, accounts: Accounts, sessions: Sessions, oauth1: OAuth1Server, oauth2: OAuth2Server
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._oauth1 = oauth1
        self._oauth2 = oauth2

    def authorize2(self, request: webob.Request) -> webob.Response:
        """Answer an authorization request of OAuth 2.1 (RFC 6749 section 4.1.1)."""
        try:
            callback = self._oauth2.check_request(request.url)
            decision = self._decide(request, callback)
            if isinstance(decision, webob.Response):
                return decision
            if decision.allowed:
                return redirect(self._oauth2.allow(request.url, decision.username))
            return redirect(self._oauth2.deny(request.url))
        except RefusedError as refusal:
            if refusal.location is not None:
                return redirect(refusal.location)
            return _cannot_answer(
                request,
                f"{refusal} Check the client id and the redirect URI, which must be registered, "
                "byte for byte.",
            )

    def authorize1(self, request: webob.Request) -> webob.Response:
        """Answer a resource owner authorization of OAuth 1.0a (RFC 5849 section 2.2)."""
        token = request.GET.get("oauth_token", "")
        location = None
        found = self._oauth1.find(token)
        if found is not None:
            decision = self._decide(request, found.callback)
            if isinstance(decision, webob.Response):
                return decision
            if decision.allowed:
                location = self._oauth1.allow(request.url, token, decision.username)
            else:
                location = self._oauth1.deny(token)
        if location is not None:
            return redirect(location)
        return _cannot_answer(
            request,
            "The request token is unknown, too old, or was used already. Go back and start again.",
        )

    def _decide(self, request: webob.Request, callback: str) -> Decision | webob.Response:
        """Return the user's decision, or the page that the user needs before it."""
        session = self._sessions.of(request)
        if session.username is None:
            return self._accounts.login_form(session, after=request.path_qs).show(request)
        choice = request.POST.get("decision") if request.method == "POST" else None
        if choice in ("allow", "deny") and has_csrf_token(request, session):
            return Decision(session.username, choice == "allow")
        response = page(
            request,
            "consent",
            "Allow access?",
            400 if request.method == "POST" else 200,
            site=urlsplit(callback).netloc,
            username=session.username,
            action=request.path_qs,
            csrf=session.csrf,
        )
        return with_cookie(response, session)


def _cannot_answer(request: webob.Request, text: str) -> webob.Response:
    return message(request, 400, "This request cannot be answered", text)
