"""Work that a test does in several processes at once."""

import json
import os
import signal
import warnings
from contextlib import contextmanager

LONGEST = 60  # seconds that one process may take


def fork():
    """Fork this process, whatever threads earlier tests have left in it."""
    with forking():
        return os.fork()


@contextmanager
def forking():
    """Silence Python's warning of threads, whose locks a child could wait for forever.

    pytest-xdist has a thread of its own, and a server of an earlier test may still wait in one.
    All of them sleep or read from a socket, and hold no lock.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded")
        yield


def in_processes(count, work):
    """Fork so many processes, and return what ``work(number)`` returned in each, by way of JSON."""
    pipes = []
    pids = []
    for number in range(count):
        reader, writer = os.pipe()
        pid = fork()
        if pid == 0:
            try:
                signal.alarm(LONGEST)
                os.write(writer, json.dumps(work(number)).encode())
            finally:
                os._exit(0)
        os.close(writer)
        pipes.append(reader)
        pids.append(pid)
    results = []
    for reader, pid in zip(pipes, pids, strict=True):
        with open(reader, "rb") as file:
            results.append(json.loads(file.read() or b"null"))
        os.waitpid(pid, 0)
    return results
