"""The memory of one process: which flows it has finished lately, and how they ended.

A double click sends one callback twice, faster than a cookie can be removed. A second exchange of
the same code would make a strict provider revoke the token that the first one brought (OAuth 2.1
section 4.1.3). So each flow is finished once, and the second callback is answered as the first was.

Only flows whose cookie was verified are remembered, since strangers would otherwise make a process
forget everybody's flows. What names a flow is a hash, because its id may be as long as a provider
likes.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

MEMORY = 10_000  # flows, of 300 bytes each: far more than a process finishes while a cookie lives
MAX_OUTCOMES = 1_000  # the newest; the flows before them are only known to have ended
MAX_BYTES = 8_192  # of one outcome; what servers accept as the head of a response
# Seconds that a second callback waits for the first. An exchange takes at most 10 by default, and
# servers such as gunicorn give up on a worker after 30.
PATIENCE = 20.0


@dataclass(frozen=True, repr=False)  # what the site adds to them may be secret
class Outcome:
    """How a flow ended: where the browser was sent.

    ``cookies`` are the Set-Cookie values of the site's own response, if it answered itself.
    ``shared`` is the location without anything that only this process may know. ``note`` is what
    the storage wants to know again when the callback comes again.
    """

    location: str
    shared: str
    cookies: tuple[str, ...] = ()
    note: str = ""

    def bounded(self) -> Outcome:
        """Return the outcome, or only its shared location if it is too long to be remembered."""
        size = len(self.location) + sum(map(len, self.cookies)) + len(self.note)
        return self if size <= MAX_BYTES else Outcome(self.shared, self.shared)


@dataclass(slots=True)
class _Flow:
    """A flow that this process has seen come back."""

    since: float
    running: bool = True
    outcome: Outcome | None = None


class ReplayGuard:
    """Lets each flow be finished once, and remembers how it ended.

    It forgets the oldest flows when it has seen too many. It needs no lock: each step on its
    collections is atomic, and a fork could copy a lock while it is locked. ``clock`` returns
    seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._flows: dict[bytes, _Flow] = {}
        self._with_outcome: deque[_Flow] = deque()

    def first_use(self, name: str) -> bool:
        """Return whether this is the first call with ``name``, whose flow is running from now."""
        mine = _Flow(self._clock())
        first = self._flows.setdefault(_digest(name), mine) is mine
        if len(self._flows) > MEMORY:
            for old in list(self._flows)[: MEMORY // 2]:
                self._flows.pop(old, None)
        return first

    def settle(self, name: str, outcome: Outcome) -> None:
        """Remember how a flow ended."""
        flow = self._flows.get(_digest(name))
        if flow is None:  # forgotten meanwhile
            return
        flow.outcome = outcome.bounded()
        flow.running = False
        self._with_outcome.append(flow)
        if len(self._with_outcome) > MAX_OUTCOMES:
            self._with_outcome.popleft().outcome = None

    def outcome(self, name: str) -> Outcome | None:
        """Return how a flow ended; None if that is not known, or no longer."""
        flow = self._flows.get(_digest(name))
        return flow.outcome if flow else None

    def is_running(self, name: str) -> bool:
        """Return whether it is worth waiting for the outcome of a flow."""
        flow = self._flows.get(_digest(name))
        return flow is not None and flow.running and self._clock() - flow.since < PATIENCE


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
