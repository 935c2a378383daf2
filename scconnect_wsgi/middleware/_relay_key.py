"""Check that the key of a relay is no other key of the site, however it is written.

All deployments of a relay have ``relay_key``, laptops included: it must be worth nothing in place
of a key that signs the site's cookies, or hides cookies and stored tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.keys import NEW_KEY, checked_keys, share_a_key
from scconnect_wsgi.middleware._storage import FlowStorage

if TYPE_CHECKING:
    from scconnect_wsgi.encryption import Encryption

    Keys = str | bytes | Sequence[str | bytes]


def check_relay_key(
    relay_key: Keys | None,
    secret_key: Keys,
    encryption: Encryption | None,
    storage: FlowStorage | None,
) -> None:
    """Raise ConfigurationError if ``relay_key`` serves another purpose as well.

    ``encryption`` is that of the cookies. The storage behind ``store_token`` may have another one.
    """
    if relay_key is None:
        return
    shared = checked_keys(relay_key, "relay_key")
    if share_a_key(checked_keys(secret_key, "secret_key"), shared):
        raise ConfigurationError(
            "relay_key",
            "must not be the secret_key: every deployment has the relay_key, and could forge "
            f"cookies of this site with it. {NEW_KEY}",
        )
    of_tokens = None if storage is None else storage.encryption
    for each in (encryption, of_tokens):
        if each is not None and each.shares_a_key(shared):
            raise ConfigurationError(
                "relay_key",
                "must not be a key of the encryption: every deployment has the relay_key, and "
                f"could decrypt what this site encrypts. {NEW_KEY}",
            )
