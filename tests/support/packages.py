"""Building the package, and connecting an account with what was installed elsewhere."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

from support.browser import Browser
from support.commands import environment, running
from support.responses import landed
from support.site import Site


def run(*command: object, **options) -> str:
    """Return what a command prints; if it fails, both outputs are in the failure."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def only(found) -> pathlib.Path:
    """Return the one path that was found."""
    (path,) = found
    return path


def build(source, target, *, epoch, umask=0o022, time_zone="UTC"):
    """Build an sdist, and a wheel from it, into a folder.

    It needs no network: the setuptools that builds is the one that is installed here.
    """
    made_with = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch), "TZ": time_zone}
    command = ("-m", "build", "--no-isolation", "--outdir", target, source)
    run(sys.executable, *command, env=made_with, umask=umask)
    return target


def without_checkout(**settings) -> dict[str, str]:
    """Return an environment in which Python finds only the packages that are installed."""
    found = environment(**settings)
    del found["PYTHONPATH"]
    return found


def connect_in_demo(folder, *words, python, env):
    """Start the demo by a script or ``-m`` and a module, connect in each protocol, and stop it."""
    with running(folder, *words, "demo", "--port", "0", python=python, env=env) as demo:
        for root in ("/oauth", "/oauth1"):
            with Browser() as joe:
                joe.get(demo.url)  # its page knows its visitors by a cookie
                assert landed(joe.connect(Site(demo.url, root=root)))["username"] == "joe"
        demo.stop()
    assert demo.process.returncode == 0
