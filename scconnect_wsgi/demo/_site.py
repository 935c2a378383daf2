"""The demo's site: a page, the tracks of a connected account, and the day that SoundCloud has."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import webob

from scconnect_wsgi.connections import Connections
from scconnect_wsgi.demo._days import Days
from scconnect_wsgi.demo._page import Page, card
from scconnect_wsgi.demo._tracks import FIRST_PAGE, NoTracksError, page_of_tracks
from scconnect_wsgi.flow import Flow

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HERE = Path(__file__).parent
COOKIE = "scconnect_demo"
_COOKIE_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")  # what token_urlsafe(32) makes


@dataclass(frozen=True)
class Button:
    """One button: its protocol, the connections that it makes, and the paths of its SCConnect."""

    name: str
    flow: Flow
    note: str
    connections: Connections
    root: str  # of the two endpoints
    assets: str


class Site:
    """The wrapped application.

    ``url`` is the address that browsers use for it, ``sandbox_url`` the one of the pictures.
    """

    def __init__(self, buttons: Sequence[Button], days: Days, url: str, sandbox_url: str) -> None:
        self._buttons = {button.name: button for button in buttons}
        self._days = days
        self._url = url
        self._page = Page(f"{sandbox_url}/")
        self._policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; "
            f"img-src 'self' data: {sandbox_url}; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self._routes: dict[tuple[str, str], Callable[[webob.Request], webob.Response]] = {
            ("GET", "/"): self._home,
            ("GET", "/demo.css"): _file("demo.css", "text/css"),
            ("GET", "/demo.js"): _file("demo.js", "text/javascript"),
            ("GET", "/tracks"): self._tracks,
            ("POST", "/day"): self._change_day,
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        request = webob.Request(environ)
        handler = self._routes.get((environ["REQUEST_METHOD"], environ["PATH_INFO"] or "/"))
        try:
            response = handler(request) if handler else _nothing()
        except UnicodeDecodeError:
            response = _json(400, {"error": "The request is not UTF-8."})
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        return response(environ, start_response)

    def _home(self, request: webob.Request) -> webob.Response:
        # Opened as 127.0.0.1, the page would be another site than the one the flow ends at.
        if request.host_url != self._url:
            return webob.Response(status=303, location=f"{self._url}/")
        user = browser_of(request)
        cards = "".join(_card(button, user) for button in self._buttons.values())
        response = webob.Response(
            self._page.show(cards, self._days.today),
            content_type="text/html",
            charset="utf-8",
            cache_control="no-store",
        )
        response.headers["Content-Security-Policy"] = self._policy
        if user is None:
            response.set_cookie(
                COOKIE, secrets.token_urlsafe(32), path="/", httponly=True, samesite="Lax"
            )
        return response

    def _tracks(self, request: webob.Request) -> webob.Response:
        """Answer with a page of the tracks of one of this browser's connections."""
        button = self._buttons.get(request.GET.get("protocol", ""))
        address = request.GET.get("next", FIRST_PAGE)
        if button is None or "/me/tracks?" not in address:
            return _nothing()
        id = request.GET.get("oauth_token_id", "")
        try:
            page = page_of_tracks(button.connections, id, browser_of(request) or "", address)
        except NoTracksError as error:
            return _json(502, {"error": error.sentence})
        return _json(200, page)

    def _change_day(self, request: webob.Request) -> webob.Response:
        # Cookies ignore the port: a request from another site on localhost would carry ours.
        if request.headers.get("Origin") != self._url:
            return _json(403, {"error": "Only the demo's own page may do that."})
        day = self._days.choose(request.GET.get("day", ""))
        if day is None:
            return _json(400, {"error": "There is no such day."})
        return _json(200, {"day": day.name})


def browser_of(request: webob.Request) -> str | None:
    """Return the id of a browser, the demo's only idea of a user; None if it has none yet."""
    try:
        value = request.cookies.get(COOKIE, "")
    except UnicodeDecodeError:  # a cookie of another site on this host
        return None
    return value if _COOKIE_VALUE.fullmatch(value) else None


def _card(button: Button, user: str | None) -> str:
    return card(
        accounts=len(button.connections.of_user(user or "")),
        name=button.name,
        title=button.flow.name,
        note=button.note,
        start=f"{button.root}/request_token",
        callback=f"{button.root}/access_token",
        assets=button.assets,
    )


def _file(name: str, content_type: str) -> Callable[[webob.Request], webob.Response]:
    content = (HERE / name).read_bytes()
    return lambda request: webob.Response(
        content, content_type=content_type, charset="utf-8", cache_control="no-cache"
    )


def _nothing() -> webob.Response:
    return _json(404, {"error": "There is nothing at this address."})


def _json(status: int, fields: Mapping[str, object]) -> webob.Response:
    return webob.Response(json_body=fields, status=status, cache_control="no-store")
