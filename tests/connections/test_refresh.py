"""A token is refreshed once, whoever asks: the provider accepts each refresh token only once.

Threats 35 and 38.
"""

import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
from support.api import Once
from support.flows import CALLBACK, dance, flow_for, quick_transport
from support.processes import fork, in_processes
from support.stores import POSTGRESQL, SQLITE_FILE, connection
from support.wire import answer, saying, wire

from scconnect_wsgi.connections._refresh import GRACE, Refresher, is_expired, needs_refresh
from scconnect_wsgi.connections._session import ApiSession
from scconnect_wsgi.errors import (
    ConnectionBusy,
    ConnectionRevoked,
    InvalidGrant,
    NotConnected,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RefreshLost,
    StoreUnavailable,
)
from scconnect_wsgi.sandbox import Sandbox, serve
from scconnect_wsgi.token import AccessToken

pytestmark = pytest.mark.slow  # it waits, or sends much

SLACK = 10  # seconds that a busy machine may take longer


@pytest.fixture(params=[SQLITE_FILE, POSTGRESQL])
def store(request, tmp_path):
    with closing(request.param(tmp_path)) as store:
        yield store


class Site:
    """A site with one stored connection: its sessions, its hook's calls, its provider's counts."""

    def __init__(self, sandbox, root, store):
        self.sandbox = sandbox
        self.root = root
        self.store = store
        self.lost = []
        self.flow = self.with_habit()
        store.save(
            connection(
                token=dance(self.flow),
                api_url=root,
                callback_url=CALLBACK,
                obtained_at=int(time.time()),
            )
        )

    def with_habit(self, *habits, **transport):
        """The flow, with a token endpoint that misbehaves."""
        prefix = "".join(f"/misbehave/{habit}" for habit in habits)
        transport = quick_transport(**{"timeout": 5.0, **transport})
        return flow_for(
            "oauth2", self.root, transport=transport, token_url=f"{self.root}{prefix}/oauth/token"
        )

    def session(self, flow=None):
        return ApiSession(
            self.stored, self.store, flow or self.flow, lambda *heard: self.lost.append(heard)
        )

    @property
    def stored(self):
        return self.store.load("one")

    @property
    def redeemed(self):
        return self.sandbox.counts["redeemed"]

    def outdate(self, **fields):
        """Let the stored token be expired, by the clock."""
        stored = self.stored
        return self.store.save(replace(stored, token=replace(stored.token, expires_at=1, **fields)))

    def pass_the_pause(self):
        """Let a refresh that failed be an hour old, so that the next caller tries again."""
        stored = self.stored
        hour_ago = replace(stored.failed_refresh, failed_at=stored.failed_refresh.failed_at - 3600)
        marked_at = stored.refreshing_since
        self.store.save(
            replace(
                stored,
                failed_refresh=hour_ago,
                refreshing_since=None if marked_at is None else marked_at - 3600,
            )
        )


class ForkingSite(Site):
    """A site whose provider is in another process, so that this one may fork."""

    def __init__(self, process, store):
        self._process = process
        self._redeemed_before = self._redeemed_ever()
        super().__init__(None, process.url, store)

    @property
    def redeemed(self):
        return self._redeemed_ever() - self._redeemed_before

    def _redeemed_ever(self):
        return self._process.counts().get("redeemed", 0)


@pytest.fixture
def site(sandbox, root, store):
    return Site(sandbox, root, store)


@pytest.fixture
def forking_site(sandbox_process, store):
    return ForkingSite(sandbox_process, store)


def heard(site):
    return [(found.id, found.ended, type(error)) for found, error in site.lost]


@pytest.mark.parametrize(
    ("lifetime", "age", "expected"),
    [
        (3600, 0, False),
        (3600, 3539, False),
        (3600, 3540, True),
        (100, 89, False),
        (100, 90, True),
        (None, 10**9, False),
    ],
)
def test_a_token_needs_a_refresh_shortly_before_its_end(lifetime, age, expected):
    obtained_at = 2_000_000_000
    expires_at = None if lifetime is None else obtained_at + lifetime
    found = connection(token=AccessToken("t", expires_at=expires_at), obtained_at=obtained_at)
    assert needs_refresh(found, lambda: obtained_at + age) is expected
    assert not is_expired(found, lambda: obtained_at + age)


@pytest.mark.parametrize(
    ("seconds_left", "expected"), [(1, False), (0, True), (-1, True), (None, False)]
)
def test_a_token_is_expired_from_its_last_second_on(seconds_left, expected):
    expires_at = None if seconds_left is None else 1000 + seconds_left
    found = connection(token=AccessToken("t", expires_at=expires_at))
    assert is_expired(found, lambda: 1000.0) is expected


def test_a_token_that_ended_is_refreshed_before_the_call(site):
    before = site.outdate()
    with site.session() as session:
        assert session.me().username == "joe"
        assert session.me().username == "joe"
    after = site.stored
    assert after == session.connection
    assert after.token.token != before.token.token
    assert after.token.refresh_token != before.token.refresh_token
    assert after.refreshing_since is None
    assert abs(after.obtained_at - time.time()) < 10
    assert site.sandbox.counts["me"] == 2
    assert site.redeemed == site.sandbox.counts["refresh"] == 1


def test_a_401_refreshes_once_and_the_call_is_made_again(site):
    site.sandbox.expire()
    with site.session() as session:
        assert session.me().username == "joe"
        assert session.get("/me").status_code == 200
    assert site.redeemed == 1
    # The call, the question whether the token is to blame, the call again, and the second call
    assert site.sandbox.counts["me"] == 4


@pytest.mark.parametrize("body", [{"a": "b"}, b"bytes", "text", None])
def test_a_body_that_can_be_sent_again_is(site, body):
    site.sandbox.expire()
    with site.session() as session:
        assert session.get("/me", data=body).status_code == 200


def test_a_stream_is_not_sent_again_but_the_next_call_works(site):
    site.sandbox.expire()
    with site.session() as session:
        assert session.get("/me", data=Once(b"once")).status_code == 401
        assert session.get("/me", data=Once(b"twice")).status_code == 200
    assert site.redeemed == 1


def test_a_session_takes_what_another_one_got(site):
    site.sandbox.expire()
    with site.session() as early, site.session() as late:
        early.me()
        late.me()
        assert late.connection == early.connection
    assert site.redeemed == 1


@pytest.mark.parametrize("body", [lambda: None, lambda: Once(b"once")], ids=["a call", "a stream"])
def test_a_session_of_long_ago_renews_what_another_one_got_and_has_ended_since(site, body):
    with site.session() as old:
        for _ in range(2):
            site.sandbox.expire()
            with site.session() as other:
                other.me()
        site.sandbox.expire()
        first = old.get("/me", data=body()).status_code
        assert [first, old.get("/me").status_code] == [401 if body() else 200, 200]
    assert site.redeemed == 3
    assert heard(site) == []


def test_what_the_answer_leaves_out_stays(site):
    """A provider that does not rotate (RFC 6749 section 6)."""
    with wire(
        saying(answer(b'{"access_token": "new"}', content_type="application/json"))
    ) as server:
        flow = flow_for("oauth2", site.root, token_url=f"{server.url}/token")
        fresh = flow.refresh(
            AccessToken("old", refresh_token="stays", scope="a b", expires_at=1), CALLBACK
        )
        (request,) = server.requests
    assert fresh == AccessToken("new", refresh_token="stays", scope="a b")
    assert request.body.endswith(
        "refresh_token=stays&redirect_uri=http%3A%2F%2F127.0.0.1%3A9%2Foauth%2Faccess_token"
    )
    assert request.body.startswith("grant_type=refresh_token&client_id=")


def test_neither_protocol_refreshes_without_a_refresh_token(root):
    for protocol in ("oauth1", "oauth2"):
        with pytest.raises(InvalidGrant):
            flow_for(protocol, root).refresh(AccessToken("t"))


class TimeOfTheTest:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self._now = 0.0

    def monotonic(self):
        return self._now

    def sleep(self, seconds):
        self._now += seconds


# Many at once


@pytest.mark.threat(38)
def test_threat_38_of_many_threads_one_redeems(site):
    for lap in range(1, 4):
        site.sandbox.expire()
        flow = site.with_habit("jitter=0.1")

        def call(_, flow=flow):
            with site.session(flow) as session:
                return session.me().username

        with ThreadPoolExecutor(16) as threads:
            assert [*threads.map(call, range(16))] == ["joe"] * 16
        assert site.redeemed == lap
    assert heard(site) == []


@pytest.mark.threat(38)
@pytest.mark.slow
def test_threat_38_of_many_processes_one_redeems(forking_site):
    site = forking_site
    for lap in range(1, 4):
        site.outdate()
        flow = site.with_habit("jitter=0.1")
        answers = in_processes(8, lambda number, flow=flow: site.session(flow).me().username)
        assert answers == ["joe"] * 8
        assert site.redeemed == lap


def test_a_crashed_holder_is_waited_for_no_longer_than_its_lease(site):
    site.outdate()
    assert site.store.lease("one", "crashed", 1)
    begun = time.monotonic()
    with site.session() as session:
        assert session.me().username == "joe"
    assert 0.8 < time.monotonic() - begun < 1 + SLACK


def test_a_holder_that_never_ends_is_a_typed_error(site):
    site.outdate()
    assert site.store.lease("one", "endless", 60)
    time_of_the_test = TimeOfTheTest()
    refresher = Refresher(
        site.store,
        site.with_habit(timeout=0.2),
        monotonic=time_of_the_test.monotonic,
        sleep=time_of_the_test.sleep,
    )
    with pytest.raises(ConnectionBusy):
        refresher.refresh(site.stored)
    assert 0.2 + GRACE + GRACE < time_of_the_test.monotonic() < 0.2 + GRACE + GRACE + 1
    assert site.sandbox.counts["refresh"] == 0


def test_a_valid_token_serves_while_the_provider_is_down(site):
    stored = site.stored
    now = int(time.time())
    token = replace(stored.token, expires_at=now + 30)  # it needs a refresh, but has not expired
    site.store.save(replace(stored, token=token, obtained_at=now - 3600))
    with site.session(site.with_habit("status=503")) as session:
        assert session.me().username == "joe"
    assert site.sandbox.counts["refresh"] == 1


# What was lost


@pytest.mark.threat(35)
def test_threat_35_a_refresh_token_is_not_redeemed_twice_by_one_call(site):
    """The answer is lost on the way, and nothing is sent again automatically."""
    site.outdate()
    with (
        site.session(site.with_habit("refresh-lost")) as session,
        pytest.raises(ProviderUnavailable) as caught,
    ):
        session.me()
    assert caught.value.outcome_unknown
    assert site.sandbox.counts["refresh"] == site.redeemed == 1
    assert site.stored.refreshing_since is not None


def test_an_answer_that_was_lost_is_reported_as_that(site):
    site.outdate()
    with (
        site.session(site.with_habit("refresh-lost")) as session,
        pytest.raises(ProviderUnavailable),
    ):
        session.me()
    site.pass_the_pause()
    for _ in range(2):
        with (
            pytest.raises(RefreshLost) as caught,
            site.session() as session,
        ):
            session.me()
        assert caught.value.code == "refresh_lost"
    assert heard(site) == [("one", "refresh_lost", RefreshLost)]
    assert site.sandbox.counts["refresh"] == 2


def test_half_an_answer_is_a_lost_one(site):
    site.outdate()
    with (
        site.session(site.with_habit("short")) as session,
        pytest.raises((ProviderError, ProviderUnavailable)),
    ):
        session.me()
    site.pass_the_pause()
    with site.session() as session, pytest.raises(RefreshLost):
        session.me()


@pytest.mark.parametrize("habit", ["garbage", "html", "status=504"])
def test_an_answer_that_cannot_be_read_may_have_held_a_token(site, habit):
    site.outdate()
    with (
        site.session(site.with_habit(habit)) as session,
        pytest.raises((ProviderError, ProviderUnavailable)) as caught,
    ):
        session.me()
    assert caught.value.outcome_unknown
    assert site.stored.refreshing_since is not None
    site.pass_the_pause()
    with site.session() as session:  # it was not used up, this time
        assert session.me().username == "joe"
    assert site.stored.refreshing_since is None


@pytest.mark.parametrize(("habit", "error"), [("429=1", RateLimited), ("html403", ProviderError)])
def test_a_refusal_that_used_nothing_up_leaves_no_mark(site, habit, error):
    site.outdate()
    with site.session(site.with_habit(habit)) as session, pytest.raises(error) as caught:
        session.me()
    assert not caught.value.outcome_unknown
    assert site.stored.refreshing_since is None
    site.sandbox.revoke()
    site.pass_the_pause()
    time.sleep(1.1)  # the pause of the client after a 429
    with site.session() as session, pytest.raises(ConnectionRevoked):
        session.me()


def test_a_provider_that_cannot_be_reached_leaves_no_mark(site):
    site.outdate()
    flow = flow_for("oauth2", site.root, token_url="http://127.0.0.1:9/token")
    with site.session(flow) as session, pytest.raises(ProviderUnavailable):
        session.me()
    assert site.stored.refreshing_since is None


@contextmanager
def killed_when(site, flow, condition):
    """Fork a process that refreshes, and kill it as soon as a condition holds."""
    pid = fork()
    if pid == 0:
        try:
            site.session(flow).me()
        finally:
            os._exit(0)
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    yield


@pytest.mark.slow
def test_a_process_that_is_killed_before_it_redeems_costs_nothing(forking_site):
    site = forking_site
    site.outdate()
    # The refresh token goes to a server that never answers.
    with socket.create_server(("127.0.0.1", 0)) as server:
        token_url = f"http://127.0.0.1:{server.getsockname()[1]}/token"
        transport = quick_transport(timeout=1.0)
        silent = flow_for("oauth2", site.root, token_url=token_url, transport=transport)
        with (
            killed_when(site, silent, lambda: site.stored.refreshing_since is not None),
            site.session() as session,
        ):
            begun = time.monotonic()
            assert session.me().username == "joe"
    assert time.monotonic() - begun < 1 + GRACE + SLACK  # the killed process's lease


@pytest.mark.slow
def test_a_process_that_is_killed_after_it_redeemed_is_reported(forking_site):
    site = forking_site
    site.outdate()
    # The answer takes seconds; the refresh token is used up at once.
    flow = site.with_habit("drip=0.01", timeout=2.0)
    with killed_when(site, flow, lambda: site.redeemed), site.session() as session:
        begun = time.monotonic()
        with pytest.raises(RefreshLost):
            session.me()
    assert time.monotonic() - begun < 2 + GRACE + SLACK
    assert heard(site) == [("one", "refresh_lost", RefreshLost)]


# What came between


def between(site, change, habit="slow=0.7"):
    """Refresh, and change the stored connection while the provider is answering."""
    site.outdate()
    with ThreadPoolExecutor(1) as thread, site.session(site.with_habit(habit)) as session:
        running = thread.submit(session.me)
        deadline = time.monotonic() + 5
        while site.stored.refreshing_since is None and time.monotonic() < deadline:
            time.sleep(0.01)
        change()
        return running.result()


def test_a_new_token_is_kept_although_the_lease_was_lost_and_the_row_written(site):
    def write():
        site.store.save(replace(site.stored, ended="refresh_lost"))

    assert between(site, write).username == "joe"
    assert (site.stored.ended, site.stored.refreshing_since) == ("", None)
    with site.session() as session:
        assert session.me().username == "joe"
    assert site.redeemed == 1


@pytest.mark.threat(38)
def test_threat_38_a_user_who_connected_again_meanwhile_is_not_revoked(site):
    newer = dance(site.flow)

    def reconnect():
        site.sandbox.revoke()
        site.store.save(replace(site.stored, token=token_of_a_new_grant(), refreshing_since=None))

    def token_of_a_new_grant():
        return dance(site.flow)

    assert between(site, reconnect).username == "joe"
    assert site.stored.token != newer
    assert site.stored.ended == ""
    assert heard(site) == []


@pytest.mark.threat(38)
def test_threat_38_what_a_user_who_connected_again_brought_is_not_written_over(site):
    """The refresh succeeds as well, but its token is that of the older grant."""
    newer = dance(site.flow)

    def reconnect():
        site.store.save(replace(site.stored, token=newer, refreshing_since=None))

    assert between(site, reconnect).username == "joe"
    assert site.redeemed == 1
    assert site.stored.token == newer
    assert heard(site) == []


class Overtaken:
    """A store in which somebody else refreshes just before a lease is given."""

    def __init__(self, store, refresh):
        self._store = store
        self._refresh = refresh

    def __getattr__(self, name):
        return getattr(self._store, name)

    def lease(self, id, owner, seconds):
        refresh, self._refresh = self._refresh, None
        if refresh is not None:
            refresh()
        return self._store.lease(id, owner, seconds)


@pytest.mark.threat(38)
def test_threat_38_who_gets_the_lease_looks_again_before_anything_is_redeemed(site):
    stale = site.outdate()
    fresh = []

    def overtake():
        fresh.append(Refresher(site.store, site.flow).refresh(stale))

    late = Refresher(Overtaken(site.store, overtake), site.flow)
    assert late.refresh(stale).token == fresh[0].token == site.stored.token
    assert site.redeemed == 1


def test_a_connection_that_was_deleted_meanwhile_stays_deleted(site):
    with pytest.raises(NotConnected):
        between(site, lambda: site.store.delete("one"))
    with pytest.raises(NotConnected):
        site.store.load("one")
    assert heard(site) == []


class Interrupted:
    """A store whose next saves of a fresh token fail, as if its database was restarting."""

    def __init__(self, store, failures):
        self._store = store
        self.failures = failures

    def __getattr__(self, name):
        return getattr(self._store, name)

    def save(self, connection):
        if connection.refreshing_since is None and self.failures:
            self.failures -= 1
            raise StoreUnavailable("away")
        return self._store.save(connection)


def test_a_new_token_survives_a_restart_of_the_database(site):
    site.outdate()
    site.store = Interrupted(site.store, failures=3)
    refresher = Refresher(site.store, site.flow, sleep=TimeOfTheTest().sleep)
    fresh = refresher.refresh(site.stored)
    assert site.store.failures == 0
    assert site.stored == fresh
    with site.session() as session:
        assert session.me().username == "joe"
    assert site.redeemed == 1


def test_a_database_that_stays_away_is_told_after_a_while(site, caplog):
    site.outdate()
    site.store = Interrupted(site.store, failures=10**6)
    time_of_the_test = TimeOfTheTest()
    refresher = Refresher(
        site.store,
        site.flow,
        monotonic=time_of_the_test.monotonic,
        sleep=time_of_the_test.sleep,
    )
    with pytest.raises(StoreUnavailable):
        refresher.refresh(site.stored)
    assert GRACE < time_of_the_test.monotonic() < GRACE + 1
    assert "must connect again" in caplog.text


# Revocation


def test_what_the_user_took_back_is_told_once(site):
    site.sandbox.revoke()
    barrier = threading.Barrier(8)

    def call(_):
        with site.session() as session:
            barrier.wait()
            with pytest.raises(ConnectionRevoked):
                session.me()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(call, range(8)))
    assert heard(site) == [("one", "connection_revoked", ConnectionRevoked)]
    assert site.sandbox.counts["refresh"] == 1
    assert site.stored.ended == "connection_revoked"


def test_a_401_after_a_refresh_is_the_end(sandbox, root, store):
    site = Site(sandbox, root, store)
    stored = site.stored
    unwelcome = f"{root}/misbehave/unauthorized"
    site.store.save(replace(stored, api_url=unwelcome))
    flow = flow_for("oauth2", root, api_url=unwelcome)
    with site.session(flow) as session, pytest.raises(ConnectionRevoked):
        session.me()
    assert site.redeemed == 1
    assert heard(site) == [("one", "connection_revoked", ConnectionRevoked)]


def test_no_refresh_token_and_a_401_is_the_end_without_a_question(site):
    site.outdate(refresh_token=None)
    site.sandbox.expire()
    with site.session() as session, pytest.raises(ConnectionRevoked):
        session.me()
    assert site.sandbox.counts["refresh"] == 0


@pytest.mark.threat(52)
def test_52_the_clock_alone_does_not_end_a_token_that_came_meanwhile(site):
    site.outdate()
    with site.session() as session:
        # It has expired by this host's clock, which may be wrong.
        newer = replace(dance(site.flow), refresh_token=None, expires_at=1)
        site.store.save(replace(site.stored, token=newer))
        assert session.me().username == "joe"
    assert (site.stored.ended, heard(site)) == ("", [])


@pytest.mark.parametrize(
    "word", ["invalid_client", "invalid_request", "unauthorized_client", "something_new"]
)
def test_an_error_that_is_not_invalid_grant_ends_nothing_at_once(site, word):
    site.outdate()
    said = answer(
        f'{{"error": "{word}"}}'.encode(),
        status="401 Unauthorized",
        content_type="application/json",
    )
    with wire(saying(said)) as server:
        flow = flow_for("oauth2", site.root, token_url=f"{server.url}/token")
        with site.session(flow) as session, pytest.raises(ProviderError):
            session.me()
    assert (site.stored.ended, site.stored.refreshing_since, heard(site)) == ("", None, [])


def test_short_lives_are_refreshed_as_often_as_they_end(store):
    sandbox = Sandbox(access_token_lifetime=1)
    with serve(sandbox) as server:
        site = Site(sandbox, server.url, store)
        with site.session() as session:
            for _ in range(3):
                session.me()
                time.sleep(1)
            session.me()
    assert 2 <= site.redeemed <= 4
