"""`scconnect sandbox -- COMMAND` with the commands that people start their sites with.

Each site is as it would be for SoundCloud: nothing in it knows of the sandbox.
"""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import sysconfig
import time

import pytest
from support.browser import Browser
from support.commands import environment
from support.paths import TESTS
from support.ports import PAUSE, free_port, wait_for
from support.responses import landed
from support.site import Site

pytestmark = [pytest.mark.frameworks, pytest.mark.slow]

SCRIPTS = pathlib.Path(sysconfig.get_path("scripts"))
WITHIN = 30  # seconds to end in; it takes less than one on an idle machine
FLASK = """
from flask import Flask
from scconnect_wsgi.config import from_env

app = Flask(__name__)
app.wsgi_app = from_env(app.wsgi_app)
"""
DJANGO = """
import os, sys
import django.core.management
from django.conf import settings

settings.configure(
    DEBUG=True,
    SECRET_KEY="not-secret-and-for-development-0123456789",
    ROOT_URLCONF="wsgi",
    ALLOWED_HOSTS=["localhost"],
    WSGI_APPLICATION="wsgi.application",
)
if __name__ == "__main__":
    django.core.management.execute_from_command_line(sys.argv)
"""
WSGI = """
from scconnect_wsgi.config import from_env
from support.site import page_of_the_site

urlpatterns = []
application = from_env(page_of_the_site)
"""
INI = """
[filter:connect]
use = egg:scconnect-wsgi
protocol = {protocol}
{client} = the-one-of-the-provider
{secret}_file = /run/secrets/that/are/not/here
secret_key = not-secret-and-for-development-0123456789
store = sqlite:///%(here)s/connections.sqlite3
identify = support.configured:identify
proxy = http://proxy.example:3128

[pipeline:main]
pipeline = connect site

[app:site]
paste.app_factory = support.configured:app_factory

[server:main]
use = egg:waitress#main
listen = localhost:{port}
"""
VARIABLES = {
    "SCCONNECT_STORE": "sqlite:///connections.sqlite3",
    "SCCONNECT_IDENTIFY": "support.configured:identify",
    "SCCONNECT_CLIENT_ID": "the-one-of-the-provider",
    "SCCONNECT_CLIENT_SECRET_FILE": "/run/secrets/that/are/not/here",
}


def flask(folder, port, *options):
    (folder / "app.py").write_text(FLASK)
    return [
        sys.executable,
        "-m",
        "flask",
        "run",
        "--port",
        str(port),
        "--host",
        "localhost",
        *options,
    ]


def flask_debug(folder, port):
    return flask(folder, port, "--debug")


def django(folder, port):
    (folder / "manage.py").write_text(DJANGO)
    (folder / "wsgi.py").write_text(WSGI)
    return [sys.executable, "manage.py", "runserver", f"localhost:{port}"]


def gunicorn(folder, port):
    (folder / "wsgi.py").write_text(WSGI)
    return [
        sys.executable,
        "-m",
        "gunicorn",
        "-w",
        "2",
        "-b",
        f"localhost:{port}",
        "wsgi:application",
    ]


def pserve(folder, port, *options, protocol="oauth2", client="client_id", secret="client_secret"):
    text = INI.format(port=port, protocol=protocol, client=client, secret=secret)
    (folder / "development.ini").write_text(text)
    return [str(SCRIPTS / "pserve"), *options, "development.ini"]


def pserve_reload(folder, port):
    return pserve(folder, port, "--reload")


def pserve_oauth1(folder, port):
    names = {"client": "consumer_key", "secret": "consumer_secret"}
    return pserve(folder, port, protocol="oauth1", **names)


@contextlib.contextmanager
def served(folder, command_of):
    """Run a site around which there is a sandbox, and check that nothing of it is left."""
    port = free_port("localhost")
    words = [sys.executable, "-m", "scconnect_wsgi", "sandbox", "--port", "0", "--"]
    words += command_of(folder, port)
    env = environment(**(VARIABLES if "development.ini" not in words else {}))
    env["PYTHONPATH"] = os.pathsep.join([env["PYTHONPATH"], str(folder), str(TESTS)])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(words, cwd=folder, env=env, stdout=output, stderr=output)
    try:
        wait_for(port, process, log)
        yield Site(f"http://localhost:{port}", None), process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(WITHIN)
    assert "Traceback" not in log.read_text(), log.read_text()
    assert not answers(port)


def answers(port):
    """Whether somebody listens at a port; a process that was killed may need a moment."""
    deadline = time.monotonic() + 2
    while True:
        try:
            socket.create_connection(("localhost", port), timeout=5).close()
        except OSError:
            return False
        if time.monotonic() > deadline:
            return True
        time.sleep(PAUSE)


@pytest.mark.parametrize(
    ("command_of", "number"),
    [
        (flask, signal.SIGTERM),
        (flask_debug, signal.SIGINT),
        (django, signal.SIGTERM),
        (gunicorn, signal.SIGINT),
        (pserve_reload, signal.SIGINT),
        (pserve_oauth1, signal.SIGTERM),
    ],
)
def test_an_unchanged_site_connects_and_nothing_stays_behind(command_of, number, tmp_path):
    with served(tmp_path, command_of) as (site, process), Browser() as joe:
        assert landed(joe.connect(site))["username"] == "joe"
        process.send_signal(number)
        process.wait(WITHIN)
    assert (tmp_path / "connections.sqlite3").exists()
