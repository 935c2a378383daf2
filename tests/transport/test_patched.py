"""The world patched after the import (threat 57):

gevent and eventlet replace ssl and sockets under a running site.
"""

import os
import pathlib
import socket
import ssl
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from itertools import product

import pytest
import trustme
from support.browser import ARRIVAL, CLICK, Browser
from support.commands import environment
from support.paths import TESTS
from support.ports import wait_for
from support.responses import landed
from support.site import Site
from support.wire import answer, saying_once, wire

from scconnect_wsgi.sandbox import Sandbox, serve
from scconnect_wsgi.sandbox._server import Server

pytestmark = [pytest.mark.servers, pytest.mark.slow]

STOP_WITHIN = 20  # seconds


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def bundle(authority, tmp_path):
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


# A server that forks and then patches

SITE = """
import os

from support.flows import CLIENT
from support.site import KEY
from scconnect_wsgi import OAuth2, OAuth2Provider, Transport
from scconnect_wsgi import SCConnect
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.stores.sql import SQLStore

# The same sandbox, over http for people and https for us
pages = os.environ["PAGES"]
root = os.environ["ROOT"]
provider = OAuth2Provider(f"{pages}/authorize", f"{root}/oauth/token", api_url=root)
flow = OAuth2(*CLIENT, provider=provider, transport=Transport(ca_bundle=os.environ["BUNDLE"]))
connections = Connections(flow, SQLStore(os.environ["STORE"]), identify=lambda request: "joe")
MASTER = os.getpid()


def page(environ, start_response):
    with connections.session(connections.of_user("joe")[0].id, user="joe") as session:
        said = f"{session.get('/me').status_code} {session.me().username} {os.getpid() != MASTER}"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [said.encode()]


options = {"store_token": connections.store_token, "identify": lambda request: "joe"}
application = SCConnect(page, flow, secret_key=KEY, **options)
"""


@contextmanager
def gunicorn(folder, worker, **settings):
    """One worker of gunicorn, forked from a process that has imported the site already."""
    (folder / "shop.py").write_text(SITE, "utf-8")
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--preload",
        "-k",
        worker,
        "--threads",
        "4",
        "-b",
        f"localhost:{port}",
    ]
    env = environment(**settings, HOME=str(folder), XDG_RUNTIME_DIR=str(folder))
    env["PYTHONPATH"] = os.pathsep.join([env["PYTHONPATH"], str(folder), str(TESTS)])
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "shop:application"], cwd=folder, env=env, stdout=output, stderr=output
        )
    try:
        wait_for(port, process, log)
        yield Site(f"http://localhost:{port}", None)
    finally:
        process.terminate()
        process.wait(STOP_WITHIN)
    assert "Traceback" not in log.read_text(), log.read_text()


@contextmanager
def sandbox_over_https(sandbox, tls):
    server = Server(sandbox, "127.0.0.1", 0)
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with server.start():
        yield f"https://localhost:{server.port}"


@pytest.mark.threat(57)
@pytest.mark.parametrize("worker", ["gevent", "gthread"])
def test_threat_57_a_preloaded_site_connects_and_calls_the_api(worker, tmp_path, tls, bundle):
    sandbox = Sandbox()
    with serve(sandbox) as pages, sandbox_over_https(sandbox, tls) as root:
        settings = {
            "PAGES": pages.url,
            "ROOT": root,
            "BUNDLE": bundle,
            "STORE": f"sqlite:///{tmp_path}/store.db",
        }
        with gunicorn(tmp_path, worker, **settings) as site, Browser() as joe:
            for _ in range(2):
                back = joe.decide(joe.click(site))
                answer = joe.get(back, **ARRIVAL)
                assert answer.status_code == 303
                assert "error" not in landed(answer)
                assert joe.get(site.url, **CLICK).text == "200 joe True"


# A process that patches itself, sooner or later

PROCESS = """
import sys

from scconnect_wsgi import OAuth2, OAuth2Provider, Transport
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.errors import ConnectError
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.stores.sql import SQLStore
from support.stores import connection

url, bundle, library, order = sys.argv[1:]
provider = OAuth2Provider(f"{url}/authorize", f"{url}/token", api_url=url)
transport = Transport(timeout=5, ca_bundle=bundle)
flow = OAuth2("client", "secret", provider=provider, transport=transport)
store = SQLStore("sqlite://")
store.save(connection("one", user="joe", api_url=url))
session = Connections(flow, store, identify=lambda request: None).session("one", user="joe")
other_bundle = {"verify": bundle.replace("authority", "copy")}


def patch():
    if library == "gevent":
        import gevent.monkey

        gevent.monkey.patch_all()
    else:
        import eventlet

        eventlet.monkey_patch()


def refresh():
    return flow.refresh(AccessToken("old", refresh_token="old")).token


def call(**options):
    return session.get("/me", **options).json()["access_token"]


def everything():
    for use in (refresh, call, lambda: call(**other_bundle), refresh, call):
        assert use() == "new"
"""
ORDERS = {
    "patched after the import": """
        patch()
        everything()
    """,
    "patched between two calls": """
        everything()
        patch()
        everything()
    """,
}
IN_THE_MIDDLE = """
import socket
import ssl

import requests

look_up, context_class = socket.getaddrinfo, ssl.SSLContext


def patch_in_the_middle(*args, **options):
    if order == "call":
        socket.getaddrinfo = look_up
        patch()
    else:  # again and again, as a token request that has not left yet is begun anew
        ssl.SSLContext = type("SSLContext", (ssl.SSLContext,), {})
    return look_up(*args, **options)


socket.getaddrinfo = patch_in_the_middle
expected = requests.exceptions.SSLError if order == "call" else ConnectError
try:
    call() if order == "call" else refresh()
except expected as error:
    assert "monkey.patch_all()" in str(error), error
    assert "old" not in repr(error)
else:
    raise AssertionError("the call was to fail")
socket.getaddrinfo, ssl.SSLContext = look_up, ssl.SSLContext if order == "call" else context_class
everything()
"""


def run(script, *words):
    path = os.pathsep.join([str(TESTS), *filter(None, sys.path)])
    command = [sys.executable, "-W", "ignore", "-c", PROCESS + textwrap.dedent(script), *words]
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def provider(tls, bundle):
    (pathlib.Path(bundle).parent / "copy.pem").write_bytes(pathlib.Path(bundle).read_bytes())
    body = b'{"access_token": "new", "token_type": "OAuth"}'
    said = answer(
        body, "Connection: close", content_type="application/json"
    )  # so that each call shakes hands
    with wire(saying_once(said), tls) as server:
        yield server


# Not eventlet between two calls: it takes select.poll away, which urllib3 has chosen by then.
@pytest.mark.threat(57)
@pytest.mark.parametrize(
    ("library", "order"), [*product(["gevent"], ORDERS), ("eventlet", "patched after the import")]
)
def test_threat_57_token_requests_and_api_calls_work(library, order, provider, bundle):
    done = run(ORDERS[order], provider.url, bundle, library, order)
    assert done.returncode == 0, done.stderr


@pytest.mark.threat(57)
@pytest.mark.parametrize("use", ["token", "call"])
def test_threat_57_patched_in_the_middle_of_a_call_is_an_error_that_says_so(use, provider, bundle):
    done = run(IN_THE_MIDDLE, provider.url, bundle, "gevent", use)
    assert done.returncode == 0, done.stderr
