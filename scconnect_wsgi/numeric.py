"""Tell numbers from everything else. True and False are no numbers, though Python counts with them.

is_whole(600)
"""

from __future__ import annotations

from typing import TypeGuard


def is_whole(value: object) -> TypeGuard[int]:
    """Return whether a value is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a whole number or a float."""
    return is_whole(value) or isinstance(value, float)
