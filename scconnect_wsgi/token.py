"""The access token that a flow ends with, in one shape for both protocols."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class AccessToken:
    """What the provider granted, in one shape for both protocols.

    ``token_secret`` belongs to OAuth 1.0a, ``refresh_token``, ``expires_at`` (seconds since the
    epoch) and ``scope`` to OAuth 2.1; each is None where the provider gave none. ``extra`` holds
    every other field of the answer. The repr shows no secret.
    """

    token: str
    token_secret: str | None = None
    refresh_token: str | None = None
    expires_at: int | None = None
    scope: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        held = [
            name for name in ("token_secret", "refresh_token") if getattr(self, name) is not None
        ]
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
