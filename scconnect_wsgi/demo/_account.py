"""Call the API with a stored token, from the server: the browser never sees a token."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from oauthlib import oauth1

from scconnect_wsgi.errors import ConnectError, ProviderError
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.transport import HTTPRequest, shared_transport

TRACKS = "/me/tracks?linked_partitioning=true&limit=50"
Sign = Callable[[AccessToken, str], dict[str, str]]  # from a token and a URL to GET headers


class NoLongerAllowedError(ConnectError):
    """The API no longer accepts this token."""

    code = "access_denied"


class Api:
    """The calls that the demo makes: the account, and its tracks."""

    def __init__(self, root: str, sign: Sign) -> None:
        self._root = root
        self._sign = sign

    def username(self, token: AccessToken) -> str:
        """Return the username of the account. Raises ConnectError."""
        return str(self._get(token, "/me").get("username", ""))

    def account(self, token: AccessToken) -> dict[str, Any]:
        """Return what the page shows of an account. Raises ConnectError."""
        me = self._get(token, "/me")
        tracks = self._get(token, TRACKS).get("collection", [])
        private = [track["title"] for track in tracks if track.get("sharing") == "private"]
        return {
            "username": me.get("username"),
            "full_name": me.get("full_name"),
            "avatar_url": me.get("avatar_url"),
            "private_tracks": private,
        }

    def _get(self, token: AccessToken, path: str) -> dict[str, Any]:
        url = self._root + path
        answer = shared_transport().send(lambda: HTTPRequest("GET", url, self._sign(token, url)))
        if answer.status == 401:
            raise NoLongerAllowedError(
                "SoundCloud no longer accepts this token: it has expired, or was revoked."
            )
        try:
            fields = json.loads(answer.body)
        except ValueError:
            fields = None
        if answer.status != 200 or not isinstance(fields, dict):
            raise ProviderError("SoundCloud's answer cannot be understood.")
        return fields


def with_oauth2(token: AccessToken, url: str) -> dict[str, str]:
    """Return the headers of a call of OAuth 2.1, which SoundCloud documents as ``OAuth TOKEN``."""
    return {"Authorization": f"OAuth {token.token}"}


def with_oauth1(consumer_key: str, consumer_secret: str) -> Sign:
    """Return a function that signs a call of OAuth 1.0a (RFC 5849 section 3)."""

    def sign(token: AccessToken, url: str) -> dict[str, str]:
        client = oauth1.Client(consumer_key, consumer_secret, token.token, token.token_secret)
        _, headers, _ = client.sign(url)
        return dict(headers)

    return sign
