"""The connections of every pool, for token requests and API calls alike.

They read strictly (``_strict``), keep the deadline of the call if one is set (``_deadline``), or
else the timeout that requests or urllib3 gave them for each operation, and are not used again
after they were idle for a while.
"""

from __future__ import annotations

import socket
import time
from enum import Enum
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import LocationParseError, NewConnectionError
from urllib3.util.connection import create_connection
from urllib3.util.ssltransport import SSLTransport

from scconnect_wsgi.transport._deadline import Deadline, current_deadline
from scconnect_wsgi.transport._strict import TLS_RECORD, StrictResponse

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
    FRESH       the end of ``connect``  Nothing. There may be something to read, because servers
                                        send TLS 1.3 session tickets without being asked.
    SENDING     the first byte          Nothing.
    ==========  ======================  =========================================================
    """

    RESTING = "resting"
    CONNECTING = "connecting"
    FRESH = "fresh"
    SENDING = "sending"


class StrictConnection(HTTPConnection):
    """A connection that reads strictly and keeps deadlines."""

    response_class: Any = StrictResponse
    _state = State.RESTING
    _last_used = 0.0  # by time.monotonic()
    _held: list[bytes] | None = None  # the beginning of a request, until it is worth a packet
    _last_response: Any = None  # the StrictResponse to the last request

    @property
    def is_connected(self) -> bool:
        """Whether the connection may carry another request; the pool opens a new one if not."""
        if time.monotonic() - self._last_used >= MAX_IDLE:
            return False
        if isinstance(self.sock, SSLTransport):
            # TLS through an https proxy: what came behind a response may wait in its memory,
            # where nothing below can see it
            return False
        if self._last_response is not None and self._last_response.more_came:
            return False
        # False as well if there is something to read before anything was asked
        return super().is_connected

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
        super().close()

    def request(
        self, method: str, url: str, body: Any = None, headers: Any = None, **options: Any
    ) -> None:
        """Send a request: head and body in one packet and one TLS record, if they fit.

        A body that is read or made while it is sent may take its time, so then the head leaves at
        once, and every piece as it comes.
        """
        if body is None or isinstance(body, (bytes, str)):
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
        limit = current_deadline()
        if limit is not None:
            self.sock.settimeout(limit.left())
        if self._state is not State.CONNECTING:
            self._state = State.SENDING
            if limit is not None:
                limit.sent = True
        super().send(data)

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
        if limit is not None:
            self.sock.settimeout(limit.left())  # for the TLS handshake that follows


class _StrictHTTPSConnection(StrictConnection, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = StrictConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _StrictHTTPSConnection


POOLS = {"http": _HTTPPool, "https": _HTTPSPool}  # for a PoolManager's pool_classes_by_scheme
