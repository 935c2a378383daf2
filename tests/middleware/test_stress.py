"""Threat 39: many users at once use one instance, and the provider checks every request."""

import os
import random
import select
import socket
import socketserver
import struct
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest
import requests
from requests_oauthlib import OAuth1Session
from support import canary
from support.helpers import ARRIVAL, CLIENT, Browser, flow_for, hidden_fields, landed, running_site

pytestmark = [pytest.mark.slow, pytest.mark.stress]

SECONDS = float(os.environ.get("TESTS_STRESS_SECONDS", "5"))  # tox.ini sets more
THREADS = 32
FLOWS = 300 if SECONDS >= 60 else 60  # through a provider that closes connections

EXCHANGE = {"oauth2": "token", "oauth1": "access_token"}  # the sandbox's names in its counts
# Seconds for which a user is away: ten times as long as the provider below keeps an idle connection
AWAY = 0.03

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
                self._sign_up(browser, name)
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

    def _sign_up(self, browser, name):
        fields = dict(hidden_fields(browser.get(f"{self.root}/signup").text))
        answer = browser.post(f"{self.root}/signup", {**fields, "username": name, "password": name})
        assert answer.status_code == 303, answer.text

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


class HangsUp(socketserver.ThreadingTCPServer):
    """A proxy that closes each connection soon after a response, as providers close idle ones."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, root):
        host, _, port = root.removeprefix("http://").rpartition(":")
        self.upstream = (host, int(port))
        self.hung_up = Counter()
        self.kept = 0
        super().__init__(("127.0.0.1", 0), None)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def finish_request(self, request, client_address):
        with socket.create_connection(self.upstream) as upstream:
            answered = False
            while True:
                patience = random.choice((0, AWAY / 10, 10)) if answered else 30
                readable, _, _ = select.select([request, upstream], [], [], patience)
                if not readable:
                    break
                for source, target in ((request, upstream), (upstream, request)):
                    if source in readable:
                        data = source.recv(65_536)
                        if not data:
                            return
                        self.kept += answered and source is request
                        target.sendall(data)
                        answered = source is upstream
        how = random.choice(("FIN", "RST"))
        if how == "RST":
            request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.hung_up[how] += 1

    def handle_error(self, *_):
        """Ignore a side that hung up first."""

    def shutdown_request(self, request):
        # Without the shutdown() of socketserver, which would send FIN in place of RST
        request.close()


@contextmanager
def hanging_up(root):
    with HangsUp(root) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@both_protocols
def test_35_a_connection_that_the_provider_closed_meanwhile_fails_no_flow(
    protocol, sandbox_process
):
    """The connection is closed while the user is away.

    A request that was sent before we noticed is never sent again.
    """
    root = sandbox_process.url
    before = Counter(sandbox_process.counts())
    with hanging_up(root) as provider:
        flow = flow_for(protocol, provider.url)
        addresses = replace(
            flow.provider, authorize_url=flow_for(protocol, root).provider.authorize_url
        )
        flow = type(flow)(*CLIENT, provider=addresses)  # the user goes to the provider itself
        with running_site(flow) as site, Browser() as joe:
            for _ in range(FLOWS):
                time.sleep(AWAY)
                back = joe.decide(joe.click(site))
                time.sleep(AWAY)
                assert landed(joe.get(back, **ARRIVAL)) == {
                    "username": "joe",
                    "oauth_token_id": "43",
                }
    asked = Counter(sandbox_process.counts()) - before
    print(
        f"\n{protocol}: {FLOWS} flows, hung up {dict(provider.hung_up)}, used again {provider.kept}"
    )
    assert min(provider.hung_up.values()) > FLOWS / 10
    assert provider.kept > FLOWS / 10
    assert asked[EXCHANGE[protocol]] == FLOWS  # each once
