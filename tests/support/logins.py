"""A site whose users log in through ``Connections.login``, on a real socket."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from wsgiref.validate import validator

from scconnect_wsgi.login import SessionCookie
from scconnect_wsgi.sandbox import serve
from support.browser import ARRIVAL
from support.canary import met
from support.responses import landed
from support.site import KEY, Mounted

HERE = {"Sec-Fetch-Site": "same-origin"}
FORM = {**HERE, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
SCRIPT = {**HERE, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
OTHER_KEY = "another secret key, which is long enough as well"
NAMES = ("REMOTE_USER", "HTTP_REMOTE_USER", "HTTP_REMOTE-USER", "AUTH_TYPE", "HTTP_AUTH_TYPE")


def facts(environ, start_response):
    """Be the wrapped application, which says what it knows of its user.

    With ``me`` as the query it asks the API.
    """
    told = {name: environ[name] for name in NAMES if name in environ}
    if "scconnect.account" in environ:
        told["username"] = environ["scconnect.account"].username
    if environ["QUERY_STRING"] == "me":
        with environ["scconnect.session"]() as session:
            told["me"] = session.me().username
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]


@contextmanager
def running_login(connections, app=facts, *, prefix="", around=None, **options):
    """Run a site; every response passes wsgiref's validator.

    ``around`` wraps the whole, as a proxy or an outer server does.
    """
    options.setdefault("secret_key", KEY)
    whole = validator(connections.login(app, **options))
    whole = Mounted(whole, prefix) if prefix else whole
    with serve(around(whole) if around else whole) as server:
        url = server.url.replace("127.0.0.1", "localhost") + prefix
        path = options.get("request_token_path", "/oauth/request_token")
        yield SimpleNamespace(url=url, start=url + path)


def log_in(browser, site, user="joe"):
    """Press the button, and return the fields that the page gets."""
    return landed(browser.get(browser.decide(browser.click(site), user=user), **ARRIVAL))


def user_at(browser, site, **headers):
    """Return what the application says of its user."""
    answer = browser.get(f"{site.url}/page", **headers)
    assert answer.status_code == 200, (answer.status_code, answer.text)
    return answer.json()


def is_login(name):
    return "scconnect-login-" in name


def login_cookies(browser):
    return [cookie for cookie in browser.session.cookies if is_login(cookie.name)]


def value_of(browser):
    """Return the value of the one login cookie of a browser."""
    (cookie,) = login_cookies(browser)
    return cookie.value


def plant(browser, value):
    """Put a value into a browser's login cookie, or a new one if it is None."""
    (cookie,) = login_cookies(browser)
    cookie.value = value


def codec(flow, *keys, encryption=None):
    """Return what signs the cookies of a site with these keys."""
    return SessionCookie(
        [key.encode() for key in keys or (KEY,)], flow.audience, 1_209_600, encryption
    )


def changed(flow, value, seconds=0, **fields):
    """Return the value of a login cookie whose stamp is so much older, as time would make it."""
    session = codec(flow)._decode(value)
    session = replace(session, stamp=session.stamp - int(seconds * 1000), **fields)
    return codec(flow)._encode(session)


def let_time_pass(browser, flow, seconds):
    """Make the login cookie of a browser so many seconds older."""
    plant(browser, changed(flow, value_of(browser), seconds))
    met(value_of(browser))
