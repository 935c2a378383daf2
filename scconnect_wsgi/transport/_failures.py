"""Errors for what went wrong at the provider, in sentences that hold no secret."""

from __future__ import annotations

import socket
import ssl
import time
from collections import deque
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import requests
import urllib3

from scconnect_wsgi.errors import ProviderError, ProviderUnavailable, RateLimited
from scconnect_wsgi.transport._tls import PATCHED_LATE

Failure = ProviderError | ProviderUnavailable
# What a request may raise because of the network or the other side.
NETWORK_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
MAX_RETRY_AFTER = 86_400  # seconds; no user waits longer than a day


def error_for(exception: BaseException, host: str | None, *, sent: bool = False) -> Failure:
    """Return the error for an exception of requests, urllib3 or the operating system.

    Only the kinds of the exceptions decide, because their texts may hold secrets. ``sent`` says
    whether a byte of the request had left, so that nobody knows what it did.
    """
    causes = list(_causes(exception))
    if _any(causes, RecursionError):
        message = f"{host} could not be asked. {PATCHED_LATE}"
    elif _any(causes, ssl.SSLCertVerificationError):
        message = (
            f"The certificate of {host} was not accepted. Likely causes: another host answered, "
            "this machine's clock is wrong, or the authority is a private one, whose PEM file "
            "Transport(ca_bundle=...) takes."
        )
    elif _any(causes, socket.gaierror):
        message = f"The name {host} cannot be resolved. Check the provider's address."
    elif _is_late(causes):
        message = f"{host} did not answer in time. Try again later."
    elif _is_broken(causes):
        message = f"{host} refused the connection, or broke it before its answer was complete."
    else:
        return ProviderError(
            f"The request to {host}, or its answer, is not valid HTTP.", outcome_unknown=sent
        )
    return ProviderUnavailable(message, outcome_unknown=sent)


def error_for_status(who: str, status: int, retry_after: str | None) -> Failure | None:
    """Return the error for a response of 429 (RateLimited) or 5xx, and None for any other.

    ``who`` begins the sentence; ``retry_after`` is the header. After a 5xx the request may have had
    an effect; after a 429 it had none.
    """
    if status != 429 and status < 500:
        return None
    message = f"{who} is overloaded or out of order (status {status}). Try again later."
    seconds = retry_seconds(retry_after or "")
    if status == 429:
        return RateLimited(message, retry_after=seconds)
    return ProviderUnavailable(message, retry_after=seconds, outcome_unknown=True)


def retry_seconds(retry_after: str) -> int | None:
    """Return the seconds that a Retry-After asks for (RFC 9110 section 10.2.3), at most a day.

    It may be a number or a date; None for anything else.
    """
    if retry_after.isascii() and retry_after.isdigit():
        return min(int(retry_after[:9]), MAX_RETRY_AFTER)
    try:
        wait = parsedate_to_datetime(retry_after).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(round(wait), 0), MAX_RETRY_AFTER)


def _is_late(causes: list[BaseException]) -> bool:
    # urllib3 calls a refused connection a kind of timeout
    refused = urllib3.exceptions.NewConnectionError
    kinds = (TimeoutError, urllib3.exceptions.TimeoutError)
    return any(isinstance(cause, kinds) and not isinstance(cause, refused) for cause in causes)


def _is_broken(causes: list[BaseException]) -> bool:
    # An error of requests is an OSError whatever it is about, and one about a URL is a ValueError
    other = (requests.RequestException, ValueError)
    kinds = (OSError, urllib3.exceptions.HTTPError)
    return any(isinstance(cause, kinds) and not isinstance(cause, other) for cause in causes)


def _any(causes: list[BaseException], kind: type[BaseException]) -> bool:
    return any(isinstance(cause, kind) for cause in causes)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what it was made from, each once.

    requests and urllib3 keep that in ``args`` or ``reason``.
    """
    queue: deque[object] = deque([error])
    seen: set[int] = set()
    while queue:
        cause = queue.popleft()
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        queue.extend(cause.args)
        queue.extend([getattr(cause, "reason", None), cause.__cause__, cause.__context__])
