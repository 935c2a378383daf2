"""The browser files, read once and served from memory.

Only the names of a fixed table are served, so no path can lead anywhere else. Whatever can be done
once (headers, ETag, gzip) is done in the constructor. A response without a body is ``[b""]``, as in
``_responses``.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_SAFE = [("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer")]
CLOSE_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Left out of a 304, which has no body: wsgiref.validate insists
_ABOUT_THE_BODY = ("Content-Type", "Content-Encoding")
# Lines that hold nothing else. They are a quarter of the script, which every page of a site loads.
_COMMENT_LINES = re.compile(rb"^ +//.*\n", re.MULTILINE)
_FRESH = "no-cache"  # cached, but revalidated each time: script and page must be of one version
_KEEP = "public, max-age=3600"  # seconds; pictures may be older than the installed version
CLOSE_PAGE = "close.html"
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
    """Return the folder of the browser files.

    It is inside an installed package, and beside the package in a checkout. Raises
    FileNotFoundError if it is in neither place.
    """
    package = Path(__file__).parent.parent
    inside = package / "assets"
    folder = inside if inside.is_dir() else package.parent / "assets"
    if not (folder / "sc-connect.js").is_file():
        raise FileNotFoundError(
            "The browser files of scconnect-wsgi are missing: install the package again."
        )
    return folder


@dataclass(frozen=True, slots=True)
class _Variant:
    """One encoding of a file, ready to be sent."""

    headers: list[tuple[str, str]]
    headers_of_304: list[tuple[str, str]]
    body: bytes
    etag: str


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
        plain_etag = f'"{digest}"'
        zipped_etag = f'"{digest}-gzip"'
        self._etags = (plain_etag, zipped_etag)
        self._plain = _variant(body, plain_etag, headers)
        self._zipped = self._plain
        if len(zipped) < len(body):
            self._zipped = _variant(zipped, zipped_etag, headers, [("Content-Encoding", "gzip")])

    @property
    def body(self) -> bytes:
        """The file as it is served, not compressed."""
        return self._plain.body

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer from memory."""
        accepted = environ.get("HTTP_ACCEPT_ENCODING")
        variant = self._zipped if accepted and _accepts_gzip(accepted) else self._plain
        method = environ["REQUEST_METHOD"]
        if method not in ("GET", "HEAD"):
            start_response(
                "405 Method Not Allowed",
                [("Allow", "GET, HEAD"), ("Content-Type", "text/plain"), *_SAFE],
            )
            return [b"Only GET and HEAD.\n"]
        known = environ.get("HTTP_IF_NONE_MATCH")
        # Browsers send the one tag that they were given; anything else is parsed.
        if known is not None and (known == variant.etag or self._is_known(known)):
            # A copy here and below, because a middleware around us may add to the list
            start_response("304 Not Modified", [*variant.headers_of_304])
            return [b""]
        start_response("200 OK", [*variant.headers])
        return [variant.body if method == "GET" else b""]

    def _is_known(self, if_none_match: str) -> bool:
        """Return whether any tag of the list is ours, by weak comparison (RFC 9110 13.1.2)."""
        tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
        return "*" in tags or any(tag in self._etags for tag in tags)


def _variant(
    body: bytes, etag: str, headers: list[tuple[str, str]], more: Sequence[tuple[str, str]] = ()
) -> _Variant:
    headers = [*headers, ("ETag", etag), *more]
    headers_of_304 = [header for header in headers if header[0] not in _ABOUT_THE_BODY]
    return _Variant([*headers, ("Content-Length", str(len(body)))], headers_of_304, body, etag)


@lru_cache(maxsize=64)  # browsers send few different values
def _accepts_gzip(accept_encoding: str) -> bool:
    """Return whether gzip is acceptable (RFC 9110 section 12.5.3).

    It is if it is named, or covered by ``*``, and its weight is not 0.
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
def common_files() -> dict[str, BrowserFile]:
    """Return every file that is the same for all sites, by its name: all but close.html."""
    folder = asset_folder()
    bodies = {name: (folder / name).read_bytes() for name in FILES if name != CLOSE_PAGE}
    bodies["sc-connect.js"] = _COMMENT_LINES.sub(b"", bodies["sc-connect.js"])
    return {name: BrowserFile(body, *FILES[name]) for name, body in bodies.items()}


def close_page(depth: int, change: Callable[[str], str]) -> BrowserFile:
    """Return close.html, after ``change``, for files that are ``depth`` folders below the site."""
    page = change((asset_folder() / CLOSE_PAGE).read_text("utf-8"))
    page = page.replace('href="../"', f'href="{"../" * depth}"')
    return BrowserFile(page.encode("utf-8"), *FILES[CLOSE_PAGE])
