"""Errors for what went wrong at the provider, in sentences that hold no secret."""

from __future__ import annotations

import re
import socket
import ssl
import time
import urllib.request
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests
import urllib3

from scconnect_wsgi.errors import ProviderError, ProviderUnavailable, RateLimited
from scconnect_wsgi.redaction import causes
from scconnect_wsgi.transport._mocked import Mocked, mock_hint
from scconnect_wsgi.transport._tls import PATCHED_LATE

Failure = ProviderError | ProviderUnavailable
# What a request may raise because of the network or the other side.
NETWORK_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
# How http.client begins the text of its OSError; the words behind the status are the proxy's own
_TUNNEL_STATUS = re.compile(r"Tunnel connection failed: (\d{3})\b")
# Request Timeout, Too Early, Too Many Requests: the other 4xx stay what they are
TEMPORARY = (408, 425, 429)
_INVALID = "The request to {host}, or its answer, is not valid HTTP."
MAX_RETRY_AFTER = 86_400  # seconds; no user waits longer than a day


def error_for(
    exception: BaseException,
    url: str,
    *,
    sent: bool = False,
    proxy: str | None = None,
    handled: BaseException | None = None,
) -> Failure:
    """Return the error for an exception of requests, urllib3 or the operating system.

    Only the kinds of the exceptions decide, because their texts may hold secrets. What OpenSSL says
    holds none. ``url`` was asked, through ``proxy`` if there is one. ``sent`` says whether a byte
    of the request had left, so that nobody knows what it did. ``handled`` is the exception that the
    site was handling before the request: it is a context of ``exception``, and says nothing of it.
    """
    chain = list(causes(exception, handled))
    for cause in chain:
        if isinstance(cause, Mocked):
            return ProviderError(str(cause))
    host = urlsplit(url).hostname
    at_proxy = _any(chain, urllib3.exceptions.ProxyError)
    message = _message(chain, urlsplit(proxy or url).hostname if at_proxy else host)
    if message is None:
        hint = mock_hint()
        said = f"The request to {host} failed." if hint else _INVALID.format(host=host)
        return ProviderError(said + hint, outcome_unknown=sent)
    if at_proxy:
        message += f" It is the proxy of Transport(proxy=...), so {host} was not asked."
        message += _tunnel_problem(chain)
    elif proxy is None and not sent:
        message += _unused_proxy(url)
    message += mock_hint()
    return ProviderUnavailable(message, outcome_unknown=sent)


def _message(chain: list[BaseException], host: str | None) -> str | None:
    """Return what went wrong with ``host``, or None if it did not answer in valid HTTP."""
    if _any(chain, RecursionError):
        return f"{host} could not be asked. {PATCHED_LATE}"
    for cause in chain:
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return _tls_message(cause, host)
    if _any(chain, socket.gaierror):
        return f"The name {host} cannot be resolved. Check the address."
    if _is_late(chain):
        return f"{host} did not answer in time. Try again later."
    if _is_broken(chain):
        return f"{host} refused the connection, or broke it before its answer was complete."
    return None


def _tls_message(error: ssl.SSLError, host: str | None) -> str:
    """Return what OpenSSL says, and what may be the reason."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = getattr(error, "verify_message", "").rstrip(".") or "unknown reason"
        return (
            f"The certificate of {host} was not accepted ({reason}). Likely causes: another host "
            "answered, this machine's clock is wrong, or the authority is a private one. Its PEM "
            "file goes into Transport(ca_bundle=...), and from Python 3.13 on its certificates "
            "must keep all rules of RFC 5280."
        )
    return (
        f"No TLS connection to {host} could be made ({error.reason or 'unknown reason'}). Likely "
        "causes: the port is not one for https, the two sides have no version of TLS in common, or "
        "a device in between interferes."
    )


def _tunnel_problem(chain: list[BaseException]) -> str:
    """Return what a proxy answered in place of connecting, and nothing if it did not answer."""
    for cause in chain:
        refusal = _TUNNEL_STATUS.match(str(cause)) if type(cause) is OSError else None
        if refusal is not None and refusal[1] == "407":
            return " It wants a user name and a password: http://user:password@host:port."
        if refusal is not None:
            return f" It answered with status {refusal[1]}: it may not allow this address."
    return ""


def _unused_proxy(url: str) -> str:
    """Return a hint if the environment names a proxy, which is not used, and nothing otherwise."""
    parts = urlsplit(url)
    proxies = urllib.request.getproxies_environment()
    # Not proxy_bypass, which takes other arguments on macOS and Windows. typeshed does not know it.
    is_exempt = urllib.request.proxy_bypass_environment  # type: ignore[attr-defined]
    if is_exempt(parts.hostname or "", proxies):
        return ""
    for kind in (parts.scheme, "all"):
        if kind in proxies:
            return (
                f" The environment names a proxy ({kind.upper()}_PROXY), which is not used. If "
                "only that proxy leads out of this network, give it as Transport(proxy=...)."
            )
    return ""


def error_for_status(who: str, status: int, retry_after: str | None) -> Failure | None:
    """Return the error for a response of 429 (RateLimited), 5xx, 408 or 425, or None for any other.

    ``who`` begins the sentence; ``retry_after`` is the header. After a 5xx the request may have had
    an effect; after a 429 it had none.
    """
    if status not in TEMPORARY and status < 500:
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


def _is_late(chain: list[BaseException]) -> bool:
    # urllib3 calls a refused connection a kind of timeout
    refused = urllib3.exceptions.NewConnectionError
    kinds = (TimeoutError, urllib3.exceptions.TimeoutError)
    return any(isinstance(cause, kinds) and not isinstance(cause, refused) for cause in chain)


def _is_broken(chain: list[BaseException]) -> bool:
    # An error of requests is an OSError whatever it is about, and one about a URL is a ValueError
    other = (requests.RequestException, ValueError)
    kinds = (OSError, urllib3.exceptions.HTTPError)
    return any(isinstance(cause, kinds) and not isinstance(cause, other) for cause in chain)


def _any(chain: list[BaseException], kind: type[BaseException]) -> bool:
    return any(isinstance(cause, kind) for cause in chain)
