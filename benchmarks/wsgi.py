"""The pieces of WSGI that the benchmarks have in common.

They are a bare application, a request, and an answer that is read.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable

from scconnect_wsgi import OAuth2, SCConnect

KEY = "a secret key that is long enough for a benchmark"
# Where the sites say they live: the sandbox sends users to this machine only
ROOT = "https://127.0.0.1"
CLICK = {
    "HTTP_SEC_FETCH_SITE": "same-origin",
    "HTTP_SEC_FETCH_MODE": "navigate",
    "HTTP_SEC_FETCH_DEST": "document",
}


def bare(environ: dict, start_response: Callable) -> Iterable[bytes]:
    """The wrapped application: as little as there can be."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


def ours() -> SCConnect:
    """Our middleware around it, as the README has it."""
    flow = OAuth2("client", "secret")
    return SCConnect(
        bare, flow, secret_key=KEY, store_token=lambda token, request: None, base_url=ROOT
    )


def request(path: str, query: str = "", **headers: str) -> dict:
    """The environ of a GET as a server behind a browser makes it."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "HTTP_ACCEPT": "*/*",
        "HTTP_ACCEPT_LANGUAGE": "en-US,en;q=0.5",
        "HTTP_ACCEPT_ENCODING": "gzip, deflate, br, zstd",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        **headers,
    }


def answer(app: Callable, environ: dict) -> tuple[str, list[tuple[str, str]], bytes]:
    """Status, headers and body of an application's answer."""
    started: list = []
    body = app(environ, lambda status, headers, exc_info=None: started.extend((status, headers)))
    data = read(body)
    return started[0], started[1], data


def read(body: Iterable[bytes]) -> bytes:
    """What a server does with a body: take it to its end, and close it."""
    try:
        return b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()
