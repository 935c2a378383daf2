"""Calling the API with a stored token, from the server: the browser never sees one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from oauthlib import oauth1

from scconnect_wsgi.errors import ConnectError, ProviderError
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.transport.client import HTTPRequest, shared_transport

TRACKS = "/me/tracks?linked_partitioning=true&limit=50"
Sign = Callable[[AccessToken, str], dict[str, str]]  # a token and a URL: the headers of a GET


class NoLongerAllowedError(ConnectError):
    """The API does not take this token any more."""

    code = "access_denied"


class Api:
    """What a connected site asks SoundCloud: who is it, and what have they not published."""

    def __init__(self, root: str, sign: Sign) -> None:
        self._root = root
        self._sign = sign

    def username(self, token: AccessToken) -> str:
        """The name of the account. Raises ConnectError."""
        return str(self._get(token, "/me").get("username", ""))

    def account(self, token: AccessToken) -> dict[str, Any]:
        """What the page shows of an account. Raises ConnectError."""
        me, tracks = self._get(token, "/me"), self._get(token, TRACKS).get("collection", [])
        private = [track["title"] for track in tracks if track.get("sharing") == "private"]
        return {
            **{name: me.get(name) for name in ("username", "full_name", "avatar_url")},
            "private_tracks": private,
        }

    def _get(self, token: AccessToken, path: str) -> dict[str, Any]:
        url = self._root + path
        answer = shared_transport().send(lambda: HTTPRequest("GET", url, self._sign(token, url)))
        if answer.status == 401:
            raise NoLongerAllowedError(
                "SoundCloud no longer accepts this token: it ran out, or was taken back."
            )
        try:
            fields = json.loads(answer.body)
        except ValueError:
            fields = None
        if answer.status != 200 or not isinstance(fields, dict):
            raise ProviderError("SoundCloud's answer cannot be understood.")
        return fields


def with_oauth2(token: AccessToken, url: str) -> dict[str, str]:
    """OAuth 2.1 as SoundCloud documents it: the token alone."""
    return {"Authorization": f"OAuth {token.token}"}


def with_oauth1(consumer_key: str, consumer_secret: str) -> Sign:
    """OAuth 1.0a: every call is signed (RFC 5849 section 3)."""

    def sign(token: AccessToken, url: str) -> dict[str, str]:
        client = oauth1.Client(consumer_key, consumer_secret, token.token, token.token_secret)
        _, headers, _ = client.sign(url)
        return dict(headers)

    return sign
