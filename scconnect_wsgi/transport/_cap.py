"""Caps on the bodies of responses, so that no provider can fill the memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from scconnect_wsgi.errors import ProviderError

# Bytes of one page of the API, after decoding. A page of 200 tracks, the most that SoundCloud
# gives, has some 600 KB.
MAX_PAGE = 8 * 1024 * 1024

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


class _CappedBody:
    """urllib3's response; reading past the cap raises ProviderError.

    requests reads every body through ``stream``, those of redirects too. It calls ``read`` for
    what is left of a redirect whose body cannot be decoded; that is dropped with its connection.
    """

    def __init__(self, raw: Any, max_bytes: int) -> None:
        self._raw = raw
        self._max_bytes = max_bytes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def read(self, *args: Any, **options: Any) -> bytes:
        """Read nothing, and close the connection."""
        self._raw.close()
        return b""

    def stream(self, *args: Any, **options: Any) -> Iterator[bytes]:
        """Yield the decoded body in pieces. Raises ProviderError if it is longer than the cap."""
        length = 0
        for piece in self._raw.stream(*args, **options):
            length += len(piece)
            if length > self._max_bytes:
                self._raw.close()
                raise ProviderError(f"The API's answer is longer than {self._max_bytes} bytes.")
            yield piece
