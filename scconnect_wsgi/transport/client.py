"""How a provider is reached; nothing else in the package talks to one.

One pool of kept-alive connections per process, one TLS context made at the first use in a process
(parsing a CA bundle costs more than everything else in a flow), one deadline over the whole call, a
cap on the answer. No redirects, no cookies, no .netrc, and nothing from the environment: neither
proxies nor a CA bundle.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cache, lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import certifi
import requests
import urllib3
from requests.adapters import HTTPAdapter

from scconnect_wsgi.errors import (
    ConfigurationError,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
)
from scconnect_wsgi.transport import deadline, strict
from scconnect_wsgi.transport.deadline import Progress, one_call
from scconnect_wsgi.transport.failures import Failure, explain
from scconnect_wsgi.transport.tls import TLSAdapter, check_bundle, context_for

ATTEMPTS = 3  # times a call is built anew, as long as not one byte of it has left
MAX_RETRY_AFTER = 86_400  # seconds; what asks for more than a day is not meant for a user who waits
DEFAULT_HEADERS = {"User-Agent": "scconnect-wsgi", "Accept-Encoding": "identity"}


class Call(NamedTuple):
    """One request to a provider, complete and signed."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: str = ""


class Answer(NamedTuple):
    """What the provider answered: a status of 2xx or 4xx, and a body of at most ``max_bytes``."""

    status: int
    content_type: str
    body: bytes
    challenge: str = ""  # WWW-Authenticate


@dataclass(frozen=True)
class Transport:
    """How the provider is reached. Flows of a process share one unless they are given their own.

    ``timeout`` is in seconds and holds for the whole call, however slowly the answer drips (only
    the look-up of the host's name cannot be interrupted); ``max_bytes`` caps the body of the
    answer; ``ca_bundle`` is the path of a PEM file (None: certifi's), which is checked at once and
    read again by each process at its first call; ``proxy`` is the URL of an HTTP proxy (None: no
    proxy, whatever the environment says). Raises ConfigurationError for values that cannot work.
    """

    timeout: float = 10.0
    max_bytes: int = 65_536
    ca_bundle: str | None = None
    proxy: str | None = field(default=None, repr=False)  # may hold a password
    _adapters: dict[int, _Adapter] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if not isinstance(self.timeout, (int, float)) or not 0 < self.timeout <= 300:
            raise ConfigurationError(
                "timeout", "must be a number of seconds, above 0 and at most 300."
            )
        if not isinstance(self.max_bytes, int) or self.max_bytes < 1:
            raise ConfigurationError("max_bytes", "must be a whole number of at least 1.")
        if self.proxy is not None:
            _check_proxy(self.proxy)
        if self.ca_bundle is not None:
            check_bundle(self.ca_bundle)

    @property
    def authorities(self) -> str:
        """The path of the PEM file of the authorities that are trusted."""
        return self.ca_bundle or certifi.where()

    def send(self, build: Callable[[], Call]) -> Answer:
        """Send what ``build`` makes and return the answer.

        ``build`` is called again for another try, so that a nonce is never used twice; there is
        another try only where no byte has left. Raises ProviderUnavailable (no answer in time, no
        connection, 429, 5xx) or ProviderError (a redirect, an answer that is longer than
        ``max_bytes``, cut short, compressed, or not HTTP).
        """
        with one_call(self.timeout) as progress:
            for attempt in range(1, ATTEMPTS + 1):
                outcome = self._attempt(build(), progress)
                if isinstance(outcome, Answer):
                    return outcome
                if progress.sent or progress.expired or attempt == ATTEMPTS:
                    outcome.outcome_unknown = progress.sent and not isinstance(outcome, RateLimited)
                    raise outcome
        raise AssertionError("the loop ends with an answer or a failure")

    def _attempt(self, call: Call, progress: Progress) -> Answer | Failure:
        """One try.

        A failure is returned, not raised: what requests raised holds the request and its secrets.
        """
        try:
            request = _prepared(call)
            proxies = self._proxies()
            # _Adapter.build_response says what this is
            response: Any = self._adapter().send(
                request, stream=True, timeout=progress.left(), proxies=proxies
            )
            try:
                return self._read(response)
            finally:
                response.close()
                response.release_conn()
        except (
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
            ValueError,
            RecursionError,
        ) as error:
            return explain(error, urlsplit(call.url).hostname)

    def _proxies(self) -> dict[str, str] | None:
        return {"http": self.proxy, "https": self.proxy} if self.proxy else None

    def adapter_for_calls(self) -> HTTPAdapter:
        """This process's connections for calls of an API, with the TLS context of the token
        requests.
        """
        return self._adapter().for_calls

    def _adapter(self) -> _Adapter:
        """This process's pool: after a fork the child makes its own and lets go of its parent's.

        It is made at the first use, and anew after gevent or eventlet has patched ssl.
        """
        pid = os.getpid()
        adapter = self._adapters.get(pid)
        if adapter is None or adapter.is_outdated:
            self._adapters.clear()
            made = _Adapter(self._context())
            adapter = self._adapters.setdefault(pid, made)  # no lock: a fork could copy it locked
        return adapter

    def _context(self) -> ssl.SSLContext:
        with suppress(OSError):  # it was readable when the transport was made
            return context_for(self.authorities)
        raise ProviderUnavailable(
            "The file of ca_bundle can no longer be read as PEM certificates. Likely causes: it was moved, or this "
            "process runs as a user who may not read it."
        )

    def _read(self, response: urllib3.response.BaseHTTPResponse) -> Answer | Failure:
        status, headers = response.status, response.headers
        if status == 429 or status >= 500:
            kind = RateLimited if status == 429 else ProviderUnavailable
            return kind(
                f"The provider is overloaded or out of order (status {status}). Try again later.",
                retry_after=retry_seconds(headers.get("Retry-After", "")),
            )
        if status < 200 or 300 <= status < 400:
            return ProviderError(
                f"The provider answered with a redirect (status {status}), which is never followed. "
                "Check the provider's addresses: http against https, the host, a trailing slash."
            )
        if headers.get("Content-Encoding", "").lower() not in ("", "identity"):
            return ProviderError("The provider compressed its answer though it was asked not to.")
        body = b""
        while chunk := response.read(self.max_bytes + 1 - len(body), decode_content=False):
            body += chunk
            if len(body) > self.max_bytes:
                return ProviderError(
                    f"The provider's answer is longer than {self.max_bytes} bytes."
                )
        chunked = headers.get("Transfer-Encoding", "").lower() == "chunked"
        if not chunked and headers.get("Content-Length", str(len(body))) != str(len(body)):
            return ProviderError("The provider's answer is not as long as it says.")
        return Answer(
            status, headers.get("Content-Type", ""), body, headers.get("WWW-Authenticate", "")
        )


@cache
def shared_transport() -> Transport:
    """The transport of every flow that was not given one."""
    return Transport()


class _Adapter(TLSAdapter):
    """The connections of token requests, each call within its deadline;

    ``for_calls`` has those of API calls.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context, deadline.POOLS)
        self.for_calls = TLSAdapter(context, strict.POOLS)

    def get_connection_with_tls_context(
        self, request: Any, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """The pool for a request, without requests' search for a proxy where there is none."""
        if proxies:
            return super().get_connection_with_tls_context(request, verify, proxies, cert)
        parts = urlsplit(request.url)
        return self.poolmanager.connection_from_host(parts.hostname, parts.port, parts.scheme)

    def request_url(self, request: Any, proxies: Any) -> str:
        """What stands in the request line; with a proxy, that may be the whole URL."""
        return str(super().request_url(request, proxies) if proxies else request.path_url)

    def build_response(self, req: Any, resp: Any) -> Any:
        """urllib3's answer as it is:

        cookies, encodings and redirects, which requests would look for, are not taken.
        """
        return resp


def _prepared(call: Call) -> requests.PreparedRequest:
    """What the adapter sends.

    requests' own ``prepare`` would also look for cookies, hooks and .netrc, each time.
    """
    request = requests.PreparedRequest()
    request.method, request.url = call.method, as_sent(call.url)
    request.prepare_headers({**DEFAULT_HEADERS, **call.headers})
    request.prepare_body(call.body, None)
    return request


@lru_cache(maxsize=64)  # a process knows a handful of addresses
def as_sent(url: str) -> str:
    """A URL as it will stand in the request:

    what is signed must be what arrives (``%7E`` is sent as ``~``).
    """
    return str(requests.Request("POST", url).prepare().url)


def _check_proxy(proxy: object) -> None:
    try:
        parts = urlsplit(proxy if isinstance(proxy, str) else "")
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError("proxy", "must be a URL: http://host:port.")


def retry_seconds(retry_after: str) -> int | None:
    """Retry-After (RFC 9110 section 10.2.3) in seconds, whether it came as a number or as a date."""
    if retry_after.isascii() and retry_after.isdigit():
        return min(int(retry_after[:9]), MAX_RETRY_AFTER)
    try:
        wait = parsedate_to_datetime(retry_after).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(round(wait), 0), MAX_RETRY_AFTER)
