"""Providers have bad days. Each is a name, for the constructor or for a URL.

``Sandbox(misbehave=("slow=2", "html"))`` applies to every request; the path prefix
``/misbehave/slow=2/misbehave/html`` to the request below it. A prefix works like a mount (it moves
to SCRIPT_NAME), so signatures over the full URL still verify and ``root + "/misbehave/html"`` is a
root like any other. In a URL a value is percent-encoded twice where it holds a slash.

Everything that replaces or delays an answer concerns the endpoints that programs call (tokens and
API), never the pages that people see.
"""

from __future__ import annotations

import functools
import gzip
import json
import random
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote, unquote

import webob

Habits = dict[str, str]  # name -> value
PREFIX = "/misbehave/"
LONGEST_WAIT = 60.0  # seconds
HUGE = 64 * 1024 * 1024  # bytes
DRIP_KEY = "scconnect_sandbox.drip"  # environ: seconds a byte; our own server looks for it
LONG = 1500  # characters; the longest tokens that providers in service hand out

# name -> (value where none is given, what it does)
MISBEHAVIOURS: dict[str, tuple[str, str]] = {
    "slow": ("5", "waits this many seconds before it answers, at most 60"),
    "jitter": (
        "0.1",
        "waits at random, up to this many seconds, before it answers and before the answer leaves",
    ),
    "drip": (
        "0.1",
        "sends header and body byte by byte, this many seconds each, at most 60 in all",
    ),
    "down": ("", "closes the connection without an answer"),
    "status": ("500", "answers with this status and a JSON error"),
    "429": ("7", "too many requests; Retry-After is the value"),
    "html": ("", "an HTML page with status 200 in place of the answer"),
    "html403": ("", "an HTML page with status 403, as the network in front of a provider sends it"),
    "garbage": ("", "says it is JSON and is not"),
    "huge": ("", "a body of 64 MB"),
    "gzip-bomb": ("", "64 MB that came as 64 KB of gzip"),
    "redirect": ("", "307 to /elsewhere here, or on the host:port given"),
    "short": ("", "a body shorter than its Content-Length"),
    "error200": ("", "an error text with status 200"),
    "coop": ("same-origin", "its pages carry Cross-Origin-Opener-Policy with this value"),
    "revoked": ("", "refresh tokens and access tokens no longer work"),
    "unauthorized": ("", "the API answers 401 to every token; the token endpoint works"),
    "username": ("joe", "the API gives every account this display name"),
    "urn": ("", "the API gives every account this urn, empty unless given, and no id"),
    "refresh-lost": (
        "",
        "OAuth 2.1: uses a refresh token up and closes the connection without an answer",
    ),
    "unconfirmed": ("", "OAuth 1.0a: no oauth_callback_confirmed"),
    "Confirmed": ("", "OAuth 1.0a: oauth_callback_confirmed is spelled True"),
    "no-state": ("", "OAuth 2.1: comes back without the state"),
    "wrong-state": ("", "OAuth 2.1: comes back with another state"),
    "iss": ("https://issuer.invalid", "OAuth 2.1: comes back with this issuer"),
    "no-expiry": ("", "OAuth 2.1: no expires_in"),
    "scope-changed": ("changed", "OAuth 2.1: grants this scope, whatever was asked for"),
    "long-tokens": ("", f"tokens and secrets of {LONG} characters"),
    "wrong-token": ("", "OAuth 1.0a: comes back with another oauth_token"),
    "denied-problem": ("", "OAuth 1.0a: a refusal is spelled oauth_problem=user_refused"),
    "denied-error": ("", "OAuth 1.0a: a refusal is spelled error=access_denied"),
}
_NUMBERS: dict[str, Callable[[str], float]] = {
    "slow": float,
    "jitter": float,
    "drip": float,
    "status": int,
    "429": int,
}


def parse(words: Iterable[str]) -> Habits:
    """``NAME`` or ``NAME=VALUE`` each.

    Raises ValueError for a name that is not in MISBEHAVIOURS.
    """
    habits = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in MISBEHAVIOURS:
            raise ValueError(
                f"No misbehaviour is called {name!r}; there are {', '.join(MISBEHAVIOURS)}."
            )
        habits[name] = value or MISBEHAVIOURS[name][0]
        if (
            name in _NUMBERS and not _NUMBERS[name](habits[name]) >= 0
        ):  # raises ValueError where it is no number
            raise ValueError(f"The value of {name} must not be negative.")
        if not value.isascii() or not value.isprintable():  # it may become a header
            raise ValueError("A value must be printable ASCII.")
    if not 200 <= int(habits.get("status", "500")) <= 599:
        raise ValueError("A status lies between 200 and 599.")
    return habits


def take_prefixes(environ: dict[str, object]) -> Habits:
    """Move every ``/misbehave/NAME[=VALUE]`` at the front of PATH_INFO to SCRIPT_NAME.

    Raises ValueError.
    """
    words = []
    while str(environ["PATH_INFO"]).startswith(PREFIX):
        word, slash, rest = str(environ["PATH_INFO"])[len(PREFIX) :].partition("/")
        words.append(unquote(word))
        environ["SCRIPT_NAME"] = f"{environ.get('SCRIPT_NAME', '')}{PREFIX}{word}"
        environ["PATH_INFO"] = slash + rest
    return parse(words)


def long_token() -> str:
    """A token nobody expects to be so long."""
    return secrets.token_hex(LONG // 2)


def before(habits: Habits, request: webob.Request) -> webob.Response | None:
    """Delay a request, and answer in place of the endpoint where a habit says so."""
    if "slow" in habits:
        time.sleep(min(float(habits["slow"]), LONGEST_WAIT))
    _jitter(habits)
    if "drip" in habits:
        request.environ[DRIP_KEY] = float(habits["drip"])
    for name in ("down", "redirect", "status", "429", *_BODIES):
        if name in habits:
            return _instead(name, habits[name], request)
    return None


def after(habits: Habits, response: webob.Response) -> webob.Response:
    """Spoil an answer on its way out."""
    _jitter(habits)
    if "short" in habits:
        length = len(response.body)
        response.app_iter = [response.body[: length // 2]]
        response.content_length = length
    return response


def _jitter(habits: Habits) -> None:
    if "jitter" in habits:
        time.sleep(random.uniform(0, min(float(habits["jitter"]), LONGEST_WAIT)))  # noqa: S311  # no secret


def _instead(name: str, value: str, request: webob.Request) -> webob.Response:
    if name == "down":
        raise ConnectionAbortedError(
            "misbehave: down"
        )  # wsgiref closes the connection without a word
    if name == "redirect":
        root = f"http://{value}" if value else request.host_url
        return webob.Response(status=307, location=f"{root}/elsewhere")
    if name == "429":
        limited = {"error": "rate_limit_exceeded"}
        return webob.Response(
            json_body=limited, status=429, headerlist=_json([("Retry-After", value)])
        )
    if name == "status":
        return webob.Response(json_body={"error": "server_error"}, status=int(value))
    return _BODIES[name]()


def _json(extra: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [("Content-Type", "application/json"), *extra]


def _html(status: int) -> webob.Response:
    page = "<!DOCTYPE html><title>Access denied</title><h1>The request could not be satisfied.</h1>"
    return webob.Response(page, status=status, content_type="text/html", charset="utf-8")


def _endless() -> Iterator[bytes]:
    yield b'{"access_token": "'
    for _ in range(HUGE // 65_536):
        yield b"a" * 65_536


@functools.cache
def _bomb() -> bytes:
    return gzip.compress(json.dumps({"access_token": "a" * HUGE}).encode())


_BODIES = {
    "html": lambda: _html(200),
    "html403": lambda: _html(403),
    "garbage": lambda: webob.Response(b'{"access_token": \x00\xff[[[', headerlist=_json([])),
    "huge": lambda: webob.Response(app_iter=_endless(), headerlist=_json([])),
    "gzip-bomb": lambda: webob.Response(_bomb(), headerlist=_json([("Content-Encoding", "gzip")])),
    "error200": lambda: webob.Response(
        "Invalid signature.", content_type="text/plain", charset="utf-8"
    ),
}


def bend(location: str, habits: Habits) -> str:
    """Change the address a user is sent back to."""
    base, mark, query = location.partition("?")
    pairs = [pair for pair in query.split("&") if pair]
    if "no-state" in habits:
        pairs = [pair for pair in pairs if not pair.startswith("state=")]
    for habit, name in (("wrong-state", "state"), ("wrong-token", "oauth_token")):
        if habit in habits:
            other = f"{name}={secrets.token_urlsafe(32)}"
            pairs = [other if pair.startswith(f"{name}=") else pair for pair in pairs]
    return f"{base}{mark}{'&'.join(pairs)}"


def with_issuer(location: str, habits: Habits) -> str:
    """Add the issuer to the address an OAuth 2.1 user is sent back to (RFC 9207)."""
    return f"{location}&iss={quote(habits['iss'], safe='')}" if "iss" in habits else location
