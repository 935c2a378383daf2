"""Check which addresses may receive a token, and which redirects may leave the API."""

from __future__ import annotations

from urllib.parse import urlsplit

import requests

from scconnect_wsgi.connections._waiting import SAFE_METHODS
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.urls import checked_url, origin


def is_within(root: str, url: str) -> bool:
    """Return whether an address belongs to the API at ``root``.

    It does if scheme, host and port are the same, and its path is that of ``root`` or below it.
    """
    path = urlsplit(root).path.rstrip("/")
    return origin(url) == origin(root) and f"{urlsplit(url).path}/".startswith(f"{path}/")


def check_redirect(request: requests.PreparedRequest) -> None:
    """Check a request that leads off the API, after a redirect.

    Raises requests' InvalidURL unless it only fetches something, without credentials, from an
    address that is safe to ask.
    """
    try:
        checked_url(str(request.url), "The address of a redirect")
    except ConfigurationError as error:
        raise requests.exceptions.InvalidURL(error.message, request=request) from None
    if request.method not in SAFE_METHODS or "Authorization" in request.headers:
        raise requests.exceptions.InvalidURL(
            "Only a GET without credentials may leave the API.", request=request
        )
