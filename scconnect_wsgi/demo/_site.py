"""The demo's site: a page, the account of a stored token, and a way to disconnect."""

from __future__ import annotations

import html
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import webob

from scconnect_wsgi.demo._account import Api
from scconnect_wsgi.demo._tokens import Tokens
from scconnect_wsgi.errors import ConnectError
from scconnect_wsgi.flow import Flow
from scconnect_wsgi.token import AccessToken

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HERE = Path(__file__).parent
PAGE = Template((HERE / "index.html").read_text("utf-8"))
CARD = Template((HERE / "card.html").read_text("utf-8"))
COOKIE = "scconnect_demo"
_COOKIE_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")  # what token_urlsafe(32) makes
_TOKEN_ID = re.compile(r"[0-9]{1,18}")  # what an INTEGER of SQLite holds
_NOT_YOURS = "This browser has no such connection."


@dataclass(frozen=True)
class Connection:
    """One button: its protocol, the paths of its SCConnect, and the API."""

    name: str
    flow: Flow
    note: str
    start: str
    callback: str
    api: Api


class Site:
    """The wrapped application.

    ``url`` is the address that browsers use for it, ``sandbox_url`` the one of the pictures.
    """

    def __init__(
        self, connections: Sequence[Connection], tokens: Tokens, url: str, sandbox_url: str
    ) -> None:
        self._apis = {connection.name: connection.api for connection in connections}
        self._tokens = tokens
        self._url = url
        self._page = PAGE.substitute(
            cards="".join(map(_card, connections)), sandbox=html.escape(sandbox_url)
        )
        self._policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; "
            f"img-src 'self' data: {sandbox_url}; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self._routes: dict[tuple[str, str], Callable[[webob.Request], webob.Response]] = {
            ("GET", "/"): self._home,
            ("GET", "/demo.css"): _file("demo.css", "text/css"),
            ("GET", "/demo.js"): _file("demo.js", "text/javascript"),
            ("GET", "/connections"): self._connections,
            ("GET", "/account"): self._account,
            ("POST", "/disconnect"): self._disconnect,
        }

    def store_token_of(
        self, connection: Connection
    ) -> Callable[[AccessToken, webob.Request], Mapping[str, str]]:
        """Return the ``store_token`` of a connection: it looks up the account and keeps the token.

        It raises LookupError for a browser without the demo's cookie.
        """

        def store_token(token: AccessToken, request: webob.Request) -> Mapping[str, str]:
            owner = browser_of(request)
            if owner is None:
                raise LookupError("The browser came back without the demo's cookie.")
            username = connection.api.username(token)
            token_id = self._tokens.save(owner, connection.name, token)
            return {"username": username, "oauth_token_id": str(token_id)}

        return store_token

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        request = webob.Request(environ)
        handler = self._routes.get((environ["REQUEST_METHOD"], environ["PATH_INFO"] or "/"))
        try:
            response = handler(request) if handler else _nothing()
        except UnicodeDecodeError:
            response = _json(400, error="The request is not UTF-8.")
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        return response(environ, start_response)

    def _home(self, request: webob.Request) -> webob.Response:
        # Opened as 127.0.0.1, the page would be another site than the one the flow ends at.
        if request.host_url != self._url:
            return webob.Response(status=303, location=f"{self._url}/")
        response = webob.Response(
            self._page, content_type="text/html", charset="utf-8", cache_control="no-store"
        )
        response.headers["Content-Security-Policy"] = self._policy
        if browser_of(request) is None:
            response.set_cookie(
                COOKIE, secrets.token_urlsafe(32), path="/", httponly=True, samesite="Lax"
            )
        return response

    def _connections(self, request: webob.Request) -> webob.Response:
        """Answer with the ids of this browser's connections, for the page after a reload."""
        return _json(200, **self._tokens.of(browser_of(request) or ""))

    def _account(self, request: webob.Request) -> webob.Response:
        found = self._tokens.find(browser_of(request) or "", _token_id(request))
        if found is None or found[0] not in self._apis:
            return _json(404, error=_NOT_YOURS)
        protocol, token = found
        try:
            return _json(200, **self._apis[protocol].account(token))
        except ConnectError as error:
            return _json(502, error=error.message)

    def _disconnect(self, request: webob.Request) -> webob.Response:
        # Cookies ignore the port: a request from another site on localhost would carry ours.
        if request.headers.get("Origin") != self._url:
            return _json(403, error="Only the demo's own page may do that.")
        self._tokens.delete(browser_of(request) or "", _token_id(request))
        return _json(200)


def browser_of(request: webob.Request) -> str | None:
    """Return the id of a browser, the demo's only idea of a user; None if it has none yet."""
    try:
        value = request.cookies.get(COOKIE, "")
    except UnicodeDecodeError:  # a cookie of another site on this host
        return None
    return value if _COOKIE_VALUE.fullmatch(value) else None


def _token_id(request: webob.Request) -> str:
    value = str(request.GET.get("oauth_token_id", ""))
    return value if _TOKEN_ID.fullmatch(value) else ""


def _card(connection: Connection) -> str:
    return CARD.substitute(
        name=html.escape(connection.name),
        note=html.escape(connection.note),
        start=html.escape(connection.start),
        callback=html.escape(connection.callback),
        title=html.escape(connection.flow.name),
    )


def _file(name: str, content_type: str) -> Callable[[webob.Request], webob.Response]:
    content = (HERE / name).read_bytes()
    return lambda request: webob.Response(
        content, content_type=content_type, charset="utf-8", cache_control="no-cache"
    )


def _nothing() -> webob.Response:
    return _json(404, error="There is nothing at this address.")


def _json(status: int, **fields: object) -> webob.Response:
    return webob.Response(json_body=fields, status=status, cache_control="no-store")
