"""Add the token to each API call, and find out what a 401 means.

It is a requests adapter, because redirects go through it too: the token goes into a copy of the
request, so that requests itself, which would carry the token along, never sees it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import BaseAdapter

from scconnect_wsgi.connections._addresses import check_redirect, is_within
from scconnect_wsgi.connections._refresh import (
    Refresher,
    error_that_ended,
    is_expired,
    load_live,
    mark_ended,
    needs_refresh,
)
from scconnect_wsgi.connections._waiting import SAFE_METHODS, discard, send_patiently
from scconnect_wsgi.errors import ConnectError, ConnectionRevoked, NotConnected
from scconnect_wsgi.stores import Connection, Store
from scconnect_wsgi.transport import HTTPRequest, HTTPResponse, as_sent, capped, paused

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
    connection that ended, outside the exclusive section. Not thread-safe, like requests' sessions.
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
        with _closed_on_error(response):
            has_newer_token = self._is_rejected(response) and self._load_newer_token()
        if has_newer_token:
            if not self._may_resend(request):
                return response
            discard(response)
            response = self._patiently(request, deliver)
        with _closed_on_error(response):
            is_renewed = self._is_rejected(response) and self._renew()
        if not is_renewed:
            return response
        if self._may_resend(request):
            discard(response)
            response = self._patiently(request, deliver)
            if not self._is_rejected(response):
                return response
        with _closed_on_error(response):
            self._end_if_refused(self._ask_me())
        return response

    def close(self) -> None:
        """Do nothing: the connections belong to the transport."""

    def _is_rejected(self, response: requests.Response) -> bool:
        """Return whether a response seems to reject the token.

        The body is left for the caller, however long it is. Nothing is concluded from this before
        ``/me`` was asked.
        """
        return self._flow.rejects_token(HTTPResponse(response.status_code, response.headers, b""))

    def _load_newer_token(self) -> bool:
        """Return whether somebody else has stored another token since this one was loaded.

        That token may have expired as well.
        """
        previous = self.connection
        self.connection = load_live(self._store, previous.id)
        return self.connection.token != previous.token

    def _renew(self) -> bool:
        """Refresh the token after a 401, if the token is to blame.

        Returns whether that was done. ``/me`` is asked first, which costs less than a refresh
        token: a resource that always answers 401 must not use one up at each call. If ``/me``
        gives no answer (some providers have none), a fresh token is left alone, and a refresh that
        fails leaves the caller with the 401.
        """
        verdict = self._ask_me()
        if self.connection.token.refresh_token is None:
            self._end_if_refused(verdict)
            return False
        # Another host, with another clock, may have obtained it
        fresh = abs(time.time() - self.connection.obtained_at) < FRESH
        if verdict is Verdict.ACCEPTED or (verdict is Verdict.UNKNOWN and fresh):
            return False
        try:
            self._refresh()
        except NotConnected:
            raise
        except ConnectError:
            if verdict is Verdict.REFUSED:
                raise
            return False
        return True

    def _end_if_refused(self, verdict: Verdict) -> None:
        """End the connection if ``/me`` refused a token that is fresh or cannot be refreshed."""
        if verdict is Verdict.REFUSED:
            self._settle(mark_ended(self._store, self.connection, ConnectionRevoked.code))

    def _ask_me(self) -> Verdict:
        """Ask ``/me`` about the token, even after a 401 of ``/me`` itself.

        That may have been about its parameters, and only here its body is read: some providers of
        OAuth 1.0a name the problem there, such as a clock that is wrong.
        """
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
        """Return whether a request may be sent again because of its answer."""
        allowed = request.method in SAFE_METHODS or self.resend
        return allowed and can_be_read_again(request.body)

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
        with paused(), capped(None):
            self._settle(self._refresher.refresh(self.connection))

    def _settle(self, connection: Connection) -> None:
        """Go on with a connection; if it has just ended, report that once and raise why."""
        self.connection = connection
        if connection.ended:
            error = error_that_ended(connection)
            with paused(), capped(None):  # the site's own code has limits of its own
                self._on_lost(connection, error)
            raise error

    def _patiently(self, request: requests.PreparedRequest, deliver: Deliver) -> requests.Response:
        send = partial(self._signed, request, deliver)
        if request.method not in SAFE_METHODS or not can_be_read_again(request.body):
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


@contextmanager
def _closed_on_error(response: requests.Response) -> Iterator[None]:
    """Close a response that the caller will not get, because something is raised in its place."""
    try:
        yield
    except BaseException:
        response.close()
        raise


def can_be_read_again(body: object) -> bool:
    """Return whether a body is still there after it was sent; an open file has been read."""
    return body is None or isinstance(body, (str, bytes))


def _form(request: requests.PreparedRequest) -> str:
    """Return the body of a request if it is a form, and otherwise an empty string."""
    if not request.headers.get("Content-Type", "").startswith(FORM):
        return ""
    body: Any = request.body
    return body.decode() if isinstance(body, bytes) else body or ""
