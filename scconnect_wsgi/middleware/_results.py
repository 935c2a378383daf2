"""Turn what a site's callable returns into the page's query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webob import Response

from scconnect_wsgi.errors import StorageFailed
from scconnect_wsgi.query import with_query

Result = Mapping[str, Any] | Response | None


def checked_result(result: object, name: str) -> Result:
    """Return what the callable ``name`` returned, with its values as text.

    Raises StorageFailed for another type.
    """
    if result is None or isinstance(result, Response):
        return result
    if not isinstance(result, Mapping):
        raise StorageFailed(f"{name} must return a mapping, None or a webob.Response.")
    return as_text(result)


def as_text(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields with every name and value as text, and None as an empty string."""
    return {str(name): "" if value is None else str(value) for name, value in fields.items()}


def with_fields(address: str, fields: Mapping[str, Any]) -> str:
    """Return the address at which a flow ends, with ``fields`` added to its query."""
    return with_query(address, as_text(fields))
