"""The memory of callbacks that were already used.

A double click sends one callback twice, faster than a cookie can be removed. A second exchange of
the same code would make a strict provider revoke the token that the first one brought (OAuth 2.1
section 4.1.3). So each middleware remembers which flows this process is finishing or finished
recently; it remembers nothing else. Another process cannot know: there the user sees the provider's
own refusal.
"""

from __future__ import annotations

# Flows, of 100 bytes each: far more than one process finishes while a cookie lives
MEMORY = 10_000


class ReplayGuard:
    """Lets each flow be finished once. Forgets the oldest flows when it has seen too many.

    It needs no lock: each step on the dict is atomic, and a fork could copy a lock while it is
    locked.
    """

    def __init__(self) -> None:
        self._seen: dict[str, object] = {}

    def first_use(self, name: str) -> bool:
        """Return whether this is the first call with ``name``."""
        mine = object()
        first = self._seen.setdefault(name, mine) is mine
        if len(self._seen) > MEMORY:
            for old in list(self._seen)[: MEMORY // 2]:
                self._seen.pop(old, None)
        return first
