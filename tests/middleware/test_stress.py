"""Threat 39: many users at once use one instance, and the provider checks every request."""

import os
import random
import select
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
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

SECONDS = float(os.environ.get("TESTS_STRESS_SECONDS", "5"))  # tox.ini sets a minute
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
    assert list(flow.transport._adapters) == [os.getpid()]  # one pool for all threads
    assert late < 30  # no thread hung
    assert threading.active_count() <= threads + 1


class HangsUp:
    """A proxy that closes each connection soon after a response, as providers close idle ones.

    ``support.wire`` calls it with each connection. ``hung_up`` counts how it ended them, ``kept`` how
    many requests came after a response on the same connection.
    """

    def __init__(self, root):
        parts = urlsplit(root)
        self.upstream = (parts.hostname, parts.port)
        self.hung_up = Counter()
        self.kept = 0

    def __call__(self, connection):
        with socket.create_connection(self.upstream) as upstream:
            if self._forwards(connection.sock, upstream):
                return
        how = random.choice(("FIN", "RST"))
        if how == "RST":
            connection.reset()
        self.hung_up[how] += 1

    def _forwards(self, client, upstream):
        """Forward until it is time to hang up; return whether one of the two did so before."""
        answered = False
        while True:
            patience = random.choice((0, AWAY / 10, 10)) if answered else 30
            readable, _, _ = select.select([client, upstream], [], [], patience)
            if not readable:
                return False
            for source, target in ((client, upstream), (upstream, client)):
                if source in readable:
                    data = source.recv(65_536)
                    if not data:
                        return True
                    self.kept += answered and source is client
                    target.sendall(data)
                    answered = source is upstream


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
                time.sleep(AWAY)
                back = joe.decide(joe.click(site))
                time.sleep(AWAY)
                assert landed(joe.get(back, **ARRIVAL)) == {
                    "username": "joe",
                    "oauth_token_id": "43",
                }
    asked = Counter(sandbox_process.counts()) - before
    print(f"\n{protocol}: {FLOWS} flows, hung up {dict(proxy.hung_up)}, used again {proxy.kept}")
    assert min(proxy.hung_up.values()) > FLOWS / 10
    assert proxy.kept > FLOWS / 10
    assert asked[EXCHANGE[protocol]] == FLOWS  # each once
