"""A double click sends one callback twice, faster than a cookie can be taken away.

This is the one thing that a middleware remembers: which flows this process is finishing, or
finished lately. A second exchange of the same code would make a strict provider take the token back
that the first one brought (OAuth 2.1 section 4.1.3). Another process cannot know; there the
provider's own refusal is what the user sees.
"""

from __future__ import annotations

# Flows; at 100 bytes each, and far more than one process finishes within a cookie's life
MEMORY = 10_000


class Once:
    """Says of each name only once that it is new; forgets the oldest.

    No lock: each step on the dict is atomic, and a lock could be copied locked by a fork.
    """

    def __init__(self) -> None:
        self._seen: dict[str, object] = {}

    def is_first(self, name: str) -> bool:
        """Whether nobody asked for ``name`` before."""
        mine = object()
        first = self._seen.setdefault(name, mine) is mine
        if len(self._seen) > MEMORY:
            for old in list(self._seen)[: MEMORY // 2]:
                self._seen.pop(old, None)
        return first
