"""Ask a site for its pages, as a browser does, but without following redirects."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

import requests

from scconnect_wsgi.errors import ConnectError
from scconnect_wsgi.transport import NETWORK_ERRORS, Transport, deadline, error_for

PATIENCE = 6.0  # seconds for a page
MAX_PAGE = 512 * 1024  # bytes of a page that are read
# As a browser sends them for an address that its user types
TYPED = {
    "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "Accept-Encoding": "gzip",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-User": "?1",
    "User-Agent": "scconnect-check",
}
FROM_THE_PROVIDER = {**TYPED, "Sec-Fetch-Site": "cross-site"}


class UnreachableError(Exception):
    """No answer came; the text says why."""


@dataclass(frozen=True, repr=False)  # headers and body may hold a secret
class Page:
    """An answer of the site. ``cookies`` has the values of its Set-Cookie headers."""

    url: str
    status: int
    headers: Mapping[str, str]
    cookies: list[str]
    body: bytes

    @property
    def kind(self) -> str:
        """What it is, for people: "status 200, text/html"."""
        media_type = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        known = media_type.isascii() and media_type.isprintable() and len(media_type) < 60
        return f"status {self.status}" + (f", {media_type}" if media_type and known else "")

    @property
    def location(self) -> str:
        """The full address that a redirect leads to, or an empty string."""
        location = self.headers.get("Location", "")
        if not 300 <= self.status < 400 or not location:
            return ""
        try:
            return urljoin(self.url, location)
        except ValueError:
            return ""


class Visitor:
    """Asks for pages. ``ca_bundle`` is the path of a PEM file, or None for certifi's."""

    def __init__(self, ca_bundle: str | None) -> None:
        self._verify: str | bool = ca_bundle or True
        self._adapter = Transport(ca_bundle=ca_bundle).adapter(self._verify)

    def get(self, url: str, headers: Mapping[str, str] = TYPED) -> Page:
        """Return what is at an address. Raises UnreachableError."""
        problem = ""
        try:
            request = requests.Request("GET", url, headers=dict(headers)).prepare()
            with _unlogged(), deadline(PATIENCE):
                return self._send(request)
        except ConnectError as error:
            problem = error.message
        except (*NETWORK_ERRORS, ValueError) as error:
            problem = error_for(error, url).message
        raise UnreachableError(problem)

    def _send(self, request: requests.PreparedRequest) -> Page:
        response = self._adapter.send(
            request, stream=True, timeout=PATIENCE, verify=self._verify, proxies={}
        )
        with response:
            cookies = response.raw.headers.getlist("Set-Cookie")
            body = response.raw.read(MAX_PAGE, decode_content=True)
            url = str(request.url)
            return Page(url, response.status_code, response.headers, cookies, body)


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep urllib3 from logging addresses: the query of a callback holds a request token."""
    log = logging.getLogger("urllib3.connectionpool")
    was_disabled = log.disabled
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = was_disabled


def split(url: str) -> SplitResult:
    """Return the parts of an address; those of an empty one if it cannot be read."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return urlsplit("")
    return parts


def shown(url: str) -> str:
    """Return an address without its query, which may hold a secret, fit for a terminal."""
    parts = split(url)
    text = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return ascii(text)[1:-1][:200]
