"""The responses of the middleware, as values: each is a WSGI application that answers one request.

A response without a body is ``[b""]`` and not an empty list: Hypercorn sends the headers with the
first item of the body, and so answers 500 if there is none.

Browser files are in ``_files``, and what our own pages say is in ``_pages``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    Headers = list[tuple[str, str]]

_PRIVATE = [("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer")]
# Service workers keep responses in a cache that knows no Cache-Control, as Workbox's
# StaleWhileRevalidate does. It refuses those with this header.
NOT_FOR_WORKERS = ("Vary", "*")


@dataclass(frozen=True, repr=False)  # Location and Set-Cookie may hold secrets
class FixedResponse:
    """A response whose status, headers and body are known. A HEAD request gets no body."""

    status: str
    headers: Sequence[tuple[str, str]]
    body: bytes

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        start_response(self.status, list(self.headers))
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else self.body]


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
        NOT_FOR_WORKERS,
        *(("Set-Cookie", cookie) for cookie in cookies),
    ]
    return FixedResponse("303 See Other", headers, b"")


def changing_headers(
    start_response: StartResponse, change: Callable[[str, Headers], Headers]
) -> StartResponse:
    """Return a ``start_response`` that sends ``change(status, headers)`` in place of the headers.

    The application may give it ``exc_info`` by keyword, which many servers accept. It is passed on
    by position, which all of them do (PEP 3333).
    """

    def start(
        status: str, headers: Headers, exc_info: OptExcInfo | None = None
    ) -> Callable[[bytes], object]:
        changed = change(status, headers)
        if exc_info is None:
            return start_response(status, changed)
        return start_response(status, changed, exc_info)

    return start


def observed(
    app: WSGIApplication,
    on_start: Callable[[str, Sequence[tuple[str, str]]], object],
    on_failure: Callable[[], object],
) -> WSGIApplication:
    """Return ``app``, which calls ``on_start(status, headers)`` when it begins to answer.

    ``on_failure`` is called if it raises instead, or ends without an answer.
    """

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        has_begun = False

        def begin(status: str, headers: Headers) -> Headers:
            nonlocal has_begun
            has_begun = True
            on_start(status, headers)
            return headers

        try:
            body = app(environ, changing_headers(start_response, begin))
        except BaseException:
            on_failure()
            raise
        return body if has_begun else _LateBody(body, lambda: has_begun, on_failure)

    return application


class _LateBody:
    """The body of an application that begins to answer while its body is read, as generators do.

    ``on_failure`` is called if reading the first item raises, or the application never begins to
    answer.
    """

    def __init__(
        self,
        body: Iterable[bytes],
        has_begun: Callable[[], bool],
        on_failure: Callable[[], object],
    ) -> None:
        self._body = body
        self._has_begun = has_begun
        self._on_failure = on_failure

    def __iter__(self) -> Iterator[bytes]:
        """Read the body."""
        items = iter(self._body)
        try:
            first = next(items, b"")
        except BaseException:
            self._on_failure()
            raise
        yield first
        yield from items

    def close(self) -> None:
        """Close the body, as servers do in the end (PEP 3333)."""
        if not self._has_begun():
            self._on_failure()
        if hasattr(self._body, "close"):
            self._body.close()


def with_cookies(app: WSGIApplication, cookies: Sequence[str]) -> WSGIApplication:
    """Return ``app`` with cookies added to its response.

    Caches and referrers are kept out as well, unless the application has its own headers for them.
    """

    def add(_status: str, headers: Headers) -> Headers:
        given = {name.lower() for name, _ in headers}
        private = [header for header in _PRIVATE if header[0].lower() not in given]
        return [*headers, *private, *(("Set-Cookie", cookie) for cookie in cookies)]

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return app(environ, changing_headers(start_response, add))

    return application
