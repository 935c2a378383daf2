"""Libraries that patch HTTP for tests: say so in place of an error that nobody understands.

They answer what goes through requests, or replace the sockets. Token requests go through urllib3
and API calls over connections that read strictly, so some of these libraries see nothing of them,
and the request would leave for the real provider, and others break in the middle.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool

from scconnect_wsgi.urls import LOOPBACK

ANSWER_REQUESTS = ("responses", "requests_mock", "pook")  # they answer API calls
LET_PASS = ("responses", "requests_mock", "vcr")  # what they do not see reaches its host
REPLACE_SOCKETS = ("httpretty", "mocket")
LIBRARIES = {*ANSWER_REQUESTS, *LET_PASS, *REPLACE_SOCKETS}


class Mocked(requests.exceptions.ConnectionError):
    """A library for tests has patched what this request needs. It was not sent."""


def refuse_mocked(url: str, *, api_call: bool) -> None:
    """Raise Mocked if a request for ``url`` could not be answered as the library means it.

    A provider on this machine, such as the fixture ``soundcloud``, is asked all the same if the
    library lets that pass.
    """
    library = _mocking_library()
    if not library or (api_call and library in ANSWER_REQUESTS):
        return
    host = urlsplit(url).hostname
    if library in LET_PASS and host in LOOPBACK:
        return
    what = "sockets" if library in REPLACE_SOCKETS else "HTTP"
    raise Mocked(
        f"{host} was not asked: {library} has patched {what} in this process, and cannot answer "
        f"this request. {_FIXTURE}"
    )


def mock_hint() -> str:
    """Return a hint for the error of a request that failed, if a library may be the reason."""
    library = _mocking_library()
    if not library:
        return ""
    return (
        f" In this process {library} has patched HTTP, and perhaps has no answer for this request. "
        f"{_FIXTURE}"
    )


_FIXTURE = (
    "For the tests of a site there is the pytest fixture soundcloud, a SoundCloud on this machine: "
    "see docs/testing.md."
)


def _mocking_library() -> str:
    """Return the library that has patched what requests are sent through, or nothing."""
    for target in (
        HTTPAdapter.send,
        requests.Session.send,
        HTTPConnectionPool.urlopen,
        HTTPConnectionPool.ConnectionCls,
        socket.getaddrinfo,
        socket.socket,
    ):
        library = str(getattr(target, "__module__", "")).partition(".")[0]
        if library in LIBRARIES:
            return library
    return ""
