"""The files of examples/servers, each started as its first lines say."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sysconfig
from contextlib import contextmanager

from support.commands import environment
from support.paths import CHECKOUT
from support.ports import free_port, wait_for
from support.site import Site

SERVERS = CHECKOUT / "examples" / "servers"
SCRIPTS = sysconfig.get_path("scripts")
STOP_WITHIN = 20  # seconds
NAMES = [
    "gunicorn_sync.py",
    "gunicorn_gthread.py",
    "gunicorn_gevent.py",
    "waitress_serve.py",
    "wsgiref_serve.py",
    "uwsgi.ini",
    "granian.sh",
]
# As a script is stopped; the others get SIGTERM
STOPPED_BY = {
    "waitress_serve.py": signal.SIGINT,
    "wsgiref_serve.py": signal.SIGINT,
}
ROOTS = {
    "oauth2": {"AUTHORIZE_URL": "/authorize", "TOKEN_URL": "/oauth/token"},
    "oauth1": {
        "REQUEST_TOKEN_URL": "/oauth/request_token",
        "AUTHORIZE_URL": "/oauth/authorize",
        "ACCESS_TOKEN_URL": "/oauth/access_token",
        "API_URL": "",
    },
}


def command_of(name):
    """Return the command in the first lines of a file: the words after a # or the quotes."""
    lines = (SERVERS / name).read_text("utf-8").splitlines()
    line = next(line for line in lines if name in line)
    return line.lstrip('#" ').split()


def settings_of(text):
    """Return the variables that the text of an environment file sets."""
    return dict(
        line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#")
    )


def settings_for(protocol, root):
    """Return the settings of sandbox.env with the address of a running sandbox.

    For OAuth 1.0a they have the addresses of that protocol. The provider may take longer than
    anybody would wait: the machine of the tests may be busy.
    """
    settings = settings_of(
        (SERVERS / "sandbox.env").read_text("utf-8").replace("http://127.0.0.1:8001", root)
    )
    if protocol == "oauth1":
        settings = {name: value for name, value in settings.items() if not value.startswith("http")}
        settings |= {f"SCCONNECT_{name}": root + path for name, path in ROOTS[protocol].items()}
        settings["SCCONNECT_PROTOCOL"] = protocol
    settings["SCCONNECT_TIMEOUT"] = "25"
    return settings


def with_replaced(text, replacements):
    """Return a text with each old part replaced by its new one; every old part must be there."""
    for old, new in replacements.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def copy_of(folder):
    """Copy the files of examples/servers into a folder, and return where they are."""
    return shutil.copytree(SERVERS, folder / "site", ignore=shutil.ignore_patterns("__pycache__"))


@contextmanager
def running(name, folder, settings, *options, port=None, replacements=None):
    """Run the server in a copy of the folder, in which only the port and ``replacements`` differ.

    ``options`` are added to its command. Without ``port`` it gets any free one.
    """
    port = port or free_port("localhost")
    site = copy_of(folder)
    text = (site / name).read_text("utf-8")
    text = with_replaced(text, {"8000": str(port), **(replacements or {})})
    (site / name).write_text(text, "utf-8")
    command = [*command_of(name), *options]
    goodbye = STOPPED_BY.get(name, signal.SIGTERM)
    with running_command(command, port, site, settings, goodbye) as (process, log):
        yield Site(f"http://localhost:{port}", None), process, log


@contextmanager
def running_command(command, port, site, settings, goodbye=signal.SIGTERM):
    """Run a command in the folder ``site`` that serves mysite.py at a port, until the block ends.

    Its output is in the file ``log`` beside that folder.
    """
    env = environment(
        **settings, PATH=os.pathsep.join([SCRIPTS, os.environ["PATH"]]), PYTHONUNBUFFERED="1"
    )
    env["PYTHONPATH"] = os.pathsep.join([env["PYTHONPATH"], str(site)])
    log = site.parent / "log"
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=site, env=env, stdout=output, stderr=output)
    try:
        wait_for(port, process, log)
        yield process, log
    finally:
        if process.poll() is None:
            process.send_signal(goodbye)
        try:
            process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
