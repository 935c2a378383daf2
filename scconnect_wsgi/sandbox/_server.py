"""A small HTTP server for this machine, with a thread for each connection."""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import suppress
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIServer

from scconnect_wsgi.sandbox._http import RequestHandler

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log: logging.Logger = logging.getLogger(__name__)


class Server(ThreadingMixIn, WSGIServer):
    """A server with a port of ``host``, which answers between ``start()`` and ``stop()``.

    ``url`` is its address. As a context manager it stops at the end.
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
        super().__init__((host, port), RequestHandler)
        self.port: int = self.server_address[1]
        self.url: str = f"http://{host}:{self.port}"
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    def server_bind(self) -> None:
        """Bind the socket, without the look-up of a host name that wsgiref does."""
        _bind(self)
        self.server_name = str(self.server_address[0])
        self.server_port = self.server_address[1]
        self.setup_environ()

    def start(self) -> Server:
        """Begin to answer in a thread of its own. Returns the server."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop answering and close every connection."""
        if self._thread.is_alive():  # otherwise nobody would end the wait of shutdown()
            self._stop_listening()
            self.shutdown()
        self._thread.join()
        self.server_close()
        with self._lock:
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)  # wakes its thread, which closes it
                except OSError:
                    log.debug("A connection had ended already.")

    def _stop_listening(self) -> None:
        """Wake serve_forever(), so that shutdown() does not wait for the end of its interval."""
        with suppress(OSError):  # Linux wakes it, and other systems refuse
            self.socket.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note a connection that begins, so that stop() can end it."""
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Drop the note of a connection that ends."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a broken connection; socketserver would print it to stderr."""
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


def _bind(server: WSGIServer) -> None:
    """Bind the socket of a server, and note the port that it got."""
    if server.allow_reuse_address:
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.socket.bind(server.server_address)
    server.server_address = server.socket.getsockname()


def serve(app: WSGIApplication, port: int = 0, host: str = "127.0.0.1") -> Server:
    """Serve a WSGI application from a daemon thread. Port 0 stands for any free port."""
    return Server(app, host, port).start()
