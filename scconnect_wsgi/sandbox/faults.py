"""The faults that the sandbox can be told to have, each with a name.

``Sandbox(misbehave=("slow=2", "html"))`` applies to every request; the path prefix
``/misbehave/slow=2/misbehave/html`` applies to the request below it. A prefix works like a mount:
it moves to SCRIPT_NAME, so signatures over the whole URL still verify, and
``root + "/misbehave/html"`` is a root like any other. In a URL, a value that holds a slash is
percent-encoded twice.

Faults wrap the handlers of endpoints, which know nothing of them: ``_network_faults`` delays and
replaces what programs are answered, never the pages that people see; ``_protocol_faults`` changes
what is in an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple
from urllib.parse import unquote

import webob

PREFIX = "/misbehave/"
LONG = 1500  # characters; the longest tokens that providers in service hand out

Faults = dict[str, str]  # name -> value
Handler = Callable[[webob.Request], webob.Response]
Wrapper = Callable[[Handler, Faults, webob.Request], webob.Response]


class Fault(NamedTuple):
    """What a fault does, and its value unless another one is given."""

    description: str
    value: str = ""


FAULTS = {
    "slow": Fault("waits this many seconds before it answers, at most 60", "5"),
    "jitter": Fault(
        "waits a random time, at most this many seconds, before it handles a request and again "
        "before it answers",
        "0.1",
    ),
    "drip": Fault(
        "sends header and body byte by byte, with this many seconds between, at most 60 in all",
        "0.1",
    ),
    "down": Fault("closes the connection without an answer"),
    "status": Fault("answers with this status and a JSON error", "500"),
    "429": Fault("answers 429, too many requests; Retry-After is the value", "7"),
    "html": Fault("answers with an HTML page and status 200"),
    "html403": Fault("answers with an HTML page and status 403, as a network in front might"),
    "garbage": Fault("answers with a body that is declared as JSON but is not"),
    "huge": Fault("answers with a body of 64 MB"),
    "gzip-bomb": Fault("answers with 64 KB of gzip that unpack to 64 MB"),
    "redirect": Fault("redirects with 307 to /elsewhere, here or on the given host:port"),
    "short": Fault("sends a body that is shorter than its Content-Length"),
    "error200": Fault("answers with an error text and status 200"),
    "coop": Fault("its pages have Cross-Origin-Opener-Policy with this value", "same-origin"),
    "revoked": Fault("no longer accepts any refresh token or access token"),
    "unauthorized": Fault("the API answers 401 to every token; the token endpoint works"),
    "unauthorized-at": Fault("the API answers 401 to every token at this path", "/me/tracks"),
    "unverified": Fault("the API answers 401 to an upload, because of an unverified mail address"),
    "quota": Fault("the API refuses an upload with 422: the account has no upload quota left"),
    "username": Fault("the API gives every account this display name", "joe"),
    "urn": Fault("the API gives every account this urn, which may be empty, and no id"),
    "refresh-lost": Fault(
        "OAuth 2.1: uses up a refresh token, then closes the connection without an answer"
    ),
    "unconfirmed": Fault("OAuth 1.0a: leaves out oauth_callback_confirmed"),
    "Confirmed": Fault("OAuth 1.0a: spells the value of oauth_callback_confirmed True"),
    "no-state": Fault("OAuth 2.1: sends the user back without the state"),
    "wrong-state": Fault("OAuth 2.1: sends the user back with another state"),
    "iss": Fault("OAuth 2.1: sends the user back with this issuer", "https://issuer.invalid"),
    "no-expiry": Fault("OAuth 2.1: leaves out expires_in"),
    "scope-changed": Fault("OAuth 2.1: grants this scope, whatever was requested", "changed"),
    "long-tokens": Fault(f"hands out tokens and secrets of {LONG} characters"),
    "wrong-token": Fault("OAuth 1.0a: sends the user back with another oauth_token"),
    "denied-problem": Fault("OAuth 1.0a: spells a refusal oauth_problem=user_refused"),
    "denied-error": Fault("OAuth 1.0a: spells a refusal error=access_denied"),
}
_NUMBERS: dict[str, Callable[[str], float]] = {
    "slow": float,
    "jitter": float,
    "drip": float,
    "status": int,
    "429": int,
}


def parse(words: Iterable[str]) -> Faults:
    """Return the faults that words such as ``NAME`` and ``NAME=VALUE`` stand for.

    Raises ValueError for a name that is not in FAULTS, or a value that the fault cannot have.
    """
    faults = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in FAULTS:
            raise ValueError(f"No fault is called {name!r}; there are {', '.join(FAULTS)}.")
        faults[name] = value or FAULTS[name].value
        _check(name, faults[name])
    return faults


def _check(name: str, value: str) -> None:
    if not value.isascii() or not value.isprintable():  # it may become a header
        raise ValueError("A value must be printable ASCII.")
    if name in _NUMBERS and not _number(name, value) >= 0:  # NaN is refused as well
        raise ValueError(f"The value of {name} must not be negative.")
    if name == "status" and not 200 <= int(value) <= 599:
        raise ValueError("A status lies between 200 and 599.")


def _number(name: str, value: str) -> float:
    kind = _NUMBERS[name]
    try:
        return kind(value)
    except ValueError:
        needed = "a whole number" if kind is int else "a number"
        raise ValueError(f"The value of {name} must be {needed}.") from None


def take_prefixes(environ: dict[str, object]) -> Faults:
    """Move each ``/misbehave/NAME[=VALUE]`` that begins PATH_INFO to SCRIPT_NAME.

    Returns the faults they name. Raises ValueError as ``parse`` does.
    """
    words = []
    while str(environ["PATH_INFO"]).startswith(PREFIX):
        word, slash, rest = str(environ["PATH_INFO"])[len(PREFIX) :].partition("/")
        words.append(unquote(word))
        environ["SCRIPT_NAME"] = f"{environ.get('SCRIPT_NAME', '')}{PREFIX}{word}"
        environ["PATH_INFO"] = slash + rest
    return parse(words)
