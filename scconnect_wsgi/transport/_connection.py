"""The connections of every pool, for token requests and API calls alike.

They read strictly (``_strict``), keep the deadline of the call if one is set (``_deadline``), or
else the timeout that requests or urllib3 gave them for each operation, and are not used again
after they were idle for a while.
"""

from __future__ import annotations

import socket
import ssl
import time
from enum import Enum
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import LocationParseError, NewConnectionError
from urllib3.util.connection import create_connection
from urllib3.util.ssltransport import SSLTransport
from urllib3.util.wait import wait_for_read

from scconnect_wsgi.transport._deadline import Deadline, current_deadline
from scconnect_wsgi.transport._strict import TLS_RECORD, StrictResponse, begins_final_response

# Seconds a connection may rest unused; servers hang up after 2 or more, and we stay clear of that
# moment
MAX_IDLE = 1.0


class State(Enum):
    """Where a connection is, and what that means for the next bytes that it sends.

    ==========  ======================  =========================================================
    state       entered by              before data is sent
    ==========  ======================  =========================================================
    RESTING     a new object, reading   A closed connection connects. An open one makes sure that
                a header, ``close``     the other side still listens.
    CONNECTING  ``connect``             Nothing. This is a CONNECT for a proxy: no byte of the
                                        request leaves yet.
    FRESH       the end of ``connect``  Makes sure that the other side has said nothing: that would
                                        be taken for the response, and the response for the next
                                        one. TLS 1.3 session tickets do not count.
    SENDING     the first byte          Nothing.
    ==========  ======================  =========================================================
    """

    RESTING = "resting"
    CONNECTING = "connecting"
    FRESH = "fresh"
    SENDING = "sending"


class StrictConnection(HTTPConnection):
    """A connection that reads strictly and keeps deadlines."""

    _state = State.RESTING
    _last_used = 0.0  # by time.monotonic()
    _held: list[bytes] | None = None  # the beginning of a request, until it is worth a packet
    _last_response: Any = None  # the StrictResponse to the last request
    _is_streaming = False  # whether the body is read or made while it is sent
    _early = b""  # what has arrived while such a body was sent
    _is_cut_short = False  # whether that was the response, and the rest of the body was not sent

    @property
    def is_connected(self) -> bool:
        """Whether the connection may carry another request; the pool opens a new one if not."""
        if time.monotonic() - self._last_used >= MAX_IDLE:
            return False
        if isinstance(self.sock, SSLTransport):
            # TLS through an https proxy: what came behind a response may wait in its memory,
            # where nothing below can see it
            return False
        last = self._last_response
        if last is not None and (last.more_came or not last.isclosed()):
            return False
        try:
            # False as well if there is something to read before anything was asked
            return super().is_connected
        except AttributeError:
            # eventlet took select.poll away after urllib3 had chosen to look with it. A new
            # connection for each request is slower, but it works.
            return False

    def connect(self) -> None:
        """Connect, through a proxy if there is one, and shake hands."""
        self._state = State.CONNECTING
        super().connect()
        self._state = State.FRESH
        self._last_used = time.monotonic()

    def close(self) -> None:
        """Close the connection. urllib3 may open it again, and then it is a new one."""
        self._last_response = None
        self._state = State.RESTING
        self._early = b""
        self._is_cut_short = False
        super().close()

    def request(
        self, method: str, url: str, body: Any = None, headers: Any = None, **options: Any
    ) -> None:
        """Send a request: head and body in one packet and one TLS record, if they fit.

        A body that is read or made while it is sent may take its time, so then the head leaves at
        once, and every piece as it comes.
        """
        self._is_streaming = not (body is None or isinstance(body, (bytes, str)))
        if not self._is_streaming:
            self._held = []
        try:
            super().request(method, url, body, headers, **options)
            self._release()
        finally:
            self._held = None

    def send(self, data: Any) -> None:
        """Send a part of a request, or hold it back until there is enough for a packet."""
        if self._held is None:
            self._send_now(data)
            return
        if sum(map(len, self._held)) + len(data) <= TLS_RECORD:
            self._held.append(data)
            return
        self._release()
        self._send_now(data)  # as it is: joined, a large body would be in memory twice

    def response_class(  # type: ignore[override]  # http.client calls this like a class
        self, sock: Any, *args: Any, **options: Any
    ) -> StrictResponse:
        """Return the object that reads the next response."""
        early = self._early
        self._early = b""
        return StrictResponse(sock, *args, early=early, is_last=self._is_cut_short, **options)

    def getresponse(self) -> Any:
        """Read the header of the response."""
        response: Any = super().getresponse()
        self._last_response = response._original_response
        self._state = State.RESTING
        self._last_used = time.monotonic()
        return response

    def _release(self) -> None:
        """Send what was held back; from then on nothing is."""
        held = self._held
        self._held = None
        if held:  # not if nothing was held back, or all of it has left
            self._send_now(b"".join(held))

    def _send_now(self, data: Any) -> None:
        """Send, after what the table of states says.

        A request of which a byte has left is never sent again, so before the first byte is the last
        moment to notice that the provider closed a kept-alive connection. Raises
        ConnectionResetError then, and the transport builds the request anew for another connection.
        """
        if self.sock is None:
            self.connect()
        if self._state is State.RESTING and not self.is_connected:
            raise ConnectionResetError("the other side closed the connection while it rested")
        if self._state is State.FRESH and self._has_spoken():
            raise ConnectionResetError("the other side spoke, or hung up, before it was asked")
        limit = current_deadline()
        if limit is not None:
            self.sock.settimeout(limit.left())
        if self._state is not State.CONNECTING:
            self._state = State.SENDING
            if limit is not None:
                limit.sent = True
        if self._is_streaming and self._state is State.SENDING:
            self._send_piece(data)
        else:
            super().send(data)

    def _send_piece(self, data: Any) -> None:
        """Send a piece of a long body, unless the final response is arriving already.

        The rest is not sent then (RFC 9112 section 9.5): the other side may refuse to read it, or
        hang up, and the response could be lost with the connection.
        """
        self._stop_if_answered()
        try:
            super().send(data)
        except TimeoutError:
            self._stop_if_answered()
            raise

    def _stop_if_answered(self) -> None:
        """Raise BrokenPipeError, after which urllib3 reads the response, if that has begun."""
        arrived = self._arrived()
        if arrived is None:
            return
        self._early += arrived
        if not arrived or begins_final_response(self._early):
            self._is_cut_short = True
            raise BrokenPipeError("the other side answered before the request was complete")

    def _has_spoken(self) -> bool:
        """Return whether data, or the end of it, has arrived before anything was asked."""
        return self._arrived() is not None

    def _arrived(self) -> bytes | None:
        """Return data that has arrived, empty at its end, or None if there is nothing to read."""
        try:
            if not wait_for_read(self.sock, timeout=0.0):
                return None
        except AttributeError:  # as in ``is_connected``
            return None
        timeout = self.sock.gettimeout()
        self.sock.settimeout(0)
        try:
            return bytes(self.sock.recv(TLS_RECORD))
        except (BlockingIOError, TimeoutError, ssl.SSLWantReadError):
            return None  # session tickets; eventlet says that the time is over
        finally:
            self.sock.settimeout(timeout)

    def _new_conn(self) -> socket.socket:
        limit = current_deadline()
        if limit is None:
            return super()._new_conn()
        sock = self._connected(limit)
        try:
            sock.settimeout(limit.left())  # for the TLS handshake
        except TimeoutError:
            sock.close()
            raise
        return sock

    def _connected(self, limit: Deadline) -> socket.socket:
        """Connect to one of the host's addresses; all of them together keep the deadline."""
        try:
            addresses = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
        except UnicodeError:
            raise LocationParseError("a host's name that cannot be looked up") from None
        timed_out = None
        for tried, (*_, address) in enumerate(addresses):
            try:
                # An address that swallows packets must leave some time for the next one
                share = limit.left() / (len(addresses) - tried)
                host = str(address[0])
                options = self.socket_options
                return create_connection((host, self.port), share, socket_options=options)
            except TimeoutError as error:
                timed_out = error
            except OSError:
                timed_out = None
        if timed_out is not None:
            raise timed_out
        raise NewConnectionError(self, "no address of the host accepts a connection")

    def _tunnel(self) -> None:
        """Ask a proxy to connect to the host, within the deadline."""
        super()._tunnel()
        limit = current_deadline()
        # For the TLS handshake that follows
        self.sock.settimeout(self.timeout if limit is None else limit.left())


class StrictHTTPSConnection(StrictConnection, HTTPSConnection):
    """The same over TLS."""


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = StrictConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = StrictHTTPSConnection


POOLS: dict[str, type[HTTPConnectionPool]] = {"http": _HTTPPool, "https": _HTTPSPool}  # by scheme
