"""Commands in processes of their own, which find the package under test."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import scconnect_wsgi

START_WITHIN = 60  # seconds; it takes less than one on an idle machine
STOP_WITHIN = 10  # seconds


def environment(**settings):
    """Return this process's environment with other SCCONNECT_* settings: only those given.

    Django's settings, which a site of another test may have set, are left out, too.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SCCONNECT_", "DJANGO_SETTINGS_MODULE"))
    }
    package = str(pathlib.Path(scconnect_wsgi.__file__).parent.parent)
    return {**kept, "PYTHONPATH": package, **settings}


def run(*words, folder=None, **settings):
    """Run a scconnect command that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "scconnect_wsgi", *words],
        cwd=folder,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=30,
    )


class Running:
    """A command that runs until it is stopped; ``url`` is the first address that it prints.

    What it prints up to its last line of greeting is in ``greeting``.
    """

    def __init__(self, folder, *words, until, python=sys.executable, env=None):
        # A child would ignore SIGINT if this process does
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.process = subprocess.Popen(
            [python, *map(str, words)],
            cwd=folder,
            env=environment() if env is None else env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.greeting = self._greeting(until)
        self.url = re.search(r"http://\S+", self.greeting)[0].rstrip("/")

    def _greeting(self, until):
        too_late = threading.Timer(START_WITHIN, self.process.kill)
        too_late.start()
        greeting = ""
        while until not in greeting:
            line = self.process.stdout.readline()
            assert line, self.process.communicate()
            greeting += line
        too_late.cancel()
        too_late.join()
        return greeting

    def stop(self, number=signal.SIGINT):
        """Send a signal, and return what was printed since then on both channels."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=STOP_WITHIN)


@contextmanager
def running(folder, *words, until="Ctrl-C", **options):
    """Run a Python script, or ``-m`` and a module, until the block ends."""
    command = Running(folder, *words, until=until, **options)
    try:
        yield command
    finally:
        if command.process.returncode is None:
            command.process.kill()
            command.process.communicate()


def scconnect(folder, *words):
    """Run a scconnect command until the block ends."""
    return running(folder, "-m", "scconnect_wsgi", *words)
