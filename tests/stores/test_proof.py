"""No user is lost: many processes refresh at once, processes are killed, databases are killed.

The provider is the sandbox in a process of its own, which accepts each refresh token only once; the
databases are PostgreSQL, Redis and MariaDB. `tox run -e stores` prints the figures;
TESTS_PROOF_ROUNDS sets how many tokens expire.
"""

import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace

import pytest
import requests
from support import databases
from support.flows import dance, flow_for
from support.refresher import TIMEOUT, connections, refresher, store_at, told

from scconnect_wsgi.connections._refresh import GRACE
from scconnect_wsgi.errors import RefreshLost, StoreUnavailable

pytestmark = [pytest.mark.stores, pytest.mark.slow]

ROUNDS = int(os.environ.get("TESTS_PROOF_ROUNDS", "40"))
PROCESSES = 16
LEASE = TIMEOUT + GRACE  # seconds
SLACK = 5  # seconds that a busy machine may add
# Where a process is killed: whether the token is lost, and whether the next process must wait for
# the lease.
STEPS = {
    "before the lease": (False, False),
    "after the lease": (False, True),
    "after the mark": (False, True),
    "while the provider thinks": (True, True),
    "after the answer, before it is saved": (True, True),
    "after it is saved, before the release": (False, False),
}


@pytest.fixture(params=["postgresql", "redis", "mariadb"])
def server(request):
    server = databases.running(request.param)
    server.name = request.param
    server.clear()
    return server


@pytest.fixture
def store(server):
    with closing(store_at(server.url)) as store:
        yield store


class Provider:
    """The sandbox of another process."""

    def __init__(self, process):
        self.url = process.url
        self._process = process

    def redeemed(self):
        return self._process.counts().get("redeemed", 0)

    def expire(self):
        with requests.Session() as session:
            session.trust_env = False
            session.post(f"{self.url}/sandbox/expire", timeout=10).raise_for_status()


@pytest.fixture
def provider(sandbox_process):
    return Provider(sandbox_process)


def connected(store, provider, user):
    """Connect a user of the site, and return the connection's id: always the same for a user."""
    token = dance(flow_for("oauth2", provider.url))
    return connections(store, provider.url).connect(token, user=user).id


def outdate(store, id):
    """Let the stored token be expired, by the clock of every host."""
    stored = store.load(id)
    store.save(replace(stored, token=replace(stored.token, expires_at=1)))


@pytest.mark.threat(38)
def test_38_sixteen_processes_redeem_each_token_once_and_no_call_fails(server, store, provider):
    id = connected(store, provider, user="joe")
    settings = {
        "url": server.url,
        "root": provider.url,
        "id": id,
        "user": "joe",
        "habits": ["jitter=0.02"],
        "timeout": 15.0,  # 16 processes at once, on a machine that may be busy
    }
    answers = Counter()
    redemptions = Counter()
    longest = 0.0
    with ExitStack() as stack:
        processes = [stack.enter_context(refresher(**settings)) for _ in range(PROCESSES)]
        begun = time.monotonic()
        before = provider.redeemed()
        for number in range(ROUNDS):
            if number % 2:
                provider.expire()  # known to the API only
            else:
                outdate(store, id)  # known from the clock
            started = time.monotonic()
            for process in processes:
                told(process)
            answers.update(process.stdout.readline().strip() for process in processes)
            longest = max(longest, time.monotonic() - started)
            after = provider.redeemed()
            redemptions[after - before] += 1
            before = after
    took = time.monotonic() - begun
    print(
        f"{server.name}: {PROCESSES} processes, {ROUNDS} tokens expired, {answers.total()} calls "
        f"in {took:.0f} s; redemptions for each expiry {dict(redemptions)}, "
        f"answers {dict(answers)}, longest round {longest:.2f} s"
    )
    assert redemptions == {1: ROUNDS}
    assert answers == {"joe": ROUNDS * PROCESSES}


@pytest.mark.threat(38)
def test_38_a_process_that_is_killed_at_any_step_holds_nobody_up_for_longer_than_its_lease(
    server, store, provider
):
    """At each step one process is killed; then three others ask for the same token at once."""
    lost = []

    def killed(step):
        id = connected(store, provider, user=step)
        outdate(store, id)
        habits = ["slow=1"] if step == "while the provider thinks" else []
        with refresher(
            url=server.url, root=provider.url, id=id, user=step, habits=habits, die=step
        ) as process:
            told(process)
            assert process.wait(30) == -9
        begun = time.monotonic()
        with ThreadPoolExecutor(3) as threads:
            outcomes = set(threads.map(lambda _: asked(id, step), range(3)))
        return outcomes, time.monotonic() - begun, id

    def asked(id, user):
        site = connections(
            store, provider.url, on_lost=lambda connection, error: lost.append(connection.id)
        )
        try:
            with site.session(id, user=user) as session:
                return session.me().username
        except RefreshLost as error:
            return error.code

    with ThreadPoolExecutor(len(STEPS)) as threads:
        found = dict(zip(STEPS, threads.map(killed, STEPS), strict=True))
    for step, (outcomes, seconds, _) in found.items():
        said = ", ".join(outcomes)
        print(f"{server.name}: killed {step}: {said} after {seconds:.1f} s (lease {LEASE:.0f} s)")
    for step, (outcomes, seconds, id) in found.items():
        is_lost, waits = STEPS[step]
        assert outcomes == {"refresh_lost" if is_lost else "joe"}, step
        assert lost.count(id) == is_lost, step  # the site's hook is called once
        assert seconds < (LEASE if waits else 0) + SLACK, step


def test_a_database_that_is_killed_under_load_fails_with_one_error_and_recovers(
    server, store, provider
):
    id = connected(store, provider, user="joe")
    outcomes = []
    over = threading.Event()
    answered = [0] * 8

    def load(number):
        site = connections(store, provider.url)
        while not over.is_set():
            try:
                with site.session(id, user="joe") as session:
                    outcome = session.me().username
                answered[number] += 1
            except Exception as error:
                outcome = type(error)
                time.sleep(0.02)
            outcomes.append((time.monotonic(), outcome))

    def settled():
        """Wait until each thread has made a whole call: a token that expires before it was used
        looks revoked.
        """
        before = list(answered)
        patience = time.monotonic() + 2 * (TIMEOUT + GRACE)
        while not all(now >= then + 2 for now, then in zip(answered, before, strict=True)):
            assert time.monotonic() < patience, (
                f"{server.name} does not recover: {Counter(str(o) for _, o in outcomes)}"
            )
            time.sleep(0.05)

    def expiring(times):
        for _ in range(times):
            provider.expire()
            settled()

    with ThreadPoolExecutor(8) as threads:
        running = [threads.submit(load, number) for number in range(8)]
        try:
            expiring(6)
            provider.expire()  # so that the database goes away in the middle of a refresh
            down = time.monotonic()
            server.kill()
            time.sleep(1)
            server.start()
            up = time.monotonic()
            settled()
            well = time.monotonic()
            expiring(6)
        finally:
            over.set()
        for thread in running:
            thread.result()
    parts = {
        "before": [outcome for at, outcome in outcomes if at < down],
        "while it was away": [outcome for at, outcome in outcomes if down <= at < up],
        "later": [outcome for at, outcome in outcomes if at >= well],
    }
    counts = {part: dict(Counter(map(str, found))) for part, found in parts.items()}
    print(f"{server.name}: killed for {up - down:.1f} s, well {well - up:.1f} s later: {counts}")
    assert set(parts["before"]) == {"joe"}
    assert StoreUnavailable in parts["while it was away"]
    assert {outcome for _, outcome in outcomes} == {"joe", StoreUnavailable}
    assert set(parts["later"]) == {"joe"}
    assert store.load(id).ended == ""
