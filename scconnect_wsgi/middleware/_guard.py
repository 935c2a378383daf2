"""Decide which requests may have an effect, and explain to the others why not.

Only this site's own pages may start a flow, and users who type the address; no other site may. A
flow that another site starts ends with that site's account connected to this site's user (login
CSRF, CVE-2015-9284). Browsers say where a request comes from: in Fetch Metadata, else in Origin,
else in Referer. Only the start is checked for that. The callback and close.html are reached from
the provider, so requests for them are always cross-site.

Two things blur what browsers say. A service worker of the site may pass a click on, as a fetch of
its own; and scripts such as Turbo and htmx fetch a link instead of letting the browser open it.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scconnect_wsgi.middleware._pages import EmptyNotice, Message, Notice, QuietNotice
from scconnect_wsgi.query import read_query
from scconnect_wsgi.urls import LOOPBACK, origin

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

log: logging.Logger = logging.getLogger("scconnect_wsgi")

# What service workers are called, such as /sw.js, /firebase-messaging-sw.js and /service-worker
_WORKER_SCRIPT = re.compile(r"(\.[cm]?js|/sw|/service[-_]?worker)$", re.IGNORECASE)


def checked_query(environ: WSGIEnvironment, methods: str) -> dict[str, str]:
    """Return the query of a request that may have an effect, or raise a Notice.

    ``methods`` is the value of the Allow header: the methods that this address accepts.
    """
    method = environ["REQUEST_METHOD"]
    if method not in methods.split(", "):
        raise Notice(
            "405 Method Not Allowed",
            "Not allowed",
            Message(
                "Nothing was changed.",
                f"For the developer of the page: this address accepts only {methods}.",
            ),
            headers=[("Allow", methods)],
        )
    if method == "HEAD":
        raise Notice("200 OK", "Connect", "Open this page by pressing the button.")
    if _is_speculative(environ):
        if environ.get("HTTP_SEC_FETCH_MODE", "navigate") != "navigate":
            # <link rel=prefetch>, which instant.page uses. An error would be in the page's console.
            raise EmptyNotice
        # Speculation rules. Not a 2xx: the browser would keep the page, or the 204, for the click.
        raise QuietNotice(
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


def check_start(environ: WSGIEnvironment, own_origin: str, address: str) -> None:
    """Raise a Notice unless this request may start a flow.

    ``own_origin`` is the site's public origin, ``address`` the path and query of this start. The
    Notice asks the user if another site may have caused the request. It rejects a request that no
    click can produce, and leads a script that fetched the address to open it in the window.
    """
    _check_page_origin(environ, own_origin)
    from_own_site = is_from_own_site(environ, own_origin)
    if from_own_site and is_fetched(environ):
        raise _open_in_the_window(environ["REQUEST_METHOD"], address)
    if not _can_be_a_click(environ):
        raise Notice(
            "403 Forbidden",
            "Not from here",
            "A connection starts with a click on one of this site's pages, and in a window of its "
            "own.",
        )
    if not from_own_site:
        hint = "For the developer: if this question comes again, the server's log says why."
        raise Notice(
            "200 OK",
            "Connect your account?",
            Message(
                "You may have come here from another site. Continue only if you want to connect "
                "your account with this site.",
                hint if _log_doubt(environ, own_origin) else "",
            ),
            button="Continue",
        )


def _check_page_origin(environ: WSGIEnvironment, own_origin: str) -> None:
    """Raise a Notice if the page with the button has another origin than ``base_url``.

    The flow would end at ``base_url``: its cookie would be missing there if the host differs, and
    the page could not be told in any case. So the user hears of it before logging in.
    """
    source = _foreign_origin(environ, own_origin)
    if not source:
        return
    if not _is_own_origin_to_browser(environ, source, own_origin):
        return
    notice = Notice(
        "403 Forbidden",
        "This page has another address",
        Message(
            "You came from {page}, but this site connects accounts at {site} only. Nothing was "
            "started. Open the site at {site} and press the button there.",
            f"For the developer: either set base_url to {source}, or redirect people from there to "
            f"{own_origin}.",
            {"page": source, "site": own_origin},
        ),
        code="start_refused",
    )
    notice.origin = own_origin
    raise notice


def _log_doubt(environ: WSGIEnvironment, own_origin: str) -> bool:
    """Log the origin of a page that may be this site's own, and return whether it may.

    A proxy that sends the Host of a server on a loopback host, and no ``X-Forwarded-*``, cannot be
    seen. Without a ``base_url`` the site's own pages then look like another site's, and the user is
    asked again after each answer.
    """
    source = _foreign_origin(environ, own_origin)
    if not source or environ.get("HTTP_SEC_FETCH_SITE", "same-origin") != "same-origin":
        return False
    log.warning(
        "A page of %s wants to start a flow at %s. It may be another site's, so the user was asked "
        "first. If it is a page of this site, set base_url to %s, or the question comes again and "
        "again.",
        source,
        own_origin,
        source,
    )
    return True


def _foreign_origin(environ: WSGIEnvironment, own_origin: str) -> str:
    """Return the origin of the page that sent a request, if it is not ``own_origin``.

    An empty string stands for the site's own, for none, and for one that cannot be shown.
    """
    source = origin(environ.get("HTTP_ORIGIN") or environ.get("HTTP_REFERER", ""))
    readable = source.isascii() and source.isprintable()  # it is shown and logged
    return source if own_origin and readable and source != own_origin else ""


def _is_own_origin_to_browser(environ: WSGIEnvironment, source: str, own_origin: str) -> bool:
    """Return whether a page of the origin ``source`` asked its own server, which is this one.

    If it did not, ``source`` is another site. Sec-Fetch-Site alone cannot tell: behind a service
    worker, Firefox and WebKit take other sites for the same one. So the page's host must be the one
    that was asked, unless a proxy may have changed that: the proxy of a development server, whose
    pages are on another port of the same loopback host, or one in front of a loopback host.
    """
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site not in (None, "same-origin"):
        return False
    page = urlsplit(source)
    asked = environ.get("HTTP_HOST", "").lower()
    if page.netloc == asked:
        return True
    if site is None or environ.get("HTTP_SEC_FETCH_DEST") == "empty":
        return False
    asked_host = _hostname(f"//{asked}")
    if asked_host not in LOOPBACK:
        return False
    return asked_host == page.hostname or asked != urlsplit(own_origin).netloc


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _open_in_the_window(method: str, address: str) -> Notice:
    """Return the answer to a script that fetched the start in place of the browser.

    Starting a flow for it would be useless, because the next page is the provider's, which a script
    cannot read. Each library finds its own way out in this page: htmx opens the address in
    HX-Redirect, Turbo finds ``turbo-visit-control`` in every page of ours and loads the address
    again, and with any other the user presses the button. Turbo insists on a redirect after a form.
    """
    headers = [("HX-Redirect", address)]
    status = "200 OK"
    if method == "POST":
        headers = [("Location", address)]
        status = "303 See Other"
    return Notice(
        status,
        "Connect your account?",
        "The next page belongs to another service, so it needs the whole window.",
        button="Continue",
        headers=headers,
    )


def is_fetched(environ: WSGIEnvironment) -> bool:
    """Return whether a script made this request: with fetch() or XMLHttpRequest.

    The headers of htmx and Turbo tell it in browsers without Fetch Metadata as well. No click, and
    no script of another origin, can send them.
    """
    if "HTTP_HX_REQUEST" in environ or "HTTP_X_TURBO_REQUEST_ID" in environ:
        return True
    return _destination_and_mode(environ) == ("empty", "cors")


def _can_be_a_click(environ: WSGIEnvironment) -> bool:
    """Return whether this is a navigation, or one that a service worker passed on.

    For a worker that does ``respondWith(fetch(event.request))`` the destination is ``empty``, and
    in Firefox the mode is ``same-origin``.
    """
    return _destination_and_mode(environ) in (
        ("document", "navigate"),
        ("empty", "navigate"),
        ("empty", "same-origin"),
    )


def is_from_own_site(environ: WSGIEnvironment, own_origin: str) -> bool:
    """Return whether this site's own page caused a request, or the user typed its address.

    Sec-Fetch-Site decides where the browser sends it, otherwise Origin and Referer do. But behind a
    service worker of the site, Firefox and WebKit send ``same-origin`` for another site's links and
    forms, and Firefox even replaces their Origin. So a foreign Origin or Referer outweighs all
    else, and behind a worker there must be a Referer of our own pages.
    """
    site = environ.get("HTTP_SEC_FETCH_SITE")
    referer = environ.get("HTTP_REFERER", "")
    sources = [source for source in (environ.get("HTTP_ORIGIN"), referer) if source]
    if any(origin(source) != own_origin for source in sources):
        return False
    if site is None:
        return bool(sources)
    if site not in ("same-origin", "none"):
        return False
    return not _passed_on_by_a_worker(environ) or _is_page(referer)


def _passed_on_by_a_worker(environ: WSGIEnvironment) -> bool:
    """Return whether a service worker may have sent this request for a click."""
    if "HTTP_SERVICE_WORKER_NAVIGATION_PRELOAD" in environ:
        return True
    return environ.get("HTTP_SEC_FETCH_DEST") == "empty" and not is_fetched(environ)


def _is_page(referer: str) -> bool:
    """Return whether a Referer can be a page's.

    If a navigation has no Referer (another site can see to that), WebKit sends the address of the
    worker's own script instead. So the address of a script does not count.
    """
    return bool(referer) and not _WORKER_SCRIPT.search(urlsplit(referer).path)


def _destination_and_mode(environ: WSGIEnvironment) -> tuple[str, str]:
    """Return Sec-Fetch-Dest and Sec-Fetch-Mode; browsers without them are trusted to navigate."""
    return (
        environ.get("HTTP_SEC_FETCH_DEST", "document"),
        environ.get("HTTP_SEC_FETCH_MODE", "navigate"),
    )


def _is_speculative(environ: WSGIEnvironment) -> bool:
    """Return whether a browser loads this in advance of a click that may never come."""
    names = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ")
    purposes = " ".join(environ.get(name, "") for name in names).lower()
    return any(word in purposes for word in ("prefetch", "prerender", "preview"))
