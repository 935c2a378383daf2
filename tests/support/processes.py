"""Work that a test does in several processes at once."""

import json
import os
import signal
import sys
import threading
import time
import warnings
from contextlib import contextmanager

LONGEST = 60  # seconds that one process may take


def fork():
    """Fork this process, which must not have threads: the child could wait for their locks forever.

    Python 3.12 and newer warn of threads, and a warning is an error here. They count the system's
    threads, which a thread that was joined leaves a moment later: this waits until it has.
    """
    deadline = time.monotonic() + 15
    while len(os.listdir("/proc/self/task")) > len(sys._current_frames()):
        assert time.monotonic() < deadline, "a thread that ended does not leave the process"
        time.sleep(0.001)
    assert threading.enumerate() == [threading.main_thread()]
    with fork_in_a_worker():
        return os.fork()


@contextmanager
def fork_in_a_worker():
    """Silence Python's warning of threads in a worker of pytest-xdist.

    That has a thread more, which holds no lock and reads from the main process.
    """
    with warnings.catch_warnings():
        if "PYTEST_XDIST_WORKER" in os.environ:
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
