"""The browser files, read once and answered from memory.

Only the names of a fixed table exist, so no path can lead anywhere. Everything that can be done
once (headers, ETag, gzip) is done in the constructor.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    Headers = list[tuple[str, str]]

_SAFE = [("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer")]
CLOSE_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_OF_THE_BODY = (
    "Content-Type",
    "Content-Encoding",
)  # not in a 304, which has none: wsgiref.validate insists
_FRESH = "no-cache"  # kept, but asked for again each time: script and page must be of one version
_KEEP = "public, max-age=3600"  # seconds; pictures may lag behind an upgrade
FILES = {
    "sc-connect.js": ("text/javascript; charset=utf-8", _FRESH),
    "close.js": ("text/javascript; charset=utf-8", _FRESH),
    "close.html": ("text/html; charset=utf-8", _FRESH),
    "sc-connect.css": ("text/css; charset=utf-8", _FRESH),
    "button.css": ("text/css; charset=utf-8", _FRESH),
    "sc-mark.svg": ("image/svg+xml", _KEEP),
    "sc-connect.png": ("image/png", _KEEP),
    "sc-connect@2x.png": ("image/png", _KEEP),
    "sc-connect.svg": ("image/svg+xml", _KEEP),
    "sc-connect-light.png": ("image/png", _KEEP),
    "sc-connect-light@2x.png": ("image/png", _KEEP),
    "sc-connect-light.svg": ("image/svg+xml", _KEEP),
    "sc-connect-dark.png": ("image/png", _KEEP),
    "sc-connect-dark@2x.png": ("image/png", _KEEP),
    "sc-connect-dark.svg": ("image/svg+xml", _KEEP),
    "sc-connect-small.png": ("image/png", _KEEP),
    "sc-connect-small@2x.png": ("image/png", _KEEP),
    "sc-connect-small.svg": ("image/svg+xml", _KEEP),
    "sc-disconnect.png": ("image/png", _KEEP),
    "sc-disconnect@2x.png": ("image/png", _KEEP),
    "sc-disconnect.svg": ("image/svg+xml", _KEEP),
}


def asset_folder() -> Path:
    """Where the browser files lie:

    inside the package where it is installed, else beside it, in a checkout.
    """
    package = Path(__file__).parent.parent
    inside = package / "assets"
    folder = inside if inside.is_dir() else package.parent / "assets"
    if not (folder / "sc-connect.js").is_file():
        raise FileNotFoundError(
            "The browser files of scconnect-wsgi are missing: install the package again."
        )
    return folder


class BrowserFile:
    """One browser file as a WSGI application (RFC 9110: GET, HEAD, If-None-Match, gzip)."""

    __slots__ = ("_etags", "_plain", "_zipped")

    def __init__(self, body: bytes, content_type: str, cache_control: str) -> None:
        digest = hashlib.sha256(body).hexdigest()[:32]
        zipped = gzip.compress(body, 9, mtime=0)
        headers = [
            ("Content-Type", content_type),
            ("Cache-Control", cache_control),
            ("Vary", "Accept-Encoding"),
            *_SAFE,
        ]
        if content_type.startswith("text/html"):
            headers.append(("Content-Security-Policy", CLOSE_CSP))
        self._etags = (f'"{digest}"', f'"{digest}-gzip"')
        self._plain = self._prepare(body, [*headers, ("ETag", self._etags[0])])
        self._zipped = self._plain
        if len(zipped) < len(body):
            self._zipped = self._prepare(
                zipped, [*headers, ("ETag", self._etags[1]), ("Content-Encoding", "gzip")]
            )

    @staticmethod
    def _prepare(body: bytes, headers: Headers) -> tuple[Headers, Headers, bytes, str]:
        short = [header for header in headers if header[0] not in _OF_THE_BODY]
        return [*headers, ("Content-Length", str(len(body)))], short, body, dict(headers)["ETag"]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer from memory."""
        accepted = environ.get("HTTP_ACCEPT_ENCODING")
        full, short, body, etag = (
            self._zipped if accepted and _takes_gzip(accepted) else self._plain
        )
        method = environ["REQUEST_METHOD"]
        if method not in ("GET", "HEAD"):
            start_response(
                "405 Method Not Allowed",
                [("Allow", "GET, HEAD"), ("Content-Type", "text/plain"), *_SAFE],
            )
            return [b"Only GET and HEAD.\n"]
        known = environ.get("HTTP_IF_NONE_MATCH")
        # What browsers send is the one tag they were given; anything else is taken apart.
        if known is not None and (known == etag or self._is_known(known)):
            start_response(
                "304 Not Modified", [*short]
            )  # a copy: what wraps us may add to its list
            return []
        start_response("200 OK", [*full])
        return [body] if method == "GET" else []

    def _is_known(self, if_none_match: str) -> bool:
        """Weak comparison with every tag of the list (RFC 9110 section 13.1.2)."""
        tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
        return "*" in tags or any(tag in self._etags for tag in tags)


@lru_cache(maxsize=64)  # browsers send a handful of values
def _takes_gzip(accept_encoding: str) -> bool:
    """Whether gzip is acceptable (RFC 9110 section 12.5.3):

    named, or covered by ``*``, and not at ``q=0``.
    """
    weights = {}
    for part in accept_encoding.lower().split(","):
        coding, _, parameter = part.partition(";")
        name, _, weight = parameter.partition("=")
        try:
            weights[coding.strip()] = float(weight) if name.strip() == "q" else 1.0
        except ValueError:
            weights[coding.strip()] = 0.0
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


@cache
def browser_files(depth: int = 1) -> dict[str, BrowserFile]:
    """Every file that is served, by its name;

    ``depth`` is how many folders they lie below the site's first page.
    """
    folder = asset_folder()
    bodies = {name: (folder / name).read_bytes() for name in FILES}
    bodies["close.html"] = bodies["close.html"].replace(
        b'href="../"', b'href="' + b"../" * depth + b'"'
    )
    return {name: BrowserFile(bodies[name], *about) for name, about in FILES.items()}
