"""Several processes at one address.

One finishes a flow that another began, and no connection is carried over a fork.
"""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from urllib.parse import urljoin

import pytest
import requests
from support.browser import ARRIVAL, CLICK, Browser
from support.paths import TESTS
from support.responses import landed, query
from support.site import Site

from scconnect_wsgi.sandbox import Sandbox, serve

pytestmark = pytest.mark.slow

TRIES = 40  # of two workers, the same one hardly ever answers 40 times in a row
SITE = """
import os
from support.flows import flow_for
from support.site import KEY
from scconnect_wsgi import SCConnect

flow = flow_for({protocol!r}, {provider!r})
if {talks_first!r}:  # the preloaded master has a connection to the provider before it forks
    talkative = flow_for("oauth1", {provider!r}, transport=flow.transport)
    talkative.begin("http://localhost:1/oauth/access_token")
MASTER = os.getpid()


def page(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


def store_token(token, request):
    pools = " ".join(str(key[0]) for key in flow.transport._pools)
    return {{"pid": os.getpid(), "master": MASTER, "pools": pools}}


connect = SCConnect(page, flow, secret_key=KEY, store_token=store_token)


def application(environ, start_response):
    def start(status, headers, *exc_info):
        return start_response(status, [*headers, ("X-Pid", str(os.getpid()))], *exc_info)

    return connect(environ, start)
"""


@pytest.fixture(scope="module")
def provider():
    with serve(Sandbox()) as server:
        yield server.url


@contextmanager
def gunicorn(folder, *options, **site):
    """Run two workers of gunicorn with SITE as their application."""
    (folder / "shop.py").write_text(SITE.format(**site))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(listener.fileno(), True)
        port = listener.getsockname()[1]
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "--workers",
            "2",
            "--worker-class",
            "sync",
            *options,
            "--bind",
            f"fd://{listener.fileno()}",
            "--log-level",
            "warning",
            "--worker-tmp-dir",
            str(folder),
        ]
        path = os.pathsep.join([str(folder), str(TESTS), *filter(None, sys.path)])
        process = subprocess.Popen(
            [*command, "shop:application"],
            env={
                **os.environ,
                "PYTHONPATH": path,
                "HOME": str(folder),
                "XDG_RUNTIME_DIR": str(folder),
            },
            pass_fds=[listener.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield Site(f"http://localhost:{port}", None)
        finally:
            process.terminate()
            said, _ = process.communicate(timeout=20)
        assert "Traceback" not in said, said


def pid_of(answer):
    return int(answer.headers["X-Pid"])


def both_answer(site):
    """Return the process ids of the workers, once both have answered."""
    pids = set()
    deadline = time.monotonic() + 15
    while len(pids) < 2 and time.monotonic() < deadline:
        with requests.Session() as session:
            session.trust_env = False
            pids.add(int(session.get(site.url, timeout=10).text))
    assert len(pids) == 2
    return pids


def flow_across_two_workers(browser, site):
    """Connect until one worker answers the start and the other one the callback.

    Return both process ids and the fields of the callback. Which worker answers is chance, and a
    callback cannot be repeated, so every try is a new flow.
    """
    for _ in range(TRIES):
        start = browser.get(site.start, **CLICK, Connection="close")
        address = browser.decide(urljoin(site.start, start.headers["Location"]))
        answer = browser.get(address, **ARRIVAL, Connection="close")
        if pid_of(answer) != pid_of(start):
            return pid_of(start), pid_of(answer), landed(answer)
        assert landed(answer)["pid"] == str(pid_of(start))
    raise AssertionError("one worker answered everything")


@pytest.mark.threat(39)
@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
@pytest.mark.parametrize(
    "preloaded", [False, True], ids=["apart", "forked after talking to the provider"]
)
def test_39_one_worker_finishes_what_another_began(tmp_path, provider, protocol, preloaded):
    options = ["--preload"] if preloaded else []
    with (
        gunicorn(
            tmp_path, *options, protocol=protocol, provider=provider, talks_first=preloaded
        ) as site,
        Browser() as browser,
    ):
        workers = both_answer(site)
        began, finished, fields = flow_across_two_workers(browser, site)
        reload = browser.get(f"{site.callback}?state=x&oauth_token=x", **ARRIVAL)
    assert {began, finished} == workers
    assert fields["pid"] == str(finished)
    assert (int(fields["master"]) not in workers) == preloaded
    # Only its own connections: it has dropped the master's
    assert fields["pools"] == str(finished)
    assert query(reload.headers["Location"])["error"] in ("flow_expired", "flow_mismatch")
