"""The two protocols: each module turns one of them into an ApiFlow.

``oauth1`` is OAuth 1.0a (RFC 5849): ask the provider for a request token, send the user
there, exchange the verifier. ``oauth2`` is OAuth 2.1 with PKCE: send the user to the
provider, exchange the code. They are the only modules that know a protocol, and they know
nothing of each other; everything else works with the contracts in ``scconnect_wsgi.flow``.
"""

from typing import TYPE_CHECKING

from scconnect_wsgi.protocols.oauth1 import OAuth1
from scconnect_wsgi.protocols.oauth2 import OAuth2

if TYPE_CHECKING:
    from scconnect_wsgi.flow import ApiFlow

    # The type checker verifies that both keep the contract
    _API_FLOWS: tuple[type[ApiFlow], ...] = (OAuth1, OAuth2)

__all__ = ["OAuth1", "OAuth2"]
