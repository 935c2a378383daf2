"""What every API call passes on its way out: the token is added, and a 401 is looked into.

A requests adapter, because redirects go through it too: the token goes into a copy of the request,
so that requests itself, which would carry the token along, never sees it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import BaseAdapter

from scconnect_wsgi.connections.addresses import check_redirect, is_within
from scconnect_wsgi.connections.refresh import (
    Refresher,
    error_that_ended,
    is_expired,
    load_live,
    mark_ended,
    needs_refresh,
)
from scconnect_wsgi.connections.waiting import SAFE_METHODS, send_patiently
from scconnect_wsgi.errors import ConnectError, ConnectionRevoked, NotConnected
from scconnect_wsgi.stores import Connection, Store
from scconnect_wsgi.transport.client import HTTPRequest, HTTPResponse, as_sent
from scconnect_wsgi.transport.deadline import paused

if TYPE_CHECKING:
    from scconnect_wsgi.flow import ApiFlow

Deliver = Callable[[requests.PreparedRequest], requests.Response]
OnLost = Callable[[Connection, NotConnected], object]
FORM = "application/x-www-form-urlencoded"
FRESH = 60  # seconds; a token this young is not refreshed unless `/me` itself refuses it


class Verdict(Enum):
    """What ``/me`` says about a token."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"  # there is no such address, it is out of order, or it says something else


class TokenAdapter(BaseAdapter):
    """Sends requests with the token of one connection, and refreshes it when that is due.

    ``connection`` is as it was last stored. ``on_lost(connection, error)`` is called for a
    connection that ended, outside the exclusive section. Not for several threads at once, like
    requests' sessions.
    """

    def __init__(
        self,
        connection: Connection,
        store: Store,
        flow: ApiFlow,
        on_lost: OnLost,
        *,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        super().__init__()
        self.connection: Connection = connection
        # Seconds that one call waits in all because the API said Retry-After.
        self.patience: float = 10.0
        self.resend: bool = False  # whether a request that is not safe may be sent again as well
        self._store = store
        self._flow = flow
        self._refresher = Refresher(store, flow)
        self._on_lost = on_lost
        self._sleep = sleep

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Send a request, and again if its token had expired and it may be sent twice.

        A 401 of one resource is the caller's answer: many are not about the token (an unverified
        mail address, a missing right). It ends a connection in two cases only: the refresh is
        refused, or ``/me`` with a fresh token is. Raises ConnectError, or requests' errors.
        """
        deliver = partial(
            self._flow.transport.adapter(verify, cert).send,
            stream=stream,
            timeout=timeout,
            verify=verify,
            cert=cert,
            proxies=proxies,
        )
        if not is_within(self.connection.api_url, str(request.url)):
            check_redirect(request)
            return deliver(request)
        self._refresh_ahead()
        response = self._patiently(request, deliver)
        if self._is_rejected(response) and self._load_newer_token():
            if not self._may_resend(request):
                return response
            response = self._patiently(request, deliver)
        if not self._is_rejected(response) or not self._renew(request):
            return response
        if not self._may_resend(request):
            self._end_if_refused(self._ask_me())
            return response
        response = self._patiently(request, deliver)
        if self._is_rejected(response):
            self._end_if_refused(self._verdict_after_401_of(request))
        return response

    def close(self) -> None:
        """Do nothing: the connections belong to the transport."""

    def _is_rejected(self, response: requests.Response) -> bool:
        """Return whether a response rejects the token, as far as the protocol can tell."""
        head = HTTPResponse(response.status_code, response.headers, b"")
        if not self._flow.rejects_token(head):
            return False
        _ = response.content  # read to its end, its connection can be used again
        return True

    def _load_newer_token(self) -> bool:
        """Return whether somebody else has stored another token since this one was loaded.

        That token may have expired as well.
        """
        previous = self.connection
        self.connection = load_live(self._store, previous.id)
        return self.connection.token != previous.token

    def _renew(self, request: requests.PreparedRequest) -> bool:
        """Refresh the token after a 401 of this request, if the token is to blame.

        Returns whether that was done. ``/me`` is asked first, which costs less than a refresh
        token: a resource that always answers 401 must not use one up at each call. If ``/me`` does
        not tell (some providers have none), a fresh token is left alone.
        """
        verdict = self._verdict_after_401_of(request)
        if self.connection.token.refresh_token is None:
            self._end_if_refused(verdict)
            return False
        # Another host, with another clock, may have obtained it
        fresh = abs(time.time() - self.connection.obtained_at) < FRESH
        if verdict is Verdict.ACCEPTED or (verdict is Verdict.UNKNOWN and fresh):
            return False
        self._refresh()
        return True

    def _end_if_refused(self, verdict: Verdict) -> None:
        """End the connection if ``/me`` refused a token that is fresh or cannot be refreshed."""
        if verdict is Verdict.REFUSED:
            self._settle(mark_ended(self._store, self.connection, ConnectionRevoked.code))

    def _verdict_after_401_of(self, request: requests.PreparedRequest) -> Verdict:
        """Return what ``/me`` says about the token, after this request was answered with a 401."""
        if request.method == "GET" and str(request.url).partition("?")[0] == self._me():
            return Verdict.REFUSED  # it was ``/me`` itself
        return self._ask_me()

    def _ask_me(self) -> Verdict:
        try:
            with paused():
                response = self._flow.transport.send(self._request_of_me)
        except ConnectError:
            return Verdict.UNKNOWN
        if response.status == 200:
            return Verdict.ACCEPTED
        return Verdict.REFUSED if self._flow.rejects_token(response) else Verdict.UNKNOWN

    def _request_of_me(self) -> HTTPRequest:
        url = self._me()
        authorization = self._flow.authorization(self.connection.token, "GET", url)
        headers = {**self._flow.provider.headers, "Authorization": authorization}
        return HTTPRequest("GET", url, headers)

    def _me(self) -> str:
        return as_sent(f"{self.connection.api_url.rstrip('/')}/me")

    def _may_resend(self, request: requests.PreparedRequest) -> bool:
        """Return whether a request may be sent again because of its answer.

        A body that was read while it was sent cannot be.
        """
        body: Any = request.body
        allowed = request.method in SAFE_METHODS or self.resend
        return allowed and isinstance(body, (str, bytes, type(None)))

    def _refresh_ahead(self) -> None:
        """Refresh a token that expires soon.

        Until it has expired, a refresh that fails changes nothing.
        """
        if not needs_refresh(self.connection) or self.connection.token.refresh_token is None:
            return
        try:
            self._refresh()
        except NotConnected:
            raise
        except ConnectError:
            if is_expired(self.connection):
                raise

    def _refresh(self) -> None:
        with paused():
            self._settle(self._refresher.refresh(self.connection))

    def _settle(self, connection: Connection) -> None:
        """Go on with a connection; if it has just ended, report that once and raise why."""
        self.connection = connection
        if connection.ended:
            error = error_that_ended(connection)
            self._on_lost(connection, error)
            raise error

    def _patiently(self, request: requests.PreparedRequest, deliver: Deliver) -> requests.Response:
        send = partial(self._signed, request, deliver)
        if request.method not in SAFE_METHODS:
            return send()
        return send_patiently(send, self.patience, self._sleep)

    def _signed(self, request: requests.PreparedRequest, deliver: Deliver) -> requests.Response:
        """Send a copy of the request that holds the token.

        The response, and also an error, holds the request without it.
        """
        copy = request.copy()
        authorization = self._flow.authorization(
            self.connection.token, str(copy.method), str(copy.url), _form(request)
        )
        copy.headers.update({**self._flow.provider.headers, "Authorization": authorization})
        try:
            response = deliver(copy)
        except requests.RequestException as error:
            error.request = request
            raise
        response.request = request
        return response


def _form(request: requests.PreparedRequest) -> str:
    """Return the body of a request if it is a form, and otherwise an empty string."""
    if not request.headers.get("Content-Type", "").startswith(FORM):
        return ""
    body: Any = request.body
    return body.decode() if isinstance(body, bytes) else body or ""
