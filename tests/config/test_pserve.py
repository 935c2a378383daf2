"""Pyramid's own command, `pserve`, with an ini file:

the middleware as a filter in front of a Pyramid application.
"""

import pathlib
import socket
import subprocess
import sys
import sysconfig
from contextlib import contextmanager

import pytest
from support.browser import Browser
from support.commands import environment
from support.paths import CHECKOUT, TESTS
from support.ports import wait_for
from support.responses import landed
from support.site import Site

pytestmark = [pytest.mark.frameworks, pytest.mark.slow]

PASTE = CHECKOUT / "examples" / "paste"
PSERVE = pathlib.Path(sysconfig.get_path("scripts")) / "pserve"


@contextmanager
def served(folder, provider, **changes):
    """The development example under pserve, after changes to its text."""
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    text = (PASTE / "development.ini").read_text("utf-8")
    for old, new in {
        "http://127.0.0.1:8001": provider.url,
        "localhost:8000": f"localhost:{port}",
        **changes,
    }.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "development.ini").write_text(text, "utf-8")
    env = environment()
    env["PYTHONPATH"] += f":{PASTE}:{TESTS}"
    log = folder / "log"
    with log.open("w") as output:
        command = [sys.executable, str(PSERVE), "development.ini"]
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=output, stderr=output)
    try:
        wait_for(port, process, log)
        yield Site(f"http://localhost:{port}", None)
    finally:
        process.terminate()
        process.wait(timeout=10)
    for word in ("Traceback", "code=", "sandbox-secret"):
        assert word not in log.read_text()


def test_the_development_example_connects(tmp_path, provider):
    with served(tmp_path, provider) as site, Browser() as joe:
        assert 'id="sc-connect"' in joe.get(f"{site.url}/").text
        assert landed(joe.connect(site)) == {"oauth_token_id": "1"}


def test_a_pyramid_application_takes_over_and_logs_the_user_in(tmp_path, provider):
    changes = {
        "mysite:app_factory": "support.sites.pyramid:site",
        "mysite:store_token": "HAND_OVER",
    }
    with served(tmp_path, provider, **changes) as site, Browser() as joe, Browser() as ann:
        assert landed(joe.connect(site))["username"] == "joe"
        assert joe.get(f"{site.url}/me").text == "joe"
        assert ann.get(f"{site.url}/me").text == "nobody"
