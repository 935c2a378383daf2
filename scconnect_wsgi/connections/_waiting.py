"""Sending a request again after a wait, when the API asks for one with Retry-After."""

from __future__ import annotations

from collections.abc import Callable

import requests

from scconnect_wsgi.transport import paused, retry_seconds

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")  # RFC 9110 section 9.2.1: they may be sent again
SHORTEST_WAIT = 1  # seconds; otherwise Retry-After: 0 would mean asking again at once
DISCARDED = 65_536  # bytes of a body that are read so that its connection can be used again


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


def discard(response: requests.Response) -> None:
    """Let go of a response that nobody reads, and keep its connection if the body is short."""
    try:
        next(response.iter_content(DISCARDED), b"")
    finally:
        response.close()


def _wait(response: requests.Response) -> int | None:
    if response.status_code not in (429, 503):
        return None
    seconds = retry_seconds(response.headers.get("Retry-After", ""))
    return None if seconds is None else max(seconds, SHORTEST_WAIT)
