"""Some combinations of each test in place of all: ``--sample N``.

All of them run where the whole suite does. Elsewhere, and while somebody works on the code, each
test runs with a few: a product of three parameters takes the same way through the code most of the
time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import pytest


def sampled(items: Iterable[pytest.Item], most: int) -> set[pytest.Item]:
    """Return the items that a sample of these consists of.

    What is kept of a test is what has a value that no combination before it had, and of these
    ``most``, from the first to the last at equal steps.
    """
    combinations: dict[object, list[pytest.Item]] = defaultdict(list)
    seen: dict[object, set[object]] = defaultdict(set)
    for item in items:
        test = (item.path, *item.listchain()[:-1], getattr(item, "originalname", item.name))
        values = _values(item)
        if not values or not values <= seen[test]:
            combinations[test].append(item)
        seen[test] |= values
    return {item for same in combinations.values() for item in _spread(same, most)}


def _values(item: pytest.Item) -> set[object]:
    """Return each parameter with its value; those of one ``parametrize`` count as one."""
    if not hasattr(item, "callspec"):
        return set()
    left = dict(item.callspec.params)
    values: set[object] = set()
    for mark in item.iter_markers("parametrize"):
        names = mark.args[0] if mark.args else mark.kwargs["argnames"]
        if isinstance(names, str):
            names = [name.strip() for name in names.split(",")]
        # Not all values can be hashed; the same one is the same object in each combination
        values.add(tuple((name, id(left.pop(name))) for name in names if name in left))
    return values | {(name, id(value)) for name, value in left.items()}


def _spread(items: list[pytest.Item], most: int) -> list[pytest.Item]:
    if len(items) <= most:
        return items
    return [items[number * len(items) // most] for number in range(most)]
