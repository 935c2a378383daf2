"""The one registered application, and where its users may be sent back to."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.provider import check_token_endpoint_auth
from scconnect_wsgi.urls import LOOPBACK, checked_url


@dataclass(frozen=True)
class Client:
    """An application: client id and secret in OAuth 2.1, consumer key and secret in OAuth 1.0a.

    If ``redirect_uris`` is None, every address on a loopback host is registered.
    ``token_endpoint_auth`` is the only way in which it may authenticate at the token endpoint of
    OAuth 2.1 (RFC 7591 section 2); with ``none`` the secret is for OAuth 1.0a only.
    """

    id: str
    secret: str = field(repr=False)
    redirect_uris: Collection[str] | None = None
    token_endpoint_auth: str = "client_secret_post"  # noqa: S105  # the name of a method

    def __post_init__(self) -> None:
        check_token_endpoint_auth(self.token_endpoint_auth)

    @property
    def client_id(self) -> str:
        """Return the client id, under the name that oauthlib expects."""
        return self.id

    def may_return_to(self, url: str) -> bool:
        """Return whether ``url`` is registered, byte for byte."""
        if self.redirect_uris is not None:
            return url in self.redirect_uris
        try:
            checked_url(url, "redirect_uri")
        except ConfigurationError:
            return False
        return urlsplit(url).hostname in LOOPBACK

    def has_secret(self, secret: str) -> bool:
        """Return whether this is the client secret; compares in constant time."""
        return hmac.compare_digest(self.secret.encode(), secret.encode("utf-8", "replace"))
