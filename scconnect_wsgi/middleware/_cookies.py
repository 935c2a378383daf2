"""One signed cookie per flow, which survives the trip to the provider.

The cookie is named after the flow (state or request token), so that two tabs never overwrite each
other's. It needs no session on the server: a flow may be finished by another worker than the one
that began it, on another host, as long as both have the same key.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from scconnect_wsgi.errors import (
    ConfigurationError,
    FlowExpired,
    FlowFinished,
    FlowMismatch,
    ProviderError,
)
from scconnect_wsgi.keys import checked_keys, refuse_credentials
from scconnect_wsgi.middleware._cookie_header import (
    CookieHeader,
    plain_name,
    remove_cookie,
    set_cookie,
    wire_name,
)
from scconnect_wsgi.middleware._flow_state import FlowState, StateCodec

if TYPE_CHECKING:
    from scconnect_wsgi.encryption import Encryption

MAX_FLOWS = 5  # in progress in one browser; starting another one drops the oldest
MAX_AGE = 15 * 60  # seconds; the most that a site may allow (RFC 9700: short-lived)
CLOCK_SKEW = 60  # seconds by which the clock of another host may be ahead
MAX_BYTES = 4096  # of name and value together: what browsers keep (RFC 6265bis section 5.6)
# The key of the cookie that lists the flows which ended recently, so that a reloaded callback can
# be told from an expired flow
FINISHED = "finished"
_FLOW_KEY = re.compile("[0-9a-f]{24}")  # what _flow_key makes


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
        if is_credential is not None:
            refuse_credentials(keys, is_credential, "secret_key")
        if not isinstance(max_age, int) or not 0 < max_age <= MAX_AGE:
            raise ConfigurationError(
                "cookie_max_age", f"must be above 0 and at most {MAX_AGE} seconds."
            )
        self._codec = StateCodec(keys, audience, encryption)
        self._max_age = max_age
        self._clock = clock

    def issue(
        self,
        header: str,
        flow_id: str,
        base_url: str,
        user: str,
        pending: Mapping[str, str],
        return_to: str = "",
    ) -> list[str]:
        """Return the Set-Cookie values that begin a flow.

        They set the flow's own cookie and remove the oldest if there are too many. ``header`` is
        the request's Cookie header. Raises ProviderError if the provider's token is too long to be
        kept.
        """
        cookies = CookieHeader(header, base_url.startswith("https:"))
        key = _flow_key(flow_id)
        created_at = int(self._clock() * 1_000_000)
        state = FlowState(created_at, base_url, user, pending, return_to)
        value = self._codec.encode(state, plain_name(key))
        if len(wire_name(key, cookies.secure)) + len(value) >= MAX_BYTES:
            raise ProviderError("The provider's request token is too long to be kept in a cookie.")
        set_cookies = [set_cookie(key, value, self._max_age, cookies.secure)]
        set_cookies += [remove_cookie(old, cookies.secure) for old in self._too_many(cookies, key)]
        finished = _finished(cookies)
        if key in finished:  # the provider gave the request token of a finished flow again
            others = [other for other in finished if other != key]
            set_cookies.append(self._remember_finished(others, cookies.secure))
        return set_cookies

    def read(self, header: str, flow_id: str, secure: bool) -> FlowState:
        """Return what the cookie of a flow keeps.

        Raises FlowFinished for a flow that has ended, FlowExpired if its cookie is missing, too
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
        values = cookies.values(key) if flow_id else []
        for value in values:
            state = self._codec.decode(value, plain_name(key))
            if state is not None:
                self._check_age(state)
                return state
        if values:
            raise FlowExpired(
                "The cookie of this flow is not signed with a key of this site. Likely causes: "
                "secret_key or encryption changed or differs between hosts, or the flow was "
                "started with another provider or client."
            )
        if not flow_id or self._in_progress(cookies):
            raise FlowMismatch(
                "The provider's response does not belong to a flow that is in progress in this "
                "browser. Start again."
            )
        raise FlowExpired(
            "The browser sent no cookie for this flow. Likely causes: the flow took too long, the "
            "site was opened under a host name other than that of base_url or over http instead "
            "of https, or cookies are blocked."
        )

    def end(self, header: str, flow_id: str, secure: bool) -> list[str]:
        """Return the Set-Cookie values that end a flow.

        They remove its cookie, and remember for a while that it has ended.
        """
        key = _flow_key(flow_id)
        others = [other for other in _finished(CookieHeader(header, secure)) if other != key]
        finished = [key, *others][:MAX_FLOWS]
        return [remove_cookie(key, secure), self._remember_finished(finished, secure)]

    def drop(self, flow_id: str, secure: bool) -> list[str]:
        """Return the Set-Cookie values that remove a cookie which can no longer be used."""
        return [remove_cookie(_flow_key(flow_id), secure)]

    def _too_many(self, cookies: CookieHeader, key: str) -> list[str]:
        """Return the keys of the oldest flows, which must go before the flow ``key`` begins."""
        others = self._in_progress(cookies)
        others.pop(key, None)
        oldest_first = sorted(others, key=lambda other: others[other].created_at)
        return oldest_first[: max(0, len(oldest_first) - MAX_FLOWS + 1)]

    def _in_progress(self, cookies: CookieHeader) -> dict[str, FlowState]:
        """Return this middleware's flows in this browser that could still be finished."""
        found = {}
        for key, value in cookies.pairs:
            if not _FLOW_KEY.fullmatch(key):
                continue
            state = self._codec.decode(value, plain_name(key))
            if state is not None and self._age(state) <= self._max_age:
                found[key] = state
        return found

    def _age(self, state: FlowState) -> float:
        """Return the seconds since a flow began; below 0 if another host's clock is ahead."""
        return self._clock() - state.created_at / 1_000_000

    def _check_age(self, state: FlowState) -> None:
        """Raise FlowExpired for a flow that is too old, or that began in the future."""
        age = self._age(state)
        if age > self._max_age:
            unit = "second" if self._max_age == 1 else "seconds"
            raise FlowExpired(f"This flow took longer than {self._max_age} {unit}. Start again.")
        if age < -CLOCK_SKEW:
            raise FlowExpired(
                "This flow was started in the future: the clocks of this site's hosts differ."
            )

    def _remember_finished(self, keys: list[str], secure: bool) -> str:
        """Return the Set-Cookie value that lists the flows which have ended."""
        if not keys:
            return remove_cookie(FINISHED, secure)
        return set_cookie(FINISHED, ".".join(keys), self._max_age, secure)


def user_mark(user: str | None) -> str:
    """Return what the cookie keeps of a user's name: a hash, or an empty string for nobody.

    All hashes have one length, and the name itself cannot be read in the cookie.
    """
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest() if user else ""


def _flow_key(flow_id: str) -> str:
    return hashlib.sha256(flow_id.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _finished(cookies: CookieHeader) -> list[str]:
    """Return the keys of the flows which ended recently in this browser, the newest first."""
    marks = ".".join(cookies.values(FINISHED)).split(".")
    keys = [mark for mark in marks if len(mark) == 24 and mark.isascii() and mark.isalnum()]
    return keys[:MAX_FLOWS]
