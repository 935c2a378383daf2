"""Add fields to the query of a URL, and read the query of a request."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

MAX_QUERY = 8192  # bytes; codes of some providers are JWTs of 2 KB, servers stop reading at 8 KB
MAX_FIELDS = 100  # no protocol sends 20


def with_query(url: str, fields: Mapping[str, str]) -> str:
    """``url`` with ``fields`` added behind whatever query it has, form-encoded in UTF-8."""
    if not fields:
        return url
    separator = "" if url.endswith(("?", "&")) else "&" if "?" in url else "?"
    return f"{url}{separator}{urlencode(fields, errors='replace')}"


def read_form(text: str) -> dict[str, str]:
    """Decode a form-encoded text; every name once.

    Raises ValueError for a doubled name, invalid UTF-8, a NUL, or more than MAX_FIELDS fields
    (RFC 6749 section 3.1: parameters must not be included more than once).
    """
    pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a parameter came twice")
    if any("\x00" in name or "\x00" in value for name, value in pairs):
        raise ValueError("a NUL came")
    return fields


def read_query(query: str) -> dict[str, str]:
    """Decode the QUERY_STRING of a request (PEP 3333: bytes as latin-1) as ``read_form`` does.

    Raises ValueError as well where it is longer than MAX_QUERY.
    """
    if len(query) > MAX_QUERY:
        raise ValueError("the query is too long")
    return read_form(query.encode("latin-1").decode("utf-8"))
