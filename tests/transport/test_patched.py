"""The world patched after the import (threat 57).

gevent and eventlet replace ssl, sockets, locks and select under a running site.
"""

import os
import pathlib
import subprocess
import sys
import sysconfig
import textwrap
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from support.browser import ARRIVAL, CLICK, Browser
from support.commands import environment
from support.paths import TESTS
from support.ports import free_port, wait_for
from support.responses import landed
from support.secure import Authority, serving_over_tls
from support.site import Site
from support.wire import answer, dripping, saying, saying_once, wire

from scconnect_wsgi.sandbox import Sandbox, serve

pytestmark = [pytest.mark.servers, pytest.mark.slow]

STOP_WITHIN = 20  # seconds
FINISHED_WITHIN = 120  # seconds; it takes some five on an idle machine


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture(scope="module")
def tls(authority):
    return authority.tls


@pytest.fixture
def bundle(authority, tmp_path):
    return authority.write(tmp_path)


# Servers that patch after they have imported the site

SITE = """
import os
from contextlib import suppress

from support.flows import CLIENT
from support.site import KEY
from scconnect_wsgi import ConnectError, OAuth2, OAuth2Provider, SCConnect, Transport
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken

# The same sandbox, over http for people and https for us
pages = os.environ["PAGES"]
root = os.environ["ROOT"]
provider = OAuth2Provider(f"{pages}/authorize", f"{root}/oauth/token", api_url=root)
flow = OAuth2(*CLIENT, provider=provider, transport=Transport(ca_bundle=os.environ["BUNDLE"]))
store = SQLStore(os.environ["STORE"])


def identify(request):
    return request.headers["User"]


connections = Connections(flow, store, identify=identify)
if os.environ["USED"]:  # as by a site that looks something up when it is imported
    store.of_user("nobody")
    for _ in range(2):
        with suppress(ConnectError):
            flow.refresh(AccessToken("old", refresh_token="old"))


def page(environ, start_response):
    user = environ["HTTP_USER"]
    with connections.session(connections.of_user(user)[0].id, user=user) as session:
        said = f"{session.get('/me').status_code} {session.me().username}"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [said.encode()]


options = {"store_token": connections.store_token, "identify": identify}
application = SCConnect(page, flow, secret_key=KEY, **options)
"""
SCRIPTS = {
    "gevent_late.py": """
import sys

from shop import application
import gevent.monkey

gevent.monkey.patch_all()
from gevent.pywsgi import WSGIServer

WSGIServer(("localhost", int(sys.argv[1])), application, log=None).serve_forever()
""",
    "eventlet_late.py": """
import sys

from shop import application
import eventlet

eventlet.monkey_patch()
import eventlet.wsgi

listener = eventlet.listen(("localhost", int(sys.argv[1])))
eventlet.wsgi.server(listener, application, log_output=False)
""",
}
GUNICORN = [sys.executable, "-m", "gunicorn", "--preload", "shop:application"]
UWSGI = [f"{sysconfig.get_path('scripts')}/uwsgi", "--module", "shop:application", "--need-app"]
# uWSGI closes each connection and does not say so
UWSGI += ["--die-on-term", "--buffer-size", "32768", "--add-header", "Connection: close"]
UWSGI += ["--gevent", "50", "--gevent-monkey-patch"]
SERVERS = {
    "gunicorn -k gevent --preload": [*GUNICORN, "-k", "gevent", "-b", "localhost:PORT"],
    "gunicorn -k gthread --preload": [*GUNICORN, "--threads", "4", "-b", "localhost:PORT"],
    "gevent.pywsgi": [sys.executable, "-W", "ignore", "gevent_late.py", "PORT"],
    "eventlet.wsgi": [sys.executable, "-W", "ignore", "eventlet_late.py", "PORT"],
    "uwsgi": [*UWSGI, "--http-socket", "localhost:PORT"],
    "uwsgi with a master": [*UWSGI, "--master", "--http-socket", "localhost:PORT"],
}


@contextmanager
def running(server, folder, **settings):
    """Run a site in a server that patches once it has imported the site."""
    for name, script in {"shop.py": SITE, **SCRIPTS}.items():
        (folder / name).write_text(script, "utf-8")
    port = free_port("localhost")
    command = [word.replace("PORT", str(port)) for word in SERVERS[server]]
    env = environment(**settings, HOME=str(folder), XDG_RUNTIME_DIR=str(folder))
    env["PYTHONPATH"] = os.pathsep.join([env["PYTHONPATH"], str(folder), str(TESTS)])
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=output, stderr=output)
    try:
        wait_for(port, process, log)
        yield Site(f"http://localhost:{port}", None)
    finally:
        process.terminate()
        process.wait(STOP_WITHIN)
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture(params=["", "used before the patch"], ids=["new", "used before the patch"])
def settings(request, tmp_path, tls, bundle):
    """The environment of the site, with a sandbox over https."""
    sandbox = Sandbox()
    with serve(sandbox) as pages, serving_over_tls(sandbox, tls) as root:
        yield {
            "PAGES": pages.url,
            "ROOT": root,
            "BUNDLE": bundle,
            "STORE": f"sqlite:///{tmp_path}/store.db",
            "USED": request.param,
        }


def connect_twice_and_call(site, user):
    """Return what the page of the site says in the end."""
    with Browser() as browser:
        browser.session.headers["User"] = user
        for _ in range(2):
            answer = browser.connect(site)
            assert answer.status_code == 303, answer.text
            assert "error" not in landed(answer)
        return browser.get(site.url, **CLICK).text


def press_twice(site, user):
    """Return how both of two callbacks of one flow, at the same time, end."""
    with Browser() as browser, ThreadPoolExecutor(2) as both:
        browser.session.headers["User"] = user
        back = browser.decide(browser.click(site))
        answers = list(both.map(lambda _: browser.get(back, **ARRIVAL), range(2)))
    return [answer.status_code for answer in answers]


@pytest.mark.threat(57)
@pytest.mark.parametrize("server", SERVERS)
def test_threat_57_a_site_that_was_imported_before_the_patch_connects(server, tmp_path, settings):
    users = [f"user {number}" for number in range(4)]
    with running(server, tmp_path, **settings) as site:
        with ThreadPoolExecutor(len(users)) as together:
            said = list(together.map(lambda user: connect_twice_and_call(site, user), users))
        assert said == ["200 joe"] * len(users)
        assert press_twice(site, "somebody else") == [303, 303]
        assert connect_twice_and_call(site, "the last") == "200 joe"


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
transport = Transport(timeout=10, ca_bundle=bundle)
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
    return subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=120, check=False
    )


TOKEN = b'{"access_token": "new", "token_type": "OAuth"}'


@pytest.fixture
def provider(tls, bundle):
    (pathlib.Path(bundle).parent / "copy.pem").write_bytes(pathlib.Path(bundle).read_bytes())
    # So that each call shakes hands
    said = answer(TOKEN, "Connection: close", content_type="application/json")
    with wire(saying_once(said), tls) as server:
        yield server


@pytest.fixture
def keeping_provider(tls, provider):
    with wire(saying(answer(TOKEN, content_type="application/json")), tls) as server:
        yield server


@pytest.mark.threat(57)
@pytest.mark.parametrize("library", ["gevent", "eventlet"])
@pytest.mark.parametrize("order", ORDERS)
def test_threat_57_token_requests_and_api_calls_work(library, order, provider, bundle):
    done = run(ORDERS[order], provider.url, bundle, library, order)
    assert done.returncode == 0, done.stderr


@pytest.mark.threat(57)
@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_threat_57_and_where_connections_are_kept(library, keeping_provider, bundle):
    order = "patched between two calls"
    done = run(ORDERS[order], keeping_provider.url, bundle, library, order)
    assert done.returncode == 0, done.stderr


SEVERAL_AT_ONCE = """
import os

store = SQLStore(f"sqlite:///{os.path.dirname(bundle)}/store.db")
token = AccessToken("old", refresh_token="old", expires_at=1)
store.save(connection("one", user="joe", api_url=url, token=token))
patch()


def spawn(call):
    if library == "gevent":
        return gevent.spawn(call).get
    return eventlet.spawn(call).wait


def call_with_a_session_of_its_own():
    with Connections(flow, store, identify=None).session("one", user="joe") as own:
        return own.get("/me").status_code


if library == "gevent":
    import gevent
else:
    import eventlet
results = [spawn(call_with_a_session_of_its_own) for _ in range(4)]
assert [result() for result in results] == [200] * 4
"""


@pytest.mark.threat(57)
@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_threat_57_who_waits_for_a_refresh_lets_it_go_on(library, tls, bundle):
    said = answer(TOKEN, "Connection: close", content_type="application/json")
    with wire(dripping(said, pause=0.005), tls) as server:  # so that the others come and wait
        done = run(SEVERAL_AT_ONCE, server.url, bundle, library, "")
    assert done.returncode == 0, done.stderr
    sent = [request.line for request in server.requests]
    assert [line for line in sent if "/token" in line] == ["POST /token HTTP/1.1"]


@pytest.mark.threat(57)
@pytest.mark.parametrize("use", ["token", "call"])
def test_threat_57_patched_in_the_middle_of_a_call_is_an_error_that_says_so(use, provider, bundle):
    done = run(IN_THE_MIDDLE, provider.url, bundle, "gevent", use)
    assert done.returncode == 0, done.stderr
