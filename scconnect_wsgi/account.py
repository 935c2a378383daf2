"""The account at a provider that a token is for: the few fields that every site needs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Account:
    """An account at the provider. A field that the provider does not give is an empty string.

    ``urn`` is the account's key at its own provider; another provider may use the same one.
    """

    urn: str = ""
    username: str = ""
    name: str = ""
    avatar_url: str = ""
    permalink_url: str = ""
