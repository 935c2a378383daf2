"""A port that leads to the server that is the primary now, as a database's address does.

Connections that are there stay with the server they lead to; after a switch-over new ones go to
another.
"""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress

from support.wire import wire


class Forwarder:
    """Forward each connection to ``target``, a port of this machine that may change."""

    def __init__(self, target):
        self.target = target
        self.port = 0

    def __call__(self, connection):
        connection.sock.settimeout(None)
        with socket.create_connection(("127.0.0.1", self.target)) as server:
            back = threading.Thread(target=pass_on, args=(server, connection.sock), daemon=True)
            back.start()
            pass_on(connection.sock, server)
            back.join()


def pass_on(source, sink):
    """Send everything from one to the other, and the end of it as well."""
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def forwarding(target):
    """Run a Forwarder until the block ends."""
    forwarder = Forwarder(target)
    with wire(forwarder) as server:
        forwarder.port = server.port
        yield forwarder
