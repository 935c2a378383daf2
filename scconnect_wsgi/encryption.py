"""Encryption of stored tokens, and of the flow's cookie if a site wants that.

    pip install 'scconnect-wsgi[encryption]'

    encryption = Encryption(ENCRYPTION_KEY)  # one key, or several from oldest to newest

The cipher is AES-256-GCM. Sealed data is bound to its place, so that nobody who can write to a
database can move one user's token into another's row. Sealed bytes consist of:

    1 byte    the version of this format
    8 bytes   the id of the key, which is derived from it and useless without it
    12 bytes  a random nonce
    the rest  the ciphertext, and 16 bytes that authenticate all of this and the place
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence

from scconnect_wsgi.errors import ConfigurationError, KeyRemoved, Undecipherable
from scconnect_wsgi.keys import checked_keys, refuse_credentials, share_a_key
from scconnect_wsgi.redaction import hides_all_locals

VERSION = b"\x01"  # neither JSON nor zlib begins with it, so unencrypted data is recognized
KEY_ID_BYTES = 8
NONCE_BYTES = 12  # NIST SP 800-38D section 8.2: random ones are good for 2**32 messages a key
TAG_BYTES = 16
KEY_BYTES = 32  # AES-256
HEADER_BYTES = len(VERSION) + KEY_ID_BYTES


@hides_all_locals
class Encryption:
    """The keys that encrypt: one, or several from oldest to newest.

    The newest key encrypts, all keys decrypt. To rotate, append a new key, and remove the oldest
    when everything encrypted with it has been written again. ``accept_unencrypted`` lets stores
    read what they stored before encryption was switched on; they write it encrypted. Raises
    ConfigurationError for a key that could be guessed by somebody who has the database
    (``scconnect secret`` makes a good one), and if the package cryptography is not installed.
    """

    def __init__(
        self, keys: str | bytes | Sequence[str | bytes], *, accept_unencrypted: bool = False
    ) -> None:
        if not isinstance(accept_unencrypted, bool):
            raise ConfigurationError("accept_unencrypted", "must be True or False.")
        self.accept_unencrypted = accept_unencrypted
        self._keys = checked_keys(keys, "keys")
        self.sealer("check")  # fails now, and not at the first flow, without cryptography

    def __repr__(self) -> str:
        return f"Encryption({len(self._keys)} keys)"

    def refuse_credentials(self, is_credential: Callable[[bytes], bool], option: str) -> None:
        """Raise ConfigurationError for ``option`` if a key is a credential of the client.

        The provider, and everybody in the case of the client id, could decrypt then.
        """
        refuse_credentials(self._keys, is_credential, option)

    def shares_a_key(self, keys: Iterable[bytes]) -> bool:
        """Return whether one of ``keys``, which have another purpose, encrypts here."""
        return share_a_key(self._keys, keys)

    def sealer(self, purpose: str) -> Sealer:
        """Return a Sealer for one purpose, which opens nothing sealed for another purpose."""
        return Sealer(self._keys, purpose)


class Sealer:
    """Seals and opens data for one purpose. Immutable and thread-safe."""

    def __init__(self, keys: Sequence[bytes], purpose: str) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise ConfigurationError("keys", _import_problem(error)) from None
        self._purpose = purpose
        self._ciphers = {}
        for key in keys:
            key_id = _derive(key, "key id", KEY_ID_BYTES)
            self._ciphers[key_id] = AESGCM(_derive(key, purpose, KEY_BYTES))
            self._newest = key_id  # in the end that of the last key

    def __repr__(self) -> str:
        return f"Sealer({self._purpose!r})"

    def seal(self, data: bytes, *place: str) -> bytes:
        """Return ``data``, encrypted for a place: what identifies it, such as its row and user."""
        header = VERSION + self._newest
        nonce = os.urandom(NONCE_BYTES)
        cipher = self._ciphers[self._newest]
        return header + nonce + cipher.encrypt(nonce, data, _bound(header, place))

    def open(self, sealed: bytes, *place: str) -> bytes:
        """Return the data that was sealed for this place.

        Raises KeyRemoved if the key that sealed it is not among the keys, and Undecipherable if it
        was sealed for another place or purpose, was changed, or was never sealed.
        """
        from cryptography.exceptions import InvalidTag

        if not is_sealed(sealed):
            raise Undecipherable(f"This {self._purpose} is not encrypted, or is cut off.")
        header = sealed[:HEADER_BYTES]
        nonce = sealed[HEADER_BYTES : HEADER_BYTES + NONCE_BYTES]
        ciphertext = sealed[HEADER_BYTES + NONCE_BYTES :]
        cipher = self._ciphers.get(header[len(VERSION) :])
        if cipher is None:
            raise KeyRemoved(
                f"This {self._purpose} was encrypted with a key that is no longer given. Put that "
                "key back in front of the others, or let the user connect again."
            )
        try:
            return cipher.decrypt(nonce, ciphertext, _bound(header, place))
        except InvalidTag:
            raise Undecipherable(
                f"This {self._purpose} was encrypted for another place, or has been changed. "
                "Likely causes: a row was copied over another one, or its id or user was changed "
                "by hand. Let the user connect again."
            ) from None


def is_sealed(data: bytes) -> bool:
    """Return whether ``seal`` may have made this. JSON and compressed JSON look different."""
    return data.startswith(VERSION) and len(data) >= HEADER_BYTES + NONCE_BYTES + TAG_BYTES


def _import_problem(error: ImportError) -> str:
    if error.name and error.name.split(".")[0] == "cryptography":
        return (
            "cannot be used without the package cryptography: "
            "pip install 'scconnect-wsgi[encryption]'"
        )
    problem = f"cannot be used, because the package cryptography cannot be loaded: {error}"
    if "interpreter" in str(error):
        problem += (
            " Under mod_wsgi, WSGIApplicationGroup %{GLOBAL} lets the application run in the first "
            "interpreter."
        )
    return problem


def _bound(header: bytes, place: Sequence[str]) -> bytes:
    """Return header and place, encoded so that ``("ab", "c")`` differs from ``("a", "bc")``."""
    return header + json.dumps(place).encode("ascii")


def _derive(key: bytes, purpose: str, length: int) -> bytes:
    """Return a separate key for each purpose (HKDF-SHA256, RFC 5869).

    There is no salt, because the keys are random already.
    """
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), length, salt=None, info=f"scconnect_wsgi {purpose}".encode()).derive(key)
