"""What a store keeps: one connected account of one user of the site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from types import UnionType
from typing import Any, TypeVar, get_origin, get_type_hints

from scconnect_wsgi.account import Account
from scconnect_wsgi.token import AccessToken

Record = TypeVar("Record")


@dataclass(frozen=True)
class FailedRefresh:
    """A refresh that failed, and what is remembered of earlier ones until one succeeds.

    From ``failed_at`` (seconds since the epoch) on, nobody sends the refresh token for ``pause``
    seconds; ``rate_limited`` says whether the provider answered 429. ``refusals`` counts its
    refusals that did not say what was refused, and ``refused_since`` is when it began to refuse.
    """

    failed_at: int
    pause: int
    rate_limited: bool = False
    refusals: int = 0
    refused_since: int = 0

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> FailedRefresh:
        """Return the failed refresh whose fields these are. Raises TypeError for anything else."""
        return _checked(cls(**fields))


@dataclass(frozen=True)
class Connection:
    """One account at a provider, connected by one user of the site.

    ``id`` reaches the page as ``oauth_token_id``; ``user`` is the site's own name for its user. The
    token is for the API at ``api_url`` and for no other. ``obtained_at`` and ``refreshing_since``
    are in seconds since the epoch. ``ended`` is empty while the connection works, and afterwards
    the code of the error that ended it.
    """

    id: str
    user: str
    api_url: str
    token: AccessToken
    # When the token was obtained; the time from then until expires_at is a token's lifetime.
    obtained_at: int = 0
    account: Account = field(default_factory=Account)
    # The one that the flow used: some providers want it again with a refresh.
    callback_url: str = ""
    # Set before a refresh token is redeemed, and cleared when the new token is stored.
    refreshing_since: int | None = None
    ended: str = ""
    # Counts the writes; 0 means never stored.
    version: int = 0
    # Set when a refresh has failed, and cleared when a new token is stored.
    failed_refresh: FailedRefresh | None = None
    # A random word that all logins with this connection share (``Connections.login``). A new word
    # ends them all. Empty as long as nobody has logged in.
    login_key: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return every field, secrets included, ready for ``json.dumps``: for a store of your own.

        ``user``, ``account["urn"]`` and ``version`` are what a store looks for.
        """
        return {**asdict(self), "token": self.token.to_dict()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Connection:
        """Return the connection that ``to_dict`` wrote.

        Raises TypeError, ValueError or LookupError for anything else.
        """
        failed = fields["failed_refresh"]
        made = {
            "token": AccessToken.from_dict(fields["token"]),
            "account": _checked(Account(**fields["account"])),
            "failed_refresh": FailedRefresh.from_dict(failed) if failed else None,
        }
        return _checked(cls(**{**fields, **made}))


def _checked(record: Record) -> Record:
    wrong = wrong_field(record)
    if wrong:
        raise TypeError(f"{type(record).__name__}.{wrong} has a wrong type.")
    return record


def wrong_field(record: object) -> str:
    """Return the first field of a dataclass whose value is not of its declared type, or ""."""
    declared: Any = type(record)
    for name, kind in _types(declared).items():
        if not isinstance(getattr(record, name), kind):
            return name
    return ""


@cache
def _types(kind: Any) -> dict[str, Any]:
    """Return the type of each field of a dataclass, in the form that isinstance takes."""
    hints = get_type_hints(kind)
    declared = {field.name: hints[field.name] for field in fields(kind)}
    return {
        name: hint if isinstance(hint, UnionType) else get_origin(hint) or hint
        for name, hint in declared.items()
    }
