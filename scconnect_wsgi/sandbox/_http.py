"""Speak HTTP/1.1 on one connection of the server: keep-alive, and no secrets in the log."""

from __future__ import annotations

import io
import logging
import socket
import time
from typing import IO, TYPE_CHECKING, Any, cast
from wsgiref.headers import Headers
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler

from scconnect_wsgi.sandbox._network_faults import DRIP_KEY, LONGEST_WAIT

if TYPE_CHECKING:
    from scconnect_wsgi.sandbox._server import Server

log: logging.Logger = logging.getLogger(__name__)

IDLE = 30  # seconds a connection may stay silent
LINGER = 5  # seconds that a connection is read after its response, if the request was not
DRAIN = 65_536  # bytes of an unread body that are read to keep a connection
BODILESS = ("204", "304")  # statuses of responses without a body


class RequestBody(io.RawIOBase):
    """The body of a request, which ends after ``length`` bytes. ``left`` are not read yet."""

    def __init__(self, stream: Any, length: int) -> None:
        self._stream = stream
        self.left: int = length

    def readable(self) -> bool:
        """Return True, as io asks of a stream that can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into ``buffer`` and return the number of bytes; 0 is the end of the body."""
        data = self._stream.read(min(len(buffer), self.left))
        self.left = self.left - len(data) if data else 0
        buffer[: len(data)] = data
        return len(data)


class RequestHandler(WSGIRequestHandler):
    """Answers the requests of one connection, and logs them without their secrets."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE
    wbufsize = 65_536  # so that header and body leave together; flushed after each write
    disable_nagle_algorithm = True  # or each response on a kept connection takes 40 ms more
    server: Server

    def handle(self) -> None:
        """Answer requests until one side closes the connection."""
        self.close_connection = True
        try:
            self._handle_one()
            while not self.close_connection:
                self._handle_one()
        except (TimeoutError, ConnectionError):
            log.debug("A connection was silent for too long, or was closed.")

    def _handle_one(self) -> None:
        self.raw_requestline = self.rfile.readline(65_537)
        self.close_connection = True
        if not self.raw_requestline or not self.parse_request():
            return
        keep = not self.close_connection
        length = self.headers.get("Content-Length", "0")
        if self.headers.get("Transfer-Encoding") or not length.isdecimal():
            self.close_connection = True
            self.send_error(411)
            return
        body = RequestBody(self.rfile, int(length))
        writer = ResponseWriter(
            cast("IO[bytes]", io.BufferedReader(body)),
            cast("IO[bytes]", self.wfile),
            self.get_stderr(),
            self.get_environ(),
            multithread=True,
        )
        writer.request_handler = self
        writer.http_version = "1.1"
        writer.keep = keep
        writer.body = body
        writer.run(self.server.app)
        self.wfile.flush()  # wsgiref flushes after each piece of a body, of which there may be none
        self.close_connection = not writer.keep or not writer.complete
        if not self.close_connection and body.left:
            self.rfile.read(body.left)
        elif body.left > DRAIN:
            self._linger()

    def _linger(self) -> None:
        """Read on for a while, so that the other side sees the response to an unread body.

        If the connection was closed at once, the response could be lost (RFC 9112 section 9.6).
        """
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(LINGER)
        end = time.monotonic() + LINGER
        while time.monotonic() < end and self.rfile.read1(DRAIN):
            pass

    def get_environ(self) -> dict[str, Any]:
        """Return the environ of a request.

        wsgiref strips more than spaces and tabs around a header, which can rename a cookie.
        """
        environ = super().get_environ()
        if "HTTP_COOKIE" in environ:
            lines = self.headers.get_all("Cookie", [])
            environ["HTTP_COOKIE"] = "; ".join(line.strip(" \t") for line in lines)
        return environ

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log method, path and status, without the query, which holds codes and tokens."""
        path = self.path.partition("?")[0]
        log.info("%s %s %s", self.command, repr(path)[1:-1], code)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: a message of the HTTP layer quotes the request line."""


class ResponseWriter(ServerHandler):
    """Writes one response.

    Afterwards ``complete`` says whether the whole response was sent, and ``keep`` whether the
    connection may be used again.
    """

    # wsgiref would put the environment of the process into every request.
    os_environ: dict[str, str] = {}  # noqa: RUF012
    keep = True
    complete = False
    # Attributes of wsgiref that its stubs do not name.
    request_handler: WSGIRequestHandler
    body: RequestBody
    environ: dict[str, Any]
    headers: Headers
    headers_sent: bool
    status: str
    bytes_sent: int
    _dripped = 0.0

    def cleanup_headers(self) -> None:
        """Add ``Connection: close`` to a response that ends with its connection."""
        super().cleanup_headers()
        if "Content-Length" not in self.headers and self.status[:3] not in BODILESS:
            self.keep = False
        if self.body.left > DRAIN:
            self.keep = False
        if not self.keep:
            self.headers["Connection"] = "close"

    def close(self) -> None:
        """Note whether the response is complete, and end it."""
        if self.status and self.headers_sent:
            self.complete = self._is_complete()
        super().close()

    def _is_complete(self) -> bool:
        if self.environ["REQUEST_METHOD"] == "HEAD" or self.status[:3] in BODILESS:
            return True
        expected = self.headers.get("Content-Length")
        return expected is not None and int(expected) == self.bytes_sent

    def log_exception(self, exc_info: Any) -> None:
        """Log an exception of the application."""
        log.error("The application raised an exception.", exc_info=exc_info)

    def _write(self, data: bytes) -> None:
        pause = self.environ.get(DRIP_KEY)
        if pause is None:
            super()._write(data)
            return
        for position in range(len(data)):
            if self._dripped >= LONGEST_WAIT:
                super()._write(data[position:])
                return
            super()._write(data[position : position + 1])
            self._flush()
            time.sleep(pause)
            self._dripped += pause
