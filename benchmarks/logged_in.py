"""Section 5: what a request of a user costs who has logged in through ``Connections.login``.

The signed cookie of each request is read, and the wrapped application told who the user is. Judged
is the time over that of the bare application. repoze.who does the same for any WSGI application,
and Flask reads its own signed session.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from flask import Flask
from measure import Row, interleaved, main, nanoseconds, nothing
from repoze.who.middleware import PluggableAuthenticationMiddleware
from repoze.who.plugins.auth_tkt import AuthTktCookiePlugin
from wsgi import KEY, ROOT, bare, request

from scconnect_wsgi import OAuth2
from scconnect_wsgi.account import Account
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.login import Session, SessionCookie
from scconnect_wsgi.stores import MemoryStore

USER = "soundcloud:users:743372812"


def cookie_pair(set_cookie: str) -> str:
    """What a browser sends back for a Set-Cookie value."""
    return set_cookie.partition(";")[0]


def ours() -> tuple[Callable, str]:
    """Our login around the bare application, and the cookie of a user."""
    flow = OAuth2("client", "secret")
    app = Connections(flow, MemoryStore()).login(bare, secret_key=KEY, base_url=ROOT)
    account = Account(
        urn=USER,
        username="joe",
        name="Joe Bloggs",
        avatar_url="https://i1.sndcdn.com/avatars-000123456789-abcdef-large.jpg",
        permalink_url="https://soundcloud.com/joe",
    )
    session = Session(
        id="0123456789abcdef0123456789abcdef",
        user=USER,
        login_key="0123456789abcdef",
        account=account,
        stamp=int(time.time() * 1000),
    )
    codec = SessionCookie([KEY.encode()], flow.audience, 1_209_600, None)
    return app, cookie_pair(codec.set(session.begun(), secure=True))


def repoze_who() -> tuple[Callable, str]:
    """repoze.who with its signed cookie, as its documentation configures it."""
    tickets = AuthTktCookiePlugin(KEY, digest_algo="sha256")
    app = PluggableAuthenticationMiddleware(
        bare,
        identifiers=[("tickets", tickets)],
        authenticators=[("tickets", tickets)],
        challengers=[],
        mdproviders=[],
        classifier=lambda environ: "browser",
        challenge_decider=lambda environ, status, headers: False,
    )
    headers = tickets.remember(request("/"), {"repoze.who.userid": USER})
    return app, cookie_pair(headers[0][1])


def flask_session() -> tuple[Callable, str]:
    """What Flask does to read its session, around the bare application."""
    site = Flask(__name__)
    site.secret_key = KEY
    sessions = site.session_interface
    signed = sessions.get_signing_serializer(site).dumps({"_user_id": USER, "_fresh": True})

    def app(environ: dict, start_response: Callable) -> Iterable[bytes]:
        session = sessions.open_session(site, site.request_class(environ))
        environ["REMOTE_USER"] = session["_user_id"]
        return bare(environ, start_response)

    return app, f"session={signed}"


def passed_through() -> tuple[Callable, str]:
    """The bare application."""
    return bare, ""


def variant(make: Callable[[], tuple[Callable, str]], count: int) -> Callable[[], float]:
    """A variant: the time of a user's request. Each round has a new cookie, since ours is only good
    for a minute without a look into the store.
    """

    def run() -> float:
        app, cookie = make()
        environ = request("/account", HTTP_COOKIE=cookie)
        seen = dict(environ)
        app(seen, nothing)
        assert make is passed_through or seen["REMOTE_USER"] == USER

        def with_a_new_environ(environ: dict, start_response: Callable) -> Iterable[bytes]:
            """repoze.who does nothing in an environ that it has seen before."""
            return app(dict(environ), start_response)

        return nanoseconds(with_a_new_environ, environ, count)()

    return run


def rows(quick: bool) -> list[Row]:
    count, rounds = (100, 1) if quick else (2_000, 30)
    makers = {
        "bare": passed_through,
        "ours": ours,
        "repoze.who": repoze_who,
        "Flask": flask_session,
    }
    found = interleaved({name: variant(make, count) for name, make in makers.items()}, rounds)
    over = {name: (each - found["bare"]) / 1000 for name, each in found.items()}
    what = "a request of a user who is logged in"
    return [
        Row(what, over["ours"], "repoze.who", over["repoze.who"], 0.5, "us"),
        Row(what, over["ours"], "Flask's session", over["Flask"], 0.75, "us"),
    ]


if __name__ == "__main__":
    main(rows)
