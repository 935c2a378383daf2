"""Answer the page's script: list the signed-in user's connections, and end one.

    GET  /sc-connect/connections.json  -> {"connected": true, "connections": [...]}
    POST /sc-connect/disconnect        oauth_token_id=... -> the same object, without that one

The field may also come as FormData or as JSON.

Each connection is an object with ``oauth_token_id``, ``username``, ``name``, ``avatar_url`` and
``permalink_url``. Only scripts of the same origin are answered, and only about the user who is
signed in. This is a wrapper of its own because SCConnect knows nothing of stores.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from webob import Request, Response

from scconnect_wsgi.callables import hint
from scconnect_wsgi.connections._body import BadBodyError, read_id
from scconnect_wsgi.errors import ConfigurationError, ConnectError, NotConnected
from scconnect_wsgi.login import DISCONNECTED
from scconnect_wsgi.redaction import safe_traceback
from scconnect_wsgi.stores import Connection
from scconnect_wsgi.urls import LOOPBACK, checked_path, checked_root, origin

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log: logging.Logger = logging.getLogger("scconnect_wsgi")

Answer = TypeVar("Answer")
BaseURL = str | Callable[[Request], str] | None


def page_addresses(path: str) -> tuple[str, str]:
    """Return the two addresses below ``path``: of the list, and of ``disconnect``."""
    return f"{path}/connections.json", f"{path}/disconnect"


class Endpoint:
    """A WSGI application around another one.

    ``base_url`` is the site's public root, if it is known, or a callable that makes it from the
    request. ``identify`` returns the user who is signed in, ``of_user`` their connections;
    ``disconnect(id, user=user)`` ends one.
    """

    def __init__(
        self,
        app: WSGIApplication,
        path: str,
        base_url: BaseURL,
        identify: Callable[[Request], str | None],
        of_user: Callable[[str], Sequence[Connection]],
        disconnect: Callable[..., None],
    ) -> None:
        root = checked_path(path, "path")
        self._own_origin = _origin_finder(base_url)
        self._app = app
        self._identify = identify
        self._of_user = of_user
        self._disconnect = disconnect
        list_path, end_path = page_addresses(root)
        self._routes = {list_path: ("GET", self._list), end_path: ("POST", self._end)}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer the two addresses; pass every other request through untouched."""
        route = self._routes.get(environ.get("PATH_INFO", ""))
        if route is None:
            return self._app(environ, start_response)
        method, handler = route
        response = self._respond(Request(environ), method, handler)
        # WebOb answers a HEAD request with an empty iterable, for which Hypercorn sends no headers
        return list(response(environ, start_response)) or [b""]

    def _respond(
        self, request: Request, method: str, handler: Callable[[Request, str], Response]
    ) -> Response:
        if request.method != method:
            return _json(405, error=f"This address accepts only {method}.", allow=method)
        try:
            own_origin = _answer_of(self._own_origin, request, "base_url")
            if not _is_from_own_page(request.environ, own_origin):
                return _json(403, error=_refusal(request.environ, own_origin))
            user = _answer_of(self._identify, request, "identify")
        except ConfigurationError as error:
            return _json(500, error=error.message, error_id=error.error_id)
        if not user:
            return _json(401, connected=False, connections=[])
        try:
            return handler(request, user)
        except ConnectError as error:
            status = 404 if isinstance(error, NotConnected) else 503
            log.warning(
                "%s: %s (error_id %s) See %s",
                error.code,
                error.message,
                error.error_id,
                error.documentation,
            )
            return _json(status, error=error.message, error_id=error.error_id)

    def _list(self, request: Request, user: str) -> Response:
        connections = [_public_fields(connection) for connection in self._of_user(user)]
        return _json(200, connected=bool(connections), connections=connections)

    def _end(self, request: Request, user: str) -> Response:
        try:
            id = read_id(request.environ)
        except BadBodyError as error:
            return _json(400, error=str(error))
        self._disconnect(id, user=user)
        request.environ[DISCONNECTED] = id  # a login with it is over
        return self._list(request, user)


def _origin_finder(base_url: BaseURL) -> Callable[[Request], str]:
    """Return a callable that says which origin the site has; an empty one if that is not known.

    Raises ConfigurationError for a ``base_url`` that cannot work. So does the callable.
    """
    if callable(base_url):
        make_root = base_url
        return lambda request: origin(checked_root(make_root(request), "base_url"))
    known = "" if base_url is None else origin(checked_root(base_url, "base_url"))
    return lambda request: known


def _answer_of(question: Callable[[Request], Answer], request: Request, option: str) -> Answer:
    """Return what a callable of the site returns, which was given as this option.

    Raises ConfigurationError if it raises, or returns what it must not. That is logged here.
    """
    try:
        return question(request)
    except ConfigurationError as error:
        log.error("%s (error_id %s) See %s", error.message, error.error_id, error.documentation)
        raise
    except Exception as error:
        shown = safe_traceback(request.environ)
        cause = hint(error)
    # Outside of the block, so that the site's exception is not chained to it
    failure = ConfigurationError(
        option, f"is a callable of this site that raised: see its log.{cause}"
    )
    log.error("%s (error_id %s)\n%s", failure.message, failure.error_id, shown)
    raise failure


def _public_fields(connection: Connection) -> dict[str, str]:
    account = connection.account
    return {
        "oauth_token_id": connection.id,
        "username": account.username,
        "name": account.name,
        "avatar_url": account.avatar_url,
        "permalink_url": account.permalink_url,
    }


def _is_from_own_page(environ: WSGIEnvironment, own_origin: str) -> bool:
    """Return whether a script of this site asks: by Fetch Metadata, Origin and Referer.

    ``own_origin`` is the site's, or empty if it is not known. Sec-Fetch-Site is not enough: behind
    a service worker of the site, browsers send ``same-origin`` for another site's forms.
    """
    site = environ.get("HTTP_SEC_FETCH_SITE")
    mode = environ.get("HTTP_SEC_FETCH_MODE", "cors")
    sender = environ.get("HTTP_ORIGIN")
    page = environ.get("HTTP_REFERER")
    if site not in (None, "same-origin") or sender == "null":
        return False
    if site and mode == "cors" and not own_origin:
        return True  # a proxy may have changed the Host, which is all that is left to compare with
    own = [own_origin] if own_origin else _origins_of_host(environ)
    sources = [source for source in (sender, page) if source]
    if any(origin(source) not in own for source in sources):
        return False
    if site:
        return mode == "cors" or bool(page)  # fetch() says "cors"; a worker passes on other modes
    # An old browser sends neither with a GET, whose answer other sites cannot read
    return bool(sources) or environ["REQUEST_METHOD"] == "GET"


def _refusal(environ: WSGIEnvironment, own_origin: str) -> str:
    """Return what is wrong with a request that does not come from a page of this site."""
    refusal = f"Only a page of {own_origin or 'this site'} may do that."
    if not {"HTTP_SEC_FETCH_SITE", "HTTP_ORIGIN", "HTTP_REFERER"} & environ.keys():
        return f"{refusal} The request has no Origin that says which page sent it."
    if not own_origin and environ.get("HTTP_SEC_FETCH_SITE") in (None, "same-origin"):
        return f"{refusal} If a proxy changes the Host, set base_url."
    return refusal


def _origins_of_host(environ: WSGIEnvironment) -> list[str]:
    """Return the origins that pages of this host can have.

    Plain http is for loopback hosts only. The scheme of the request says nothing: behind a proxy it
    is http on an https site.
    """
    host = environ.get("HTTP_HOST", "")
    found = [origin(f"https://{host}"), origin(f"http://{host}")]
    if urlsplit(found[1]).hostname not in LOOPBACK:
        found.pop()
    return [source for source in found if source]


def _json(status: int, allow: str | None = None, **fields: object) -> Response:
    response = Response(json_body=fields, status=status, cache_control="no-store", vary="Cookie")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if allow is not None:
        response.headers["Allow"] = allow
    return response
