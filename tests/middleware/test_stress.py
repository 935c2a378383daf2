"""Threat 39: many users at once use one instance, and the provider checks every request."""

import itertools
import os
import random
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
import requests
from requests_oauthlib import OAuth1Session
from support import canary
from support.browser import ARRIVAL, Browser
from support.flows import CLIENT, flow_for
from support.responses import landed
from support.site import running_site
from support.wire import wire

pytestmark = [pytest.mark.slow, pytest.mark.stress]

SECONDS = float(os.environ.get("TESTS_STRESS_SECONDS", "5"))  # tox.ini sets more
THREADS = 32
FLOWS = 300 if SECONDS >= 60 else 60  # through a provider that closes connections

EXCHANGE = {"oauth2": "token", "oauth1": "access_token"}  # the sandbox's names in its counts
SOON = 0.003  # seconds that the provider below may keep an idle connection

both_protocols = pytest.mark.parametrize("protocol", ["oauth2", "oauth1"])


def owner_of(token, root):
    """Ask the provider whose token this is."""
    if token.token_secret is None:
        session = requests.Session()
        session.headers["Authorization"] = f"OAuth {token.token}"
    else:
        session = OAuth1Session(*CLIENT, token.token, token.token_secret)
    session.trust_env = False
    with session:
        answer = session.get(f"{root}/me", timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()["username"]


class Visitors:
    """Many users with browsers, and a record of their connections, tokens and failures."""

    def __init__(self, root):
        self.root = root
        self.tokens = []  # list.append is atomic
        self.done = Counter()
        self.wrong = []
        self._lock = threading.Lock()

    def store_token(self, token, _request):
        self.tokens.append(token.token)
        return {"owner": owner_of(token, self.root)}

    def note(self, kind):
        with self._lock:
            self.done[kind] += 1

    def visit(self, name, site, until):
        """Connect again and again, sometimes in two tabs; sometimes begin a flow and abandon it."""
        chance = random.Random(name)
        try:
            with Browser() as browser:
                browser.sign_up(self.root, name)
                while time.monotonic() < until:
                    if chance.random() < 0.2:
                        browser.click(site)
                        self.note("abandoned")
                    tabs = [
                        browser.decide(browser.click(site)) for _ in range(chance.choice((1, 1, 2)))
                    ]
                    for address in reversed(tabs):
                        self._arrive(browser, address, name)
                    self._go_back(browser, tabs[0])
        except Exception as error:  # an exception in a thread would be lost
            self.wrong.append((name, repr(error)))

    def _arrive(self, browser, address, name):
        fields = landed(browser.get(address, **ARRIVAL))
        self.note("connected")
        if fields != {"owner": name}:
            self.wrong.append((name, fields))

    def _go_back(self, browser, address):
        """Open the callback again, which must not store anything or ask the provider."""
        fields = landed(browser.get(address, **ARRIVAL))
        self.note("went back")
        if fields.get("error") != "flow_finished":
            self.wrong.append(("Back", fields))


@pytest.mark.threat(39)
@both_protocols
def test_39_many_threads_through_one_instance(protocol, sandbox_process):
    root = sandbox_process.url
    before = Counter(sandbox_process.counts())
    flow = flow_for(protocol, root)
    visitors = Visitors(root)
    threads = threading.active_count()
    with (
        running_site(flow, store_token=visitors.store_token) as site,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        until = time.monotonic() + SECONDS
        names = [f"{protocol}-visitor-{number}" for number in range(THREADS)]
        list(pool.map(lambda name: visitors.visit(name, site, until), names))
        late = time.monotonic() - until
    # A search for thousands of secrets in as many lines of log would take longer than the load.
    # Every other test does search.
    canary.forget()
    connected = visitors.done["connected"]
    print(f"\n{protocol}: {dict(visitors.done)} in {SECONDS} s, {THREADS} threads")

    assert visitors.wrong == []
    assert connected >= THREADS
    assert len(visitors.tokens) == len(set(visitors.tokens)) == connected
    asked = Counter(sandbox_process.counts()) - before
    assert asked[EXCHANGE[protocol]] == connected, asked
    assert [key[0] for key in flow.transport._pools] == [os.getpid()]  # one pool for all threads
    assert late < 30  # no thread hung
    assert threading.active_count() <= threads + 1


class HangsUp:
    """A proxy that often closes a connection after a response, as providers close idle ones.

    ``support.wire`` calls it with each connection. ``hung_up`` counts how it ended them, ``kept``
    how many requests came after a response on the same connection. ``settled`` is set while no
    request is under way and no connection is about to be closed.
    """

    def __init__(self, root):
        self.upstream = urlsplit(root).netloc
        self.hung_up = Counter()
        self.kept = 0
        self.settled = threading.Event()
        self.settled.set()

    def __call__(self, connection):
        with closing(HTTPConnection(self.upstream)) as upstream:
            for number in itertools.count():
                request = connection.request()
                if request is None:
                    return
                self.kept += number > 0
                self.settled.clear()
                connection.send(forwarded(request, upstream))
                if self._hangs_up(connection):
                    return

    def _hangs_up(self, connection):
        """Choose whether to hang up, and how and when."""
        how = random.choice(("FIN", "RST", None))
        time.sleep(random.choice((0, SOON)))
        if how == "FIN":
            connection.sock.shutdown(socket.SHUT_RDWR)
        elif how == "RST":
            connection.reset()
        if how:
            self.hung_up[how] += 1
        self.settled.set()
        return how is not None


def forwarded(request, upstream):
    """Send a request to the provider, and return the bytes of the response."""
    method, target, _ = request.line.split()
    upstream.request(method, target, request.body, request.headers)
    response = upstream.getresponse()
    fields = [f"{name}: {value}" for name, value in response.getheaders()]
    head = "\r\n".join([f"HTTP/1.1 {response.status} {response.reason}", *fields])
    return head.encode("latin-1") + b"\r\n\r\n" + response.read()


@pytest.mark.threat(35)
@both_protocols
def test_35_a_connection_that_the_provider_closed_meanwhile_fails_no_flow(
    protocol, sandbox_process
):
    """The connection is closed while the user is away.

    A request that was sent before we noticed is never sent again.
    """
    root = sandbox_process.url
    before = Counter(sandbox_process.counts())
    proxy = HangsUp(root)
    with wire(proxy) as server:
        flow = flow_for(protocol, server.url)
        addresses = replace(
            flow.provider, authorize_url=flow_for(protocol, root).provider.authorize_url
        )
        flow = type(flow)(*CLIENT, provider=addresses)  # the user goes to the provider itself
        with running_site(flow) as site, Browser() as joe:
            for _ in range(FLOWS):
                back = joe.decide(joe.click(site))
                assert proxy.settled.wait(10)
                assert landed(joe.get(back, **ARRIVAL)) == {
                    "username": "joe",
                    "oauth_token_id": "43",
                }
                assert proxy.settled.wait(10)
    asked = Counter(sandbox_process.counts()) - before
    print(f"\n{protocol}: {FLOWS} flows, hung up {dict(proxy.hung_up)}, used again {proxy.kept}")
    assert min(proxy.hung_up.values()) > FLOWS / 10
    assert proxy.kept > FLOWS / 10
    assert asked[EXCHANGE[protocol]] == FLOWS  # each once
