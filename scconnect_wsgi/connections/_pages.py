"""The pages of a collection: the address of the first one, its items, and where it leads.

A page is an object with a list, ``collection``, and the address of the next page, ``next_href``,
as ``linked_partitioning`` of SoundCloud asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from scconnect_wsgi.connections._addresses import is_within
from scconnect_wsgi.errors import ProviderError

PAGING = "linked_partitioning"
MAX_EMPTY = 20  # empty pages in a row; filters leave a few, a collection without end any number


def first_page(url: str, params: Mapping[str, object]) -> str:
    """Return ``url`` with ``params``, and with the parameter that asks for pages."""
    _, mark, query = url.partition("?")
    asked = {} if PAGING in parse_qs(query) else {PAGING: "true"}
    given = {name: value for name, value in {**asked, **params}.items() if value is not None}
    return f"{url}{'&' if mark else '?'}{urlencode(given, doseq=True)}" if given else url


def items_of(page: Any) -> list[Any]:
    """Return the items of a page, which may be a bare array. Raises ProviderError."""
    found = page.get("collection") if isinstance(page, dict) else page
    if not isinstance(found, list):
        raise ProviderError("A page of this collection holds no list.")
    return found


def next_page(root: str, address: str, page: Any) -> str | None:
    """Return the address of the page behind the one at ``address``, or None if there is none.

    An API behind a proxy may name itself by an internal host, or with http for https. If the path
    is that of the collection, only the query is taken from such an address: the token goes to the
    API and nowhere else, and nothing but this collection is asked for. Raises ProviderError for any
    other address that is not below the API at ``root``.
    """
    following = page.get("next_href") if isinstance(page, dict) else None
    if not following:
        return None
    try:
        if isinstance(following, str):
            if is_within(root, following):
                return following
            mended = _at_the_api(root, address, following)
            if mended is not None:
                return mended
    except ValueError:  # no address at all
        pass
    raise ProviderError(
        "The next page of this collection (next_href) has an address that does not belong to the "
        "API, and not the path of the collection either. It was not asked for."
    )


def _at_the_api(root: str, address: str, following: str) -> str | None:
    own = urlsplit(address)
    other = urlsplit(following)
    if other.scheme not in ("http", "https") or not other.netloc:
        return None
    # A proxy may have removed the path of the API
    paths = [own.path, own.path.removeprefix(urlsplit(root).path.rstrip("/"))]
    if other.path.rstrip("/") not in [path.rstrip("/") for path in paths]:
        return None
    return own._replace(query=other.query, fragment="").geturl()
