"""The hostile server of the tests: it sends exactly the bytes that a test wants sent."""

from __future__ import annotations

import select
import socket
import socketserver
import struct
import threading
import time
from contextlib import contextmanager, suppress
from typing import NamedTuple


class Request(NamedTuple):
    line: str
    headers: dict[str, str]
    body: str


class Wire(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Call ``talk(connection)`` in a thread for each connection, and remember the requests."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, talk, tls=None):
        self.talk = talk
        self.tls = tls
        self.accepted = 0
        self.requests = []
        self._open = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), None)
        self.port = self.server_address[1]
        self.host = f"localhost:{self.port}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"

    def process_request(self, request, client_address):
        with self._lock:
            self.accepted += 1
            self._open.add(request)
        super().process_request(request, client_address)

    def finish_request(self, request, client_address):
        request.settimeout(10)
        sock = request
        try:
            if self.tls:
                sock = self.tls.wrap_socket(request.dup(), server_side=True)
            with sock.makefile("rb") as stream:
                self.talk(Connection(self, sock, stream))
        except OSError:
            pass  # the other side hung up
        finally:
            if sock is not request:
                sock.close()

    def shutdown_request(self, request):
        super().shutdown_request(request)
        with self._lock:
            self._open.discard(request)

    def wait_until_hung_up(self):
        """Wait until no connection is open."""
        limit = time.monotonic() + 10
        while self._open:
            assert time.monotonic() < limit, "the server has not hung up"
            time.sleep(0.003)

    def stop(self):
        self.shutdown()
        self.server_close()
        with self._lock:
            for sock in self._open:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)


class Connection:
    """One connection as the server sees it."""

    def __init__(self, wire, sock, stream):
        self.wire = wire
        self.sock = sock
        self.stream = stream

    def request(self):
        """Read one request and remember it. Return None if the other side has hung up."""
        line = self.stream.readline().decode("latin-1").strip()
        if not line:
            return None
        headers = {}
        while field := self.stream.readline().decode("latin-1").strip():
            name, _, value = field.partition(":")
            headers[name.lower()] = value.strip()
        body = self.stream.read(int(headers.get("content-length", "0"))).decode("latin-1")
        self.wire.requests.append(Request(line, headers, body))
        return self.wire.requests[-1]

    def send(self, data):
        self.sock.sendall(data)

    def reset(self):
        """End the connection with RST in place of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.close()  # it keeps the socket open
        self.sock.close()


@contextmanager
def wire(talk, tls=None):
    """Run a Wire until the block ends."""
    server = Wire(talk, tls)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.003}, daemon=True
    )
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


def answer(body=b"ok", *fields, status="200 OK", content_type="text/plain"):
    """Return the bytes of a response; ``fields`` are further header lines."""
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        *fields,
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def saying(data):
    """Answer every request with these bytes and keep the connection."""

    def talk(connection):
        while connection.request():
            connection.send(data)

    return talk


def saying_once(data):
    """Answer one request with these bytes, and hang up without having announced it."""

    def talk(connection):
        connection.request()
        connection.send(data)

    return talk


def dripping(data, pause=0.02):
    """Answer one request with these bytes, one at a time, with ``pause`` seconds after each."""

    def talk(connection):
        connection.request()
        for position in range(len(data)):
            connection.send(data[position : position + 1])
            time.sleep(pause)

    return talk


def tunnel(connection):
    """Be a proxy: connect when asked to, and answer anything else with words of its own."""
    request = connection.request()
    if not request.line.startswith("CONNECT "):
        connection.send(answer(b"forwarded"))
        return
    host, _, port = request.line.split()[1].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as onward:
        connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        pair = [connection.sock, onward]
        while True:
            for source in select.select(pair, [], [], 5)[0] or [onward]:
                data = source.recv(65_536)
                if not data:
                    return
                pair[source is connection.sock].sendall(data)
