"""The responses of the middleware, as values: each is a WSGI application that answers one request.

A response without a body is ``[b""]`` and not an empty list: Hypercorn sends the headers with the
first item of the body, and so answers 500 if there is none.

Browser files are in ``_files``, and what our own pages say is in ``_pages``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    Headers = list[tuple[str, str]]

Returned = TypeVar("Returned")

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


def call_or_else(call: Callable[[], Returned], on_failure: Callable[[], object]) -> Returned:
    """Return what ``call`` returns. If it raises, call ``on_failure`` and raise the same again.

    Everything counts, also what ends the thread. ``on_failure`` runs outside of the ``except``
    block: what it raises or logs must not show the exception, which may hold a token.
    """
    try:
        return call()
    except BaseException as error:
        raised = error
    try:
        on_failure()
        raise raised
    finally:
        del raised  # its traceback holds this frame


def observed(
    app: WSGIApplication,
    on_start: Callable[[str, Sequence[tuple[str, str]]], object],
    on_failure: Callable[[], object],
) -> WSGIApplication:
    """Return ``app``, which calls ``on_start(status, headers)`` when it begins to send its answer.

    That is when the first item of the body is there: until then an application may replace its
    status and headers, as pages for errors do (PEP 3333). ``on_failure`` is called if the
    application raises until then, or ends without an answer.
    """

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        begun: list[tuple[str, Headers]] = []

        def begin(status: str, headers: Headers) -> Headers:
            begun.append((status, headers))
            return headers

        def report() -> None:
            if begun:
                on_start(*begun[-1])
            else:
                on_failure()

        start = changing_headers(start_response, begin)
        body = call_or_else(lambda: app(environ, start), on_failure)
        if begun and isinstance(body, (list, tuple)):  # it is all there
            report()
            return body
        return _ObservedBody(body, report, on_failure)

    return application


class _ObservedBody:
    """A body that calls ``report`` once, when its first item is there or it is closed.

    ``on_failure`` is called instead if reading the first item raises.
    """

    def __init__(
        self,
        body: Iterable[bytes],
        report: Callable[[], object],
        on_failure: Callable[[], object],
    ) -> None:
        self._body = body
        self._report = report
        self._on_failure = on_failure
        self._is_reported = False

    def __iter__(self) -> Iterator[bytes]:
        """Read the body."""
        items = iter(self._body)
        first = call_or_else(lambda: next(items, b""), partial(self._once, self._on_failure))
        self._once(self._report)
        yield first
        yield from items

    def close(self) -> None:
        """Close the body, as servers do in the end (PEP 3333)."""
        self._once(self._report)
        if hasattr(self._body, "close"):
            self._body.close()

    def _once(self, report: Callable[[], object]) -> None:
        if not self._is_reported:
            self._is_reported = True
            report()


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
