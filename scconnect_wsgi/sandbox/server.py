"""A small threaded HTTP server for this machine:

keep-alive, no secrets in its log, stops when told.
"""

from __future__ import annotations

import io
import logging
import socket
import threading
import time
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, cast
from wsgiref.headers import Headers
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

from scconnect_wsgi.sandbox.misbehave import DRIP_KEY, LONGEST_WAIT

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log: logging.Logger = logging.getLogger(__name__)
IDLE = 30  # seconds a connection may stay silent
DRAIN = 65_536  # bytes of a body nobody read that are swallowed to keep a connection


class Server(ThreadingMixIn, WSGIServer):
    """A running server.

    ``url`` and ``port`` say where, ``stop()`` ends it; usable as a context manager.
    """

    daemon_threads = True
    block_on_close = False  # connections are closed by stop(), not waited for
    request_queue_size = 128
    server_name: str
    server_port: int

    def __init__(self, app: WSGIApplication, host: str, port: int) -> None:
        self.app = app
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__((host, port), _Handler)
        self.port: int = self.server_address[1]
        self.url: str = f"http://{host}:{self.port}"
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    def server_bind(self) -> None:
        """Bind, without the look-up of a host name that wsgiref makes."""
        socket_server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def start(self) -> Server:
        """Begin to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop answering and close every connection."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        with self._lock:
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)  # its thread wakes up and closes it
                except OSError:
                    log.debug("A connection had ended already.")

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, for stop()."""
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget it."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection broke: nothing on stderr."""
        log.debug("A connection ended with an error.", exc_info=True)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def socket_server_bind(server: WSGIServer) -> None:
    """Bind a listening socket to its address and note the port that was chosen."""
    if server.allow_reuse_address:
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.socket.bind(server.server_address)
    server.server_address = server.socket.getsockname()


class _Body(io.RawIOBase):
    """A request's body: as much as its Content-Length says and no more."""

    def __init__(self, stream: Any, length: int) -> None:
        self._stream = stream
        self.left = length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(min(len(buffer), self.left))
        self.left = self.left - len(data) if data else 0
        buffer[: len(data)] = data
        return len(data)


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE
    wbufsize = 65_536  # header and body leave together; flushed after each piece of the body
    disable_nagle_algorithm = True  # or a kept connection stalls for 40 ms an answer
    server: Server

    def handle(self) -> None:
        """Answer request after request until one side has had enough."""
        self.close_connection = True
        try:
            self._handle_one()
            while not self.close_connection:
                self._handle_one()
        except (TimeoutError, ConnectionError):
            log.debug("A connection went silent or away.")

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
        raw = _Body(self.rfile, int(length))
        body, wfile = cast("IO[bytes]", io.BufferedReader(raw)), cast("IO[bytes]", self.wfile)
        answer = _Answer(body, wfile, self.get_stderr(), self.get_environ(), multithread=True)
        answer.request_handler = self
        answer.http_version = "1.1"
        answer.keep = keep
        answer.run(self.server.app)
        # Wsgiref does so after a piece of the body, and there may have been none
        self.wfile.flush()
        self.close_connection = not answer.keep or not answer.complete or raw.left > DRAIN
        if not self.close_connection and raw.left:
            self.rfile.read(raw.left)

    def get_environ(self) -> dict[str, Any]:
        """The environ of a request.

        wsgiref drops more than white space around a header, and so renames a cookie.
        """
        environ = super().get_environ()
        if "HTTP_COOKIE" in environ:
            environ["HTTP_COOKIE"] = "; ".join(
                line.strip(" \t") for line in self.headers.get_all("Cookie", [])
            )
        return environ

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Method, path and status. The query holds codes and tokens: it is not for logs."""
        log.info("%s %s %s", self.command, repr(self.path.partition("?")[0])[1:-1], code)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing else: an error of the HTTP layer quotes the request line."""


class _Answer(ServerHandler):
    """One response: says whether the connection may be used again."""

    os_environ: dict[str, str] = {}  # noqa: RUF012  # wsgiref mixes the process's environment into every request
    keep = True
    complete = False
    # wsgiref's own, which its stubs do not name
    request_handler: WSGIRequestHandler
    environ: dict[str, Any]
    headers: Headers
    headers_sent: bool
    status: str
    bytes_sent: int
    _dripped = 0.0

    def cleanup_headers(self) -> None:
        super().cleanup_headers()
        if "Content-Length" not in self.headers and self.status[:3] not in ("204", "304"):
            self.keep = False  # its end is the end of the connection
        if not self.keep:
            self.headers["Connection"] = "close"

    def close(self) -> None:
        if self.status and self.headers_sent:
            expected = self.headers.get("Content-Length")
            empty = self.environ["REQUEST_METHOD"] == "HEAD" or self.status[:3] in ("204", "304")
            self.complete = (
                expected is not None and (empty or int(expected) == self.bytes_sent)
            ) or empty
        super().close()

    def log_exception(self, exc_info: Any) -> None:
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


def serve(app: WSGIApplication, port: int = 0, host: str = "127.0.0.1") -> Server:
    """Serve a WSGI application from a daemon thread; port 0 takes a free one."""
    return Server(app, host, port).start()
