"""Other people's WSGI servers, each with a site that a test writes."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from contextlib import contextmanager

import requests

from support.browser import Browser
from support.commands import environment
from support.paths import TESTS
from support.ports import PAUSE, START_WITHIN, free_port, wait_for
from support.site import Site

HTTPS = "https://app.example"  # what users see; a proxy in front of the server would speak TLS
STOP_WITHIN = 20  # seconds
# A site with the button, and a page that shows the Cookie header that reaches an application
SITE = """
from scconnect_wsgi import SCConnect
from support.flows import flow_for
from support.site import KEY, Store, page_of_the_site

flow = flow_for({protocol!r}, {provider!r})
site = SCConnect(page_of_the_site, flow, secret_key=KEY, store_token=Store(), base_url={base!r})


def application(environ, start_response):
    if environ["PATH_INFO"] != "/cookies":
        return site(environ, start_response)
    start_response("200 OK", [("Content-Type", "text/plain; charset=latin-1")])
    return [environ["HTTP_COOKIE"].encode("latin-1")]
"""
WSGIREF = """
import sys
from wsgiref.simple_server import make_server
from shop import application
make_server("localhost", int(sys.argv[1]), application).serve_forever()
"""
GEVENT = """
import sys
from gevent import monkey
monkey.patch_all()
from gevent.pywsgi import WSGIServer
from shop import application
WSGIServer(("localhost", int(sys.argv[1])), application).serve_forever()
"""


def script(text):
    """Return a function from a port to the command that runs a script with it."""
    return lambda port: [sys.executable, "-W", "ignore", "-c", text, str(port)]


def gunicorn(worker):
    """Return a function from a port to the command that runs gunicorn with this worker."""
    command = [sys.executable, "-W", "ignore", "-m", "gunicorn", "-k", worker, "shop:application"]
    return lambda port: [*command, "-b", f"localhost:{port}"]


def hypercorn(port):
    """Return the command that runs Hypercorn."""
    command = [sys.executable, "-m", "hypercorn", "wsgi:shop:application"]
    return [*command, "--bind", f"localhost:{port}"]


@contextmanager
def site_on(server, folder, text):
    """Run the application of a Python text on a server, until the block ends.

    ``server`` is a function from a port to a command.
    """
    (folder / "shop.py").write_text(text, "utf-8")
    port = free_port("localhost")
    env = environment(HOME=str(folder), XDG_RUNTIME_DIR=str(folder))
    env["PYTHONPATH"] = os.pathsep.join([env["PYTHONPATH"], str(folder), str(TESTS)])
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(server(port), cwd=folder, env=env, stdout=output, stderr=output)
    try:
        wait_for(port, process, log)
        yield Site(f"http://localhost:{port}")
    finally:
        process.terminate()
        process.wait(STOP_WITHIN)
    assert "Traceback" not in log.read_text(), log.read_text()


@contextmanager
def running(server, folder, *, protocol, provider):
    """Run SITE on a server, until the block ends."""
    text = SITE.format(protocol=protocol, provider=provider, base=HTTPS)
    with site_on(server, folder, text) as site:
        wait_until_it_answers(site)
        yield site


def wait_until_it_answers(site):
    """Wait until the site itself answers: the port may have been another process's until now."""
    word = secrets.token_hex()
    deadline = time.monotonic() + START_WITHIN
    with Browser() as browser:
        while True:
            try:
                if browser.get(f"{site.url}/cookies", Cookie=word).text == word:
                    return
            except requests.ConnectionError:
                pass
            assert time.monotonic() < deadline, f"no answer at {site.url}"
            time.sleep(PAUSE)
