"""The responses of the middleware, as values: each is a WSGI application that answers one request.

Browser files are in ``_files``, and what our own pages say is in ``_pages``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_PRIVATE = [("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer")]


@dataclass(frozen=True, repr=False)  # Location and Set-Cookie may hold secrets
class FixedResponse:
    """A response whose status, headers and body are known. A HEAD request gets no body."""

    status: str
    headers: Sequence[tuple[str, str]]
    body: bytes

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        start_response(self.status, list(self.headers))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [self.body]


def redirect(location: str, cookies: Sequence[str]) -> WSGIApplication:
    """Return a redirect that sets these cookies and is kept by no cache.

    303 makes the next request a GET, and the policy keeps the address of this one out of its
    Referer.
    """
    headers = [
        ("Location", location),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", "0"),
        *_PRIVATE,
        *(("Set-Cookie", cookie) for cookie in cookies),
    ]
    return FixedResponse("303 See Other", headers, b"")


def with_cookies(app: WSGIApplication, cookies: Sequence[str]) -> WSGIApplication:
    """Return ``app`` with cookies added to its response.

    Caches and referrers are kept out as well, unless the application has its own headers for them.
    """

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(
            status: str, headers: list[tuple[str, str]], *exc_info: Any
        ) -> Callable[[bytes], object]:
            given = {name.lower() for name, _ in headers}
            added = [header for header in _PRIVATE if header[0].lower() not in given]
            added += [("Set-Cookie", cookie) for cookie in cookies]
            return start_response(status, [*headers, *added], *exc_info)

        return app(environ, start)

    return application
