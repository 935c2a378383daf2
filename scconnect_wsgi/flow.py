"""The two contracts of a protocol: one with the middleware, one with the connections.

``Flow`` is how a token is obtained: two steps with the user in between. ``begin`` returns the
address to send the user to, and whatever must survive the trip; ``finish`` takes what came back and
returns an access token or raises a ConnectError. The middleware keeps ``pending`` without looking
into it. ``ApiFlow`` is what else the connections need, once there is a token.

A third protocol is a third class with these names. It may have one more,
``is_credential(key: bytes) -> bool``, which says whether a key is the client's id or secret, so
that SCConnect refuses to sign its cookies with that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from scconnect_wsgi.token import AccessToken

if TYPE_CHECKING:
    from scconnect_wsgi.provider import OAuth1Provider, OAuth2Provider
    from scconnect_wsgi.transport import HTTPResponse, Transport

AuthorizationResponse = Mapping[str, str]  # the query of the callback, every name once
Pending = Mapping[str, str]  # what must survive the trip, JSON-ready; only the protocol reads it


@dataclass(frozen=True)
class Departure:
    """The address to send the user to, and what to keep until they return."""

    authorize_url: str
    flow_id: str  # the request token or the state: names the flow's cookie
    pending: Pending = field(repr=False)


class Flow(Protocol):
    """One way of obtaining an access token."""

    @property
    def name(self) -> str:
        """The protocol, for people: ``OAuth 2.1``."""

    @property
    def audience(self) -> str:
        """Protocol, provider and client in one string.

        A cookie made for one is refused by another.
        """

    def begin(self, callback_url: str) -> Departure:
        """Start a flow that comes back to ``callback_url``. Raises ConnectError."""

    def flow_id(self, response: AuthorizationResponse) -> str:
        """Return the flow that a response says it belongs to; empty if it does not say."""

    def finish(
        self, callback_url: str, response: AuthorizationResponse, pending: Pending
    ) -> AccessToken:
        """Exchange the response for a token. Asks the provider at most once.

        Raises ConnectError.
        """


class ApiFlow(Flow, Protocol):
    """A flow whose tokens can be used, refreshed and given back."""

    @property
    def provider(self) -> OAuth1Provider | OAuth2Provider:
        """The provider that grants the tokens."""

    @property
    def transport(self) -> Transport:
        """How that provider is reached."""

    def authorization(self, token: AccessToken, method: str, url: str, form: str = "") -> str:
        """Return the Authorization header of one API call.

        ``url`` is the address as it is sent, ``form`` a form-encoded body; a protocol that signs
        its calls signs that too.
        """

    def refresh(self, token: AccessToken, callback_url: str = "") -> AccessToken:
        """Redeem the token's refresh token, and return the new token. Asks at most once.

        ``callback_url`` is that of the flow that gave the token. Raises InvalidGrant if the refresh
        token is refused, ProviderError or ProviderUnavailable otherwise; their ``outcome_unknown``
        says whether the refresh token may be used up.
        """

    @property
    def signs_out(self) -> bool:
        """Whether the provider has an address for ``sign_out``."""

    def sign_out(self, token: AccessToken) -> None:
        """Tell the provider that the token is no longer used, if it supports that.

        Raises ProviderError or ProviderUnavailable.
        """

    def rejects_token(self, response: HTTPResponse) -> bool:
        """Return whether a response to an API call says that the token is invalid or expired.

        False for refusals that are about something else: a clock, a signature, a missing right.
        """
