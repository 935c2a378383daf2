"""Connections that keep one deadline over a whole call, and know whether a byte of it has left.

A socket's own timeout starts anew with every read, so an answer that drips a byte a second never
times out. Here every operation gets what is left of the call. The transport opens its connections
through these classes; nothing else does.
"""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError
from urllib3.util.connection import create_connection

from scconnect_wsgi.transport.strict import StrictConnection

# Seconds a connection may rest unused; servers hang up after 2 or more, and we stay clear of that
# moment
MAX_IDLE = 1.0


class Progress:
    """How far one call is: when it must be over, and whether a byte of the request has left."""

    def __init__(self, timeout: float) -> None:
        self._end = time.monotonic() + timeout
        self.sent = False

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self._end

    def left(self) -> float:
        """Seconds that are left.

        Raises TimeoutError where there are none, as 0 would mean not to wait for anything.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the call's deadline has passed")
        return left


_current: ContextVar[Progress] = ContextVar("scconnect_wsgi.deadline")


@contextmanager
def one_call(timeout: float) -> Iterator[Progress]:
    """Everything that this thread's connections do inside ends within ``timeout`` seconds."""
    progress = Progress(timeout)
    token = _current.set(progress)
    try:
        yield progress
    finally:
        _current.reset(token)


class _TimedReader(io.RawIOBase):
    """The reading side of a socket; each read gets what is left of the call."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        # http.client may close the connection while the body is still being read; the socket stays
        # open for this.
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_current.get().left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedSocket:
    """A connected socket for http.client:

    the three things it does with one, within the deadline.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def makefile(self, mode: str = "rb", *_: Any, **__: Any) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._sock))

    def sendall(self, data: Any) -> None:
        progress = _current.get()
        self._sock.settimeout(progress.left())
        progress.sent = True
        self._sock.sendall(data)


class _Timed(StrictConnection):
    """What our two kinds of connection add to urllib3's."""

    _used = 0.0  # when the last request was sent, by time.monotonic()
    _parts: list[bytes] | None = None  # of the request that is being put together
    # Connected for this call; readable all the same, as TLS 1.3 sends session tickets unasked
    _fresh = False

    def _new_conn(self) -> socket.socket:
        """Connect to one of the host's addresses;

        all of them together get what is left of the call.
        """
        progress, failure = _current.get(), None
        addresses = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
        for untried, (*_, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                share = (
                    progress.left() / untried
                )  # or one that swallows packets would leave nothing for the next
                sock = create_connection(
                    (str(address[0]), self.port), share, socket_options=self.socket_options
                )
            except OSError as error:
                failure = error
            else:
                sock.settimeout(progress.left())  # for the TLS handshake
                return sock
        if isinstance(failure, TimeoutError):
            raise failure
        raise NewConnectionError(self, "no address of the host accepts a connection")

    def _tunnel(self) -> None:
        """Ask a proxy for a way through, within the deadline;

        nothing of the request itself leaves here.
        """
        progress, sock = _current.get(), self.sock
        self.sock, self._fresh = _TimedSocket(sock), True
        try:
            super()._tunnel()
        finally:
            progress.sent = False
        sock.settimeout(progress.left())  # for the TLS handshake that follows

    def connect(self) -> None:
        super().connect()
        self.sock = _TimedSocket(self.sock)
        self._used = time.monotonic()
        self._fresh = True

    @property
    def is_connected(self) -> bool:
        """Whether the connection may carry another request;

        the pool opens a new one where it may not.
        """
        return time.monotonic() - self._used < MAX_IDLE and super().is_connected

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send head and body in one piece: one TLS record and one packet in place of two."""
        self._parts = []
        try:
            super().request(*args, **kwargs)
            parts = self._parts
        finally:
            self._parts = None
        self.send(b"".join(parts))

    def send(self, data: Any) -> None:
        """Send the request; before the first byte, make sure that the other side still listens.

        A request that has left is never sent again, so this is the last moment to notice that the
        provider closed a kept-alive connection. Raises ConnectionResetError, on which the transport
        signs anew and opens another connection.
        """
        if self._parts is not None:
            self._parts.append(data)
            return
        if self.sock is not None and not (self._fresh or _current.get().sent or self.is_connected):
            raise ConnectionResetError("the other side closed the connection while it rested")
        self._used = time.monotonic()
        self._fresh = False
        super().send(data)


class _TimedHTTPConnection(_Timed):
    pass


class _TimedHTTPSConnection(_Timed, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _TimedHTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _TimedHTTPSConnection


POOLS = {"http": _HTTPPool, "https": _HTTPSPool}  # for a PoolManager's pool_classes_by_scheme
