"""Start the process that looks, and see that it ends.

Code of the site runs there: it may print, call sys.exit(), start a server or wait forever. So what
that process has found is read as it comes, and it has only so much time.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from scconnect_wsgi.check._report import LOADING, Report, read_line

LOADING_SECONDS = 14.0  # for importing the site; a large one takes three, on a slow machine more
ALL_SECONDS = 30.0  # for everything; with starting and ending it, 40 are promised
FAREWELL_SECONDS = 2.0  # for ending in order, once everything is reported
# The first line of the input is the request, whose `path` has the folders that this process imports
# from
_BOOT = """
import json, sys
from os import dup
parent = dup(0)
request = json.loads(sys.stdin.readline())
sys.path[:] = request.pop("path")
from scconnect_wsgi.check._worker import main
main(request, parent)
"""


def supervise(
    request: dict[str, Any],
    loading_seconds: float = LOADING_SECONDS,
    all_seconds: float = ALL_SECONDS,
) -> Report:
    """Run a check in a process of its own, and return its report.

    ``request`` is that of ``_worker.run``.
    """
    report = Report()
    with _Worker({**request, "path": _import_path()}) as worker:
        began = time.monotonic()
        report.doing(LOADING)
        while True:
            is_loading = report.activity == LOADING
            line = worker.line(began + (loading_seconds if is_loading else all_seconds))
            if line is None:
                _report_late(report, is_loading)
                break
            if not line:
                _report_ended(report, is_loading)
                break
            if read_line(line, report):
                break
    return report


def _import_path() -> list[str]:
    """Return what this process imports from, with full paths: the site may change directory."""
    return [os.path.abspath(folder) if folder == "" else folder for folder in sys.path]


def _report_late(report: Report, is_loading: bool) -> None:
    if is_loading:
        report.find(
            "import-hangs",
            "The site was not loaded in time: importing its module does not come to an end.",
            cause="It starts a server, waits for a network or a lock, or asks a question, while it "
            "is imported.",
            mend='Start the server under `if __name__ == "__main__":` only, and connect to '
            "databases at the first request.",
        )
        return
    report.find(
        "too-late",
        f"The check was not finished in time: it was {report.activity}.",
        cause="That host answers very slowly, or its name server does not answer.",
        mend="What is reported beside this holds; the rest was not looked at. Try again later.",
    )


def _report_ended(report: Report, is_loading: bool) -> None:
    what = "loading the site's module" if is_loading else report.activity
    report.find(
        "import-ended" if is_loading else "check-ended",
        f"The process that looks at the site ended while it was {what}.",
        cause="Code of the site calls os._exit(), replaces the process, or crashes it.",
        mend="Keep that out of what is run when the module is imported.",
    )


class _Worker:
    """The process that looks; it ends with the block, whatever it is doing."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._request = request

    def __enter__(self) -> _Worker:
        # A new session, so that whatever it starts can be ended with it
        self._process = subprocess.Popen(  # noqa: S603  # this Python, with a text of ours
            [sys.executable, "-W", "ignore", "-c", _BOOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        stdin = self._process.stdin
        if stdin is not None:
            # It stays open: the process ends itself if this one ends, and with it the pipe
            with contextlib.suppress(BrokenPipeError):
                stdin.write(json.dumps(self._request).encode() + b"\n")
                stdin.flush()
        return self

    def line(self, until: float) -> bytes | None:
        """Return the next line, an empty one at the end, or None if none comes in time."""
        try:
            return self._lines.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            return None

    def __exit__(self, *exception: object) -> None:
        if exception[0] is None and self._lines.empty():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(FAREWELL_SECONDS if self._is_done else 0)
        self._kill()
        self._process.wait()
        self._reader.join(FAREWELL_SECONDS)
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        stdout = self._process.stdout
        if stdout is not None and not self._reader.is_alive():
            stdout.close()

    _is_done = False

    def _read(self) -> None:
        """Hand on each line, and an empty one at the end."""
        stdout = self._process.stdout
        if stdout is not None:
            for line in stdout:
                self._is_done = line.startswith(b'["done"')
                self._lines.put(line)
        self._lines.put(b"")

    def _kill(self) -> None:
        """End the process and what it has started, unless that took care not to be found."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
