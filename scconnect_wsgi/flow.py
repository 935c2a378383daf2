"""The two contracts of a protocol: one with the middleware, one with the connections.

``Flow`` is how a token is obtained: two steps with the user in between. ``begin`` returns the
address to send the user to, and whatever must survive the trip; ``finish`` takes what came back and
returns an access token or raises a ConnectError. The middleware keeps ``pending`` without looking
into it. ``ApiFlow`` is what else the connections need, once there is a token.

A third protocol is a third class with these names. It may have two more:
``is_credential(key: bytes) -> bool``, which says whether a key is the client's id or secret, so
that SCConnect refuses to sign its cookies with that, and ``client_id: str``, which SCConnect logs
beside the callback URL, because both must be those that are registered. With the methods of
RelayedFlow as well, several deployments can share one registered callback URL.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from scconnect_wsgi.token import AccessToken

if TYPE_CHECKING:
    from scconnect_wsgi.provider import OAuth1Provider, OAuth2Provider
    from scconnect_wsgi.transport import HTTPResponse, Transport

AuthorizationResponse = Mapping[str, str]  # the query of the callback, every name once
Pending = Mapping[str, str]  # what must survive the trip, JSON-ready; only the protocol reads it


@dataclass(frozen=True, repr=False)
class Departure:
    """The address to send the user to, and what to keep until they return."""

    authorize_url: str
    flow_id: str  # the request token or the state: names the flow's cookie
    pending: Pending

    def __repr__(self) -> str:
        """Show no query, flow id or pending values: they hold the state or the request token."""
        return f"Departure({self.authorize_url.partition('?')[0]!r})"


class ClientVerdict(enum.Enum):
    """What a provider's answer says about the credentials of a client."""

    ACCEPTED = "the provider knows the client, and its secret"
    NOT_VERIFIED = "the provider answers the same to a wrong secret"
    REFUSED = "the provider does not know the client, or its secret is wrong"
    NOT_ALLOWED = "the provider knows the client, and does not let it use this grant"
    CALLBACK_REFUSED = "the callback URL is not registered"
    CLOCK_REFUSED = "the provider refuses the time of this machine"
    UNEXPLAINED = "the provider refuses the request and does not say why"
    SILENT = "the answer is an error that says nothing about the client"
    FOREIGN = "the answer is not that of an OAuth provider"


@dataclass(frozen=True)
class ClientProbe:
    """The provider's answer to a request that tests the client's credentials.

    ``error`` is the provider's word for what is wrong, if it is a word that this package knows, and
    ``date`` the answer's Date header; both are empty otherwise.
    """

    verdict: ClientVerdict
    status: int
    error: str
    date: str


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


@runtime_checkable
class RelayedFlow(Protocol):
    """What a flow needs so that another deployment can relay the provider's answer."""

    def begin_relayed(self, callback_url: str, tag: Callable[[str], str]) -> Departure:
        """Start a flow as ``begin`` does, and have the provider send a tag back with the user.

        ``tag(nonce)`` makes it from a random text of letters, digits, ``_`` and ``-``. It begins
        with that text and a dot, and consists of the same characters and dots.
        """

    def relay_tag(self, response: AuthorizationResponse) -> str:
        """Return the tag that came back, or an empty string for a flow that is not relayed."""


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
        token is refused, UnclearRefusal if it may be the refresh token that is refused,
        ProviderError or ProviderUnavailable otherwise; ``outcome_unknown`` says whether the refresh
        token may be used up.
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

    def probe_client(self, callback_url: str) -> ClientProbe:
        """Ask the provider for something that shows whether it accepts the client's credentials.

        No token of a user comes of it. Raises ProviderError or ProviderUnavailable.
        """
