"""Tracebacks of the site's own code, made safe for a log.

A database driver that fails may print the parameters of its statement, a KeyError its key, and a
line break in either could pass for a log record of its own.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, quote, quote_plus

from scconnect_wsgi.token import AccessToken

MIN_LENGTH = 4  # characters of a secret; shorter values are common words of a log


def safe_traceback(query: str, token: AccessToken | None = None) -> str:
    """Return the traceback of the exception that is being handled, without secrets.

    Hidden are the query string, the values in it, and every string in the token. Each line is
    indented and has no control characters.
    """
    secrets = {query}
    secrets.update(value for _, value in parse_qsl(query, errors="replace"))
    if token is not None:
        secrets.update(_strings(token.to_dict()))
    text = _hide(secrets, traceback.format_exc())
    return "\n".join(f"  | {ascii(line)[1:-1]}" for line in text.splitlines())


def _hide(secrets: set[str], text: str) -> str:
    """Replace secrets, the longest first, since one may contain another."""
    spellings = set()
    for secret in secrets:
        if len(secret) >= MIN_LENGTH:
            spellings |= _spellings(secret)
    for spelling in sorted(spellings, key=len, reverse=True):
        text = text.replace(spelling, "***")
    return text


def _strings(value: object) -> Iterator[str]:
    """Yield every string in a JSON-like value, except the keys of its objects."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings(inner)


def _spellings(secret: str) -> set[str]:
    """Return a secret as it may stand in a message: plain, in a URL, in a repr, in JSON."""
    return {
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
    }
