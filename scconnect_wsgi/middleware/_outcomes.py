"""One flow, one outcome: the second of two callbacks is answered as the first was.

Callbacks come twice: a double click, a reload while the first answer is on its way or lost, a
browser that sends a request again. The first one claims the flow. It exchanges the code and stores
the token, and then its outcome is remembered. The second one still carries the flow's cookie; it
waits for that outcome and leads the browser to the same place, so that the order in which the
browser reads the two answers does not matter. A callback without the cookie learns nothing.

Within one process this always works. Processes know of each other only if the storage behind
``store_token`` keeps claims and outcomes (``_storage``).

What is kept:

* The process remembers where the browser was sent. If the site answered with a response of its own
  (``HAND_OVER``, or a ``webob.Response``), it also remembers that response's Set-Cookie values, so
  that a login is not lost if the browser drops the first answer; the body is not kept. A response
  that leads nowhere is repeated as a redirect to the last page of the flow, without fields.
* The storage may leave a note in the environ, under ``scconnect.note``, such as who has logged in.
  It is remembered everywhere, and is in the environ of the second callback again.
* The store gets the location and that note, and of the site's own response not even that, since it
  may hold a secret: other processes then lead to the last page of the flow. What is kept is signed,
  so that nobody who can write to the store can lead a user away. Whoever can read the store can
  read the fields for the page, as they can read the tokens beside them, unless the store is given
  an Encryption. The name of a claim is a hash of the state, which tells nothing.

If the first callback dies, nobody exchanges the code again: as long as the cookie lives, the second
hears ``flow_finished``, after waiting for PATIENCE at most.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from itsdangerous import BadSignature, Signer

from scconnect_wsgi.errors import ConnectError
from scconnect_wsgi.middleware._replay import Outcome, ReplayGuard
from scconnect_wsgi.middleware._storage import OutcomeStore
from scconnect_wsgi.redaction import safe_traceback

log: logging.Logger = logging.getLogger("scconnect_wsgi")

# Seconds between two looks at the memory
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.25


def _sleep(seconds: float) -> None:
    time.sleep(seconds)  # looked up late: gevent may replace it after this module was imported


def flow_name(audience: str, flow_id: str, created_at: int) -> str:
    """Return the name under which a flow is claimed: a hash, the same in all processes.

    It contains the time, because a provider may give the same request token twice.
    """
    text = f"{audience} {created_at} {flow_id}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Outcomes:
    """The outcomes of one middleware's flows, in this process and, if it can, in all of them.

    ``sleep`` takes seconds.
    """

    def __init__(
        self,
        guard: ReplayGuard,
        shared: SharedOutcomes | None,
        *,
        sleep: Callable[[float], object] = _sleep,
    ) -> None:
        self._guard = guard
        self._shared = shared
        self._sleep = sleep

    def claim(self, name: str) -> bool:
        """Return whether this is the first callback of a flow, which may exchange the code."""
        if not self._guard.first_use(name):
            return False
        return self._shared is None or self._shared.claim(name)

    def settle(self, name: str, outcome: Outcome) -> None:
        """Remember how a flow ended, for this process and the others."""
        self._guard.settle(name, outcome)
        if self._shared is not None:
            self._shared.settle(name, outcome.shared, outcome.note)

    def wait(self, name: str) -> Outcome | None:
        """Return how a flow ended, once the callback that claimed it has ended it.

        Returns None if that is not known after PATIENCE seconds since this process saw the flow.
        """
        pause = FIRST_PAUSE
        while True:
            # Before the look at the outcome, which may come in between
            running = self._guard.is_running(name)
            outcome = self._known(name)
            if outcome is not None or not running:
                return outcome
            self._sleep(pause)
            pause = min(1.5 * pause, LONGEST_PAUSE)

    def _known(self, name: str) -> Outcome | None:
        outcome = self._guard.outcome(name)
        if outcome is not None or self._shared is None:
            return outcome
        outcome = self._shared.outcome(name)
        if outcome is None:
            return None
        self._guard.settle(name, outcome)
        return outcome


class SharedOutcomes:
    """Keeps outcomes in a store that all processes of a site share.

    ``keys`` are oldest to newest, ``lifetime`` is in seconds. If the store fails, this is logged,
    and the process goes on by itself: a flow that can be finished must not fail because of its
    double.
    """

    def __init__(
        self, store: OutcomeStore, keys: Sequence[bytes], audience: str, lifetime: float
    ) -> None:
        signing_keys: list[Any] = list(keys)  # Any: the signer's type says list[str | bytes]
        self._signer = Signer(
            signing_keys,
            salt=f"scconnect_wsgi flow outcome {audience}",
            key_derivation="hmac",
            digest_method=hashlib.sha256,
        )
        self._store = store
        self._lifetime = lifetime

    def claim(self, name: str) -> bool:
        """Claim a flow for this process, and return whether it was free."""
        try:
            return self._store.claim(name, self._lifetime)
        except Exception as error:
            _log_failure(error)
            return True

    def settle(self, name: str, location: str, note: str = "") -> None:
        """Keep where the browser was sent, and a note. Neither may contain a space."""
        text = f"{name} {location} {note}" if note else f"{name} {location}"
        try:
            self._store.settle(name, self._signer.sign(text).decode("utf-8"))
        except Exception as error:
            _log_failure(error)

    def outcome(self, name: str) -> Outcome | None:
        """Return where the browser was sent, and the note, or None if that is not known."""
        try:
            signed = self._store.outcome(name)
        except Exception:  # the next look may succeed; there are many, so they are not logged
            return None
        if signed is None:
            return None
        try:
            text = self._signer.unsign(signed).decode("utf-8")
        except BadSignature:
            return None
        signed_name, _, rest = text.partition(" ")
        location, _, note = rest.partition(" ")
        return Outcome(location, location, note=note) if signed_name == name else None


def _log_failure(error: Exception) -> None:
    """Log the failure of a store. Call this in the ``except`` block."""
    reason = error.message if isinstance(error, ConnectError) else safe_traceback({})
    log.warning(
        "The store could not remember a flow, so that only this process knows whether its callback "
        "comes twice: %s",
        reason,
    )
