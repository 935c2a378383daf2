"""A port that leads to whichever server is the primary now, as the address of a database does in a
switch-over.

Connections that are there stay with the server they lead to; new ones go to the one that ``target``
names.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from contextlib import contextmanager, suppress


class Forwarder(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, target):
        self.target = target  # a port of this machine
        super().__init__(("127.0.0.1", 0), None)
        self.port = self.server_address[1]

    def finish_request(self, request, client_address):
        with socket.create_connection(("127.0.0.1", self.target)) as server:
            back = threading.Thread(target=pass_on, args=(server, request), daemon=True)
            back.start()
            pass_on(request, server)
            back.join()


def pass_on(source, sink):
    """Whatever comes from one goes to the other, and the end of it as well."""
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def forwarding(target):
    with Forwarder(target) as server:
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.003}, daemon=True
        )
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
