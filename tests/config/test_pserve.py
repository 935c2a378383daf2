"""Pyramid's own command, `pserve`, with an ini file.

The middleware is a filter in front of a Pyramid application.
"""

import pathlib
import subprocess
import sys
import sysconfig
from contextlib import contextmanager

import pytest
from support.browser import Browser
from support.commands import environment
from support.paths import TESTS
from support.ports import free_port, wait_for
from support.responses import landed
from support.site import Site

pytestmark = [pytest.mark.frameworks, pytest.mark.slow]

PSERVE = pathlib.Path(sysconfig.get_path("scripts")) / "pserve"
INI = """
[pipeline:main]
pipeline = connect site

[filter:connect]
use = egg:scconnect-wsgi
client_id = sandbox-client
client_secret = sandbox-secret
secret_key = not-secret-and-for-development-0123456789
store_token = {store_token}
authorize_url = {provider}/authorize
token_url = {provider}/oauth/token
api_url = {provider}

[app:site]
paste.app_factory = {app_factory}

[server:main]
use = egg:waitress#main
listen = localhost:{port}
"""


@contextmanager
def served(folder, provider, store_token, app_factory):
    """A site under pserve, whose middleware an ini file describes."""
    port = free_port("localhost")
    text = INI.format(
        provider=provider.url, port=port, store_token=store_token, app_factory=app_factory
    )
    (folder / "development.ini").write_text(text, "utf-8")
    env = environment()
    env["PYTHONPATH"] += f":{TESTS}"
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


def test_the_token_is_stored(tmp_path, provider):
    callables = ("support.configured:store_token", "support.configured:app_factory")
    with served(tmp_path, provider, *callables) as site, Browser() as joe:
        assert landed(joe.connect(site)) == {"username": "joe", "oauth_token_id": "43"}


def test_a_pyramid_application_takes_over_and_logs_the_user_in(tmp_path, provider):
    callables = ("HAND_OVER", "support.sites.pyramid:site")
    with (
        served(tmp_path, provider, *callables) as site,
        Browser() as joe,
        Browser() as ann,
    ):
        assert landed(joe.connect(site))["username"] == "joe"
        assert joe.get(f"{site.url}/me").text == "joe"
        assert ann.get(f"{site.url}/me").text == "nobody"
