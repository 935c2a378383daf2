"""What a secret key must be, wherever it is given: in code, in a variable, or in a file."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any

from scconnect_wsgi.errors import ConfigurationError

# Characters, or bytes of a key of bytes; what token_urlsafe makes of 24 bytes, more than anyone
# guesses
LENGTH = 32
VARIETY = 8  # different ones; a random key of that length has three times as many
NEW_KEY = "`scconnect secret` makes a good one."


def checked_keys(given: object, name: str) -> list[bytes]:
    """Return one key, or several from oldest to newest, as bytes.

    Each must be good: the old ones still verify. Raises a ConfigurationError that names ``name``
    and shows no key.
    """
    keys: list[Any] = list(given) if isinstance(given, (list, tuple)) else [given]
    if not all(isinstance(key, (str, bytes)) for key in keys):
        raise ConfigurationError(
            name, f"must be a string or bytes, or several from oldest to newest: {NEW_KEY}"
        )
    if any(len(key) < LENGTH for key in keys):
        raise ConfigurationError(name, f"must have at least {LENGTH} characters: {NEW_KEY}")
    if not keys or any(len(set(key)) < VARIETY for key in keys):
        raise ConfigurationError(name, f"must be hard to guess: {NEW_KEY}")
    try:
        return [key.encode("utf-8") if isinstance(key, str) else key for key in keys]
    except UnicodeEncodeError:  # it quotes the key
        raise ConfigurationError(
            name, f"must hold only characters that UTF-8 can encode: {NEW_KEY}"
        ) from None


def refuse_credentials(
    keys: list[bytes], is_credential: Callable[[bytes], bool], name: str
) -> None:
    """Raise ConfigurationError if one of ``keys`` is known to others, as ``is_credential`` says."""
    if any(is_credential(key) for key in keys):
        raise ConfigurationError(
            name,
            "must not be the client secret, which the provider knows too, nor the client id, which everybody "
            f"can read: {NEW_KEY}",
        )


def is_one_of(key: bytes, *credentials: object) -> bool:
    """Return whether a key is one of these credentials; compared in constant time."""
    same = [hmac.compare_digest(key, _as_bytes(credential)) for credential in credentials]
    return any(same)


def _as_bytes(credential: object) -> bytes:
    return (
        credential
        if isinstance(credential, bytes)
        else str(credential).encode("utf-8", "surrogatepass")
    )
