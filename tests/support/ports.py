"""Ports of this machine."""

from __future__ import annotations

import secrets
import socket
import time

START_WITHIN = 60  # seconds; it takes one or two on an idle machine
PAUSE = 0.05  # seconds between two tries
# Below the ports that systems give to connections (Linux from 32768, others from 49152): one of
# those may become the port of another test's connection before the server that needs it starts.
PORTS = range(10_000, 32_000)


def free_port(host="127.0.0.1"):
    """Return a port that nothing listens on now."""
    while True:
        port = secrets.choice(PORTS)
        try:
            socket.create_server((host, port)).close()
        except OSError:
            continue
        return port


def wait_for(port, process, log):
    """Wait until a server listens that writes into a file.

    Raise AssertionError with what it wrote if it ends instead, or takes too long.
    """
    deadline = time.monotonic() + START_WITHIN
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("localhost", port), timeout=1).close()
        except OSError:
            time.sleep(PAUSE)
        else:
            return
    raise AssertionError(log.read_text())
