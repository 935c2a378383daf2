"""Wrap any WSGI application and it has a working "Connect with SoundCloud" button."""

from scconnect_wsgi.errors import ConnectError
from scconnect_wsgi.middleware import HAND_OVER, SCConnect
from scconnect_wsgi.protocols.oauth1 import OAuth1
from scconnect_wsgi.protocols.oauth2 import OAuth2
from scconnect_wsgi.provider import SOUNDCLOUD, SOUNDCLOUD_2009, OAuth1Provider, OAuth2Provider
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.transport import Transport

__all__ = [
    "HAND_OVER",
    "SOUNDCLOUD",
    "SOUNDCLOUD_2009",
    "AccessToken",
    "ConnectError",
    "OAuth1",
    "OAuth1Provider",
    "OAuth2",
    "OAuth2Provider",
    "SCConnect",
    "Transport",
]
