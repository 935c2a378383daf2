"""What people see: log in, sign up, allow or deny. Plain forms, no script, everything escaped."""

from __future__ import annotations

import hmac
import html
import secrets
from urllib.parse import urlsplit

import webob

from scconnect_wsgi.sandbox.misbehave import MISBEHAVIOURS, Habits, bend, with_issuer
from scconnect_wsgi.sandbox.oauth1 import OAuth1Server
from scconnect_wsgi.sandbox.oauth2 import OAuth2Server, RefusedError
from scconnect_wsgi.sandbox.state import Session, State
from scconnect_wsgi.sandbox.templates import STYLE, Markup, message, mount_of, page

COOKIE = "sandbox_session"
LONGEST_NAME = 64  # characters of a username


class Pages:
    """The pages, and the steps between them."""

    def __init__(self, state: State, oauth1: OAuth1Server, oauth2: OAuth2Server) -> None:
        self._state = state
        self._oauth1 = oauth1
        self._oauth2 = oauth2

    def home(self, request: webob.Request, habits: Habits) -> webob.Response:
        """What this is."""
        rows = "".join(
            f"<dt><code>{html.escape(name)}</code></dt><dd>{html.escape(text)}</dd>"
            for name, (_, text) in MISBEHAVIOURS.items()
        )
        return _finish(
            page(request, "home", "SoundCloud sandbox", misbehaviours=Markup(rows)), habits
        )

    def style(self, request: webob.Request, habits: Habits) -> webob.Response:
        """The style sheet."""
        return webob.Response(
            STYLE, content_type="text/css", charset="utf-8", cache_control="max-age=60"
        )

    def authorize2(self, request: webob.Request, habits: Habits) -> webob.Response:
        """OAuth 2.1: allow or deny (RFC 6749 section 4.1.1)."""
        try:
            back = self._oauth2.ask(request.url)
            answer = self._decision(request, back, habits)
            if isinstance(answer, webob.Response):
                return answer
            username, allowed = answer
            location = (
                self._oauth2.allow(request.url, username)
                if allowed
                else self._oauth2.deny(request.url)
            )
        except RefusedError as refusal:
            if refusal.location is None:
                return _finish(
                    message(request, 400, "This request cannot be answered", _why(refusal)), habits
                )
            location = refusal.location
        return _leave(with_issuer(bend(location, habits), habits))

    def authorize1(self, request: webob.Request, habits: Habits) -> webob.Response:
        """OAuth 1.0a: allow or deny (RFC 5849 section 2.2)."""
        token = request.GET.get("oauth_token", "")
        found = self._oauth1.find(token)
        location: str | None = None
        if found is not None:
            answer = self._decision(request, found.callback, habits)
            if isinstance(answer, webob.Response):
                return answer
            username, allowed = answer
            location = (
                self._oauth1.allow(request.url, token, username)
                if allowed
                else self._oauth1.deny(token, habits)
            )
        if location is None:
            text = "The request token is unknown, too old, or was used already. Go back and start again."
            return _finish(message(request, 400, "This request cannot be answered", text), habits)
        return _leave(bend(location, habits))

    def _decision(
        self, request: webob.Request, back: str, habits: Habits
    ) -> tuple[str, bool] | webob.Response:
        """Who decided what; or the page that comes before it."""
        session_id, session = self._session(request)
        if session.username is None:
            return self._form(request, habits, "login", session_id, session, _here(request))
        choice = request.POST.get("decision") if request.method == "POST" else None
        if choice in ("allow", "deny") and _same(request, session):
            return session.username, choice == "allow"
        response = page(
            request,
            "consent",
            "Allow access?",
            400 if request.method == "POST" else 200,
            site=urlsplit(back).netloc,
            username=session.username,
            action=_here(request),
            csrf=session.csrf,
        )
        return _finish(response, habits, session_id)

    def login(self, request: webob.Request, habits: Habits) -> webob.Response:
        """Log in."""
        session_id, session = self._session(request)
        after = _local(request, _field(request, "next"))
        if request.method != "POST":
            return self._form(request, habits, "login", session_id, session, after)
        username, password = _credentials(request)
        user = self._state.users.get(username)
        if not _same(request, session):
            return self._form(
                request, habits, "login", session_id, session, after, username, "Please try again."
            )
        if user is None or not hmac.compare_digest(user.password.encode(), password.encode()):
            problem = "This username and password do not belong together."
            return self._form(
                request, habits, "login", session_id, session, after, username, problem
            )
        return self._enter(session_id, username, after)

    def signup(self, request: webob.Request, habits: Habits) -> webob.Response:
        """Make an account."""
        session_id, session = self._session(request)
        after = _local(request, _field(request, "next"))
        if request.method != "POST":
            return self._form(request, habits, "signup", session_id, session, after)
        username, password = _credentials(request)
        problem = (
            "Please try again."
            if not _same(request, session)
            else _name_problem(username, password)
        )
        if not problem and self._state.sign_up(username, password) is None:
            problem = "This username is taken."
        if problem:
            return self._form(
                request, habits, "signup", session_id, session, after, username, problem
            )
        return self._enter(session_id, username, after)

    def logout(self, request: webob.Request, habits: Habits) -> webob.Response:
        """Forget who this is."""
        session_id, session = self._session(request)
        if _same(request, session):
            self._state.sessions.pop(session_id, None)
        return _leave(_local(request, _field(request, "next")))

    def _session(self, request: webob.Request) -> tuple[str, Session]:
        session_id = request.cookies.get(COOKIE, "")
        session = self._state.sessions.get(session_id)
        if session is None:
            session_id = secrets.token_urlsafe(32)
            session = self._state.remember(self._state.sessions, session_id, Session())
        return session_id, session

    def _enter(self, session_id: str, username: str, after: str) -> webob.Response:
        self._state.sessions.pop(
            session_id, None
        )  # a new id: the old one may be known to somebody else
        session_id = secrets.token_urlsafe(32)
        self._state.remember(self._state.sessions, session_id, Session(username=username))
        return _with_cookie(_leave(after), session_id)

    def _form(
        self,
        request: webob.Request,
        habits: Habits,
        name: str,
        session_id: str,
        session: Session,
        after: str,
        username: str = "",
        problem: str = "",
    ) -> webob.Response:
        title = "Log in" if name == "login" else "Create an account"
        text = (
            Markup(f'<p class="problem" id="problem" role="alert">{html.escape(problem)}</p>')
            if problem
            else ""
        )
        values = {"csrf": session.csrf, "after": after, "username": username, "problem": text}
        return _finish(
            page(request, name, title, 400 if problem else 200, **values), habits, session_id
        )


def _credentials(request: webob.Request) -> tuple[str, str]:
    return _field(request, "username"), _field(request, "password")


def _field(request: webob.Request, name: str) -> str:
    """A field of the form or the query; an uploaded file is not one."""
    value = request.params.get(name, "")
    return value if isinstance(value, str) else ""


def _name_problem(username: str, password: str) -> str:
    if not username.strip() or len(username) > LONGEST_NAME or not username.isprintable():
        return f"A username has 1 to {LONGEST_NAME} characters."
    return "" if password else "Please choose a password."


def _same(request: webob.Request, session: Session) -> bool:
    """Whether a form came from a page of ours in this session."""
    return hmac.compare_digest(session.csrf.encode(), _field(request, "csrf").encode())


def _here(request: webob.Request) -> str:
    return str(request.path_qs)


def _local(request: webob.Request, path: str) -> str:
    """``path`` if it is one below this application, else its home."""
    home = f"{mount_of(request)}/"
    plain = path.isascii() and path.isprintable() and "\\" not in path and not path.startswith("//")
    return path if plain and path.startswith(home) else home


def _why(refusal: RefusedError) -> str:
    return (
        f"{refusal} Check the client id and the redirect URI: it must be registered, to the byte."
    )


def _leave(location: str) -> webob.Response:
    response = webob.Response(status=303, cache_control="no-store")
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Location"] = location  # as it is: WebOb would join a relative one anyway
    return response


def _with_cookie(response: webob.Response, session_id: str) -> webob.Response:
    response.set_cookie(COOKIE, session_id, path="/", httponly=True, samesite="Lax")
    return response


def _finish(
    response: webob.Response, habits: Habits, session_id: str | None = None
) -> webob.Response:
    if "coop" in habits:
        response.headers["Cross-Origin-Opener-Policy"] = habits["coop"]
    return _with_cookie(response, session_id) if session_id else response
