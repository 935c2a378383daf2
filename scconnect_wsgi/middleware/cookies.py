"""What must survive the trip to the provider: one signed cookie per flow.

The cookie is named after the flow (state or request token), so that two tabs never clobber each
other, and it needs no session on the server: any worker of any host with the same key finishes a
flow that another one started. It is signed, not encrypted: the user may read their own verifier or
request-token secret, which are worth nothing without the client's secret. With an Encryption nobody
can read it, not even they.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from itsdangerous import BadData, Signer
from itsdangerous.encoding import base64_decode, base64_encode

from scconnect_wsgi.errors import (
    ConfigurationError,
    FlowExpired,
    FlowFinished,
    FlowMismatch,
    ProviderError,
    Undecipherable,
)
from scconnect_wsgi.keys import checked_keys, refuse_credentials

if TYPE_CHECKING:
    from scconnect_wsgi.encryption import Encryption

MAX_FLOWS = 5  # under way in one browser at once; the oldest of more is dropped
MAX_AGE = 15 * 60  # seconds; the most a site may allow (RFC 9700: short-lived)
CLOCK_SKEW = 60  # seconds that the clock of another host may be ahead
MAX_BYTES = 4096  # of name and value together: what browsers keep (RFC 6265bis section 5.6)
LONG = (
    1024  # bytes; what is longer is compressed: some providers' tokens alone have 1,500 characters
)
SIGNED_ONLY = (
    b"[",
    b"\x78",
)  # what JSON begins with, and what zlib does; nothing encrypted begins so
PREFIX = "scconnect-"
# The flows that ended lately, so that a reload is told from a flow that expired
FINISHED = "scconnect-finished"
WHITE_SPACE = " \t"  # all that may stand around a cookie (RFC 6265 sections 4.2.1 and 5.2)
_FLOW_NAME = re.compile(PREFIX + "[0-9a-f]{24}")  # what _flow_name makes


class Held(NamedTuple):
    """What one flow's cookie keeps."""

    born: int  # microseconds since the epoch: whole seconds cannot tell the older of two tabs
    base: str  # the public root of the site at the start
    user: str  # a hash of the user's name, empty without one
    pending: Mapping[str, str]
    return_to: str = ""  # a path of the site; empty: close.html


class FlowCookies:
    """Writes and reads the cookies of one middleware's flows.

    ``audience`` (protocol, provider, client) goes into the signature: a cookie that was made for
    one provider is worthless at another's callback, and for any other purpose. ``secret_key`` is
    one key or several, oldest to newest: the newest signs, all verify. With ``encryption`` new
    cookies are encrypted, and signed ones of before are read still: flows that are under way
    finish. ``is_credential`` says which keys the provider knows too. Raises ConfigurationError for
    a key that it knows, or that can be guessed.
    """

    def __init__(
        self,
        secret_key: str | bytes | Sequence[str | bytes],
        audience: str,
        max_age: int,
        encryption: Encryption | None = None,
        is_credential: Callable[[bytes], bool] | None = None,
    ) -> None:
        keys: list[Any] = [
            *checked_keys(secret_key, "secret_key")
        ]  # Any: the signer's type says list[str | bytes]
        if is_credential is not None:
            refuse_credentials(keys, is_credential, "secret_key")
        if not isinstance(max_age, int) or not 0 < max_age <= MAX_AGE:
            raise ConfigurationError(
                "cookie_max_age", f"must be above 0 and at most {MAX_AGE} seconds."
            )
        salt = f"scconnect_wsgi flow cookie {audience}"
        self._signer = Signer(keys, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)
        self._max_age = max_age
        self._sealer = encryption.sealer(salt) if encryption else None

    def issue(
        self,
        header: str,
        flow_id: str,
        base: str,
        user: str,
        pending: Mapping[str, str],
        return_to: str = "",
    ) -> list[str]:
        """The Set-Cookie values that begin a flow: its own, and the removal of the oldest of too
        many.

        ``header`` is the request's Cookie header. Raises ProviderError where the provider's token
        is too long to be kept.
        """
        secure = base.startswith("https:")
        held = Held(time.time_ns() // 1000, base, user, pending, return_to)
        name = _flow_name(flow_id)
        packed = _pack(held)
        if self._sealer:
            packed = self._sealer.seal(packed, name)
        value = self._signer.sign(base64_encode(packed)).decode("ascii")
        if len(_wire_name(name, secure)) + len(value) >= MAX_BYTES:
            raise ProviderError("The provider's request token is too long to be kept in a cookie.")
        others = {
            other: held for other, held in self._under_way(header, secure).items() if other != name
        }
        under_way = sorted(others.items(), key=lambda item: item[1].born)
        dropped = [old for old, _ in under_way[: max(0, len(under_way) - MAX_FLOWS + 1)]]
        cookies = [
            self._set(name, value, secure),
            *(self._set(old, None, secure) for old in dropped),
        ]
        finished, mark = _finished(header, secure), name.removeprefix(PREFIX)
        if mark in finished:  # the provider gave the request token of a flow that ended once more
            cookies.append(
                self._set(FINISHED, ".".join(other for other in finished if other != mark), secure)
            )
        return cookies

    def read(self, header: str, flow_id: str, secure: bool) -> Held:
        """What the cookie of a flow keeps. Raises FlowFinished, FlowExpired, FlowMismatch."""
        name = _flow_name(flow_id)
        if flow_id and name.removeprefix(PREFIX) in _finished(header, secure):
            raise FlowFinished(
                "This connection was already finished: the page was reloaded, or gone back to."
            )
        values = list(_values(header, _wire_name(name, secure))) if flow_id else []
        for value in values:
            held = self._verify(name, value)
            if held is not None:
                self._check_age(held)
                return held
        if values:
            raise FlowExpired(
                "The cookie of this flow is not signed with a key of this site. Likely causes: secret_key or encryption"
                " changed or differs between hosts, or the flow was started with another provider or client."
            )
        if not flow_id or self._under_way(header, secure):
            raise FlowMismatch(
                "This answer of the provider belongs to no flow that this browser has under way. Start again."
            )
        raise FlowExpired(
            "The browser brought no cookie of this flow. Likely causes: it took too long, the site was opened under "
            "another host name than that of base_url, or under http instead of https, or cookies are blocked."
        )

    def end(self, header: str, flow_id: str, secure: bool) -> list[str]:
        """The Set-Cookie values that end a flow:

        its cookie goes, a sign that it has ended stays for a while.
        """
        name = _flow_name(flow_id)
        mark = name.removeprefix(PREFIX)
        marks = [mark, *(other for other in _finished(header, secure) if other != mark)][:MAX_FLOWS]
        return [self._set(name, None, secure), self._set(FINISHED, ".".join(marks), secure)]

    def drop(self, flow_id: str, secure: bool) -> list[str]:
        """The Set-Cookie values that remove a cookie which can no longer be used."""
        return [self._set(_flow_name(flow_id), None, secure)]

    def _under_way(self, header: str, secure: bool) -> dict[str, Held]:
        """This middleware's flows in this browser that could still be finished."""
        prefix = _wire_name("", secure)
        found = {}
        for name, value in _pairs(header):
            plain_name = name.removeprefix(prefix)
            if not name.startswith(prefix) or not _FLOW_NAME.fullmatch(plain_name):
                continue
            held = self._verify(plain_name, value)
            if held is not None and self._age(held) <= self._max_age:
                found[plain_name] = held
        return found

    def _verify(self, name: str, value: str) -> Held | None:
        try:
            packed = base64_decode(self._signer.unsign(value))
            if self._sealer and not packed.startswith(SIGNED_ONLY):
                packed = self._sealer.open(packed, name)
            return _unpack(packed)
        except (
            BadData,
            ValueError,
            TypeError,
            zlib.error,
            Undecipherable,
        ):  # not ours, or of another version
            return None

    def _age(self, held: Held) -> float:
        return time.time() - held.born / 1_000_000

    def _check_age(self, held: Held) -> None:
        age = self._age(held)
        if age > self._max_age:
            raise FlowExpired(f"This flow took longer than {self._max_age} seconds. Start again.")
        if age < -CLOCK_SKEW:
            raise FlowExpired(
                "This flow was started in the future: the clocks of this site's hosts differ."
            )

    def _set(self, name: str, value: str | None, secure: bool) -> str:
        """One Set-Cookie value;

        without a value, the removal. Name and value consist of letters, digits and ``-_.``.
        """
        age = self._max_age if value else 0
        return (
            f"{_wire_name(name, secure)}={value or ''}; HttpOnly; Max-Age={age}; Path=/; SameSite=Lax"
            f"{'; Secure' if secure else ''}"
        )


def user_mark(user: str | None) -> str:
    """A user's name as the cookie keeps it:

    of one length, and not the name itself. Empty for nobody.
    """
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest() if user else ""


def _pack(held: Held) -> bytes:
    """JSON, compressed where it is long: a zlib stream never begins with the bracket that JSON
    begins with.

    Compressed before it is encrypted: its length tells nothing, as no secret in it stays for a
    second try.
    """
    data = json.dumps(held, separators=(",", ":")).encode("ascii")
    return data if len(data) <= LONG else zlib.compress(data, 9)


def _unpack(data: bytes) -> Held:
    """What was packed. Only for signed data: a stranger's could be a bomb."""
    return Held(*json.loads(data if data.startswith(b"[") else zlib.decompress(data)))


def _flow_name(flow_id: str) -> str:
    return PREFIX + hashlib.sha256(flow_id.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _wire_name(name: str, secure: bool) -> str:
    """``__Host-`` makes browsers insist on Secure, Path=/ and no Domain (RFC 6265bis section
    4.1.3.2).
    """
    return f"__Host-{name}" if secure else name


def _pairs(header: str) -> Iterator[tuple[str, str]]:
    """The cookies of a request, one by one: a malformed one of somebody else cannot hide ours.

    Every other character is part of a name. str.strip() would drop ten more, a no-break space for
    one, and a browser lets another host of the domain set a cookie whose name begins with that: to
    it the name has no ``__Host-`` in front.
    """
    for pair in header.split(";"):
        name, _, value = pair.strip(WHITE_SPACE).partition("=")
        yield name, value.strip('"')


def _values(header: str, name: str) -> Iterator[str]:
    return (value for other, value in _pairs(header) if other == name)


def _finished(header: str, secure: bool) -> list[str]:
    marks = ".".join(_values(header, _wire_name(FINISHED, secure))).split(".")
    return [mark for mark in marks if len(mark) == 24 and mark.isascii() and mark.isalnum()][
        :MAX_FLOWS
    ]
