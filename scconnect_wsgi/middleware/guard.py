"""Who may start a flow: this site's own pages, and the user who types the address; no other site.

A flow that another site starts ends with that site's account connected to this site's user (login
CSRF, CVE-2015-9284). Browsers say where a request comes from: Fetch Metadata, else Origin, else
Referer. Only the start is judged; the callback and close.html are reached from the provider, and
are always cross-site.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from scconnect_wsgi.urls import origin

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Verdict(enum.Enum):
    """What to do with a request for the start."""

    START = "begin the flow"
    ASK = "show a page of our own, with one button that begins it"
    FORBID = "answer 403: no click of a user looks like this"


def is_speculative(environ: WSGIEnvironment) -> bool:
    """Whether a browser fetches this ahead of a click that may never come:

    nothing may happen then.
    """
    purposes = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ")
    said = " ".join(environ.get(name, "") for name in purposes).lower()
    return "prefetch" in said or "prerender" in said or "preview" in said


def judge_start(environ: WSGIEnvironment, own_origin: str) -> Verdict:
    """Judge a request for the start on a site whose public origin is ``own_origin``."""
    if environ.get("HTTP_SEC_FETCH_DEST", "document") != "document":
        return Verdict.FORBID
    if environ.get("HTTP_SEC_FETCH_MODE", "navigate") != "navigate":
        return Verdict.FORBID
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        return Verdict.START if site in ("same-origin", "none") else Verdict.ASK
    source = environ.get("HTTP_ORIGIN") or environ.get("HTTP_REFERER")
    return Verdict.START if source and own_origin and origin(source) == own_origin else Verdict.ASK
