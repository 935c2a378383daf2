"""The templates, and the one function that fills them:

every value is escaped, every page guarded.
"""

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
# Browsers apply form-action to the whole chain of redirects behind a form, and the last form here
# leads to the application's own callback and wherever that goes on to.
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
    """A template in the layout; every value is escaped unless it is Markup."""
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
    """A page that says one thing."""
    return page(request, "message", title, status, heading=title, text=text)


def mount_of(request: webob.Request) -> str:
    """Where this application is mounted, as it stands in a URL."""
    return urlsplit(request.application_url).path
