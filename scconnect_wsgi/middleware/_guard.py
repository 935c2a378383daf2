"""Decide which requests may have an effect, and explain to the others why not.

Only this site's own pages may start a flow, and users who type the address; no other site may. A
flow that another site starts ends with that site's account connected to this site's user (login
CSRF, CVE-2015-9284). Browsers say where a request comes from: in Fetch Metadata, else in Origin,
else in Referer. Only the start is checked for that. The callback and close.html are reached from
the provider, so requests for them are always cross-site.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scconnect_wsgi.middleware._pages import Notice
from scconnect_wsgi.query import read_query
from scconnect_wsgi.urls import origin

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def checked_query(environ: WSGIEnvironment, methods: str) -> dict[str, str]:
    """Return the query of a request that may have an effect, or raise a Notice.

    ``methods`` is the value of the Allow header: the methods that this address accepts.
    """
    method = environ["REQUEST_METHOD"]
    if method not in methods.split(", "):
        raise Notice(
            "405 Method Not Allowed",
            "Not allowed",
            "Nothing was changed. For the developer of the page: this address accepts only "
            f"{methods}.",
            headers=[("Allow", methods)],
        )
    if method == "HEAD":
        raise Notice("200 OK", "Connect", "Open this page by pressing the button.")
    if _is_speculative(environ):
        # Not a 2xx: the browser would keep the page and show it when the user clicks
        raise Notice(
            "403 Forbidden",
            "Not yet",
            "This page cannot be loaded in advance. Open it by pressing the button.",
        )
    try:
        return read_query(environ.get("QUERY_STRING", ""))
    except ValueError:
        raise Notice(
            "400 Bad Request",
            "This address cannot be read",
            "Part of it was lost on the way. Nothing was changed. Please go back and try again.",
        ) from None


def check_start(environ: WSGIEnvironment, own_origin: str) -> None:
    """Raise a Notice unless this request may start a flow.

    ``own_origin`` is the site's public origin. The Notice asks the user if another site may have
    caused the request, and rejects a request that no click can produce.
    """
    destination = environ.get("HTTP_SEC_FETCH_DEST", "document")
    mode = environ.get("HTTP_SEC_FETCH_MODE", "navigate")
    if destination != "document" or mode != "navigate":
        raise Notice(
            "403 Forbidden",
            "Not from here",
            "A connection starts with a click on one of this site's pages, and in a window of its "
            "own.",
        )
    if not _is_from_own_site(environ, own_origin):
        raise Notice(
            "200 OK",
            "Connect your account?",
            "You came here from another site. Continue only if you want to connect your account "
            "with this site.",
            button="Continue",
        )


def _is_from_own_site(environ: WSGIEnvironment, own_origin: str) -> bool:
    """Return whether this site's own page caused a request, or the user typed its address."""
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        return site in ("same-origin", "none")
    source = environ.get("HTTP_ORIGIN") or environ.get("HTTP_REFERER", "")
    return bool(source and own_origin) and origin(source) == own_origin


def _is_speculative(environ: WSGIEnvironment) -> bool:
    """Return whether a browser loads this in advance of a click that may never come."""
    names = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ")
    purposes = " ".join(environ.get(name, "") for name in names).lower()
    return any(word in purposes for word in ("prefetch", "prerender", "preview"))
