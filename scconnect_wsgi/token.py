"""The access token that a flow ends with, in one shape for both protocols."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scconnect_wsgi.numeric import is_number
from scconnect_wsgi.redaction import hides_all_locals, hides_locals


@hides_all_locals
@dataclass(frozen=True)
class AccessToken:
    """The token that a provider granted, in one shape for both protocols.

    ``token_secret`` belongs to OAuth 1.0a; ``refresh_token``, ``expires_at`` (seconds since the
    epoch) and ``scope`` belong to OAuth 2.1. Each is None if the provider gave none. ``extra``
    holds every other field of the answer, and those that could not be read, such as a lifetime that
    is no number. The repr shows no secret.

    An empty ``refresh_token`` becomes None, and a fraction of a second is cut off. Raises TypeError
    for a value of another type, such as a datetime, and ValueError for an empty token.
    """

    token: str
    token_secret: str | None = None
    refresh_token: str | None = None
    expires_at: int | None = None
    scope: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.token, str):
            raise TypeError(f"token must be a string, not {type(self.token).__name__}.")
        if not self.token:
            raise ValueError("token must not be empty.")
        for name in ("token_secret", "refresh_token", "scope"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name} must be a string or None, not {type(value).__name__}.")
        if not isinstance(self.extra, Mapping):
            raise TypeError(f"extra must be a mapping, not {type(self.extra).__name__}.")
        # Other libraries keep fractions of a second, and an empty text if there is no refresh token
        object.__setattr__(self, "expires_at", _whole_seconds(self.expires_at))
        object.__setattr__(self, "refresh_token", self.refresh_token or None)

    def __repr__(self) -> str:
        fields = ["token=***"]
        if self.token_secret is not None:
            fields.append("token_secret=***")
        if self.refresh_token is not None:
            fields.append("refresh_token=***")
        fields.append(f"expires_at={self.expires_at!r}")
        fields.append(f"scope={self.scope!r}")
        fields.append(f"extra={sorted(map(str, self.extra))}")  # the names only
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
    @hides_locals
    def from_dict(cls, fields: Mapping[str, Any]) -> AccessToken:
        """Return the token that ``to_dict`` wrote, or that another library keeps as a dict.

        Such a dict is the provider's answer, as Flask-Dance, requests-oauthlib, Authlib and the old
        soundcloud client keep it: ``access_token``, ``refresh_token``, ``expires_at`` and ``scope``
        (a string, or a list), or ``oauth_token`` and ``oauth_token_secret`` in OAuth 1.0a. What
        else it has goes into ``extra``, such as ``expires_in``, because nobody knows since when.
        Raises ValueError for anything else.
        """
        if not isinstance(fields, Mapping):
            raise ValueError(
                f"The fields of a token must be a mapping, not {type(fields).__name__}. Read text "
                "with json.loads first."
            )
        if "access_token" in fields or "oauth_token" in fields:
            fields = _from_answer(fields)
        try:
            return cls(**fields)
        except (TypeError, ValueError) as error:
            problem = str(error) if set(fields) <= set(cls.__dataclass_fields__) else ""
        raise ValueError(
            f"These are not the fields that AccessToken.to_dict() writes. {problem}".strip()
        )


def _whole_seconds(moment: object) -> int | None:
    """Return seconds since the epoch without their fraction. Raises TypeError."""
    if moment is None:
        return None
    if isinstance(moment, datetime.datetime):
        raise TypeError(
            "expires_at must be in seconds since the epoch, not a datetime: "
            "give int(expires_at.timestamp()). If the datetime has no time zone and is in UTC, "
            "as databases often keep it, give "
            "int(expires_at.replace(tzinfo=datetime.timezone.utc).timestamp())."
        )
    if not is_number(moment):
        raise TypeError(
            "expires_at must be a number of seconds since the epoch, or None, "
            f"not {type(moment).__name__}."
        )
    if not math.isfinite(moment):
        raise TypeError(f"expires_at must be a number of seconds since the epoch, not {moment}.")
    return int(moment)


def _from_answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an access token that another library keeps as the provider's answer."""
    extra = dict(answer)
    token = extra.pop("oauth_token", None)
    scope = extra.pop("scope", None)
    return {
        "token": extra.pop("access_token", token),
        "token_secret": extra.pop("oauth_token_secret", None),
        "refresh_token": extra.pop("refresh_token", None),
        "expires_at": extra.pop("expires_at", None),
        "scope": " ".join(map(str, scope)) if isinstance(scope, (list, tuple, set)) else scope,
        "extra": extra,
    }
