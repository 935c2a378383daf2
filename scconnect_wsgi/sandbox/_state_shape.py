"""Check what a state file holds, before records are made of it.

The fields of a record are those of its dataclass, with their types. Where one holds another record,
the file has a key: the number of a grant, the name of a user.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from scconnect_wsgi.sandbox._records import (
    STARTING_USERS,
    Access,
    Code,
    Grant,
    RequestToken,
    Session,
    Track,
    User,
)

FORMAT = 1


class WrongStateError(ValueError):
    """A value in a state file is not what it must be. The message names its place."""


@dataclass(frozen=True)
class _Shape:
    """The fields of a record with their types, and which of them must be there."""

    types: Mapping[str, Any]
    required: Sequence[str]

    @classmethod
    def of(cls, record: type, **keys: type) -> _Shape:
        """Return the shape of a dataclass. ``keys`` are the types of keys of other records."""
        required = [
            each.name
            for each in fields(record)
            if each.default is MISSING and each.default_factory is MISSING
        ]
        return cls({**get_type_hints(record), **keys}, required)


_LISTS = {
    "users": _Shape.of(User),
    "tracks": _Shape.of(Track, owner=str),
    "sessions": _Shape.of(Session),
    "grants": _Shape.of(Grant),
}
# Their keys are codes and tokens, which no message shows
_OBJECTS = {
    "request_tokens": _Shape.of(RequestToken),
    "codes": _Shape.of(Code, grant=int),
    "access": _Shape.of(Access, grant=int),
}
_PARTS = {
    "format": int,
    **dict.fromkeys(_LISTS, list),
    **dict.fromkeys(_OBJECTS, dict),
    "refresh": dict[str, int],
}


def check_state(kept: Any) -> None:
    """Raise WrongStateError unless a sandbox may have written this."""
    _check_fields(kept, _Shape(_PARTS, list(_PARTS)), "")
    if kept["format"] != FORMAT:
        raise WrongStateError(f"format must be {FORMAT}")
    records = list(_records(kept))
    for place, record, shape in records:
        _check_fields(record, shape, place)
    users = {user.username for user in STARTING_USERS}
    users |= {user["username"] for user in kept["users"]}
    for place, record, _ in records:
        _check_keys(record, users, len(kept["grants"]), place)
    for number, grant in enumerate(kept["refresh"].values()):
        _check_keys({"grant": grant}, users, len(kept["grants"]), f"refresh[{number}]")


def _records(kept: Mapping[str, Any]) -> Iterable[tuple[str, Any, _Shape]]:
    """Yield each record with its place, such as ``grants[0]``, and its shape."""
    for name, shape in _LISTS.items():
        for number, record in enumerate(kept[name]):
            yield f"{name}[{number}]", record, shape
    for name, shape in _OBJECTS.items():
        for number, record in enumerate(kept[name].values()):
            yield f"{name}[{number}]", record, shape


def _check_fields(record: object, shape: _Shape, place: str) -> None:
    """Raise WrongStateError unless a record has the fields of its shape, and no others."""
    if not isinstance(record, dict):
        raise WrongStateError(f"{place or 'all of it'} must be an object")
    for name in record:
        if name not in shape.types:
            raise WrongStateError(f"{place or 'it'} has a field that is unknown")
    for name in shape.required:
        if name not in record:
            raise WrongStateError(f"{_inside(place, name)} is missing")
    for name, value in record.items():
        kind = shape.types[name]
        if not _fits(value, kind):
            wanted = kind.__name__ if isinstance(kind, type) else kind
            raise WrongStateError(f"{_inside(place, name)} must be {wanted}")


def _check_keys(record: Mapping[str, Any], users: set[str], grants: int, place: str) -> None:
    """Raise WrongStateError unless the owner and the grant of a record are there."""
    if "owner" in record and record["owner"] not in users:
        raise WrongStateError(f"{_inside(place, 'owner')} names a user who is not there")
    if "grant" in record and not 0 <= record["grant"] < grants:
        raise WrongStateError(f"{_inside(place, 'grant')} is the number of no grant")


def _inside(place: str, name: str) -> str:
    """Return the place of a field: ``users[0].number``."""
    return f"{place}.{name}" if place else name


def _fits(value: object, kind: Any) -> bool:
    """Return whether a value from JSON has a type of Python. True is no number there."""
    origin = get_origin(kind)
    inner = get_args(kind)
    if origin is UnionType:
        return any(_fits(value, each) for each in inner)
    if origin is list:
        return isinstance(value, list) and all(_fits(each, inner[0]) for each in value)
    if origin in (dict, Mapping):
        return isinstance(value, dict) and all(_fits(each, inner[1]) for each in value.values())
    return type(value) is kind or (kind is float and type(value) is int)
