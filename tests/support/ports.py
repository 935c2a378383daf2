"""Ports of this machine."""

from __future__ import annotations

import socket
import time

START_WITHIN = 20  # seconds
PAUSE = 0.05  # seconds between two tries


def free_port(host="127.0.0.1"):
    """Return a port that nothing listens on now."""
    with socket.create_server((host, 0)) as free:
        return free.getsockname()[1]


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
