"""Turn what a site's callable returns into the page's query.

The fields travel in the address of close.html, or of ``return_to``. Servers refuse a request line
of more than 4 KB (gunicorn with 414), and nginx a response whose headers are longer than that (with
502), in both cases after the token was stored. So the query has a limit, and the flow ends well
without the fields that exceed it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from webob import Response

from scconnect_wsgi.errors import ConnectError, StorageFailed
from scconnect_wsgi.middleware._text import NotForThePage, text_of
from scconnect_wsgi.query import with_query
from scconnect_wsgi.redaction import holds
from scconnect_wsgi.token import AccessToken

log: logging.Logger = logging.getLogger("scconnect_wsgi")

Result = Mapping[str, Any] | Response | None

MAX_QUERY = 2048  # bytes; half of what servers take, because path and cookies come on top
DROPPED = "fields_dropped"  # how many fields did not fit
# The fields of a failure come first, since a failure without its code would pass for a success.
FIRST = ("error", "error_id", "error_description", "retry_after")
MAX_NAMES = 10  # of fields that did not fit, in the log
MAX_CODE = 64  # characters of ``error`` if the fields do not fit
MIN_SECRET = 8  # characters; a shorter value of a token may be a field by chance


def checked_result(result: object, name: str, token: AccessToken | None = None) -> Result:
    """Return what the callable ``name`` returned, with its values as text.

    Raises StorageFailed for another type, and for fields that would show ``token`` to the page.
    """
    if result is None or isinstance(result, Response):
        return result
    if not isinstance(result, (Mapping, AccessToken)):
        raise StorageFailed(
            f"{name} must return a mapping, None or a webob.Response, not {type(result).__name__}. "
            "To answer with a response of your framework, use HAND_OVER."
        )
    try:
        return as_text(result, token)
    except NotForThePage as error:
        raise StorageFailed(f"{name} {error}") from None


def as_text(
    fields: Mapping[str, Any] | AccessToken, token: AccessToken | None = None
) -> dict[str, str]:
    """Return the fields with every name and value as text.

    A value that raises when it is read is empty, and a mapping that raises has no fields. Both are
    logged: the token is stored already. Raises NotForThePage for an AccessToken, and for a field
    that shows ``token``.
    """
    if isinstance(fields, AccessToken):
        raise NotForThePage
    texts = {name: _text_or_nothing(name, value) for name, value in _read(fields)}
    for secret in _secrets(token):
        if any(_shows(text, secret) for field in texts.items() for text in field):
            raise NotForThePage
    return texts


def with_error_id(fields: Mapping[str, Any], error: ConnectError) -> dict[str, Any]:
    """Return a site's own fields for a failure, with its id unless they have an ``error_id``."""
    return {**fields, "error_id": fields.get("error_id", error.error_id)}


def with_fields(address: str, fields: Mapping[str, Any], token: AccessToken | None = None) -> str:
    """Return the address at which a flow ends, with ``fields`` added to its query.

    Fields that do not fit into MAX_QUERY bytes are left out, the largest first. Raises
    NotForThePage, a ValueError, as ``as_text`` does.
    """
    texts = as_text(fields, token)
    room = MAX_QUERY - len(urlsplit(address).query)
    return with_query(address, texts if _size(texts) <= room else _fitting(texts, room))


def _fitting(texts: dict[str, str], room: int) -> dict[str, str]:
    """Return the fields that fit into ``room`` bytes, and the number of the others."""
    if "error" in texts:
        texts["error"] = texts["error"][:MAX_CODE]
    room -= _size({DROPPED: str(len(texts))})
    kept = set()
    for name in sorted(texts, key=lambda name: _priority(name, texts[name])):
        size = _size({name: texts[name]})
        if size <= room:
            kept.add(name)
            room -= size
    dropped = [name for name in texts if name not in kept]
    names = ", ".join(ascii(name)[:80] for name in dropped[:MAX_NAMES])
    others = len(dropped) - MAX_NAMES
    log.error(
        "The fields for the page are longer than %d bytes of query, so these were left out: %s%s. "
        "Return an id, and let the page ask your server for the rest.",
        MAX_QUERY,
        names,
        f", and {others} more" if others > 0 else "",
    )
    return {**{name: texts[name] for name in texts if name in kept}, DROPPED: str(len(dropped))}


def _priority(name: str, text: str) -> tuple[int, int]:
    """Return the place of a field in the order in which fields are kept."""
    return FIRST.index(name) if name in FIRST else len(FIRST), len(text)


def _size(texts: Mapping[str, str]) -> int:
    """Return the length of the query that fields become, with the character before it."""
    return len(urlencode(texts, errors="replace")) + 1


def _read(fields: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the names, as text, and the values of a mapping, which may be lazy and raise."""
    try:
        return [(str(name), value) for name, value in fields.items()]
    except Exception as error:
        log.error(
            "The page gets no fields, because the mapping raised %s when it was read.",
            type(error).__name__,
        )
        return []


def _text_or_nothing(name: str, value: object) -> str:
    try:
        return text_of(value)
    except NotForThePage:
        raise
    except Exception as error:
        log.error(
            "The field %s for the page is empty, because its value raised %s when it was read.",
            ascii(name)[:80],
            type(error).__name__,
        )
        return ""


def _secrets(token: AccessToken | None) -> list[str]:
    if token is None:
        return []
    values = (token.token, token.token_secret, token.refresh_token)
    return [value for value in values if value and len(value) >= MIN_SECRET]


def _shows(text: str, secret: str) -> bool:
    """Return whether a page that gets the text gets the secret.

    Decoding takes time, so it is not done for a text that is too long to get to the page.
    """
    return secret in text or (len(text) <= MAX_QUERY and holds(text, secret))
