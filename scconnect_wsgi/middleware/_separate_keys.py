"""Check that the keys of a site differ from each other, however they are written.

``secret_key`` signs the cookies, an Encryption hides the cookies or the stored tokens, and all
deployments of a relay have ``relay_key``. Each must be worth nothing in place of another one.
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


def check_keys_differ(
    secret_key: Keys,
    relay_key: Keys | None,
    encryption: Encryption | None,
    storage: FlowStorage | None,
) -> None:
    """Raise ConfigurationError if one key serves two purposes.

    ``encryption`` is that of the cookies. The storage behind ``store_token`` may have another one.
    """
    own = checked_keys(secret_key, "secret_key")
    shared = [] if relay_key is None else checked_keys(relay_key, "relay_key")
    if share_a_key(own, shared):
        raise ConfigurationError(
            "relay_key",
            "must not be the secret_key: every deployment has the relay_key, and could forge "
            f"cookies of this site with it. {NEW_KEY}",
        )
    of_tokens = None if storage is None else storage.encryption
    for each in (encryption, of_tokens):
        if each is not None:
            _check_encryption(each, own, shared)


def _check_encryption(encryption: Encryption, own: list[bytes], shared: list[bytes]) -> None:
    if encryption.shares_a_key(shared):
        raise ConfigurationError(
            "relay_key",
            "must not be a key of the encryption: every deployment has the relay_key, and could "
            f"decrypt what this site encrypts. {NEW_KEY}",
        )
    if encryption.shares_a_key(own):
        raise ConfigurationError(
            "encryption",
            "must not use the secret_key: whoever learns one of the two must not have the other. "
            f"{NEW_KEY}",
        )
