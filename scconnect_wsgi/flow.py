"""The contract between the middleware and a protocol.

A flow is two steps with the user in between. ``begin`` gives the address to send the user to, and
whatever must survive the trip; ``finish`` takes what came back and gives an access token or raises a
ConnectError. The middleware keeps ``pending`` without looking into it. A third protocol is a third
class with these five names; it may have a sixth, ``is_credential(key: bytes) -> bool``, which says whether a
key is the client's id or secret, so that SCConnect refuses to sign its cookies with that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

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
        """Protocol, provider and client in one string: a cookie made for one is refused by another."""

    def begin(self, callback_url: str) -> Departure:
        """Start a flow that comes back to ``callback_url``. Raises ConnectError."""

    def flow_id(self, answer: Answer) -> str:
        """Which flow an answer says it belongs to; empty where it does not say."""

    def finish(self, callback_url: str, answer: Answer, pending: Pending) -> AccessToken:
        """Exchange the answer for a token. Asks the provider at most once; raises ConnectError."""


@dataclass(frozen=True)
class AccessToken:
    """What the provider granted, in one shape for both protocols.

    ``token_secret`` belongs to OAuth 1.0a, ``refresh_token``, ``expires_at`` (seconds since the
    epoch) and ``scope`` to OAuth 2.1; each is None where the provider gave none. ``extra`` holds every
    other field of the answer. The repr shows no secret.
    """

    token: str
    token_secret: str | None = None
    refresh_token: str | None = None
    expires_at: int | None = None
    scope: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        held = [name for name in ("token_secret", "refresh_token") if getattr(self, name) is not None]
        secrets = "".join(f", {name}=***" for name in held)
        rest = f"expires_at={self.expires_at!r}, scope={self.scope!r}, extra={sorted(self.extra)}"
        return f"AccessToken(token=***{secrets}, {rest})"

    def to_dict(self) -> dict[str, Any]:
        """Everything, secrets too, ready for ``json.dumps``."""
        return {
            "token": self.token,
            "token_secret": self.token_secret,
            "refresh_token": self.refresh_token,
            "expires_at": self.expires_at,
            "scope": self.scope,
            "extra": dict(self.extra),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> AccessToken:
        """The token that ``to_dict`` wrote down. Raises ValueError for anything else."""
        unknown = set(fields) - set(cls.__dataclass_fields__)
        token = fields.get("token")
        if unknown or not isinstance(token, str) or not token:
            raise ValueError("These are not the fields that AccessToken.to_dict() writes.")
        return cls(**fields)
