"""Check secret keys, whether they are given in code, in a variable or in a file."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any

from scconnect_wsgi.errors import ConfigurationError

LENGTH = 32  # characters, or bytes; 24 random bytes from token_urlsafe are as long
VARIETY = 8  # different characters; a random key of that length has about 25
NEW_KEY = "`scconnect secret` makes a good one."


def checked_keys(given: object, option: str) -> list[bytes]:
    """Return one key, or several from oldest to newest, as bytes.

    Raises ConfigurationError for ``option``, without showing a key, if one is too short or easy
    to guess. That applies to old keys too, because they still verify.
    """
    keys: list[Any] = list(given) if isinstance(given, (list, tuple)) else [given]
    if not keys:
        raise ConfigurationError(option, f"must not be empty: {NEW_KEY}")
    if not all(isinstance(key, (str, bytes)) for key in keys):
        raise ConfigurationError(
            option, f"must be a string or bytes, or several from oldest to newest: {NEW_KEY}"
        )
    if any(len(key) < LENGTH for key in keys):
        raise ConfigurationError(option, f"must have at least {LENGTH} characters: {NEW_KEY}")
    if any(len(set(key)) < VARIETY for key in keys):
        raise ConfigurationError(
            option, f"must contain at least {VARIETY} different characters: {NEW_KEY}"
        )
    try:
        return [key.encode("utf-8") if isinstance(key, str) else key for key in keys]
    except UnicodeEncodeError:  # its message shows the key
        raise ConfigurationError(
            option, f"must hold only characters that UTF-8 can encode: {NEW_KEY}"
        ) from None


def refuse_credentials(
    keys: list[bytes], is_credential: Callable[[bytes], bool], option: str
) -> None:
    """Raise ConfigurationError for ``option`` if one of ``keys`` is a credential of the client."""
    if any(is_credential(key) for key in keys):
        raise ConfigurationError(
            option,
            "must not be the client secret, which the provider knows too, nor the client id, "
            f"which everybody can read: {NEW_KEY}",
        )


def is_one_of(key: bytes, *credentials: object) -> bool:
    """Return whether a key is one of these credentials. Compares in constant time."""
    same = [hmac.compare_digest(key, _as_bytes(credential)) for credential in credentials]
    return any(same)


def _as_bytes(credential: object) -> bytes:
    if isinstance(credential, bytes):
        return credential
    return str(credential).encode("utf-8", "surrogatepass")
