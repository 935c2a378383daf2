"""How deep JSON may nest values: how deep Python itself reads and writes it depends on its version.

is_too_deep(json.loads(text))
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

MAX_DEPTH = 100


def is_too_deep(value: object) -> bool:
    """Return whether JSON nests values more than MAX_DEPTH deep, the outermost at 1."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _children(parent)]
    return bool(level)


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, (list, tuple)) else ()
