"""Pack, sign and open the state that must survive the trip to the provider.

A sealed state is signed, not encrypted: users may read their own verifier or request-token secret,
which are worth nothing without the client's secret. With an Encryption nobody can read it, not even
the user.

The signature is apart from the state, because it travels in a cookie of its own: one of the cookies
that a request brings may be forged (``_cookie_header`` says how), and one of the two is worthless.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from itsdangerous import BadData, Signer
from itsdangerous.encoding import base64_decode, base64_encode

from scconnect_wsgi.errors import Undecipherable

if TYPE_CHECKING:
    from scconnect_wsgi.encryption import Encryption

# Bytes. Longer states are compressed: the tokens of some providers have 1,500 characters.
LONG = 1024
JSON_START = b"["
ZLIB_START = b"\x78"
# What signed data of another version may raise. The signature is checked before.
_UNREADABLE = (BadData, ValueError, TypeError, AttributeError, zlib.error, Undecipherable)


@dataclass(frozen=True, repr=False)  # no tuple: error reporters show what is in those
class FlowState:
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
    """Turns a FlowState into the values of two cookies, the state and its signature, and back.

    ``keys`` are oldest to newest: the newest signs, all verify. ``audience`` (protocol, provider,
    client) is part of the signature, so that a cookie made for one provider is worthless at
    another's callback, and for any other purpose. So is the name of the cookie, so that it is
    worthless under another flow's name. With ``encryption`` new states are encrypted; older signed
    ones are still accepted, so that flows in progress can finish.
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

    def encode(self, state: FlowState, name: str, flow_id: str) -> tuple[str, str]:
        """Return the value of the cookie called ``name`` that keeps this state, and its signature.

        The id of the flow, which may be a long token, is left out of ``pending``: the callback
        brings it, and ``name`` is made of it.
        """
        packed = _pack(state, flow_id)
        if self._sealer:
            packed = self._sealer.seal(packed, name)
        value = base64_encode(packed).decode("ascii")
        return value, self._signer.get_signature(_signed(name, value)).decode("ascii")

    def decode(self, value: str, signature: str, name: str, flow_id: str) -> FlowState | None:
        """Return the state that a cookie called ``name`` keeps.

        ``flow_id`` is put back where the state left it out. Return None for a value that is not
        ours, or that another version wrote.
        """
        try:
            if not self._signer.verify_signature(_signed(name, value), signature):
                return None
            return _unpack(self._opened(base64_decode(value), name), flow_id)
        except _UNREADABLE:
            return None

    def decode_old(self, value: str, name: str) -> FlowState | None:
        """Return the state of a flow that began before signatures had a cookie of their own.

        Such a signature follows the value and does not cover the name. None is made any more, so
        that ``cookie_max_age`` seconds after the upgrade of a site nothing passes here.
        """
        try:
            return _unpack(self._opened(base64_decode(self._signer.unsign(value)), name), "")
        except _UNREADABLE:
            return None

    def _opened(self, packed: bytes, name: str) -> bytes:
        """Return a packed state, decrypted if it is encrypted."""
        if self._sealer and not packed.startswith((JSON_START, ZLIB_START)):
            return self._sealer.open(packed, name)
        return packed


def _signed(name: str, value: str) -> str:
    """Return what a signature covers. No old one can fit it, as those cover no ``=``."""
    return f"{name}={value}"


def _pack(state: FlowState, flow_id: str) -> bytes:
    """Return the state as JSON, compressed if it is long.

    It is compressed before it is encrypted. Its length then gives nothing away, because none of
    its secrets is used for a second cookie.
    """
    short = {name: None if value == flow_id else value for name, value in state.pending.items()}
    fields = [state.created_at, state.base_url, state.user, short, state.return_to]
    data = json.dumps(fields, separators=(",", ":")).encode("ascii")
    return data if len(data) <= LONG else zlib.compress(data, 9)


def _unpack(data: bytes, flow_id: str) -> FlowState:
    """Return the state that was packed. Call this with signed data only: zlib bombs exist."""
    if not data.startswith(JSON_START):
        data = zlib.decompress(data)
    created_at, base_url, user, short, *return_to = json.loads(data)
    pending = {name: flow_id if value is None else value for name, value in short.items()}
    return FlowState(created_at, base_url, user, pending, *return_to)
