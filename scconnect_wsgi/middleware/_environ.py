"""Read and clean the WSGI environ of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_OF_PROXIES = ("HTTP_X_FORWARDED", "HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_REAL_IP")


def script_path(environ: WSGIEnvironment) -> str:
    """Return SCRIPT_NAME as the path of a URL, which can never name another host."""
    script_name = environ.get("SCRIPT_NAME", "").encode("latin-1", "replace")
    parts = script_name.replace(b"\\", b"/").split(b"/")
    return "".join(f"/{quote(part)}" for part in parts if part not in (b"", b".", b".."))


def is_behind_a_proxy(environ: WSGIEnvironment) -> bool:
    """Return whether the headers of a request say that a proxy has passed it on.

    Caddy, Traefik, Apache and the load balancers of the clouds add X-Forwarded-For unless they are
    told not to, and browsers send none of these headers. nginx adds none unless it is told to, so
    a request that it passed on may not be recognized.
    """
    return any(name.startswith(_OF_PROXIES) for name in environ)


def strip_query(environ: WSGIEnvironment) -> None:
    """Remove the query of a request from every variable in which servers and WebOb keep it.

    It contains a code or a verifier, which must not reach the wrapped application's logs.
    """
    environ["QUERY_STRING"] = ""
    environ.pop("webob._parsed_query_vars", None)
    for name in ("RAW_URI", "REQUEST_URI"):  # set by gunicorn and uWSGI
        if name in environ:
            environ[name] = environ[name].partition("?")[0]
