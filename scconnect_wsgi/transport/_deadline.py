"""One deadline over a whole call: connecting, sending, and reading the answer to its end.

A socket's own timeout starts anew with every read, so an answer that arrives one byte at a time
never times out. Inside ``with deadline(seconds)`` every operation of a connection gets only the
time that the call has left.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Deadline:
    """The moment at which one call must be over, and whether a byte of its request has left."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self.sent = False

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self._end

    def left(self) -> float:
        """Return the seconds that are left.

        Raises TimeoutError if there are none, because a socket takes 0 for "do not wait at all".
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the call's deadline has passed")
        return left

    def allows(self, seconds: float) -> bool:
        """Return whether more than ``seconds`` are left."""
        return time.monotonic() + seconds < self._end

    def within(self, other: Deadline) -> None:
        """Let this deadline be no later than another one."""
        self._end = min(self._end, other._end)

    def extend(self, seconds: float) -> None:
        """Move the deadline by ``seconds``."""
        self._end += seconds


_current: ContextVar[Deadline | None] = ContextVar("scconnect_wsgi.deadline", default=None)


def current_deadline() -> Deadline | None:
    """Return the deadline of the call that this thread is in, or None outside of any."""
    return _current.get()


@contextmanager
def deadline(seconds: float) -> Iterator[Deadline]:
    """Give all that this thread's connections do in the block ``seconds`` in total.

    A deadline inside another one is no later than that.
    """
    limit = Deadline(seconds)
    outer = _current.get()
    if outer is not None:
        limit.within(outer)
    token = _current.set(limit)
    try:
        yield limit
    finally:
        _current.reset(token)


@contextmanager
def resumed(limit: Deadline | None) -> Iterator[None]:
    """Put what this thread's connections do in the block under a deadline that has begun before."""
    token = _current.set(limit or _current.get())
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def paused() -> Iterator[None]:
    """Stop the clock of the current deadline, if there is one.

    For steps between two requests that have limits of their own: waiting as long as the API asked
    for, or refreshing a token, which must not be cut short once the refresh token has left.
    """
    limit = _current.get()
    began = time.monotonic()
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)
        if limit is not None:
            limit.extend(time.monotonic() - began)
