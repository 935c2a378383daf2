"""Encryption of what is kept: stored tokens, and the flow's cookie where that is wanted.

    pip install 'scconnect-wsgi[encryption]'

    encryption = Encryption(ENCRYPTION_KEY)  # one key, or several from oldest to newest

AES-256-GCM. What is sealed is bound to its place, so that nobody who can write into a database can
move one user's token into another's row. Sealed bytes look like this:

    1 byte   the version of this format
    8 bytes  which key: derived from it, and of no use without it
    12 bytes nonce, random
    ...      ciphertext, and 16 bytes that authenticate all of this and the place
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from scconnect_wsgi.errors import ConfigurationError, KeyRemoved, Undecipherable
from scconnect_wsgi.keys import checked_keys

VERSION = (
    b"\x01"  # neither JSON nor zlib begins with it: what is not encrypted can be told from what is
)
ID_BYTES = 8
NONCE_BYTES = 12  # NIST SP 800-38D section 8.2: random ones are good for 2**32 messages a key
TAG_BYTES = 16
KEY_BYTES = 32  # AES-256
_HEAD = len(VERSION) + ID_BYTES


class Encryption:
    """The keys that encrypt: one, or several from oldest to newest.

    The newest encrypts, all decrypt: to rotate, append a new key, and take the oldest away once
    what it encrypted was written anew. ``accept_unencrypted`` lets stores read what they stored
    before encryption was switched on; what they write is encrypted. Raises ConfigurationError for a
    key that can be found by trying, once the database is stolen (``scconnect secret`` makes a good
    one), and where the package cryptography is not installed.
    """

    def __init__(
        self, keys: str | bytes | Sequence[str | bytes], *, accept_unencrypted: bool = False
    ) -> None:
        self.accept_unencrypted = accept_unencrypted
        self._keys = checked_keys(keys, "keys")
        self.sealer("check")  # that cryptography is there, now and not at a click

    def __repr__(self) -> str:
        return f"Encryption({len(self._keys)} keys)"

    def sealer(self, purpose: str) -> Sealer:
        """What encrypts for one purpose;

        nothing that was sealed for another purpose can be opened with it.
        """
        return Sealer(self._keys, purpose)


class Sealer:
    """Seals and opens for one purpose. Thread-safe, and nothing in it changes."""

    def __init__(self, keys: Sequence[bytes], purpose: str) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError:
            raise ConfigurationError(
                "keys",
                "cannot be used without the package cryptography: "
                "pip install 'scconnect-wsgi[encryption]'",
            ) from None
        self._purpose = purpose
        ids = [_derive(key, "key id", ID_BYTES) for key in keys]
        self._ciphers = {
            id: AESGCM(_derive(key, purpose, KEY_BYTES)) for id, key in zip(ids, keys, strict=True)
        }
        self._newest = ids[-1]

    def __repr__(self) -> str:
        return f"Sealer({self._purpose!r})"

    def seal(self, data: bytes, *place: str) -> bytes:
        """Encrypt ``data`` for a place: whatever names it, such as the row's id and its user."""
        head, nonce = VERSION + self._newest, os.urandom(NONCE_BYTES)
        return head + nonce + self._ciphers[self._newest].encrypt(nonce, data, _bound(head, place))

    def open(self, sealed: bytes, *place: str) -> bytes:
        """What was sealed for this place.

        Raises KeyRemoved where the key that sealed it is not among the keys, Undecipherable where
        it was sealed for another place or purpose, was changed, or was never sealed.
        """
        from cryptography.exceptions import InvalidTag

        head, nonce = sealed[:_HEAD], sealed[_HEAD : _HEAD + NONCE_BYTES]
        if not is_sealed(sealed):
            raise Undecipherable(f"This {self._purpose} is not encrypted, or is cut off.")
        cipher = self._ciphers.get(head[len(VERSION) :])
        if cipher is None:
            raise KeyRemoved(
                f"This {self._purpose} was encrypted with a key that is no longer given. Put that key back in front "
                "of the others, or let the user connect again."
            )
        try:
            return cipher.decrypt(nonce, sealed[_HEAD + NONCE_BYTES :], _bound(head, place))
        except InvalidTag:
            raise Undecipherable(
                f"This {self._purpose} was encrypted for another place, or was changed since. Likely causes: a row was "
                "copied over another one, or its id or user was changed by hand. Let the user connect again."
            ) from None


def is_sealed(data: bytes) -> bool:
    """Whether this could be what ``seal`` gives; JSON and compressed JSON could not."""
    return data.startswith(VERSION) and len(data) >= _HEAD + NONCE_BYTES + TAG_BYTES


def _bound(head: bytes, place: Sequence[str]) -> bytes:
    """Header and place without ambiguity: ``("ab", "c")`` is another place than ``("a", "bc")``."""
    return head + json.dumps(place).encode("ascii")


def _derive(key: bytes, purpose: str, length: int) -> bytes:
    """A key of its own for each purpose (HKDF-SHA256, RFC 5869).

    No salt: the keys are random already.
    """
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), length, salt=None, info=f"scconnect_wsgi {purpose}".encode()).derive(key)
