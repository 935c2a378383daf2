"""Who a connection belongs to at the provider: the few fields that every site needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scconnect_wsgi.provider import SOUNDCLOUD
from scconnect_wsgi.urls import origin


@dataclass(frozen=True)
class Account:
    """An account at the provider. What the provider does not say is an empty string.

    ``urn`` is its key at this provider, and another provider may use the same one: ``user_at``
    tells them apart.
    """

    urn: str = ""
    username: str = ""
    name: str = ""
    avatar_url: str = ""
    permalink_url: str = ""

    @classmethod
    def of(cls, me: Mapping[str, object], api_url: str) -> Account:
        """The account in the answer to ``/me`` of the API at ``api_url``.

        At SoundCloud ``id`` is deprecated and may be missing; where ``urn`` is missing, it is made
        from ``id``. Another provider's ``urn`` is what it says, or else its ``id`` as it stands: a
        positive number, or a text. A field that is no text is left out.
        """
        return cls(
            urn=_key(me.get("urn")) or _numbered(me.get("id"), api_url),
            username=_text(me.get("username")),
            name=_text(me.get("full_name")),
            avatar_url=_address(me.get("avatar_url")),
            permalink_url=_address(me.get("permalink_url")),
        )

    def user_at(self, api_url: str) -> str:
        """The name of a site's user who logs in with this account of the API at ``api_url``.

        It is ``urn`` for SoundCloud's own API, and for every other one its origin with ``urn``
        behind it (``https://api.example#5``): no provider can name the user of another one,
        whatever ``urn`` it claims. Empty where the provider does not say whose account it is.
        """
        if not self.urn or _is_soundcloud(api_url):
            return self.urn
        return f"{origin(api_url)}#{self.urn}"


def _is_soundcloud(api_url: str) -> bool:
    return origin(api_url) == origin(str(SOUNDCLOUD.api_url))


def _numbered(id: object, api_url: str) -> str:
    """A key made from an ``id``.

    Nobody is number 0, which some APIs call whoever is not known to them.
    """
    if isinstance(id, int) and not isinstance(id, bool) and id > 0:
        return f"soundcloud:users:{id}" if _is_soundcloud(api_url) else str(id)
    return "" if _is_soundcloud(api_url) else _key(id)


def _key(value: object) -> str:
    text = _text(value)
    return text if text.strip() else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _address(value: object) -> str:
    """A site puts it into ``src`` and ``href``:

    what is no web address (``javascript:``) is left out.
    """
    text = _text(value)
    return text if text.lower().startswith(("https://", "http://")) else ""
