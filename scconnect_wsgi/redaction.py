"""Tracebacks of the site's own code, fit for a log: without secrets, and unable to pass for other
records.

A database driver that fails may print the parameters of its statement, a KeyError its key.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, quote, quote_plus

from scconnect_wsgi.token import AccessToken

SHORTEST = (
    4  # characters of a secret; to blot out every "1" of a log would hide nothing and ruin it
)


def safe_traceback(query: str, token: AccessToken | None = None) -> str:
    """The exception being handled as text, without what came in ``query`` and without the token's
    secrets.
    """
    text = traceback.format_exc()
    secrets = {query, *(value for _, value in parse_qsl(query, errors="replace"))}
    if token is not None:
        secrets |= set(_texts(token.to_dict()))
    written = {form for secret in secrets if len(secret) >= SHORTEST for form in _forms(secret)}
    for form in sorted(written, key=len, reverse=True):
        text = text.replace(form, "***")
    return "\n".join(f"  | {ascii(line)[1:-1]}" for line in text.splitlines())


def _texts(value: object) -> Iterator[str]:
    """Every string in a JSON-like value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)


def _forms(secret: str) -> set[str]:
    """A secret as it may stand in a message: plain, in a URL, in a repr, in JSON."""
    return {
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
    }
