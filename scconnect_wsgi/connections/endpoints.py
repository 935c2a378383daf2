"""What a page may know of its own user's connections, and how it ends one.

    GET  /sc-connect/connections.json  {"connected": true, "connections": [{"oauth_token_id": "...", ...}]}
    POST /sc-connect/disconnect        oauth_token_id=...; the same object, without it

For scripts of the same origin alone, and only about the user who is signed in. A wrapper of its
own, because SCConnect knows nothing of stores.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from webob import Request, Response

from scconnect_wsgi.errors import ConnectError, NotConnected
from scconnect_wsgi.query import read_form
from scconnect_wsgi.redaction import safe_traceback
from scconnect_wsgi.stores import Connection
from scconnect_wsgi.urls import checked_path

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log: logging.Logger = logging.getLogger("scconnect_wsgi")

LARGEST_BODY = 4096  # bytes; a form with one id


class Endpoint:
    """A WSGI application around another one.

    ``disconnect`` takes an id, and a user as ``user=``.
    """

    def __init__(
        self,
        app: WSGIApplication,
        path: str,
        identify: Callable[[Request], str | None],
        of_user: Callable[[str], Sequence[Connection]],
        disconnect: Callable[..., None],
    ) -> None:
        root = checked_path(path, "path")
        self._app = app
        self._identify = identify
        self._of_user = of_user
        self._disconnect = disconnect
        self._routes = {
            f"{root}/connections.json": ("GET", self._show),
            f"{root}/disconnect": ("POST", self._end),
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer what is ours; pass everything else through, untouched."""
        route = self._routes.get(environ.get("PATH_INFO", ""))
        if route is None:
            return self._app(environ, start_response)
        return self._answer(Request(environ), *route)(environ, start_response)

    def _answer(
        self, request: Request, method: str, handle: Callable[[Request, str], Response]
    ) -> Response:
        if request.method != method:
            return _json(405, error=f"This address takes {method} alone.", allow=method)
        if not _same_origin(request.environ, writing=method == "POST"):
            return _json(403, error="Only a page of this site may do that.")
        try:
            user = self._identify(request)
        except Exception:
            log.error("The identify callable of this site raised:\n%s", safe_traceback(""))
            return _json(
                500,
                error="The identify callable of this site raised an exception; its log says which.",
            )
        if not user:
            return _json(401, connected=False, connections=[])
        try:
            return handle(request, user)
        except NotConnected as error:
            return _json(404, error=error.message)
        except ConnectError as error:
            log.warning("%s: %s", error.code, error.message)
            return _json(503, error=error.message)

    def _show(self, request: Request, user: str) -> Response:
        shown = [
            {
                "oauth_token_id": connection.id,
                "username": connection.account.username,
                "name": connection.account.name,
                "avatar_url": connection.account.avatar_url,
                "permalink_url": connection.account.permalink_url,
            }
            for connection in self._of_user(user)
        ]
        return _json(200, connected=bool(shown), connections=shown)

    def _end(self, request: Request, user: str) -> Response:
        try:
            id = read_form(request.body_file.read(LARGEST_BODY).decode("ascii"))["oauth_token_id"]
        except (ValueError, KeyError):
            return _json(400, error="The form holds no oauth_token_id.")
        self._disconnect(id, user=user)
        return self._show(request, user)


def _same_origin(environ: WSGIEnvironment, writing: bool) -> bool:
    """Whether a page of this site asks: by Fetch Metadata, else by an Origin that names the host
    that was asked.

    An old browser sends neither with a GET, whose answer other sites cannot read anyway.
    """
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        return bool(site == "same-origin")
    source = environ.get("HTTP_ORIGIN") or environ.get("HTTP_REFERER")
    if source is None:
        return not writing
    try:
        asking = urlsplit(str(source)).netloc
    except ValueError:
        return False
    return asking.lower() == str(environ.get("HTTP_HOST", "")).lower()


def _json(status: int, allow: str | None = None, **fields: object) -> Response:
    response = Response(json_body=fields, status=status, cache_control="no-store", vary="Cookie")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if allow is not None:
        response.headers["Allow"] = allow
    return response
