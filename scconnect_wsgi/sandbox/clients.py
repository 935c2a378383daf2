"""The one application that is registered here, and where its users may be sent back to."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from dataclasses import dataclass, field

from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.urls import LOOPBACK, checked_url, origin


@dataclass(frozen=True)
class Client:
    """An application: client id and secret in OAuth 2.1, consumer key and secret in OAuth 1.0a.

    ``redirect_uris`` of None stands for every address of this machine.
    """

    id: str
    secret: str = field(repr=False)
    redirect_uris: Collection[str] | None = None

    @property
    def client_id(self) -> str:
        """The name oauthlib looks for."""
        return self.id

    def may_return_to(self, url: str) -> bool:
        """Whether ``url`` is registered, to the byte."""
        if self.redirect_uris is not None:
            return url in self.redirect_uris
        try:
            checked_url(url, "redirect_uri")
        except ConfigurationError:
            return False
        host = origin(url).partition("://")[2]
        return host.rpartition("]")[0].lstrip("[") in LOOPBACK or host.partition(":")[0] in LOOPBACK

    def has_secret(self, secret: str) -> bool:
        """Whether this is the client secret, in constant time."""
        return hmac.compare_digest(self.secret.encode(), secret.encode("utf-8", "replace"))
