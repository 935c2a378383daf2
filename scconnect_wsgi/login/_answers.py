"""Answers for people, who get a page, and for scripts, which get JSON."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING

from scconnect_wsgi.middleware import FixedResponse, Notice, PageLook, Pages, is_fetched

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

    from scconnect_wsgi.errors import ConnectError


def is_script(environ: WSGIEnvironment) -> bool:
    """Return whether a script made a request, and no person will see the answer.

    Turbo, and htmx with ``hx-boost``, fetch pages for people: they accept HTML, or say so.
    """
    accept = environ.get("HTTP_ACCEPT", "")
    if "text/html" in accept or "HTTP_HX_BOOSTED" in environ:
        return False
    if environ.get("HTTP_SEC_FETCH_MODE") == "navigate":
        return False
    if "json" in accept or "HTTP_X_REQUESTED_WITH" in environ or is_fetched(environ):
        return True
    # fetch() in any mode. A navigation that a service worker passes on accepts HTML.
    return environ.get("HTTP_SEC_FETCH_DEST") == "empty"


def failure(error: ConnectError, status: str, title: str, message: str) -> Notice:
    """Return the page about an error of this package, with its id."""
    notice = Notice(status, title, message, code=error.code, headers=[("Retry-After", "10")])
    notice.error_id = error.error_id
    return notice


def answer(
    environ: WSGIEnvironment, notice: Notice, root_path: str, pages: Pages, **fields: str
) -> WSGIApplication:
    """Return a notice as a page, or as JSON for a script. ``fields`` are more fields of that."""
    if not is_script(environ):
        return pages.response(notice, environ, root_path)
    told = {"error": notice.code, "error_description": notice.message, **fields}
    if notice.error_id:
        told["error_id"] = notice.error_id
    body = json.dumps(told).encode("ascii")
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        **dict(notice.headers),
    }
    return FixedResponse(notice.status, list(headers.items()), body)


class LinkNotice(Notice):
    """A page with one link that leads on. It looks like a button, and needs no JavaScript."""

    is_failure = False

    def __init__(self, status: str, title: str, message: str, link: str) -> None:
        super().__init__(status, title, message, code="not_signed_in")
        self._link = link

    def _answer(self) -> str:
        return ""  # no flow ends here

    def _action(self, look: PageLook) -> str:
        link = html.escape(self._link)
        label = "Connect with {provider}" if look.provider else "Connect your account"
        text = html.escape(look.language.translate(label, {"provider": look.provider}))
        return f'<p class="way"><a href="{link}">{text}</a></p>'
