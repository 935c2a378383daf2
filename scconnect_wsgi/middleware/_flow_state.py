"""Pack, sign and open the state that must survive the trip to the provider.

A sealed state is signed, not encrypted: users may read their own verifier or request-token secret,
which are worth nothing without the client's secret. With an Encryption nobody can read it, not even
the user.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from itsdangerous import BadData, Signer
from itsdangerous.encoding import base64_decode, base64_encode

from scconnect_wsgi.errors import Undecipherable

if TYPE_CHECKING:
    from scconnect_wsgi.encryption import Encryption

# Bytes. Longer states are compressed: the tokens of some providers have 1,500 characters.
LONG = 1024
JSON_START = b"["
ZLIB_START = b"\x78"


class FlowState(NamedTuple):
    """What one flow's cookie keeps. The order of the fields is the order in the cookie."""

    created_at: int  # microseconds since the epoch: whole seconds cannot order two tabs
    base_url: str  # the public root of the site when the flow began
    user: str  # a hash of the user's name, or empty if nobody is signed in
    pending: Mapping[str, str]  # what the protocol asked to keep
    return_to: str = ""  # a path of the site, or empty for close.html

    def __repr__(self) -> str:
        """Show nothing of ``pending``, which holds a secret or a verifier."""
        return f"FlowState(created_at={self.created_at}, base_url={self.base_url!r})"


class StateCodec:
    """Turns a FlowState into the value of a cookie, and back.

    ``keys`` are oldest to newest: the newest signs, all verify. ``audience`` (protocol, provider,
    client) is part of the signature, so that a cookie made for one provider is worthless at
    another's callback, and for any other purpose. With ``encryption`` new states are encrypted;
    older signed ones are still accepted, so that flows in progress can finish.
    """

    def __init__(
        self, keys: Sequence[bytes], audience: str, encryption: Encryption | None = None
    ) -> None:
        salt = f"scconnect_wsgi flow cookie {audience}"
        signing_keys: list[Any] = list(keys)  # Any: the signer's type says list[str | bytes]
        self._signer = Signer(
            signing_keys, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256
        )
        self._sealer = encryption.sealer(salt) if encryption else None

    def encode(self, state: FlowState, name: str) -> str:
        """Return the value of the cookie called ``name`` that keeps this state."""
        packed = _pack(state)
        if self._sealer:
            packed = self._sealer.seal(packed, name)
        return self._signer.sign(base64_encode(packed)).decode("ascii")

    def decode(self, value: str, name: str) -> FlowState | None:
        """Return the state that a cookie called ``name`` keeps.

        Return None for a value that is not ours, or that another version wrote.
        """
        try:
            packed = base64_decode(self._signer.unsign(value))
            if self._sealer and not packed.startswith((JSON_START, ZLIB_START)):
                packed = self._sealer.open(packed, name)
            return _unpack(packed)
        except (BadData, ValueError, TypeError, zlib.error, Undecipherable):
            return None


def _pack(state: FlowState) -> bytes:
    """Return the state as JSON, compressed if it is long.

    It is compressed before it is encrypted. Its length then gives nothing away, because none of
    its secrets is used for a second cookie.
    """
    data = json.dumps(state, separators=(",", ":")).encode("ascii")
    return data if len(data) <= LONG else zlib.compress(data, 9)


def _unpack(data: bytes) -> FlowState:
    """Return the state that was packed. Call this with signed data only: zlib bombs exist."""
    if not data.startswith(JSON_START):
        data = zlib.decompress(data)
    return FlowState(*json.loads(data))
