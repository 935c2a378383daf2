"""Read the fields of a token response, without losing the token to what stands beside it.

By then a code, a verifier or a refresh token has been spent, and nobody gets a second answer. So
anything is read that leaves no doubt about the token: whatever the Content-Type says, and whatever
the other fields hold. A field that cannot be read as it is, or that contradicts itself, is kept in
a form that a site can store as JSON.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any
from urllib.parse import parse_qsl

from scconnect_wsgi.nesting import MAX_DEPTH

MAX_BRACKETS = MAX_DEPTH - 1  # what is inside of the innermost ones is a value, too
MAX_DIGITS = 600  # of a number; Python can be told to read no more than 640
# A string, which may be unfinished, or the beginning or the end of an array or an object
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{\]}]', re.DOTALL)
# A form escapes these; HTML, JSON and sentences are full of them.
_NOT_IN_A_FORM = re.compile(r'[\s<>"{}]')


def read_json(body: bytes) -> dict[str, Any] | None:
    """Return the fields of a JSON object, or None if this is something else.

    A name that comes twice with different values has the value None. Numbers that Python cannot
    hold, and NaN, are text. What is nested too deep is None.
    """
    text = body.decode(json.detect_encoding(body), "replace")
    try:
        parsed = json.loads(
            _pruned(text),
            strict=False,  # line breaks and tabs in strings
            parse_constant=str,
            parse_float=_float,
            parse_int=_int,
            object_pairs_hook=_without_contradictions,
        )
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def read_form(body: bytes) -> dict[str, Any]:
    """Return the fields of a form-encoded body.

    A name that comes twice with different values has the value None. Bytes that are not UTF-8 are
    lone surrogates, which are not printable.
    """
    text = body.decode("utf-8", "surrogateescape").strip()
    return _without_contradictions(
        parse_qsl(text, keep_blank_values=True, errors="surrogateescape")
    )


def looks_like_a_form(body: bytes) -> bool:
    """Return whether a body has no character that a form would have escaped."""
    return not _NOT_IN_A_FORM.search(body.decode("utf-8", "replace").strip())


def storable(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields in which lone surrogates, which no database takes, are question marks."""
    text = json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace")
    cleaned: dict[str, Any] = json.loads(text)
    return cleaned


def _pruned(text: str) -> str:
    """Return JSON with null in place of each array or object that is nested too deep."""
    if text.count("[") + text.count("{") <= MAX_BRACKETS:
        return text
    kept: list[str] = []
    depth = start = 0
    for piece in _PIECE.finditer(text):
        if piece[0] in "[{":
            depth += 1
            if depth == MAX_BRACKETS + 1:
                kept += [text[start : piece.start()], "null"]
        elif piece[0] in "]}":
            if depth == MAX_BRACKETS + 1:
                start = piece.end()
            depth -= 1
    if depth > MAX_BRACKETS:
        return ""  # cut off in the middle of such a value
    return "".join([*kept, text[start:]])


def _without_contradictions(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        agrees = name not in fields or fields[name] == value
        fields[name] = value if agrees else None
    return fields


def _float(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _int(text: str) -> int | str:
    return int(text) if len(text) <= MAX_DIGITS else text
