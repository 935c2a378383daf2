"""The answers of the middleware that are no browser files: redirects, and pages of our own."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from string import Template
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from scconnect_wsgi.middleware.files import asset_folder

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_PRIVATE = [("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer")]
# No form-action here: browsers apply it to the redirect that follows the form, which leads to the
# provider.
_PAGE_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def mount(environ: WSGIEnvironment) -> str:
    """SCRIPT_NAME as the path of a URL; whatever it holds, it cannot name another host."""
    parts = (
        environ.get("SCRIPT_NAME", "").encode("latin-1", "replace").replace(b"\\", b"/").split(b"/")
    )
    return "".join(f"/{quote(part)}" for part in parts if part not in (b"", b".", b".."))


def forget_query(environ: WSGIEnvironment) -> None:
    """Take the query out of a request, wherever servers and WebOb say it again:

    it holds a code or a verifier.
    """
    environ["QUERY_STRING"] = ""
    environ.pop("webob._parsed_query_vars", None)
    for name in ("RAW_URI", "REQUEST_URI"):  # of gunicorn and uWSGI
        if name in environ:
            environ[name] = environ[name].partition("?")[0]


def redirect(
    start_response: StartResponse, location: str, cookies: Iterable[str]
) -> Iterable[bytes]:
    """303: the next request is a GET, and nothing of this one's address goes with it."""
    headers = [
        ("Location", location),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", "0"),
        *_PRIVATE,
        *(("Set-Cookie", cookie) for cookie in cookies),
    ]
    start_response("303 See Other", headers)
    return [b""]


def adding(start_response: StartResponse, cookies: Iterable[str]) -> StartResponse:
    """A start_response that removes the flow's cookie, and keeps the answer from caches and
    referrers.
    """

    def start(
        status: str, headers: list[tuple[str, str]], *exc_info: Any
    ) -> Callable[[bytes], object]:
        given = {name.lower() for name, _ in headers}
        added = [header for header in _PRIVATE if header[0].lower() not in given]
        added += [("Set-Cookie", cookie) for cookie in cookies]
        return start_response(status, [*headers, *added], *exc_info)

    return start


def page(
    start_response: StartResponse,
    status: str,
    title: str,
    message: str,
    assets: str,
    home: str,
    *,
    headers: Sequence[tuple[str, str]] = (),
    button: str = "",
) -> Iterable[bytes]:
    """A page of our own. ``assets`` is the path of the browser files, ``home`` the site's own first
    page.

    ``button`` posts to the page's own address.
    """
    action = (
        f'<form method="post"><button type="submit">{html.escape(button)}</button></form>'
        if button
        else ""
    )
    text = _template().substitute(
        title=html.escape(title),
        message=html.escape(message),
        assets=html.escape(assets),
        home=html.escape(home),
        action=action,
    )
    body = text.encode("utf-8")
    own_headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", _PAGE_CSP),
        ("X-Content-Type-Options", "nosniff"),
        # The button must come with an Origin or a Referer: in old browsers they alone say that it
        # is ours.
        ("Referrer-Policy", "same-origin"),
    ]
    start_response(status, [*own_headers, *headers])
    return [body]


@cache
def _template() -> Template:
    return Template((asset_folder() / "page.html").read_text("utf-8"))
