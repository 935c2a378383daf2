"""The page for strangers, where a site wants everybody to log in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from scconnect_wsgi.login._answers import LinkNotice, answer, is_script
from scconnect_wsgi.login._signed_in import SESSION
from scconnect_wsgi.middleware import Notice, Pages
from scconnect_wsgi.query import with_query
from scconnect_wsgi.redaction import safe_traceback
from scconnect_wsgi.urls import origin, path_of_this_origin

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log: logging.Logger = logging.getLogger("scconnect_wsgi")

Require = bool | Callable[["WSGIEnvironment"], object]

# RFC 9110 section 15.5.2 asks for a challenge. Browsers ignore one of a scheme that they do not
# know, and would ask for a password themselves with Basic.
_CHALLENGE = ("WWW-Authenticate", 'Cookie realm="log in with the account"')
# The fields that a failed flow adds to the address of the page where it began
_FIELDS_OF_FAILURES = {"error", "error_description", "error_id", "retry_after", "fields_dropped"}
_IN_QUERIES = "/?&=%!$'()*+,;:@~"  # what stays as it is; PEP 3333 has all else as latin-1


class Gate:
    """A WSGI application around another one, which strangers do not reach if the site requires it.

    ``require`` is True, or a callable that says so for a request's environ. ``root_path(environ)``
    returns the path of the site's first page, without the slash at its end, ``own_origin(environ)``
    the site's origin, or an empty string if that is not known. ``start_path`` is where a flow
    starts, relative to the first page.
    """

    def __init__(
        self,
        app: WSGIApplication,
        require: Require,
        root_path: Callable[[WSGIEnvironment], str],
        own_origin: Callable[[WSGIEnvironment], str],
        start_path: str,
        pages: Pages,
    ) -> None:
        self._app = app
        self._require = require
        self._root_path = root_path
        self._own_origin = own_origin
        self._start_path = start_path
        self._pages = pages

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request. The failure of a login is for the application, if it wants that."""
        if SESSION in environ or "scconnect.error" in environ:
            return self._app(environ, start_response)
        root_path = self._root_path(environ)
        try:
            if not self._is_required(environ):
                return self._app(environ, start_response)
        except Notice as notice:
            response = answer(environ, notice, root_path, self._pages)
        else:
            link = self._link(environ, root_path)
            page = self._page(environ, link)
            response = answer(environ, page, root_path, self._pages, sign_in=link)
        return response(environ, start_response)

    def _is_required(self, environ: WSGIEnvironment) -> bool:
        """Return whether only users may make this request. Raises a Notice."""
        if not callable(self._require):
            return self._require
        try:
            return bool(self._require(environ))
        except Exception:
            shown = safe_traceback(environ)
        notice = _require_failed()
        log.error(
            "The require callable of this site raised (error_id %s):\n%s", notice.error_id, shown
        )
        raise notice

    def _link(self, environ: WSGIEnvironment, root_path: str) -> str:
        """Return the address that begins a login and leads back to the page of the user.

        That is the page that was asked for. A form cannot be sent again by a link, and what a
        script asks for is not for people, so those lead back to the page that sent them.
        """
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD") or is_script(environ):
            return_to = _referring_page(environ, self._own_origin(environ), root_path)
        else:
            return_to = _requested_page(environ, root_path)
        return with_query(root_path + self._start_path, {"return_to": return_to})

    def _page(self, environ: WSGIEnvironment, link: str) -> Notice:
        message = "This page is for users who are logged in."
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            message = (
                "This page is for users who are logged in. What you have sent was not saved: log "
                "in, and send it again."
            )
        elif "error" in environ.get("QUERY_STRING", "") and _failed_before(environ):
            message = "You are not logged in: that did not work, or you have cancelled it."
        notice = LinkNotice("401 Unauthorized", "Please log in", message, link)
        notice.headers = [_CHALLENGE]
        return notice


def _require_failed() -> Notice:
    """Return the page that says that the site's ``require`` raised. Nobody is let in."""
    return Notice(
        "500 Internal Server Error",
        "Something went wrong",
        "The site could not find out whether this page is for everybody.",
        code="start_refused",
    )


def _requested_page(environ: WSGIEnvironment, root_path: str) -> str:
    """Return the path of the page that was asked for.

    The first page stands for an address that cannot be a way back, because it is too long, or could
    lead to another site.
    """
    path = root_path + quote(environ.get("PATH_INFO", "").encode("latin-1", "replace"))
    query = _own_query(environ)
    for candidate in (f"{path}?{query}" if query else path, path):
        try:
            return path_of_this_origin(candidate) or f"{root_path}/"
        except ValueError:
            continue
    return f"{root_path}/"


def _referring_page(environ: WSGIEnvironment, own_origin: str, root_path: str) -> str:
    """Return the path of the page of this site that sent a request, or of the first page."""
    referer = environ.get("HTTP_REFERER", "")
    first_page = f"{root_path}/"
    if not own_origin or origin(referer) != own_origin:
        return first_page
    parts = urlsplit(referer)
    try:
        way_back = path_of_this_origin(parts.path + (f"?{parts.query}" if parts.query else ""))
    except ValueError:
        return first_page
    return way_back if way_back.startswith(first_page) else first_page


def _own_query(environ: WSGIEnvironment) -> str:
    """Return the query of a request, without what a login that failed has added to it."""
    query = str(environ.get("QUERY_STRING", ""))
    if _failed_before(environ):
        fields = parse_qsl(query, keep_blank_values=True, encoding="latin-1")
        own = [(name, value) for name, value in fields if name not in _FIELDS_OF_FAILURES]
        query = urlencode(own, encoding="latin-1", errors="replace")
    return quote(query.encode("latin-1", "replace"), safe=_IN_QUERIES)


def _failed_before(environ: WSGIEnvironment) -> bool:
    """Return whether a login has just failed, and led back to this page."""
    query = environ.get("QUERY_STRING", "")
    return "error_id=" in query and "error=" in query
