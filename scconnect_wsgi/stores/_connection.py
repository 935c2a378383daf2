"""What a store keeps: one connected account of one user of the site."""

from __future__ import annotations

from dataclasses import dataclass, field

from scconnect_wsgi.account import Account
from scconnect_wsgi.token import AccessToken


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
