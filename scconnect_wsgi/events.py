"""What happens to flows and connections, for the metrics of a site.

    connections = Connections(flow, store, identify=identify, on_event=count)

``on_event(event)`` is called in the thread and at the moment in which something happens, so it must
be quick. If it raises, that is logged, and nothing else changes. docs/operations.md has an example.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

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
        self, name: EventName, failure: Failure | None = None, seconds: float | None = None
    ) -> None:
        """Tell the site what happened. Whatever ``on_event`` raises is only logged."""
        if self._on_event is None:
            return
        event = Event(name, seconds=seconds)
        if failure is not None:
            event = replace(event, error=failure.code, error_id=failure.error_id)
        try:
            self._on_event(event)
            return
        except Exception:
            shown = safe_traceback({})
        log.error("The on_event callable of this site raised:\n%s", shown)


class FlowEvents:
    """The events of one request that starts or ends a flow."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._began_at = time.monotonic()
        self._has_ended = False

    def started(self) -> None:
        """Report that the user is on the way to the provider."""
        self._events.report("flow_started", seconds=self._elapsed())

    def ended(self, failure: Failure | None = None) -> None:
        """Report that the flow has ended in success, or in a failure; only the first call counts.

        The site may still answer a failure with an error, or be interrupted.
        """
        if self._has_ended:
            return
        self._has_ended = True
        name: EventName = "connected" if failure is None else "failed"
        self._events.report(name, failure, self._elapsed())

    def _elapsed(self) -> float:
        return time.monotonic() - self._began_at
