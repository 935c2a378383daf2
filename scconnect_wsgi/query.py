"""Add fields to the query of a URL, and decode form-encoded queries and bodies."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

MAX_QUERY = 8192  # bytes; some providers send JWTs of 2 KB as codes, and servers stop at 8 KB
MAX_FIELDS = 100  # neither protocol sends 20


def with_query(url: str, fields: Mapping[str, str]) -> str:
    """Return ``url`` with ``fields``, form-encoded in UTF-8, appended to its query."""
    if not fields:
        return url
    query = urlencode(fields, errors="replace")
    if url.endswith(("?", "&")):
        return url + query
    if "?" in url:
        return f"{url}&{query}"
    return f"{url}?{query}"


def read_form(text: str) -> dict[str, str]:
    """Return the fields of a form-encoded text.

    Raises ValueError for a repeated name (RFC 6749 section 3.1: parameters must not be included
    more than once), invalid UTF-8, a NUL, or more than MAX_FIELDS fields.
    """
    pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a parameter is repeated")
    if any("\x00" in name or "\x00" in value for name, value in pairs):
        raise ValueError("a parameter holds a NUL")
    return fields


def read_query(query: str) -> dict[str, str]:
    """Return the fields of a QUERY_STRING, which PEP 3333 has as bytes decoded as latin-1.

    Raises ValueError as ``read_form`` does, and for more than MAX_QUERY bytes.
    """
    if len(query) > MAX_QUERY:
        raise ValueError("the query is too long")
    return read_form(query.encode("latin-1").decode("utf-8"))
