"""The access token that a flow ends with, in one shape for both protocols."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class AccessToken:
    """The token that a provider granted, in one shape for both protocols.

    ``token_secret`` belongs to OAuth 1.0a; ``refresh_token``, ``expires_at`` (seconds since the
    epoch) and ``scope`` belong to OAuth 2.1. Each is None if the provider gave none. ``extra``
    holds every other field of the answer. The repr shows no secret.
    """

    token: str
    token_secret: str | None = None
    refresh_token: str | None = None
    expires_at: int | None = None
    scope: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        fields = ["token=***"]
        if self.token_secret is not None:
            fields.append("token_secret=***")
        if self.refresh_token is not None:
            fields.append("refresh_token=***")
        fields.append(f"expires_at={self.expires_at!r}")
        fields.append(f"scope={self.scope!r}")
        fields.append(f"extra={sorted(self.extra)}")  # the names only
        return f"AccessToken({', '.join(fields)})"

    def to_dict(self) -> dict[str, Any]:
        """Return every field, secrets included, ready for ``json.dumps``."""
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
        """Return the token that ``to_dict`` wrote. Raises ValueError for any other mapping."""
        unknown = set(fields) - set(cls.__dataclass_fields__)
        token = fields.get("token")
        if unknown or not isinstance(token, str) or not token:
            raise ValueError("These are not the fields that AccessToken.to_dict() writes.")
        return cls(**fields)
