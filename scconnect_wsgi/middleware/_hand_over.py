"""Notice when the wrapped application loses what was handed over to it.

A framework may answer a request itself, before any code of the site has run, with a redirect to
another spelling of the same address: with a slash at its end (Django's APPEND_SLASH, Werkzeug's
strict_slashes), without one, or on https. The browser follows it to a request that has no token.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from scconnect_wsgi.middleware._environ import script_path
from scconnect_wsgi.middleware._responses import changing_headers

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log: logging.Logger = logging.getLogger("scconnect_wsgi")

_REDIRECTS = ("301", "302", "303", "307", "308")


def warn_if_lost(app: WSGIApplication, name: str) -> WSGIApplication:
    """Return ``app``, with a warning in the log if it loses the environ's ``name`` by a redirect.

    That is a redirect to the address of the request itself, with or without a slash at its end.
    """

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Read now, because the application may change both
        mount = unquote(script_path(environ))
        path = environ["PATH_INFO"]

        def look(status: str, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
            if status.startswith(_REDIRECTS):
                target = _path_of_location(headers, mount + path).removeprefix(mount)
                if target.rstrip("/") == path.rstrip("/"):
                    _warn(path, target, name)
            return headers

        return app(environ, changing_headers(start_response, look))

    return application


def _path_of_location(headers: Iterable[tuple[str, str]], base: str) -> str:
    """Return the path to which a redirect leads from ``base``, or an empty string."""
    for header, value in headers:
        if header.lower() == "location":
            try:
                return unquote(urlsplit(urljoin(base, value)).path)
            except ValueError:  # it cannot be read as a URL
                break
    return ""


def _warn(path: str, target: str, name: str) -> None:
    if target == path:
        advice = (
            "The redirect may be one to https or to another host: let the application know the "
            "address that users see, or exempt this path from the redirect."
        )
    else:
        advice = (
            f"Give the application a route for {path}, or give SCConnect "
            f'access_token_path="{target}" and register the callback URL that ends so.'
        )
    log.warning(
        'The wrapped application answered %s with a redirect to %s, so environ["%s"] is lost and '
        "the flow does not end. %s",
        path,
        target,
        name,
        advice,
    )
