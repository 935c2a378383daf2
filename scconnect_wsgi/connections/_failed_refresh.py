"""What follows from a refresh that failed: a pause, and in the end perhaps the connection's end.

* While the provider is out of order, each attempt would cost a caller the whole timeout. So nobody
  tries again for a while, in no process: what failed is stored with the connection.
* If the provider said how long to wait (429 or 503, Retry-After), it said so to the whole client,
  so no other connection is refreshed either.
* A provider that refuses a refresh token should say ``invalid_grant``, and not all do. A refusal
  that may be about something else ends the connection only if it is repeated over hours: an outage,
  or a mistake in a deployment, must not cost every user.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from scconnect_wsgi.connections._flow_storage import outcomes_in
from scconnect_wsgi.errors import (
    ConnectError,
    ProviderUnavailable,
    RateLimited,
    UnclearRefusal,
)
from scconnect_wsgi.stores import FailedRefresh, Store

if TYPE_CHECKING:
    from scconnect_wsgi.flow import ApiFlow

PAUSE = 10  # seconds without a refresh after one that failed, unless the provider says how many
PAUSE_OF_REFUSED = 60  # seconds; a provider that refuses rarely changes its mind
LONGEST_PAUSE = 3600  # seconds; one answer, such as a mistaken Retry-After, stops nobody for longer
REFUSALS = 3  # unclear refusals that end a connection,
REFUSAL_PERIOD = 6 * 3600  # if so many seconds lie between the first and the last of them
SKEW = 60  # seconds by which the clocks of two hosts may differ


def failed_refresh(error: ConnectError, earlier: FailedRefresh | None, now: float) -> FailedRefresh:
    """Return what to remember of a refresh that failed with ``error`` after ``earlier`` ones."""
    refusals = earlier.refusals if earlier else 0
    refused_since = earlier.refused_since if earlier else 0
    pause = PAUSE
    if isinstance(error, UnclearRefusal):
        if refusals == 0:
            refused_since = int(now)
        refusals += 1
        pause = PAUSE_OF_REFUSED
    if error.retry_after is not None:
        # Retry-After: 0 would mean asking again at once
        pause = min(max(1, error.retry_after), LONGEST_PAUSE)
    return FailedRefresh(
        failed_at=int(now),
        pause=pause,
        rate_limited=isinstance(error, RateLimited),
        refusals=refusals,
        refused_since=refused_since,
    )


def pauses_client(error: ConnectError) -> bool:
    """Return whether the provider asked for a pause, and not only failed."""
    return isinstance(error, RateLimited) or error.retry_after is not None


def is_final(error: ConnectError, failed: FailedRefresh) -> bool:
    """Return whether this refusal, after the earlier ones, can only be about the refresh token."""
    lasted = failed.failed_at - failed.refused_since
    return (
        isinstance(error, UnclearRefusal)
        and failed.refusals >= REFUSALS
        and lasted >= REFUSAL_PERIOD
    )


def shared_pause(cause: FailedRefresh, earlier: FailedRefresh | None) -> FailedRefresh:
    """Return the pause after a failure of another connection, with the refusals of this one."""
    if earlier is None:
        return replace(cause, refusals=0, refused_since=0)
    return replace(cause, refusals=earlier.refusals, refused_since=earlier.refused_since)


def check_pause(failed: FailedRefresh | None, now: float) -> None:
    """Raise ProviderUnavailable, or RateLimited after a 429, during the pause after a failure.

    ``retry_after`` is what is left of the pause. A failure in the future, by this host's clock, is
    no reason to wait: a clock was set back.
    """
    if failed is None or not failed.failed_at - SKEW <= now < failed.failed_at + failed.pause:
        return
    left = min(failed.pause, int(failed.failed_at + failed.pause - now) + 1)
    raise _paused(left, rate_limited=failed.rate_limited)


class ClientPause:
    """The pause that a provider asks a whole client for, in all processes.

    A store of the site's own that cannot make claims has none.
    """

    def __init__(self, store: Store, flow: ApiFlow) -> None:
        self._store = outcomes_in(store)
        self._name = f"pause of {hashlib.sha256(flow.audience.encode()).hexdigest()}"

    def begin(self, failed: FailedRefresh) -> None:
        """Pause the client. A store that fails is ignored: the connection itself is paused."""
        if self._store is None:
            return
        with suppress(ConnectError):
            if self._store.claim(self._name, failed.pause):
                self._store.settle(self._name, json.dumps(asdict(failed)))

    def cause(self) -> FailedRefresh | None:
        """Return the failed refresh that paused the client, or None if it is not paused.

        A pause that was damaged in the store, or written by another version, is none.
        """
        found = self._store.outcome(self._name) if self._store is not None else None
        try:
            return None if found is None else FailedRefresh.from_dict(json.loads(found))
        except (ValueError, TypeError, RecursionError):
            return None


def _paused(seconds: int, *, rate_limited: bool) -> ProviderUnavailable:
    kind = RateLimited if rate_limited else ProviderUnavailable
    reason = "asked for a pause" if rate_limited else "could not refresh a token a moment ago"
    return kind(
        f"The provider {reason}, so it is not asked again yet. Try again in {seconds} s.",
        retry_after=seconds,
    )
