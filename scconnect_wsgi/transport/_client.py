"""The settings for reaching a provider, and token requests.

A token request follows no redirect, keeps no cookie, and takes nothing from the environment:
neither .netrc nor a proxy nor a CA bundle. API calls go through ``Transport.adapter`` and the same
connections.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urlsplit

import certifi
import requests
import urllib3
from requests.adapters import HTTPAdapter

from scconnect_wsgi.errors import ConfigurationError, ProviderError, ProviderUnavailable
from scconnect_wsgi.numeric import is_number, is_whole
from scconnect_wsgi.redaction import hides_all_locals
from scconnect_wsgi.transport._deadline import Deadline, deadline
from scconnect_wsgi.transport._failures import Failure, error_for, error_for_status
from scconnect_wsgi.transport._pool import Pool
from scconnect_wsgi.transport._tls import check_bundle, context_for

ATTEMPTS = 3  # times a request is built anew, as long as not one byte of it has left
Certificate = str | tuple[str, str] | None  # requests' ``cert``


@dataclass(frozen=True, repr=False)
class HTTPRequest:
    """One request to a provider, complete and signed."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: str = ""

    def __repr__(self) -> str:
        """Show no header, query or body: they hold secrets."""
        return f"HTTPRequest({self.method} {self.url.partition('?')[0]})"


@dataclass(frozen=True, repr=False)
class HTTPResponse:
    """A provider's response: a status of 2xx or 4xx, and a body of at most ``max_bytes``.

    ``headers`` ignores case if the transport made it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        """Show no header or body: they may hold a token."""
        return f"HTTPResponse(status={self.status})"


@hides_all_locals
@dataclass(frozen=True)
class Transport:
    """How the provider is reached. Flows of a process share one unless they are given their own.

    ``timeout`` is in seconds and holds for a whole token request, and for each request of ``me()``
    and ``collection()``, however slowly the answer arrives (only the look-up of the host's name
    cannot be interrupted). For every other API call it is requests' timeout: for connecting, and
    for each read. ``max_bytes`` caps the answer to a token request; ``ca_bundle`` is the path of a
    PEM file (None: certifi's), which is checked at once and read again by each process at its first
    request; ``proxy`` is the URL of an HTTP proxy (None: no proxy, whatever the environment says).
    Raises ConfigurationError for values that cannot work.
    """

    timeout: float = 10.0
    max_bytes: int = 65_536
    ca_bundle: str | None = None
    proxy: str | None = field(default=None, repr=False)  # may hold a password
    # By process, authorities and client certificate
    _pools: dict[tuple[int, str, Certificate], Pool] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if not is_number(self.timeout) or not 0 < self.timeout <= 300:
            raise ConfigurationError(
                "timeout", "must be a number of seconds, above 0 and at most 300."
            )
        if not is_whole(self.max_bytes) or self.max_bytes < 1:
            raise ConfigurationError("max_bytes", "must be a whole number of at least 1.")
        if self.proxy is not None:
            _check_proxy(self.proxy)
        if self.ca_bundle is not None:
            check_bundle(self.ca_bundle)

    @property
    def authorities(self) -> str:
        """The path of the PEM file of the authorities that are trusted."""
        return self.ca_bundle or certifi.where()

    def send(self, build: Callable[[], HTTPRequest]) -> HTTPResponse:
        """Send the request that ``build`` returns, and return the response.

        ``build`` is called again for another attempt, so that a nonce is never used twice; there is
        another attempt only if no byte has left. Raises ProviderUnavailable (no answer in time, no
        connection, 429, 5xx, or an answer that broke off) or ProviderError (a redirect, or an
        answer that is longer than ``max_bytes``, compressed, or not HTTP).
        """
        attempts = 0
        with deadline(self.timeout) as limit:
            while True:
                outcome = self._attempt(build(), limit)
                if isinstance(outcome, HTTPResponse):
                    return outcome
                attempts += 1
                if limit.sent or limit.expired or attempts == ATTEMPTS:
                    break
        raise outcome

    def adapter(self, verify: bool | str, cert: Certificate = None) -> HTTPAdapter:
        """Return the requests adapter for API calls, with the connections of this process.

        ``verify`` and ``cert`` are those of requests. A call that brings another CA bundle, or a
        client certificate, gets connections of its own. Raises requests' SSLError if it asks not to
        verify, and OSError for files that cannot be read.
        """
        if not verify:
            raise requests.exceptions.SSLError(
                "verify=False is refused: anybody in between could read the token. Give the PEM "
                "file of a private authority, as Transport(ca_bundle=PATH) or as verify=PATH."
            )
        authorities = certifi.where() if verify is True else verify
        if authorities == self.authorities and cert is None:
            return self._own_pool()
        try:
            return self._pool(authorities, cert)
        except OSError as error:
            raise OSError(
                f"verify={verify!r} or cert={cert!r} cannot be read as PEM certificates."
            ) from error

    def _attempt(self, request: HTTPRequest, limit: Deadline) -> HTTPResponse | Failure:
        """Send a request once.

        A failure is returned, not raised: the original exception holds the request and its secrets.
        """
        handled = sys.exception()
        try:
            response = self._own_pool().exchange(
                request.method,
                as_sent(request.url),
                request.headers,
                request.body,
                timeout=limit.left(),
                proxy=self.proxy,
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
            return error_for(error, request.url, sent=limit.sent, proxy=self.proxy, handled=handled)

    def _read(self, response: urllib3.BaseHTTPResponse) -> HTTPResponse | Failure:
        failure = error_for_status(
            "The provider", response.status, response.headers.get("Retry-After")
        )
        if failure is not None:
            return failure
        problem = _problem(response)
        if problem is not None:
            return ProviderError(problem, outcome_unknown=True)
        body = self._body(response)
        if len(body) > self.max_bytes:
            return ProviderError(
                f"The provider's answer is longer than {self.max_bytes} bytes.",
                outcome_unknown=True,
            )
        if response.length_remaining:
            return ProviderUnavailable(
                "The provider's answer broke off: it is shorter than it says. Try again.",
                outcome_unknown=True,
            )
        return HTTPResponse(response.status, response.headers, body)

    def _body(self, response: urllib3.BaseHTTPResponse) -> bytes:
        """Read the body, or its first ``max_bytes`` and one more."""
        body = b""
        while chunk := response.read(self.max_bytes + 1 - len(body), decode_content=False):
            body += chunk
        return body

    def _own_pool(self) -> Pool:
        try:
            return self._pool(self.authorities)
        except OSError:  # it was readable when the transport was made
            problem = "The file of ca_bundle can no longer be read as PEM certificates."
        raise ProviderUnavailable(
            f"{problem} Likely causes: it was moved, or this process runs as a user who may not "
            "read it."
        )

    def _pool(self, authorities: str, cert: Certificate = None) -> Pool:
        """Return this process's pool: after a fork the child makes its own.

        It is made at the first use, and again after gevent or eventlet has patched ssl. Raises
        OSError for files that cannot be read.
        """
        pid = os.getpid()
        key = (pid, authorities, cert)
        pool = self._pools.get(key)
        if pool is not None and not pool.is_outdated:
            return pool
        made = Pool(context_for(authorities, cert))
        # No lock, because a fork could copy it locked
        for other, known in list(self._pools.items()):
            if other[0] != pid or known.is_outdated:
                self._pools.pop(other, None)
        return self._pools.setdefault(key, made)


@cache
def shared_transport() -> Transport:
    """Return the transport of every flow that was not given one."""
    return Transport()


def checked_transport(given: object) -> Transport:
    """Return the transport that a flow was given, or the shared one for None.

    Raises ConfigurationError for anything else.
    """
    if given is None:
        return shared_transport()
    if not isinstance(given, Transport):
        raise ConfigurationError(
            "transport", f"must be a Transport(...), not {type(given).__name__}."
        )
    return given


@lru_cache(maxsize=64)  # a process knows a handful of addresses
def as_sent(url: str) -> str:
    """Return a URL as it will be in the request, because that is what must be signed.

    requests sends ``%7E`` as ``~``, for example.
    """
    return str(requests.Request("POST", url).prepare().url)


def _problem(response: urllib3.BaseHTTPResponse) -> str | None:
    """Return why a response is not read, or None."""
    status = response.status
    if status < 200 or 300 <= status < 400:
        return (
            f"The provider answered with a redirect (status {status}), which is never followed. "
            "Check the provider's addresses: http against https, the host, a trailing slash."
        )
    if response.headers.get("Content-Encoding", "").lower() not in ("", "identity"):
        return "The provider compressed its answer though it was asked not to."
    return None


def _check_proxy(proxy: Any) -> None:
    try:
        parts = urlsplit(proxy if isinstance(proxy, str) else "")
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError("proxy", "must be a URL: http://host:port.")
