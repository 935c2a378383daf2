"""Who a connection belongs to at the provider: the few fields that every site needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Account:
    """An account at the provider. ``urn`` is its key; what the provider does not say is an empty string."""

    urn: str = ""
    username: str = ""
    name: str = ""
    avatar_url: str = ""
    permalink_url: str = ""

    @classmethod
    def of(cls, me: Mapping[str, object]) -> Account:
        """The account in SoundCloud's answer to ``/me``.

        ``id`` is deprecated there and may be missing; where ``urn`` is missing, it is made from ``id``. A field
        that is no text is left out.
        """
        number = me.get("id")
        numbered = f"soundcloud:users:{number}" if isinstance(number, int) and not isinstance(number, bool) else ""
        return cls(
            urn=_text(me.get("urn")) or numbered,
            username=_text(me.get("username")),
            name=_text(me.get("full_name")),
            avatar_url=_address(me.get("avatar_url")),
            permalink_url=_address(me.get("permalink_url")),
        )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _address(value: object) -> str:
    """A site puts it into ``src`` and ``href``: what is no web address (``javascript:``) is left out."""
    text = _text(value)
    return text if text.lower().startswith(("https://", "http://")) else ""
