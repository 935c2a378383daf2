"""The home page, and the pages for logging in, signing up and logging out, without scripts."""

from __future__ import annotations

import hmac
import html
from collections.abc import Sequence
from dataclasses import dataclass, replace

import webob

from scconnect_wsgi.sandbox._records import STARTING_USERS, Session
from scconnect_wsgi.sandbox._sessions import Sessions, has_csrf_token, with_cookie
from scconnect_wsgi.sandbox._state import State
from scconnect_wsgi.sandbox._templates import STYLE, Markup, field_of, mount_of, page, redirect
from scconnect_wsgi.sandbox.faults import FAULTS

LONGEST_NAME = 64  # characters of a username
MOST_PEOPLE = 8  # whom the login page offers to log in with one click


def home(request: webob.Request) -> webob.Response:
    """Show what the sandbox is, and the faults it can have."""
    rows = "".join(
        f"<dt><code>{html.escape(name)}</code></dt><dd>{html.escape(fault.description)}</dd>"
        for name, fault in FAULTS.items()
    )
    return page(request, "home", "Addresses and faults", faults=Markup(rows))


def style(request: webob.Request) -> webob.Response:
    """Answer with the style sheet."""
    return webob.Response(
        STYLE, content_type="text/css", charset="utf-8", cache_control="max-age=60"
    )


@dataclass(frozen=True)
class AccountForm:
    """A form for a username and a password.

    ``name`` is "login" or "signup", ``after`` the path that follows, ``problem`` what was wrong
    with what the user sent. ``people`` are the users who can log in with one click.
    """

    name: str
    session: Session
    after: str
    username: str = ""
    problem: str = ""
    people: Sequence[str] = ()

    def show(self, request: webob.Request) -> webob.Response:
        """Answer with the page of the form."""
        problem = ""
        if self.problem:
            text = html.escape(self.problem)
            problem = Markup(f'<p class="problem" id="problem" role="alert">{text}</p>')
        response = page(
            request,
            self.name,
            "Log in" if self.name == "login" else "Create an account",
            400 if self.problem else 200,
            csrf=self.session.csrf,
            after=self.after,
            username=self.username,
            problem=problem,
            people=Markup("".join(_one_click(username) for username in self.people)),
        )
        return with_cookie(response, self.session)


class Accounts:
    """The pages for logging in, signing up and logging out."""

    def __init__(self, state: State, sessions: Sessions) -> None:
        self._state = state
        self._sessions = sessions

    def login(self, request: webob.Request) -> webob.Response:
        """Show the login form, or log the user in with it."""
        session = self._sessions.of(request)
        form = self.login_form(session, _local(request, field_of(request, "next")))
        if request.method != "POST":
            return form.show(request)
        username = field_of(request, "username")
        chosen = field_of(request, "as")
        if not has_csrf_token(request, session):
            problem = "Please try again."
        elif chosen in self._state.users:
            return self._log_in(session, chosen, form.after)
        elif not self._is_password(username, field_of(request, "password")):
            problem = "Wrong username or password."
        else:
            return self._log_in(session, username, form.after)
        return replace(form, username=username, problem=problem).show(request)

    def login_form(self, session: Session, after: str) -> AccountForm:
        """Return the login form, with a button for each user: the first ones, and the newest."""
        users = list(self._state.users)
        if len(users) > MOST_PEOPLE:
            first = len(STARTING_USERS)
            users = users[:first] + users[first - MOST_PEOPLE :]
        return AccountForm("login", session, after, people=users)

    def signup(self, request: webob.Request) -> webob.Response:
        """Show the signup form, or create an account with it."""
        session = self._sessions.of(request)
        form = AccountForm("signup", session, _local(request, field_of(request, "next")))
        if request.method != "POST":
            return form.show(request)
        username = field_of(request, "username")
        problem = self._sign_up(request, session, username)
        if problem:
            return replace(form, username=username, problem=problem).show(request)
        return self._log_in(session, username, form.after)

    def logout(self, request: webob.Request) -> webob.Response:
        """End the session."""
        session = self._sessions.of(request)
        if has_csrf_token(request, session):
            self._sessions.end(session)
        return redirect(_local(request, field_of(request, "next")))

    def _log_in(self, session: Session, username: str, after: str) -> webob.Response:
        return with_cookie(redirect(after), self._sessions.log_in(session, username))

    def _is_password(self, username: str, password: str) -> bool:
        user = self._state.users.get(username)
        if user is None:
            return False
        return hmac.compare_digest(user.password.encode(), password.encode())

    def _sign_up(self, request: webob.Request, session: Session, username: str) -> str:
        """Create an account. Return what prevents it, or nothing."""
        password = field_of(request, "password")
        if not has_csrf_token(request, session):
            return "Please try again."
        if not username.strip() or len(username) > LONGEST_NAME or not username.isprintable():
            return f"A username has 1 to {LONGEST_NAME} characters."
        if not password:
            return "Please choose a password."
        if self._state.sign_up(username, password) is None:
            return "This username is taken."
        return ""


def _one_click(username: str) -> str:
    name = html.escape(username)
    return f'<button form="one-click" name="as" value="{name}">Log in as {name}</button>'


def _local(request: webob.Request, path: str) -> str:
    """Return ``path`` if it is below this application, else the path of the home page."""
    home = f"{mount_of(request)}/"
    plain = path.isascii() and path.isprintable() and "\\" not in path and not path.startswith("//")
    return path if plain and path.startswith(home) else home
