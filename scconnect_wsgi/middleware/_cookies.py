"""Two cookies per flow, a state and its signature, which survive the trip to the provider.

They are named after the flow (state or request token), so that two tabs never overwrite each
other's. They need no session on the server: a flow may be finished by another worker than the one
that began it, on another host, as long as both have the same key.

Somebody else may begin a flow, and so get cookies that this site has signed. Another host of the
domain could give them to a user, who would then finish that flow and be connected to a stranger's
account. Browsers prevent it by the names of the cookies, except for one cookie of a request
(``_cookie_header`` says which). So a flow needs both of its cookies.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from scconnect_wsgi.errors import (
    ConfigurationError,
    ConnectError,
    FlowExpired,
    FlowFinished,
    FlowMismatch,
    ProviderError,
)
from scconnect_wsgi.keys import checked_encryption, checked_keys, refuse_credentials
from scconnect_wsgi.middleware._cookie_header import (
    PREFIX,
    CookieHeader,
    key_of,
    old_wire_name,
    own_names,
    remove_cookie,
    set_cookie,
    size_in_header,
    wire_name,
)
from scconnect_wsgi.middleware._flow_state import FlowState, StateCodec
from scconnect_wsgi.numeric import is_whole

if TYPE_CHECKING:
    from scconnect_wsgi.encryption import Encryption

MAX_FLOWS = 5  # in progress in one browser; starting another one drops the oldest
MAX_AGE = 15 * 60  # seconds; the most that a site may allow (RFC 9700: short-lived)
CLOCK_SKEW = 60  # seconds by which the clock of another host may be ahead
# Bytes of all our cookies in one Cookie header. Servers allow 8 KB for one header, and a site has
# cookies of its own. Browsers keep as much of each cookie (RFC 6265bis section 5.6).
MAX_BYTES = 4096
# Bytes of the headers Set-Cookie and Location of one response. nginx allows 4 KB for all headers
# (proxy_buffer_size); the rest is for those that servers and proxies add.
MAX_RESPONSE_BYTES = 3584
# The key of the cookie that lists the flows which ended recently, so that a reloaded callback can
# be told from an expired flow
FINISHED = "finished"
SIGNATURE = "-signature"  # the key of a flow's second cookie ends with it
_KEY_LENGTH = 24  # hexadecimal digits, of 4 bits each: nobody finds a second flow id with that key
_FLOW_COOKIE = re.compile(f"([0-9a-f]{{{_KEY_LENGTH}}})(?:{SIGNATURE})?")


class FlowCookies:
    """Issues, reads and removes the cookies of one middleware's flows.

    ``secret_key`` is one key, or several from oldest to newest; ``audience`` and ``encryption`` are
    those of StateCodec. ``max_age`` is in seconds. ``is_credential`` says which keys the provider
    knows too. ``clock`` returns the seconds since the epoch. Raises ConfigurationError for a key
    that the provider knows or that can be guessed, and for a ``max_age`` that is out of range.
    """

    def __init__(
        self,
        secret_key: str | bytes | Sequence[str | bytes],
        audience: str,
        max_age: int,
        encryption: Encryption | None = None,
        is_credential: Callable[[bytes], bool] | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        keys = checked_keys(secret_key, "secret_key")
        checked_encryption(encryption)
        if is_credential is not None:
            refuse_credentials(keys, is_credential, "secret_key")
            if encryption is not None:
                encryption.refuse_credentials(is_credential, "encryption")
        if not is_whole(max_age) or not 0 < max_age <= MAX_AGE:
            raise ConfigurationError(
                "cookie_max_age", f"must be above 0 and at most {MAX_AGE} seconds."
            )
        self._codec = StateCodec(keys, audience, encryption)
        self.max_age: int = max_age
        self._clock = clock

    def issue(
        self,
        header: str,
        flow_id: str,
        base_url: str,
        user: str,
        pending: Mapping[str, str],
        return_to: str = "",
        location: str = "",
    ) -> list[str]:
        """Return the Set-Cookie values that begin a flow.

        They set the flow's own cookies and remove the oldest flows if there are too many, or too
        many bytes of them. ``header`` is the request's Cookie header, ``location`` the address that
        the response leads to. Raises ProviderError if the provider's token is too long to be kept.
        """
        cookies = CookieHeader(header, base_url.startswith("https:"))
        key = _flow_key(flow_id)
        name, signature_name = _flow_names(key, cookies.secure)
        created_at = int(self._clock() * 1_000_000)
        state = FlowState(created_at, base_url, user, pending, return_to)
        value, signature = self._codec.encode(state, name, flow_id)
        size = size_in_header(name, value) + size_in_header(signature_name, signature)
        room = MAX_BYTES - size - _finished_size(cookies.secure)
        if room < 0:
            raise ProviderError("The provider's request token is too long to be kept in a cookie.")
        set_cookies = [
            set_cookie(name, value, self.max_age),
            set_cookie(signature_name, signature, self.max_age),
        ]
        finished = _finished(cookies)
        if key in finished:  # the provider gave the request token of a finished flow again
            others = [other for other in finished if other != key]
            set_cookies.append(self._remember_finished(others, cookies.secure))
        sizes = _flow_sizes(cookies)
        freed = 0
        for old in self._too_many(cookies, key, room):
            removals = _removed(cookies, old)
            fits = _response_size([*set_cookies, *removals], location) <= MAX_RESPONSE_BYTES
            # If not, at least as much goes as the new flow adds: flows would pile up otherwise
            if not fits and freed >= size:
                break  # the next start removes the others
            set_cookies += removals
            freed += sizes[old]
        return set_cookies

    def read(self, header: str, flow_id: str, secure: bool) -> FlowState:
        """Return what the cookies of a flow keep.

        Raises FlowFinished for a flow that has ended, FlowExpired if its cookies are missing, too
        old or signed with another key, and FlowMismatch if this browser has only other flows in
        progress.
        """
        cookies = CookieHeader(header, secure)
        key = _flow_key(flow_id)
        if flow_id and key in _finished(cookies):
            raise FlowFinished(
                "This connection was already finished: the page was reloaded, or reached with the "
                "Back button."
            )
        state = self._open(cookies, key, flow_id) if flow_id else None
        if state is not None:
            self._check_age(state)
            return state
        raise self._error_without_state(cookies, key, flow_id)

    def end(self, header: str, flow_id: str, secure: bool) -> list[str]:
        """Return the Set-Cookie values that end a flow.

        They remove its cookies, and remember for a while that it has ended.
        """
        cookies = CookieHeader(header, secure)
        key = _flow_key(flow_id)
        others = [other for other in _finished(cookies) if other != key]
        finished = [key, *others][:MAX_FLOWS]
        return [*_removed(cookies, key), self._remember_finished(finished, secure)]

    def drop(self, header: str, flow_id: str, secure: bool) -> list[str]:
        """Return the Set-Cookie values that remove cookies which can no longer be used."""
        return _removed(CookieHeader(header, secure), _flow_key(flow_id))

    def _open(self, cookies: CookieHeader, key: str, flow_id: str = "") -> FlowState | None:
        """Return what the cookies of a flow keep, or None if this site did not make them.

        Without the ``flow_id``, ``pending`` has empty strings in its place.
        """
        name, signature_name = _flow_names(key, cookies.secure)
        for value in cookies.values(name):
            for signature in cookies.values(signature_name):
                state = self._codec.decode(value, signature, name, flow_id)
                if state is not None:
                    return state
        for value in cookies.values(old_wire_name(key, cookies.secure)):
            state = self._codec.decode_old(value, f"{PREFIX}{key}")
            # The signature did not cover the name then, but the flow's id was among what it covered
            if state is not None and key in map(_flow_key, state.pending.values()):
                return state
        return None

    def _error_without_state(self, cookies: CookieHeader, key: str, flow_id: str) -> ConnectError:
        """Return the error for a callback whose flow this browser does not have."""
        have = [bool(cookies.values(name)) for name in _flow_names(key, cookies.secure)]
        if flow_id and all(have):
            return FlowExpired(
                "The cookies of this flow are not signed with a key of this site. Likely causes: "
                "secret_key or encryption changed or differs between hosts, or the flow was "
                "started with another provider or client."
            )
        if flow_id and any(have):
            return FlowExpired(
                "The browser sent one of the two cookies of this flow without the other. Likely "
                "causes: secret_key changed, the browser dropped a cookie because it has too "
                "many, or another host of the domain has set one, which is an attack."
            )
        if not flow_id or self._in_progress(cookies):
            return FlowMismatch(
                "The provider's response does not belong to a flow that is in progress in this "
                "browser. Start again."
            )
        return FlowExpired(
            "The browser sent no cookie for this flow. Likely causes: the flow took too long, the "
            "site was opened under a host name other than that of base_url or over http instead "
            "of https, or cookies are blocked."
        )

    def _too_many(self, cookies: CookieHeader, key: str, room: int) -> list[str]:
        """Return the keys of the flows that must go when the flow ``key`` begins, the oldest first.

        The newest flows stay: at most MAX_FLOWS with the new one, and not more than ``room`` bytes
        of them. What cannot be finished goes first, as do the flows of another SCConnect on this
        host: their age is unknown here.
        """
        sizes = _flow_sizes(cookies)
        sizes.pop(key, None)
        in_progress = self._in_progress(cookies)
        in_progress.pop(key, None)
        newest_first = sorted(
            sizes,
            key=lambda other: in_progress[other].created_at if other in in_progress else 0,
            reverse=True,
        )
        too_many = []
        for place, other in enumerate(newest_first):
            room -= sizes[other]
            is_one_too_many = other in in_progress and place >= MAX_FLOWS - 1
            if room < 0 or is_one_too_many:
                too_many.append(other)
        return too_many[::-1]

    def _in_progress(self, cookies: CookieHeader) -> dict[str, FlowState]:
        """Return this middleware's flows in this browser that could still be finished."""
        found = {}
        for key in _flow_sizes(cookies):
            state = self._open(cookies, key)
            if state is not None and self._age(state) <= self.max_age:
                found[key] = state
        return found

    def _age(self, state: FlowState) -> float:
        """Return the seconds since a flow began; below 0 if another host's clock is ahead."""
        return self._clock() - state.created_at / 1_000_000

    def _check_age(self, state: FlowState) -> None:
        """Raise FlowExpired for a flow that is too old, or that began in the future."""
        age = self._age(state)
        if age > self.max_age:
            unit = "second" if self.max_age == 1 else "seconds"
            raise FlowExpired(f"This flow took longer than {self.max_age} {unit}. Start again.")
        if age < -CLOCK_SKEW:
            raise FlowExpired(
                "This flow was started in the future: the clocks of this site's hosts differ."
            )

    def _remember_finished(self, keys: list[str], secure: bool) -> str:
        """Return the Set-Cookie value that lists the flows which have ended."""
        name = wire_name(FINISHED, secure)
        if not keys:
            return remove_cookie(name)
        return set_cookie(name, ".".join(keys), self.max_age)


def user_mark(user: str | None) -> str:
    """Return what the cookie keeps of a user's name: a hash, or an empty string for nobody.

    All hashes have one length, and the name itself cannot be read in the cookie.
    """
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest() if user else ""


def _flow_key(flow_id: str) -> str:
    digest = hashlib.sha256(flow_id.encode("utf-8", "surrogatepass")).hexdigest()
    return digest[:_KEY_LENGTH]


def _flow_names(key: str, secure: bool) -> tuple[str, str]:
    """Return the names of a flow's cookies: of its state, and of the signature."""
    return wire_name(key, secure), wire_name(key + SIGNATURE, secure)


def _flow_sizes(cookies: CookieHeader) -> dict[str, int]:
    """Return the key of every flow in the header, and the bytes that its cookies take up."""
    sizes: dict[str, int] = {}
    for name, size in cookies.sizes().items():
        if match := _FLOW_COOKIE.fullmatch(key_of(name)):
            sizes[match[1]] = sizes.get(match[1], 0) + size
    return sizes


def _response_size(set_cookies: Sequence[str], location: str) -> int:
    """Return the bytes of these headers in a response."""
    lines = [f"Location: {location}", *(f"Set-Cookie: {value}" for value in set_cookies)]
    return sum(len(f"{line}\r\n") for line in lines)


def _removed(cookies: CookieHeader, key: str) -> list[str]:
    """Return the Set-Cookie values that remove what the browser has of a flow."""
    names = own_names(key, cookies.secure) + own_names(key + SIGNATURE, cookies.secure)
    return [remove_cookie(name) for name in names if cookies.values(name)]


def _finished(cookies: CookieHeader) -> list[str]:
    """Return the keys of the flows which ended recently in this browser, the newest first."""
    values = [
        value for name in own_names(FINISHED, cookies.secure) for value in cookies.values(name)
    ]
    marks = ".".join(values).split(".")
    keys = [mark for mark in marks if len(mark) == _KEY_LENGTH and _FLOW_COOKIE.fullmatch(mark)]
    return keys[:MAX_FLOWS]


def _finished_size(secure: bool) -> int:
    """Return the bytes that the list of finished flows takes up at most."""
    return size_in_header(wire_name(FINISHED, secure), ".".join(["k" * _KEY_LENGTH] * MAX_FLOWS))
