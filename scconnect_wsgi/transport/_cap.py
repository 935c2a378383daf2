"""Caps on the bodies of responses, so that no provider can fill the memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import requests

from scconnect_wsgi.errors import ProviderError
from scconnect_wsgi.transport._deadline import Deadline, resumed

# Bytes of one page of the API, after decoding. A page of 200 tracks, the most that SoundCloud
# gives, has some 600 KB.
MAX_PAGE = 8 * 1024 * 1024
BY_STREAM = " If it has to be: pass stream=True, and read it in pieces."

_current: ContextVar[int | None] = ContextVar("scconnect_wsgi.cap", default=None)


@contextmanager
def capped(max_bytes: int | None) -> Iterator[None]:
    """Cap the decoded body of every API response that this thread gets inside; None lifts a cap.

    Reading further raises ProviderError.
    """
    token = _current.set(max_bytes)
    try:
        yield
    finally:
        _current.reset(token)


def with_cap(raw: Any) -> Any:
    """Return urllib3's response ``raw``, with the current cap on its body if there is one."""
    max_bytes = _current.get()
    return raw if max_bytes is None else _CappedBody(raw, max_bytes)


def limit_json(response: requests.Response, seconds: float | None) -> None:
    """Limit the body of a response that requests is about to read into memory, if it is JSON.

    It may have MAX_PAGE bytes after decoding, and must arrive within ``seconds`` (None: any time).
    Anything else may be a download, which takes its time and space.
    """
    kind = response.headers.get("Content-Type", "")
    if not kind or "json" in kind.lower():
        response.raw = _CappedBody(response.raw, MAX_PAGE, seconds, BY_STREAM)


class _CappedBody:
    """urllib3's response; reading past the cap raises ProviderError.

    requests reads every body through ``stream``, those of redirects too. It calls ``read`` for
    what is left of a redirect whose body cannot be decoded; that is dropped with its connection.
    """

    def __init__(
        self, raw: Any, max_bytes: int, seconds: float | None = None, hint: str = ""
    ) -> None:
        self._raw = raw
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._hint = hint

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def read(self, *args: Any, **options: Any) -> bytes:
        """Read nothing, and close the connection."""
        self._raw.close()
        return b""

    def stream(self, *args: Any, **options: Any) -> Iterator[bytes]:
        """Yield the decoded body in pieces. Raises ProviderError if it is longer than the cap."""
        limit = None if self._seconds is None else Deadline(self._seconds)
        pieces = self._raw.stream(*args, **options)
        length = 0
        while True:
            with resumed(limit):
                piece = next(pieces, b"")  # urllib3 yields no empty one
            if not piece:
                return
            length += len(piece)
            if length > self._max_bytes:
                self._raw.close()
                raise ProviderError(
                    f"The API's answer is longer than {self._max_bytes} bytes.{self._hint}",
                    outcome_unknown=True,
                )
            yield piece
