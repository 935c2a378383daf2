"""What every call of the API passes on its way out: who may hear the token, and what to do about a
401.

An adapter of requests, because redirects pass it too: the token goes into a copy of the request
that requests itself, which would carry it on, never sees.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import certifi
import requests
from requests.adapters import BaseAdapter, HTTPAdapter

from scconnect_wsgi.connections.refresh import due, end, ending, loaded, over, refresh
from scconnect_wsgi.errors import ConfigurationError, ConnectError, ConnectionRevoked, NotConnected
from scconnect_wsgi.protocols.oauth1 import OAuth1
from scconnect_wsgi.protocols.oauth2 import OAuth2
from scconnect_wsgi.stores import Connection, Store
from scconnect_wsgi.transport import strict
from scconnect_wsgi.transport.client import Call, Transport, as_sent, retry_seconds
from scconnect_wsgi.transport.tls import TLSAdapter, context_for
from scconnect_wsgi.urls import checked_url, origin

Deliver = Callable[[requests.PreparedRequest], requests.Response]
OnLost = Callable[[Connection, NotConnected], object]
FORM = "application/x-www-form-urlencoded"
SHORTEST_WAIT = 1  # seconds; an API that says 0 is not to be asked as fast as it answers
SAFE = ("GET", "HEAD", "OPTIONS")  # RFC 9110 section 9.2.1: they may be sent again
FRESH = 60  # seconds; a token this young is not refreshed unless `/me` itself refuses it
# A 401 of OAuth 1.0a for these (OAuth Problem Reporting) says nothing against the token.
_BLAMELESS = re.compile(
    r"timestamp_refused|nonce_used|signature_|consumer_key_|version_rejected|parameter_"
)
# By process and TLS files. Those of a parent process stay, or its sockets would be closed.
_pools: dict[tuple[object, ...], TLSAdapter] = {}


def pool(transport: Transport, verify: Any, cert: Any) -> HTTPAdapter:
    """Return the kept-alive connections of this process, shared by all sessions: they hold no
    cookie and no token.

    They are the transport's, unless a site gave a call another CA bundle or a client certificate of
    its own. Raises requests' SSLError if it asked not to verify, and OSError for files that cannot
    be read.
    """
    if not verify:
        raise requests.exceptions.SSLError(
            "verify=False is refused: anybody in between could read the token. Give the PEM file of a private "
            "authority, as Transport(ca_bundle=PATH) or as verify=PATH."
        )
    authorities = certifi.where() if verify is True else verify
    if authorities == transport.authorities and cert is None:
        return transport.adapter_for_calls()
    key = os.getpid(), authorities, cert
    if key not in _pools or _pools[key].is_outdated:
        try:
            context = context_for(authorities, cert)
        except OSError as error:
            raise OSError(
                f"verify={verify!r} or cert={cert!r} cannot be read as PEM certificates."
            ) from error
        _pools[key] = TLSAdapter(context, strict.POOLS)
    return _pools[key]


def below(root: str, url: str) -> bool:
    """Whether an address is one of the API at ``root``:

    scheme, host and port, and the path it begins with.
    """
    path = urlsplit(root).path.rstrip("/")
    return origin(url) == origin(root) and f"{urlsplit(url).path}/".startswith(f"{path}/")


class Verdict(Enum):
    """What ``/me`` says about a token."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = (
        "unknown"  # there is no such address, it is out of order, or it has something else to say
    )


class Calls(BaseAdapter):
    """Sends requests with the token of one connection, which it refreshes when that is due.

    ``connection`` is as it was last stored. ``on_lost(connection, error)`` hears of a connection
    that ended, outside the exclusive section. Not for several threads at once, as requests'
    sessions are not.
    """

    def __init__(
        self, connection: Connection, store: Store, flow: OAuth1 | OAuth2, on_lost: OnLost
    ) -> None:
        super().__init__()
        self.connection: Connection = connection
        # Seconds that one call waits in all because the API said Retry-After.
        self.patience: float = 10.0
        self.resend = False  # whether a request that is not safe may be sent again as well
        self._store = store
        self._flow = flow
        self._on_lost = on_lost

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Send a request, and again where its token had ended and it may be. Raises ConnectError,
        or requests' errors.

        A 401 of one resource is the caller's answer: many are not about the token (an unverified
        mail, a missing right). It ends a connection in two cases only: the refresh is refused, or
        ``/me`` with a fresh token is.
        """
        connections = pool(self._flow.transport, verify, cert)
        deliver = partial(
            connections.send,
            stream=stream,
            timeout=timeout,
            verify=verify,
            cert=cert,
            proxies=proxies,
        )
        if not below(self.connection.api_url, str(request.url)):
            return deliver(_checked(request))
        self._refresh_ahead()
        response = self._patiently(request, deliver)
        if _about_the_token(response) and self._take():
            if not self._may_resend(request):
                return response
            response = self._patiently(request, deliver)
        if not _about_the_token(response) or not self._renew(request):
            return response
        if not self._may_resend(request):
            self._end_if_refused(self._ask_me())
            return response
        response = self._patiently(request, deliver)
        if _about_the_token(response):
            self._end_if_refused(self._verdict_after_401_of(request))
        return response

    def close(self) -> None:
        """Nothing to close: the pool is everybody's."""

    def _take(self) -> bool:
        """Whether somebody else has stored another token since this one was loaded.

        It may have ended as well.
        """
        before, self.connection = self.connection, loaded(self._store, self.connection.id)
        return before.token != self.connection.token

    def _renew(self, request: requests.PreparedRequest) -> bool:
        """Refresh the token after a 401 of this request, unless it is not the token's fault;
        whether that was done.

        ``/me`` is asked first, which costs less than a refresh token: a resource that always
        answers 401 must not use one up at each call. Where ``/me`` does not tell (some providers
        have none), a fresh token is left alone.
        """
        verdict = self._verdict_after_401_of(request)
        if self.connection.token.refresh_token is None:
            self._end_if_refused(verdict)
            return False
        fresh = (
            abs(time.time() - self.connection.obtained_at) < FRESH
        )  # another host may have obtained it
        if verdict is Verdict.ACCEPTED or (verdict is Verdict.UNKNOWN and fresh):
            return False
        self._settle(refresh(self._store, self._flow, self.connection))
        return True

    def _end_if_refused(self, verdict: Verdict) -> None:
        """End the connection where ``/me`` refused a token that is fresh, or that nothing can
        refresh.
        """
        if verdict is Verdict.REFUSED:
            self._settle(end(self._store, self.connection, ConnectionRevoked.code))

    def _verdict_after_401_of(self, request: requests.PreparedRequest) -> Verdict:
        """What ``/me`` says about the token, with which this request was just answered with a 401."""
        if request.method == "GET" and str(request.url).partition("?")[0] == self._me():
            return Verdict.REFUSED  # it was ``/me`` itself
        return self._ask_me()

    def _ask_me(self) -> Verdict:
        try:
            answer = self._flow.transport.send(self._call_of_me)
        except ConnectError:
            return Verdict.UNKNOWN
        if answer.status == 200:
            return Verdict.ACCEPTED
        return (
            Verdict.REFUSED
            if _against_the_token(answer.status, answer.challenge)
            else Verdict.UNKNOWN
        )

    def _call_of_me(self) -> Call:
        authorization = self._flow.authorization(self.connection.token, "GET", self._me())
        return Call(
            "GET", self._me(), {**self._flow.provider.headers, "Authorization": authorization}
        )

    def _me(self) -> str:
        return as_sent(f"{self.connection.api_url.rstrip('/')}/me")

    def _may_resend(self, request: requests.PreparedRequest) -> bool:
        """Whether a request may be sent again because of its answer;

        a stream has been read and never is.
        """
        body: Any = request.body
        again = request.method in SAFE or self.resend
        return again and isinstance(body, (str, bytes, type(None)))

    def _refresh_ahead(self) -> None:
        """Refresh a token that ends soon;

        as long as it has not ended, a refresh that fails changes nothing.
        """
        if not due(self.connection) or self.connection.token.refresh_token is None:
            return
        try:
            self._settle(refresh(self._store, self._flow, self.connection))
        except NotConnected:
            raise
        except ConnectError:
            if over(self.connection):
                raise

    def _settle(self, connection: Connection) -> None:
        """Go on with a connection; where it has just ended, tell so once and raise why."""
        self.connection = connection
        if connection.ended:
            error = ending(connection)
            self._on_lost(connection, error)
            raise error

    def _patiently(self, request: requests.PreparedRequest, deliver: Deliver) -> requests.Response:
        patience = self.patience
        while True:
            response = self._signed(request, deliver)
            wait = retry_seconds(response.headers.get("Retry-After", ""))
            if response.status_code not in (429, 503) or request.method not in SAFE or wait is None:
                return response
            wait = max(wait, SHORTEST_WAIT)
            if wait > patience:
                return response
            _ = response.content
            patience -= wait
            time.sleep(wait)

    def _signed(self, request: requests.PreparedRequest, deliver: Deliver) -> requests.Response:
        """Send a copy that holds the token;

        what comes back, an error too, holds the one without.
        """
        copy = request.copy()
        body: Any = request.body if request.headers.get("Content-Type", "").startswith(FORM) else ""
        form = body.decode() if isinstance(body, bytes) else body or ""
        authorization = self._flow.authorization(
            self.connection.token, str(copy.method), str(copy.url), form
        )
        copy.headers.update({**self._flow.provider.headers, "Authorization": authorization})
        try:
            response = deliver(copy)
        except requests.RequestException as error:
            error.request = request
            raise
        response.request = request
        return response


def _about_the_token(response: requests.Response) -> bool:
    if not _against_the_token(response.status_code, response.headers.get("WWW-Authenticate", "")):
        return False
    _ = response.content  # read to its end, the connection can be used again
    return True


def _against_the_token(status: int, challenge: str) -> bool:
    return status == 401 and not _BLAMELESS.search(challenge)


def _checked(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """A request that leads off the API, after a redirect:

    without a token, and only to fetch something.
    """
    try:
        checked_url(str(request.url), "The address of a redirect")
    except ConfigurationError as error:
        raise requests.exceptions.InvalidURL(error.message, request=request) from None
    if request.method not in SAFE or "Authorization" in request.headers:
        raise requests.exceptions.InvalidURL(
            "Only a GET without credentials may leave the API.", request=request
        )
    return request
