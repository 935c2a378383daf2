"""What happens to flows and connections, for the metrics of a site.

    connections = Connections(flow, store, identify=identify, on_event=count)

``on_event(event)`` is called in the thread in which something happens, after everything else there
was to do. It must be quick. If it raises, that is logged, and nothing else changes.
docs/operations.md has an example.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from scconnect_wsgi.redaction import safe_traceback

log: logging.Logger = logging.getLogger("scconnect_wsgi")

EventName = Literal[
    "flow_started",
    "connected",
    "failed",
    "token_refreshed",
    "refresh_failed",
    "connection_ended",
    "disconnected",
]


@dataclass(frozen=True)
class Event:
    """Something that happened. It holds no secret, and says nothing about the user.

    ``name`` is what happened. ``error`` and ``error_id`` are the code and the id of the error if
    something failed, and empty otherwise; the id is the one in the log. ``seconds`` is how long our
    answer to the request took until then, or the refresh; None if that was not measured.
    """

    name: EventName
    error: str = ""
    error_id: str = ""
    seconds: float | None = None


OnEvent = Callable[[Event], object]


class Failure(Protocol):
    """What an event says of a failure: a ConnectError, or a page about one."""

    @property
    def code(self) -> str:
        """The code of the error."""

    @property
    def error_id(self) -> str:
        """The id of this failure."""


class Events:
    """Calls the ``on_event`` of a site, if it has one."""

    def __init__(self, on_event: OnEvent | None = None) -> None:
        self._on_event = on_event

    def report(
        self,
        name: EventName,
        failure: Failure | None = None,
        seconds: float | None = None,
        environ: Mapping[str, Any] | None = None,
    ) -> None:
        """Tell the site what happened in the request with this environ, if it was in one.

        Whatever ``on_event`` raises is only logged, also a gevent.Timeout, which is no Exception.
        Only what ends the thread itself goes through. So call this last, when everything else is
        done, and outside of ``except`` blocks: the hook may log what is being handled.
        """
        if self._on_event is None:
            return
        event = Event(name, seconds=seconds)
        if failure is not None:
            event = replace(event, error=failure.code, error_id=failure.error_id)
        handled = sys.exception()  # the site may call us from an except block of its own
        try:
            self._on_event(event)
            return
        except BaseException as raised:
            if _ends_the_thread(raised):
                raise
            shown = safe_traceback(environ or {}, handled=handled)
        log.error("The on_event callable of this site raised:\n%s", shown)


def _ends_the_thread(error: BaseException) -> bool:
    """Return whether an exception is a server's or greenlet's way to end what is running."""
    is_exit = isinstance(error, (KeyboardInterrupt, SystemExit))
    return is_exit or type(error).__name__ == "GreenletExit"


class FlowEvents:
    """The events of one request that starts or ends a flow."""

    def __init__(self, events: Events, environ: Mapping[str, Any]) -> None:
        self._events = events
        self._environ = dict(environ)  # the query is taken out before the application sees it
        self._began_at = time.monotonic()
        self._has_ended = False

    def started(self) -> None:
        """Report that the user is on the way to the provider."""
        self._report("flow_started")

    def ended(self, failure: Failure | None = None) -> None:
        """Report that the flow has ended, well or in a failure; only the first call counts."""
        if self._has_ended:
            return
        self._has_ended = True
        name: EventName = "connected" if failure is None else "failed"
        self._report(name, failure)

    def _report(self, name: EventName, failure: Failure | None = None) -> None:
        elapsed = time.monotonic() - self._began_at
        self._events.report(name, failure, elapsed, self._environ)
