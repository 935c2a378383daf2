"""Check which addresses may receive a token, and which redirects may leave the API.

The library that sends a request, the proxies in between and the server may each read an address in
their own way: ``https://one.example\\@two.example/`` names either host, and ``/v1/%2e%2e/admin`` is
below ``/v1`` or is not. So an address that can be read in two ways is refused, whichever is meant.
"""

from __future__ import annotations

import re
import socket
import unicodedata
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

import requests

from scconnect_wsgi.connections._waiting import SAFE_METHODS
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.transport import as_sent
from scconnect_wsgi.urls import LOOPBACK, checked_url, origin

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_QUERY = re.compile(r"[?#]")
# A host in plain letters, with nothing before it, and behind it nothing at which only some parsers
# see its end
_AUTHORITY = re.compile(
    r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?(?=[/?#]|\Z)", re.IGNORECASE | re.ASCII
)
MOST_ENCODINGS = 3  # times that a path may be percent-encoded, one over the other


def is_within(root: str, url: str) -> bool:
    """Return whether an address belongs to the API at ``root``, and is read alike by everybody.

    It does if scheme, host and port are the same, and its path is that of ``root`` or below it.
    ``url`` may spell the path as ``root`` does, or as requests sends it, ``~`` for ``%7E``.
    """
    address = _QUERY.split(url, maxsplit=1)[0]
    return not _CONTROLS.search(url) and _is_place_within(root, address)


@lru_cache(maxsize=64)  # each call asks twice; a query, which may hold a secret, is not kept
def _is_place_within(root: str, url: str) -> bool:
    if not _is_unambiguous(url) or origin(url) != origin(root):
        return False
    path = urlsplit(url).path
    return _is_below(root, path) or _is_below(as_sent(root), path)


def _is_below(root: str, path: str) -> bool:
    return f"{path}/".startswith(f"{urlsplit(root).path.rstrip('/')}/")


def check_redirect(root: str, request: requests.PreparedRequest) -> None:
    """Check a request that leads off the API at ``root``, after a redirect.

    Raises requests' InvalidURL unless it only fetches something, without credentials, from an
    address that is safe to ask. From https it may not lead to http, nor to this machine from
    another one.
    """
    problem = _problem(root, str(request.url))
    if request.method not in SAFE_METHODS or "Authorization" in request.headers:
        problem = problem or "Only a GET without credentials may leave the API."
    if problem:
        raise requests.exceptions.InvalidURL(problem, request=request)


def _problem(root: str, url: str) -> str:
    """Return why nothing may be fetched from an address that the API redirects to, or nothing."""
    try:
        checked_url(url, "The address of a redirect")
    except ConfigurationError as error:
        return error.message
    if not _is_unambiguous(url):
        return "The address of a redirect can be read in more than one way."
    if origin(root).startswith("https:") and not origin(url).startswith("https:"):
        return "The API redirects from https to http."
    if _is_on_this_machine(url) and not _is_on_this_machine(root):
        return "The API redirects to this machine, but is on another one."
    return ""


def _is_unambiguous(url: str) -> bool:
    """Return whether every reader of an address finds the same host and the same path in it."""
    if _CONTROLS.search(url) or not _AUTHORITY.match(url) or not origin(url):
        return False
    path = urlsplit(url).path
    for _ in range(MOST_ENCODINGS):
        path = unquote(path)
    if unquote(path) != path or _CONTROLS.search(path) or "\N{REPLACEMENT CHARACTER}" in path:
        return False
    # Some servers read a fullwidth dot as a dot, a backslash as a slash, and "..;x" as ".."
    segments = re.split(r"[/\\]", unicodedata.normalize("NFKC", path))
    return not any(segment.partition(";")[0].strip() in (".", "..") for segment in segments)


def _is_on_this_machine(url: str) -> bool:
    """Return whether the host of an address is a loopback one, in whatever way it is written."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host in LOOPBACK or host.endswith(".localhost"):
        return True
    try:
        # inet_aton also reads 127.1 and 2130706433, as the resolver does
        address = ip_address(host if ":" in host else socket.inet_aton(host))
    except (ValueError, OSError):
        return False  # a name
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified
