"""Waiting, and sending a request again: after the wait that the API asks for with Retry-After, and
after a hiccup."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import requests

from scconnect_wsgi.errors import ProviderUnavailable
from scconnect_wsgi.transport import NETWORK_ERRORS, Deadline, deadline, error_for_status, paused

Found = TypeVar("Found")

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")  # RFC 9110 section 9.2.1: they may be sent again
SHORTEST_WAIT = 1  # seconds; otherwise Retry-After: 0 would mean asking again at once
DISCARDED = 65_536  # bytes of a body that are read so that its connection can be used again
DISCARDING = 1.0  # seconds for that; a new connection takes less
PAUSES = (
    0.5,
    1.0,
)  # seconds before a second and a third attempt; enough for a restart behind a proxy


def sleep(seconds: float) -> None:
    """Sleep by the ``time.sleep`` of now, which gevent and eventlet replace after the import.

    The one of before would stop all their greenlets, also the one that is waited for.
    """
    time.sleep(seconds)


def send_patiently(
    send: Callable[[], requests.Response], patience: float, sleep: Callable[[float], object]
) -> requests.Response:
    """Call ``send``, and again after each wait that the API asks for.

    Returns the first response that asks for none, or the one that asks for more than is left of
    ``patience``, in seconds.
    """
    while True:
        response = send()
        wait = _wait(response)
        if wait is None or wait > patience:
            return response
        discard(response)
        patience -= wait
        with paused():
            sleep(wait)


def after_hiccups(
    ask: Callable[[], Found],
    limit: Deadline,
    *,
    patience: float,
    sleep: Callable[[float], object],
) -> Found:
    """Call ``ask``, which sends a GET, again while it returns ProviderUnavailable.

    Returns its first other result, or what the third attempt returned, or the last one before
    ``limit``. A failure that says Retry-After is followed by that wait if it has at most
    ``patience`` seconds.
    """
    for pause in PAUSES:
        found = ask()
        if not isinstance(found, ProviderUnavailable):
            return found
        wait = pause if found.retry_after is None else max(found.retry_after, SHORTEST_WAIT)
        if not limit.allows(wait) or (found.retry_after is not None and wait > patience):
            return found
        sleep(wait)
    return ask()


def discard(response: requests.Response) -> None:
    """Let go of a response that nobody reads, and keep its connection if the body is short."""
    try:
        with deadline(DISCARDING), suppress(*NETWORK_ERRORS):
            next(response.iter_content(DISCARDED), b"")
    finally:
        response.close()


def _wait(response: requests.Response) -> int | None:
    failure = error_for_status("", response.status_code, response.headers.get("Retry-After"))
    if failure is None or failure.retry_after is None:
        return None
    return max(failure.retry_after, SHORTEST_WAIT)
