"""The contract between the middleware and a protocol.

A flow is two steps with the user in between. ``begin`` gives the address to send the user to, and
whatever must survive the trip; ``finish`` takes what came back and gives an access token or raises
a ConnectError. The middleware keeps ``pending`` without looking into it. A third protocol is a
third class with these five names; it may have a sixth, ``is_credential(key: bytes) -> bool``, which
says whether a key is the client's id or secret, so that SCConnect refuses to sign its cookies with
that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from scconnect_wsgi.token import AccessToken

if TYPE_CHECKING:
    from scconnect_wsgi.provider import OAuth1Provider, OAuth2Provider
    from scconnect_wsgi.transport.client import Transport

Answer = Mapping[str, str]  # the query the provider sent the user back with, every name once
Pending = Mapping[str, str]  # what must survive the trip, JSON-ready; the protocol's business alone


@dataclass(frozen=True)
class Departure:
    """Where the user goes next, and what must be there when they come back."""

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
        """Protocol, provider and client in one string:

        a cookie made for one is refused by another.
        """

    def begin(self, callback_url: str) -> Departure:
        """Start a flow that comes back to ``callback_url``. Raises ConnectError."""

    def flow_id(self, answer: Answer) -> str:
        """Which flow an answer says it belongs to; empty where it does not say."""

    def finish(self, callback_url: str, answer: Answer, pending: Pending) -> AccessToken:
        """Exchange the answer for a token. Asks the provider at most once; raises ConnectError."""


class ApiFlow(Flow, Protocol):
    """What the connections ask of a protocol once there is a token."""

    @property
    def provider(self) -> OAuth1Provider | OAuth2Provider:
        """The addresses of the provider."""

    @property
    def transport(self) -> Transport:
        """How the provider is reached."""

    def authorization(self, token: AccessToken, method: str, url: str, form: str = "") -> str:
        """Return the Authorization header of one API call."""

    def refresh(self, token: AccessToken, callback_url: str = "") -> AccessToken:
        """Redeem a refresh token. Raises InvalidGrant, or another ConnectError."""
