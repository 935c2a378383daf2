"""Write a value of Python as the text that a page's script reads.

Text stays as it is, and None is an empty text. Everything else is written as in JSON: ``true``,
``43``, ``[1,2]``. What JSON does not know becomes its ``str()``, which suits a Decimal, a UUID and
a lazy translation; a date is written in ISO 8601, which JavaScript can read.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping

from scconnect_wsgi.token import AccessToken


class NotForThePage(ValueError):  # noqa: N818  # the value is not for the page
    """The token, or a value of it, is among the fields for the page."""

    def __init__(self) -> None:
        super().__init__(
            "must not give the token, or a value of it, to the page: addresses are kept in logs "
            "and in the browser's history. Store it, and give the page an id of your own."
        )


def text_of(value: object) -> str:
    """Return a value as text. Raises NotForThePage for an AccessToken, at any depth."""
    plain = _plain(value)
    if plain is None:
        return ""
    if isinstance(plain, str):
        return plain
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def _plain(value: object) -> object:
    """Return a value as one of the types that JSON knows."""
    if isinstance(value, AccessToken):
        raise NotForThePage
    if isinstance(value, str):
        return str.__str__(value)  # str() would write a member of an Enum with its class
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(inner) for inner in value]
    return _written(value)


def _written(value: object) -> str:
    """Return a value that JSON does not know as text."""
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)
