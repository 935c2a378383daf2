"""The canary of conftest.py notices each way in which a secret may get out, and nothing else."""

import logging
import os
import re
import subprocess
import sys

import pytest
from support import canary
from support.browser import Browser
from support.flows import flow_for
from support.paths import TESTS
from support.site import running_site

from scconnect_wsgi.sandbox import Sandbox, serve
from scconnect_wsgi.transport._client import HTTPRequest, Transport

SECRET = "one-time-secret-of-this-test"
IMPORTS = """
import logging

import scconnect_wsgi
from scconnect_wsgi.sandbox import Sandbox, serve
from support.flows import CLIENT, dance, flow_for
from support.site import KEY, Store
"""
LEAKS = {
    "a log line": "logging.getLogger('anything').debug('it is %s', KEY)",
    "a chained exception": """
    try:
        try:
            raise KeyError(CLIENT[1])
        except KeyError as error:
            raise ValueError('harmless') from error
    except ValueError:
        logging.getLogger('scconnect_wsgi').warning('it failed', exc_info=True)""",
    "stdout": "print(KEY)",
    "stderr": "import os; os.write(2, CLIENT[1].encode())",
    "a stored token": """
    Store()(scconnect_wsgi.AccessToken('a-token-that-was-stored'), None)
    logging.getLogger('scconnect_wsgi').info('a-token-that-was-stored')""",
    "a token that the sandbox makes": """
    with serve(Sandbox()) as provider:
        logging.info(dance(flow_for('oauth2', provider.url)).token)""",
}


@pytest.mark.slow
@pytest.mark.threat(32)
def test_32_a_leak_fails_the_test_it_happens_in(tmp_path):
    codes = [*LEAKS.values(), "logging.info('harmless'); print('harmless')"]
    tests = [f"def test_{number}():\n    {code.strip()}\n" for number, code in enumerate(codes)]
    (tmp_path / "test_it.py").write_text("\n\n".join([IMPORTS, *tests]))
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)]),
    }
    options = ["-q", "-p", "conftest", "-p", "no:cacheprovider", "-p", "no:warnings"]
    command = [sys.executable, "-m", "pytest", *options, "test_it.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    failed = re.findall(r"^ERROR test_it.py::test_(\d)", done.stdout, re.MULTILINE)
    assert failed == [str(number) for number in range(len(LEAKS))], done.stdout
    assert f"{len(codes)} passed, {len(LEAKS)} errors in" in done.stdout, done.stdout


@pytest.mark.threat(32)
@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
def test_32_everything_a_flow_handles_is_known_to_the_canary(protocol):
    with (
        serve(Sandbox()) as provider,
        running_site(flow_for(protocol, provider.url)) as site,
        Browser() as browser,
    ):
        browser.connect(site)
    known = canary.secrets_met()
    token = site.store.tokens[0]
    assert {token.token, token.token_secret or token.refresh_token} <= known
    # the cookie, and from the provider's side the code or the verifier: at least as many as the
    # protocol has
    assert len(known) >= (6 if protocol == "oauth1" else 5)


@pytest.mark.threat(32)
def test_32_a_line_of_a_library_counts_if_the_package_caused_it():
    """urllib3 logs the address of each request at DEBUG; ours may never hold a secret."""
    with canary.Listener() as listener, serve(Sandbox()) as provider, Browser() as browser:
        browser.get(f"{provider.url}/?{SECRET}")
        assert listener.leaks({SECRET}) == []
        Transport().send(lambda: HTTPRequest("GET", f"{provider.url}/?{SECRET}", {}))
        assert [line.split()[0] for line in listener.leaks({SECRET})] == ["urllib3.connectionpool"]


@pytest.mark.threat(32)
def test_32_a_listener_leaves_the_loggers_as_they_were():
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    with canary.Listener():
        assert root.level == 1
    assert (root.level, list(root.handlers)) == before
