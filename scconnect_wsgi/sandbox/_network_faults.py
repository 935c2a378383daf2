"""Faults of the network or an overloaded server: answers that are late, cut off or replaced."""

from __future__ import annotations

import functools
import gzip
import json
import random
import time
from collections.abc import Callable, Iterator

import webob

from scconnect_wsgi.sandbox._api_errors import api_error
from scconnect_wsgi.sandbox.faults import Faults, Handler

_Error = Callable[[int], webob.Response]
LONGEST_WAIT = 60.0  # seconds
HUGE = 64 * 1024 * 1024  # bytes
DRIP_KEY = "scconnect_sandbox.drip"  # in the environ, for our server: seconds between two bytes


def unreliable(handler: Handler, faults: Faults, request: webob.Request) -> webob.Response:
    """Answer a program with the delays, the replaced answers and the cut body of ``faults``.

    An error that replaces an answer has the shape of OAuth 2.1.
    """
    return _unreliable(handler, faults, request, _oauth_error)


def unreliable_api(handler: Handler, faults: Faults, request: webob.Request) -> webob.Response:
    """Do the same at the API, whose errors have a shape of their own."""
    return _unreliable(handler, faults, request, api_error)


def _unreliable(
    handler: Handler, faults: Faults, request: webob.Request, error: _Error
) -> webob.Response:
    if "slow" in faults:
        time.sleep(min(float(faults["slow"]), LONGEST_WAIT))
    _jitter(faults)
    if "drip" in faults:
        request.environ[DRIP_KEY] = float(faults["drip"])
    response = _replacement(faults, request, error)
    if response is not None:
        return response
    response = handler(request)
    _jitter(faults)
    if "short" in faults:
        length = len(response.body)
        response.app_iter = [response.body[: length // 2]]
        response.content_length = length
    return response


def _jitter(faults: Faults) -> None:
    if "jitter" in faults:
        longest = min(float(faults["jitter"]), LONGEST_WAIT)
        time.sleep(random.uniform(0, longest))  # noqa: S311  # not a secret


def _replacement(faults: Faults, request: webob.Request, error: _Error) -> webob.Response | None:
    """Return what is answered instead of the endpoint's own response."""
    if "down" in faults:
        # wsgiref closes the connection without an answer.
        raise ConnectionAbortedError("misbehave: down")
    if "redirect" in faults:
        host = faults["redirect"]
        root = f"http://{host}" if host else request.host_url
        return webob.Response(status=307, location=f"{root}/elsewhere")
    if "status" in faults:
        return error(int(faults["status"]))
    if "429" in faults:
        limited = error(429)
        limited.headers["Retry-After"] = faults["429"]
        return limited
    for name, make in _BODIES.items():
        if name in faults:
            return make()
    return None


def _oauth_error(status: int) -> webob.Response:
    word = "rate_limit_exceeded" if status == 429 else "server_error"
    return webob.Response(json_body={"error": word}, status=status)


def _html(status: int) -> webob.Response:
    page = "<!DOCTYPE html><title>Access denied</title><h1>The request could not be satisfied.</h1>"
    return webob.Response(page, status=status, content_type="text/html", charset="utf-8")


def _garbage() -> webob.Response:
    return webob.Response(b'{"access_token": \x00\xff[[[', headerlist=[_JSON])


def _huge() -> webob.Response:
    return webob.Response(app_iter=_endless(), headerlist=[_JSON])


def _endless() -> Iterator[bytes]:
    yield b'{"access_token": "'
    for _ in range(HUGE // 65_536):
        yield b"a" * 65_536


def _gzip_bomb() -> webob.Response:
    return webob.Response(_packed(), headerlist=[_JSON, ("Content-Encoding", "gzip")])


@functools.cache
def _packed() -> bytes:
    return gzip.compress(json.dumps({"access_token": "a" * HUGE}).encode())


def _error200() -> webob.Response:
    return webob.Response("Invalid signature.", content_type="text/plain", charset="utf-8")


_JSON = ("Content-Type", "application/json")
_BODIES = {
    "html": lambda: _html(200),
    "html403": lambda: _html(403),
    "garbage": _garbage,
    "huge": _huge,
    "gzip-bomb": _gzip_bomb,
    "error200": _error200,
}
