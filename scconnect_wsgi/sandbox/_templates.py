"""Answer with a page made from a template, in which every value is escaped, or with a redirect."""

from __future__ import annotations

import html
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

import webob

HERE = Path(__file__).parent
NAMES = ("layout", "home", "login", "signup", "consent", "message")
TEMPLATES = {name: Template((HERE / f"{name}.html").read_text(encoding="utf-8")) for name in NAMES}
STYLE = (HERE / "sandbox.css").read_bytes()
# Browsers apply form-action to all redirects that follow a form, and the last form here leads to
# the application's own callback and from there to anywhere.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'self' http: https:"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Markup(str):
    """A text that is HTML already."""


def page(
    request: webob.Request, name: str, title: str, status: int = 200, **values: str
) -> webob.Response:
    """Fill a template and put it into the layout. Escapes every value that is not Markup."""
    escaped = {
        key: value if isinstance(value, Markup) else html.escape(value)
        for key, value in values.items()
    }
    mount = html.escape(mount_of(request))
    body = TEMPLATES[name].substitute(escaped, mount=mount)
    text = TEMPLATES["layout"].substitute(title=html.escape(title), body=body, mount=mount)
    response = webob.Response(text, status=status, content_type="text/html", charset="utf-8")
    for header, value in HEADERS.items():
        response.headers[header] = value
    return response


def message(request: webob.Request, status: int, title: str, text: str) -> webob.Response:
    """Answer with a page of one heading and one sentence."""
    return page(request, "message", title, status, heading=title, text=text)


def redirect(location: str) -> webob.Response:
    """Send the browser to another address, with a GET."""
    response = webob.Response(status=303, cache_control="no-store")
    response.headers["Referrer-Policy"] = "no-referrer"
    # As a header, because WebOb would make a relative ``location`` absolute.
    response.headers["Location"] = location
    return response


def mount_of(request: webob.Request) -> str:
    """Return the path that this application is mounted at, encoded as in a URL."""
    return urlsplit(request.application_url).path


def field_of(request: webob.Request, name: str) -> str:
    """Return a field of the form or the query, or nothing; an uploaded file does not count."""
    value = request.params.get(name, "")
    return value if isinstance(value, str) else ""
