"""One login, as a cookie: signed, and new at each login.

The cookie holds all that a request needs for a minute, so any host that has the key can read it and
nobody has to be asked. It is signed, not encrypted, unless the site gives an Encryption: users may
read what it says about them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Any

from itsdangerous import BadData, Signer
from itsdangerous.encoding import base64_decode, base64_encode

from scconnect_wsgi.account import Account
from scconnect_wsgi.errors import Undecipherable
from scconnect_wsgi.middleware import CookieHeader, remove_cookie, set_cookie, wire_name

if TYPE_CHECKING:
    from scconnect_wsgi.encryption import Encryption

KEY = "login-"  # of the cookie; a mark of the client follows it
# Characters of a cookie's value. Servers allow 8 KB for the Cookie header, in which flows need 4.
MAX_LENGTH = 2048
NONCE_BYTES = 12
_JSON_START = b"["
# What signed data of another version may raise. The signature is checked before.
_UNREADABLE = (BadData, ValueError, TypeError, Undecipherable)


@dataclass(frozen=True, repr=False)
class Session:
    """Who is logged in.

    ``id`` is the connection, ``login_key`` what it must still have, ``nonce`` what tells this login
    from every other one. ``stamp`` is when the store was asked last, in milliseconds since the
    epoch. ``account`` is None if it is too long for a cookie.
    """

    id: str
    user: str
    login_key: str
    account: Account | None
    nonce: str = ""
    stamp: int = 0

    def __repr__(self) -> str:
        """Show only whose session it is: the rest is for nobody's eyes."""
        return f"Session(user={self.user!r})"

    def begun(self) -> Session:
        """Return a new login of the same user."""
        return replace(self, nonce=secrets.token_urlsafe(NONCE_BYTES))


class SessionCookie:
    """Writes sessions into cookies, and reads them.

    ``keys`` are oldest to newest: the newest signs, all verify. ``audience`` (protocol, provider,
    client) is part of the signature and of the name, so that a cookie is good for nothing else.
    ``max_age`` is in seconds.
    """

    def __init__(
        self, keys: Sequence[bytes], audience: str, max_age: int, encryption: Encryption | None
    ) -> None:
        salt = f"scconnect_wsgi login {audience}".encode()
        # Derived once, because itsdangerous would do it for each cookie
        signing_keys: list[Any] = [hmac.digest(key, salt, "sha256") for key in keys]
        self._signer = Signer(signing_keys, key_derivation="none", digest_method=hashlib.sha256)
        self._sealer = encryption.sealer("login cookie") if encryption else None
        self._max_age = max_age
        mark = hashlib.sha256(audience.encode()).hexdigest()[:8]
        self._names = {secure: wire_name(KEY + mark, secure) for secure in (True, False)}

    def is_in(self, header: str) -> bool:
        """Return whether a Cookie header may hold a session. This is quick, and often all."""
        return self._names[False] in header

    def read(self, header: str, secure: bool) -> Session | None:
        """Return the session in a Cookie header, or None if there is none that we have signed.

        Cookies of two users in one header say that somebody has planted one: nobody is logged in.
        Of several of one user, the one that was stamped last counts.
        """
        values = CookieHeader(header, secure).values(self._names[secure])
        sessions = [session for value in values if (session := self._decode(value)) is not None]
        if len({session.user for session in sessions}) != 1:
            return None
        return max(sessions, key=lambda session: session.stamp)

    def set(self, session: Session, secure: bool) -> str:
        """Return the Set-Cookie value that keeps a session."""
        value = self._encode(session)
        if len(value) > MAX_LENGTH:
            value = self._encode(replace(session, account=None))
        return set_cookie(self._names[secure], value, self._max_age)

    def remove(self, secure: bool) -> str:
        """Return the Set-Cookie value that removes the session."""
        return remove_cookie(self._names[secure])

    def _encode(self, session: Session) -> str:
        data = _pack(session)
        if self._sealer:
            data = self._sealer.seal(data)
        return self._signer.sign(base64_encode(data)).decode("ascii")

    def _decode(self, value: str) -> Session | None:
        if len(value) > 2 * MAX_LENGTH:
            return None
        try:
            data = base64_decode(self._signer.unsign(value))
            if self._sealer and not data.startswith(_JSON_START):
                data = self._sealer.open(data)
            return _unpack(data)
        except _UNREADABLE:
            return None


def to_note(session: Session) -> str:
    """Return a session as a note, which a callback that comes twice finds again."""
    return base64_encode(_pack(session)).decode("ascii")


def from_note(note: str) -> Session:
    """Return the session of a note."""
    return _unpack(base64_decode(note))


def _pack(session: Session) -> bytes:
    account = None if session.account is None else astuple(session.account)
    fields = [session.id, session.user, session.login_key, account, session.nonce, session.stamp]
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )


def _unpack(data: bytes) -> Session:
    """Return the session that was packed. Call this with signed data only."""
    id, user, login_key, account, nonce, stamp = json.loads(data.decode("utf-8", "surrogatepass"))
    return Session(
        id=str(id),
        user=str(user),
        login_key=str(login_key),
        account=None if account is None else Account(*account),
        nonce=str(nonce),
        stamp=int(stamp),
    )
