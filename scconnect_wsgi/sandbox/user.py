"""Somebody at a browser, for tests: keeps cookies, logs in at the sandbox, allows or denies."""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import webob

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

LONGEST_WAY = 8  # pages between the button and the way back; there are three


class Browser:
    """Asks one WSGI application and keeps its cookies; follows no redirect by itself."""

    def __init__(
        self,
        app: WSGIApplication,
        host: str,
        mount: str = "",
        headers: Mapping[str, str] | None = None,
        environ: Mapping[str, Any] | None = None,
    ) -> None:
        self._app, self._host, self._mount = app, host, mount
        self._headers = dict(headers or {})
        self._environ = dict(environ or {})
        given = self._headers.pop("Cookie", "")
        self.cookies: dict[str, str] = dict(
            pair.split("=", 1) for pair in given.split("; ") if "=" in pair
        )

    def get(self, path: str, headers: Mapping[str, str], query: str = "") -> webob.Response:
        """Ask for a path of the host; one below the mount is split as a server does."""
        return self._send(path, query, headers, {})

    def post(self, path: str, query: str, fields: Mapping[str, str]) -> webob.Response:
        """Send a form."""
        return self._send(path, query, {}, {"method": "POST", "POST": urlencode(fields)})

    def _send(
        self, path: str, query: str, headers: Mapping[str, str], how: dict[str, Any]
    ) -> webob.Response:
        local = path.removeprefix(self._mount) if path.startswith(f"{self._mount}/") else path
        request = webob.Request.blank(local, base_url=self._host + self._mount, **how)
        request.query_string = query
        request.headers["Host"] = urlsplit(
            self._host
        ).netloc  # WebOb adds the port, as no browser does
        request.headers.update({**self._headers, **headers})
        request.environ.update(self._environ)
        if self.cookies:
            request.headers["Cookie"] = "; ".join(
                f"{name}={value}" for name, value in self.cookies.items()
            )
        response = request.send(self._app)
        _ = response.body  # read to its end, and closed, as a server does
        for header in response.headers.getall("Set-Cookie"):
            name, _, rest = header.partition("=")
            value, _, attributes = rest.partition(";")
            if "max-age=0" in attributes.lower().replace(" ", "").split(";") or not value:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return response

    def forget(self, part: str) -> None:
        """Drop every cookie whose name holds ``part``, as a browser does with those that have
        expired.
        """
        self.cookies = {name: value for name, value in self.cookies.items() if part not in name}


def decide(sandbox: WSGIApplication, root: str, authorize_url: str, user: str, choice: str) -> str:
    """Log in as ``user``, or sign up, then ``allow`` or ``deny``:

    the address the provider sends the browser to.
    """
    browser, url, signed_up = Browser(sandbox, root), authorize_url, False
    response = browser.get(urlsplit(url).path, {}, urlsplit(url).query)
    for _ in range(LONGEST_WAY):
        if response.status_code == 303:
            url = response.headers["Location"]
            if not url.startswith(("/", f"{root}/")):
                return url
            response = browser.get(urlsplit(url).path, {}, urlsplit(url).query)
            continue
        form = _Form(response.text)
        if 'id="username"' in response.text:
            path = (
                "/signup"
                if response.status_code == 400 and not signed_up
                else urlsplit(form.action).path
            )
            signed_up = path == "/signup"
            response = browser.post(path, "", {**form.hidden, "username": user, "password": user})
        elif 'name="decision"' in response.text:
            asked = urlsplit(form.action)
            response = browser.post(asked.path, asked.query, {**form.hidden, "decision": choice})
        else:
            break
    raise AssertionError(f"SoundCloud never sent {user} back: {response.status}\n{response.text}")


class _Form(HTMLParser):
    """The first form of a page: where it goes, and its hidden fields."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action, self.hidden = "", dict[str, str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form" and not self.action:
            self.action = found.get("action", "")
        if tag == "input" and found.get("type") == "hidden":
            self.hidden[found["name"]] = found.get("value", "")
