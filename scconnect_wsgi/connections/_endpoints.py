"""Answer the page's script: list the signed-in user's connections, and end one.

    GET  /sc-connect/connections.json  -> {"connected": true, "connections": [...]}
    POST /sc-connect/disconnect        oauth_token_id=... -> the same object, without that one

Each connection is an object with ``oauth_token_id``, ``username``, ``name``, ``avatar_url`` and
``permalink_url``. Only scripts of the same origin are answered, and only about the user who is
signed in. This is a wrapper of its own because SCConnect knows nothing of stores.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from webob import Request, Response

from scconnect_wsgi.errors import ConfigurationError, ConnectError, NotConnected
from scconnect_wsgi.query import read_form
from scconnect_wsgi.redaction import safe_traceback
from scconnect_wsgi.stores import Connection
from scconnect_wsgi.urls import checked_path

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log: logging.Logger = logging.getLogger("scconnect_wsgi")

MAX_BODY = 4096  # bytes; a form with one id


class Endpoint:
    """A WSGI application around another one.

    ``identify`` returns the user who is signed in, ``of_user`` their connections;
    ``disconnect(id, user=user)`` ends one.
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
            f"{root}/connections.json": ("GET", self._list),
            f"{root}/disconnect": ("POST", self._end),
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer the two addresses; pass every other request through untouched."""
        route = self._routes.get(environ.get("PATH_INFO", ""))
        if route is None:
            return self._app(environ, start_response)
        method, handler = route
        response = self._respond(Request(environ), method, handler)
        return response(environ, start_response)

    def _respond(
        self, request: Request, method: str, handler: Callable[[Request, str], Response]
    ) -> Response:
        if request.method != method:
            return _json(405, error=f"This address accepts only {method}.", allow=method)
        if not _is_same_origin(request.environ, writing=method == "POST"):
            return _json(403, error="Only a page of this site may do that.")
        try:
            user = self._identify(request)
        except ConfigurationError as error:
            log.error("%s", error.message)
            return _json(500, error=error.message)
        except Exception:
            log.error("The identify callable of this site raised:\n%s", safe_traceback(""))
            return _json(500, error="The identify callable of this site raised: see its log.")
        if not user:
            return _json(401, connected=False, connections=[])
        try:
            return handler(request, user)
        except NotConnected as error:
            return _json(404, error=error.message)
        except ConnectError as error:
            log.warning("%s: %s", error.code, error.message)
            return _json(503, error=error.message)

    def _list(self, request: Request, user: str) -> Response:
        connections = [_public_fields(connection) for connection in self._of_user(user)]
        return _json(200, connected=bool(connections), connections=connections)

    def _end(self, request: Request, user: str) -> Response:
        try:
            form = read_form(request.body_file.read(MAX_BODY).decode("ascii"))
            id = form["oauth_token_id"]
        except (ValueError, KeyError):
            return _json(400, error="The form holds no oauth_token_id.")
        self._disconnect(id, user=user)
        return self._list(request, user)


def _public_fields(connection: Connection) -> dict[str, str]:
    account = connection.account
    return {
        "oauth_token_id": connection.id,
        "username": account.username,
        "name": account.name,
        "avatar_url": account.avatar_url,
        "permalink_url": account.permalink_url,
    }


def _is_same_origin(environ: WSGIEnvironment, writing: bool) -> bool:
    """Return whether a page of this site asks, by Fetch Metadata, or else by Origin or Referer.

    An old browser sends none of them with a GET, whose answer other sites cannot read anyway.
    """
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        return bool(site == "same-origin")
    source = environ.get("HTTP_ORIGIN") or environ.get("HTTP_REFERER")
    if source is None:
        return not writing
    try:
        host = urlsplit(str(source)).netloc
    except ValueError:
        return False
    return host.lower() == str(environ.get("HTTP_HOST", "")).lower()


def _json(status: int, allow: str | None = None, **fields: object) -> Response:
    response = Response(json_body=fields, status=status, cache_control="no-store", vary="Cookie")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if allow is not None:
        response.headers["Allow"] = allow
    return response
