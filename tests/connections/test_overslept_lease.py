"""A holder of the exclusive section that was stopped for too long does not send the refresh token.

Another process may have entered since. Threat 38.
"""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest
from support.flows import dance, flow_for, quick_transport
from support.refresher import connections, refresher, store_at, told
from support.stores import POSTGRESQL, SQLITE_FILE, connection

from scconnect_wsgi.connections._refresh import GRACE, Refresher
from scconnect_wsgi.errors import ConnectionBusy

pytestmark = [pytest.mark.threat(38), pytest.mark.slow]  # it waits


@pytest.fixture(params=[SQLITE_FILE, POSTGRESQL])
def store(request, tmp_path):
    with closing(request.param(tmp_path)) as store:
        yield store


@pytest.fixture
def flow(root):
    return flow_for("oauth2", root, transport=quick_transport(timeout=2.0))


@pytest.fixture
def stale(store, flow, root):
    """A stored connection whose token has expired."""
    token = replace(dance(flow), expires_at=1)
    return store.save(connection(token=token, api_url=root))


class Clock:
    """Time that passes only when the test says so, or while somebody sleeps."""

    def __init__(self):
        self.monotonic_now = 0.0
        self.now = time.time()

    def monotonic(self):
        return self.monotonic_now

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.monotonic_now += seconds
        self.now += seconds


class Delayed:
    """A store that does something after a step, as often as it is told."""

    def __init__(self, store, step, delay, times=1):
        self._store = store
        self._step = step
        self._delay = delay
        self._times = times
        self.leases = 0

    def __getattr__(self, name):
        return getattr(self._store, name)

    def _after(self, step):
        if step == self._step and self._times:
            self._times -= 1
            self._delay()

    def lease(self, *arguments):
        got = self._store.lease(*arguments)
        self.leases += got
        self.holder = arguments[:2]
        self._after("the lease")
        return got

    def save(self, connection):
        saved = self._store.save(connection)
        if connection.refreshing_since is not None:
            self._after("the mark")
        return saved


def refresher_of(store, flow, clock):
    return Refresher(store, flow, clock=clock.time, monotonic=clock.monotonic, sleep=clock.sleep)


@pytest.mark.parametrize("step", ["the lease", "the mark"])
@pytest.mark.parametrize("which", ["monotonic_now", "now", "both"])
def test_too_little_is_left_so_it_begins_again(sandbox, store, flow, stale, step, which):
    """A machine that sleeps stops one clock, and setting the time moves the other."""
    clock = Clock()

    def delay():
        for name in ("monotonic_now", "now"):
            if which in (name, "both"):
                setattr(clock, name, getattr(clock, name) + 2.0 + GRACE - 1)

    delayed = Delayed(store, step, delay)
    fresh = refresher_of(delayed, flow, clock).refresh(stale)
    assert fresh.token.token != stale.token.token
    assert (fresh.refreshing_since, fresh.ended) == (None, "")
    assert delayed.leases == 2
    assert sandbox.counts["refresh"] == 1


def test_a_clock_that_was_set_back_costs_nothing(sandbox, store, flow, stale):
    clock = Clock()

    def delay():
        clock.now -= 86_400

    delayed = Delayed(store, "the mark", delay)
    assert refresher_of(delayed, flow, clock).refresh(stale).token != stale.token
    assert (delayed.leases, sandbox.counts["refresh"]) == (1, 1)


def test_a_store_that_is_always_too_slow_is_a_typed_error(sandbox, store, flow, stale):
    clock = Clock()
    delayed = Delayed(store, "the mark", lambda: clock.sleep(2.0 + GRACE), times=100)
    with pytest.raises(ConnectionBusy):
        refresher_of(delayed, flow, clock).refresh(stale)
    assert sandbox.counts["refresh"] == 0
    assert store.load("one").refreshing_since is None


@pytest.mark.parametrize("step", ["the lease", "the mark"])
def test_who_overslept_takes_what_somebody_else_got_meanwhile(sandbox, store, flow, stale, step):
    clock = Clock()
    other = []

    def delay():
        clock.sleep(2.0 + GRACE + 1)
        store.release(*delayed.holder)  # the lease has ended
        now = time.time() + 2.0 + GRACE + 1
        other.append(Refresher(store, flow, clock=lambda: now).refresh(stale))

    delayed = Delayed(store, step, delay)
    found = refresher_of(delayed, flow, clock).refresh(stale)
    assert found == other[0] == store.load("one")
    assert sandbox.counts["refresh"] == 1


class CutShort:
    """A store whose leases end at once, as when the clock of its machine jumps ahead."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    def lease(self, id, owner, seconds):
        return self._store.lease(id, owner, 0.01)


def test_a_lease_that_the_store_cut_short_does_not_let_another_one_send(
    sandbox, root, store, flow, stale
):
    slow = flow_for(
        "oauth2",
        root,
        transport=quick_transport(timeout=5.0),
        token_url=f"{root}/misbehave/slow=1.5/oauth/token",
    )
    barrier = threading.Barrier(4)

    def refresh(_):
        barrier.wait()
        return Refresher(CutShort(store), slow).refresh(stale).token.token

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(refresh, range(4)))) == 1
    assert sandbox.counts["refresh"] == 1


@pytest.mark.parametrize("step", ["after the lease", "after the mark"])
def test_a_process_that_was_stopped_does_not_send_what_another_one_has_sent(
    sandbox_process, tmp_path, step
):
    url = f"sqlite:///{tmp_path}/shared.sqlite3"
    root = sandbox_process.url
    before = sandbox_process.counts().get("refresh", 0)
    with closing(store_at(url)) as store:
        site = connections(store, root)
        id = site.connect(dance(flow_for("oauth2", root)), user="joe").id
        saved = store.load(id)
        store.save(replace(saved, token=replace(saved.token, expires_at=1)))
        with refresher(url=url, root=root, id=id, user="joe", stop=step) as stopped:
            told(stopped)
            os.waitid(os.P_PID, stopped.pid, os.WSTOPPED)
            with site.session(id, user="joe") as session:  # once the lease has ended
                assert session.me().username == "joe"
            os.kill(stopped.pid, signal.SIGCONT)
            assert stopped.stdout.readline() == "joe\n"
        assert sandbox_process.counts()["refresh"] - before == 1
        assert store.load(id).ended == ""
