"""A browser for tests: it keeps cookies, logs in at the sandbox, and allows or denies access."""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import webob

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

MOST_PAGES = 8  # between the button and the callback; there are three


class Browser:
    """Sends requests to one WSGI application and keeps its cookies. Follows no redirects.

    ``host`` is the scheme and host that the browser sees, ``mount`` the path that the application
    is mounted at. ``headers`` go with every request, ``environ`` into every WSGI environ.
    """

    def __init__(
        self,
        app: WSGIApplication,
        host: str,
        mount: str = "",
        headers: Mapping[str, str] | None = None,
        environ: Mapping[str, Any] | None = None,
    ) -> None:
        self._app = app
        self._host = host
        self._mount = mount
        self._headers = dict(headers or {})
        self._environ = dict(environ or {})
        given = self._headers.pop("Cookie", "")
        self.cookies: dict[str, str] = dict(
            pair.split("=", 1) for pair in given.split("; ") if "=" in pair
        )

    def get(self, path: str, headers: Mapping[str, str], query: str = "") -> webob.Response:
        """Send a GET request for a path of the host."""
        return self._send(path, query, headers, {})

    def post(self, path: str, query: str, fields: Mapping[str, str]) -> webob.Response:
        """Submit a form with these fields."""
        return self._send(path, query, {}, {"method": "POST", "POST": urlencode(fields)})

    def forget(self, part: str) -> None:
        """Drop the cookies whose names contain ``part``, as if they had expired."""
        self.cookies = {name: value for name, value in self.cookies.items() if part not in name}

    def _send(
        self, path: str, query: str, headers: Mapping[str, str], options: dict[str, Any]
    ) -> webob.Response:
        if path.startswith(f"{self._mount}/"):  # a server splits such a path in two
            path = path.removeprefix(self._mount)
        request = webob.Request.blank(path, base_url=self._host + self._mount, **options)
        request.query_string = query
        # WebOb writes the default port into Host, as no browser does.
        request.headers["Host"] = urlsplit(self._host).netloc
        request.headers.update(self._headers)
        request.headers.update(headers)
        request.environ.update(self._environ)
        if self.cookies:
            pairs = [f"{name}={value}" for name, value in self.cookies.items()]
            request.headers["Cookie"] = "; ".join(pairs)
        response = request.send(self._app)
        _ = response.body  # reads it to its end and closes it, as a server does
        for header in response.headers.getall("Set-Cookie"):
            self._keep(header)
        return response

    def _keep(self, header: str) -> None:
        name, _, rest = header.partition("=")
        value, _, text = rest.partition(";")
        attributes = text.lower().replace(" ", "").split(";")
        if not value or "max-age=0" in attributes:
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value


def decide(sandbox: WSGIApplication, root: str, authorize_url: str, user: str, choice: str) -> str:
    """Log in as ``user``, or sign up, then "allow" or "deny".

    Returns the callback that the sandbox sends the browser to.
    """
    browser = Browser(sandbox, root)
    response = _open(browser, authorize_url)
    for _ in range(MOST_PAGES):
        if response.status_code == 303:
            url = response.headers["Location"]
            if not url.startswith(("/", f"{root}/")):
                return url
            response = _open(browser, url)
            continue
        form = _Form(response.text)
        action = urlsplit(form.action)
        if "username" in form.names:
            # A user who cannot log in has no account yet.
            path = "/signup" if response.status_code == 400 else action.path
            fields = {**form.hidden, "username": user, "password": user}
            response = browser.post(path, "", fields)
        elif "decision" in form.names:
            fields = {**form.hidden, "decision": choice}
            response = browser.post(action.path, action.query, fields)
        else:
            break
    raise AssertionError(f"SoundCloud never sent {user} back: {response.status}\n{response.text}")


def _open(browser: Browser, url: str) -> webob.Response:
    parts = urlsplit(url)
    return browser.get(parts.path, {}, parts.query)


class _Form(HTMLParser):
    """The first form of a page: its address, its hidden fields, and the names of all of them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.hidden: dict[str, str] = {}
        self.names: set[str] = set()
        self._ended = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if self._ended:
            return
        if tag == "form":
            self.action = found.get("action", "")
        elif tag in ("input", "button") and "name" in found:
            self.names.add(found["name"])
            if found.get("type") == "hidden":
                self.hidden[found["name"]] = found.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._ended = True
