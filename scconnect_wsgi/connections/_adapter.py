"""Add the token to each API call, and find out what a 401 means.

It is a requests adapter, because redirects go through it too: the token goes into a copy of the
request, so that requests itself, which would carry the token along, never sees it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import BaseAdapter
from requests.utils import rewind_body

from scconnect_wsgi.connections._addresses import check_redirect, is_within
from scconnect_wsgi.connections._refresh import (
    Refresher,
    error_that_ended,
    is_expired,
    load_live,
    mark_ended,
    needs_refresh,
    needs_refresh_for_upload,
)
from scconnect_wsgi.connections._verdict import TokenVerdict, ask_me
from scconnect_wsgi.connections._waiting import SAFE_METHODS, discard, send_patiently, sleep
from scconnect_wsgi.errors import ConnectError, ConnectionBusy, ConnectionRevoked, NotConnected
from scconnect_wsgi.events import Events
from scconnect_wsgi.stores import Connection, Store
from scconnect_wsgi.transport import HTTPResponse, Multipart, capped, paused

if TYPE_CHECKING:
    from scconnect_wsgi.flow import ApiFlow

Deliver = Callable[[requests.PreparedRequest], requests.Response]
OnLost = Callable[[Connection, NotConnected], object]
FORM = "application/x-www-form-urlencoded"
FRESH = 60  # seconds; a token this young is not refreshed unless `/me` itself refuses it


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
        events: Events | None = None,
        sleep: Callable[[float], object] = sleep,
    ) -> None:
        super().__init__()
        self.connection: Connection = connection
        # Seconds that one call waits in all because the API said Retry-After.
        self.patience: float = 10.0
        self.resend: bool = False  # whether a request that is not safe may be sent again as well
        self._store = store
        self._flow = flow
        self._on_lost = on_lost
        self._events = events
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
            proxies=proxies or self._proxies(),
        )
        if not is_within(self.connection.api_url, str(request.url)):
            check_redirect(self.connection.api_url, request)
            return deliver(request)
        self._refresh_ahead(request)
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

    def _proxies(self) -> dict[str, str]:
        """Return the transport's proxy as requests wants it.

        It may hold a password, so it is not kept in the session, where ``session.proxies`` shows
        it.
        """
        proxy = self._flow.transport.proxy
        return {"http": proxy, "https": proxy} if proxy else {}

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
        if verdict is TokenVerdict.ACCEPTED or (verdict is TokenVerdict.UNKNOWN and fresh):
            return False
        try:
            self._refresh()
        except NotConnected:
            raise
        except ConnectError:
            if verdict is TokenVerdict.REFUSED:
                raise
            return False
        return True

    def _end_if_refused(self, verdict: TokenVerdict) -> None:
        """End the connection if ``/me`` refused a token that is fresh or cannot be refreshed."""
        if verdict is TokenVerdict.REFUSED:
            self._settle(mark_ended(self._store, self.connection, ConnectionRevoked.code))

    def _ask_me(self) -> TokenVerdict:
        """Ask ``/me`` about the token, even after a 401 of ``/me`` itself, which may have been
        about its parameters.
        """
        try:
            return ask_me(self._flow, self.connection)
        except ConnectError:
            return TokenVerdict.UNKNOWN

    def _may_resend(self, request: requests.PreparedRequest) -> bool:
        """Return whether a request may be sent again because of its answer."""
        allowed = request.method in SAFE_METHODS or self.resend
        return allowed and can_be_read_again(request)

    def _refresh_ahead(self, request: requests.PreparedRequest) -> None:
        """Refresh a token that expires soon, or may expire while a file is sent.

        Until it has expired, a refresh that fails changes nothing, and nobody waits for the one of
        another caller.
        """
        is_upload = isinstance(request.body, Multipart)
        is_due = needs_refresh_for_upload if is_upload else needs_refresh
        if not is_due(self.connection) or self.connection.token.refresh_token is None:
            return
        has_expired = is_expired(self.connection)
        try:
            self._refresh(wait=has_expired)
        except NotConnected:
            raise
        except ConnectionBusy:
            if has_expired:
                raise
        except ConnectError:
            if is_expired(self.connection):
                raise

    def _refresh(self, *, wait: bool = True) -> None:
        refresher = Refresher(self._store, self._flow, events=self._events)  # few sessions need one
        with paused(), capped(None):
            self._settle(refresher.refresh(self.connection, wait=wait))

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
        if request.method not in SAFE_METHODS or not can_be_read_again(request):
            return send()
        return send_patiently(send, self.patience, self._sleep)

    def _signed(self, request: requests.PreparedRequest, deliver: Deliver) -> requests.Response:
        """Send a copy of the request that holds the token.

        The response, and also an error, holds the request without it.
        """
        if not _is_at_hand(request.body) and can_be_read_again(request):
            rewind_body(request)  # a file that was sent before
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


def can_be_read_again(request: requests.PreparedRequest) -> bool:
    """Return whether the body of a request is still there after it was sent.

    An open file has been read then, but it can be wound back to where it was, if it can seek.
    """
    body: Any = request.body
    if _is_at_hand(body):
        return True
    is_seekable = getattr(body, "seekable", lambda: hasattr(body, "seek"))
    try:
        # requests keeps the position, or an object if the file would not tell it
        position = getattr(request, "_body_position", None)
        return isinstance(position, int) and bool(is_seekable())
    except ValueError:  # the file was closed
        return False


def _is_at_hand(body: object) -> bool:
    """Return whether nothing must be done to read a body again; an upload winds its files back."""
    return body is None or isinstance(body, (str, bytes, bytearray, Multipart))


def _form(request: requests.PreparedRequest) -> str:
    """Return the body of a request if it is a form, and otherwise an empty string.

    A form is ASCII, so anything else that says to be one is not signed either.
    """
    content_type: Any = request.headers.get("Content-Type", "")
    if isinstance(content_type, bytes):
        content_type = content_type.decode("latin-1")
    if not content_type.startswith(FORM):
        return ""
    body = request.body
    if isinstance(body, bytes):
        return body.decode() if body.isascii() else ""
    return body if isinstance(body, str) else ""
