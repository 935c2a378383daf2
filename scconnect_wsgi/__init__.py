"""Wrap any WSGI application and it has a working "Connect with SoundCloud" button."""

from scconnect_wsgi.errors import ConnectError
from scconnect_wsgi.flow import AccessToken
from scconnect_wsgi.provider import SOUNDCLOUD, SOUNDCLOUD_2009, OAuth1Provider, OAuth2Provider

__all__ = [
    "SOUNDCLOUD",
    "SOUNDCLOUD_2009",
    "AccessToken",
    "ConnectError",
    "OAuth1Provider",
    "OAuth2Provider",
]
