"""The exclusive section of a connection: one caller at a time, in all processes.

It is a lease in the store, which ends by itself so that a process that was killed blocks nobody for
longer. So a holder may lose it without noticing: its process was stopped for a while, or the store
took long. ``Lease.left`` says how long it certainly lasts.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from scconnect_wsgi.connections._waiting import sleep
from scconnect_wsgi.errors import ConnectionBusy, ConnectionChanged, StoreUnavailable
from scconnect_wsgi.stores import Connection, Store

LEASE_PAUSE = 0.06  # seconds, at most, between two attempts to get the lease


class BeginAgain(Exception):  # noqa: N818  # a request, not an error
    """Raised in the exclusive section by a holder that must leave it and try again."""


@dataclass(frozen=True)
class Clocks:
    """What time it is, and how to wait.

    ``now`` returns seconds since the epoch. ``monotonic`` and ``sleep`` are what waiting uses.
    """

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = sleep


class Lease:
    """The time that a holder of the exclusive section has."""

    def __init__(self, seconds: float, clocks: Clocks) -> None:
        """Begin to count. Do this before the store is asked, which begins a little later."""
        self._seconds = seconds
        self._clocks = clocks
        self._begun = (clocks.monotonic(), clocks.now())

    def left(self) -> float:
        """Return the seconds that are certainly left.

        The clock that has gone further decides: one of them may stand still while a machine sleeps.
        """
        passed = max(
            self._clocks.monotonic() - self._begun[0],
            self._clocks.now() - self._begun[1],
        )
        return self._seconds - passed


class ExclusiveSection:
    """The exclusive section of every connection in a store.

    A lease lasts ``seconds``. Callers wait for it, ``patience`` seconds longer at most.
    """

    def __init__(self, store: Store, seconds: float, patience: float, clocks: Clocks) -> None:
        self._store = store
        self._seconds = seconds
        self._patience = patience
        self._clocks = clocks

    def run(
        self,
        id: str,
        look: Callable[[], Connection | None],
        work: Callable[[Lease], Connection],
        *,
        wait: bool = True,
    ) -> Connection:
        """Return what ``look`` finds, or else what ``work`` returns within the exclusive section.

        ``look`` is called before each attempt to enter: another caller may have done the work.
        ``work`` may raise BeginAgain or ConnectionChanged to leave the section and try again.
        Raises ConnectionBusy if that takes too long; without ``wait``, as soon as it would have to
        wait. Other errors of both pass through.
        """
        owner = secrets.token_urlsafe(16)
        give_up_at = self._clocks.monotonic() + self._seconds + self._patience
        while True:
            found = look()
            if found is not None:
                return found
            lease = Lease(self._seconds, self._clocks)
            if self._store.lease(id, owner, self._seconds):
                with self._released(id, owner), suppress(BeginAgain, ConnectionChanged):
                    return work(lease)
            if not wait or self._clocks.monotonic() > give_up_at:
                raise ConnectionBusy(
                    "The token of this connection is being refreshed elsewhere, and that has taken "
                    "too long. Try again."
                )
            self._clocks.sleep(jittered(LEASE_PAUSE))

    @contextmanager
    def _released(self, id: str, owner: str) -> Iterator[None]:
        try:
            yield
        finally:
            with suppress(StoreUnavailable):  # the lease ends by itself
                self._store.release(id, owner)


def jittered(longest: float) -> float:
    """Return a random part of a pause, so that waiters do not retry in step."""
    return random.uniform(longest / 6, longest)  # noqa: S311  # no secret
