"""Tokens that another library has kept are taken over: refreshed once, and never lost."""

import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from support.flows import CALLBACK, CLIENT, dance, flow_for, quick_transport
from support.processes import in_processes
from support.reporter import walked
from support.stores import KINDS, POSTGRESQL, SQLITE_FILE
from support.wire import answer, saying, wire

from scconnect_wsgi import OAuth2, OAuth2Provider
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.encryption import Encryption
from scconnect_wsgi.errors import (
    ConfigurationError,
    ConnectError,
    ConnectionRevoked,
    NotConnected,
    NotSignedIn,
    ProviderError,
    ProviderUnavailable,
    StoreUnavailable,
)
from scconnect_wsgi.sandbox import Sandbox, serve
from scconnect_wsgi.stores import Store
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken

JOE = "soundcloud:users:743372812"
AN_HOUR_AGO = 3600


class Site:
    """A site that moves in: its store is empty, and another library has kept joe's token."""

    def __init__(self, sandbox, root, store, protocol="oauth2"):
        self.sandbox = sandbox
        self.flow = flow_for(protocol, root, transport=quick_transport(timeout=5.0))
        self.store = store
        self.connections = Connections(self.flow, store)

    def row(self, **changes):
        """Return a token of another library, which has expired."""
        token = dance(self.flow)
        self.sandbox.expire()
        fields = {"expires_at": int(time.time()) - AN_HOUR_AGO, **changes}
        return AccessToken(token.token, refresh_token=token.refresh_token, **fields)

    def stored(self):
        return self.store.all("", 100)

    def redeemed(self):
        return self.sandbox.counts["redeemed"]

    def works(self, connection, user="joe"):
        return self.connections.session(connection.id, user=user).me().username == "joe"


@pytest.fixture
def site(sandbox, root):
    return Site(sandbox, root, SQLStore("sqlite://"))


@pytest.mark.parametrize("make_store", KINDS)
def test_an_expired_token_is_refreshed_once_and_stored(sandbox, root, make_store, tmp_path):
    site = Site(sandbox, root, make_store(tmp_path))
    row = site.row()
    adopted = site.connections.adopt(row, user="joe", callback_url=CALLBACK)
    assert (adopted.user, adopted.account.urn, adopted.callback_url) == ("joe", JOE, CALLBACK)
    assert adopted.token.token != row.token
    assert adopted.token.expires_at > time.time() + 3000
    assert abs(adopted.obtained_at - time.time()) < 60
    assert site.stored() == [adopted]
    assert site.works(adopted)
    # Again, and after the new token was refreshed as well
    assert site.connections.adopt(row, user="joe") == adopted
    sandbox.expire()
    assert site.works(adopted)
    assert site.redeemed() == 2
    again = site.connections.adopt(row, user="joe")
    assert again == site.store.load(adopted.id)
    assert again.token != adopted.token
    assert site.works(again)
    assert site.redeemed() == 2
    assert len(site.stored()) == 1


@pytest.mark.parametrize(
    "extra",
    [{"a": (1, 2)}, {1: 2}, {"a": {"b": ()}}, {"a": float("nan")}, {"a": {1, 2}}, {"a": b""}],
    ids=["tuple", "number as a name", "empty tuple", "NaN", "set", "bytes"],
)
def test_what_stands_beside_the_token_may_have_any_form(site, extra):
    row = site.row(expires_at=None, extra=extra)
    assert site.works(site.connections.adopt(row, user="joe"))
    assert site.redeemed() == 1


@pytest.mark.parametrize(
    "read",
    [{"extra": {"expires_in": -3}}, {"scope": "all"}, {"expires_at": int(time.time()) + 99}],
    ids=["a lifetime", "a scope", "an end"],
)
@pytest.mark.slow
def test_a_row_that_is_read_in_another_way_after_a_failure_is_refreshed(site, read):
    row = site.row(expires_at=None)
    site.sandbox.misbehave("status=503")
    with pytest.raises(ProviderUnavailable):
        site.connections.adopt(row, user="joe")
    (waiting,) = site.stored()
    # The pause is over, and whoever began that refresh has its answer
    began = waiting.refreshing_since - AN_HOUR_AGO
    site.store.save(replace(waiting, failed_refresh=None, refreshing_since=began))
    site.sandbox.misbehave()
    assert site.works(site.connections.adopt(replace(row, **read), user="joe"))
    assert site.redeemed() == 1


def test_it_is_the_connection_that_the_button_would_make(site):
    adopted = site.connections.adopt(site.row(), user="joe")
    connected = site.connections.connect(dance(site.flow), user="joe")
    assert connected.id == adopted.id
    assert len(site.stored()) == 1


@pytest.mark.parametrize("expires_at", [None, int(time.time()) + 10**6], ids=["unknown", "later"])
def test_a_token_with_a_refresh_token_is_refreshed_whatever_its_row_says(site, expires_at):
    row = site.row(expires_at=expires_at)  # whose access token has expired all the same
    assert site.works(site.connections.adopt(row, user="joe"))
    assert site.redeemed() == 1


@pytest.mark.threat(38)
@pytest.mark.parametrize("again", [False, True], ids=["at once", "and again"])
def test_threat_38_of_many_threads_one_redeems(tmp_path, again):
    sandbox = Sandbox()
    with serve(sandbox) as server:
        root = f"{server.url}/misbehave/jitter=0.05"
        site = Site(sandbox, root, SQLStore(f"sqlite:///{tmp_path}/x.sqlite3"))
        row = site.row()
        barrier = threading.Barrier(8)

        def adopt(number):
            barrier.wait()
            return Connections(site.flow, site.store).adopt(row, user="joe")

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(adopt, range(8)))
            if again:
                found += pool.map(adopt, range(8))
        assert {connection.id for connection in found} == {found[0].id}
        assert site.redeemed() == 1
        assert site.stored() == [site.store.load(found[0].id)]
        assert site.works(found[0])


@pytest.mark.slow
@pytest.mark.threat(38)
@pytest.mark.parametrize("make_store", [SQLITE_FILE, POSTGRESQL])
@pytest.mark.parametrize("account", [None, 743372812], ids=["unknown", "known"])
def test_threat_38_of_many_processes_one_redeems(sandbox_process, make_store, account, tmp_path):
    store = make_store(tmp_path)
    flow = flow_for("oauth2", f"{sandbox_process.url}/misbehave/jitter=0.05")
    token = dance(flow)
    row = AccessToken(token.token, refresh_token=token.refresh_token, expires_at=1)
    store.close()
    before = sandbox_process.counts().get("redeemed", 0)

    def adopt(number):
        connections = Connections(flow, store)
        adopted = connections.adopt(row, user="joe", account=account)
        return [adopted.id, connections.session(adopted.id, user="joe").me().username]

    results = in_processes(6, adopt)
    assert {tuple(result) for result in results} == {(results[0][0], "joe")}
    assert sandbox_process.counts()["redeemed"] == before + 1
    assert [connection.user for connection in store.all("", 100)] == ["joe"]


class Slow:
    """A store in which one call of a thread lasts until the test goes on."""

    def __init__(self, store, stops):
        self._store = store
        self._stops = stops  # (thread, method, how many calls of it before) -> two Events
        self._calls = Counter()

    def __getattr__(self, name):
        method = getattr(self._store, name)
        if not callable(method) or name.startswith("_"):
            return method

        def call(*arguments):
            key = (threading.current_thread().name, name)
            reached, goes_on = self._stops.get((*key, self._calls[key]), (None, None))
            self._calls[key] += 1
            if reached is not None:
                reached.set()
                assert goes_on.wait(30)
            return method(*arguments)

        return call


@pytest.mark.threat(38)
def test_threat_38_a_token_that_is_kept_again_is_not_redeemed_again(site):
    """Late begins, and is slow; early is about to refresh, and is slow; then the third is quick."""
    looked, early_ready, done, kept_again, end = (threading.Event() for _ in range(5))
    stops = {
        ("early", "load", 0): (early_ready, kept_again),
        ("late", "save", 0): (looked, done),
        ("late", "load", 0): (kept_again, end),
    }
    row = site.row()
    connections = Connections(site.flow, Slow(site.store, stops))
    found = {}

    def adopt():
        found[threading.current_thread().name] = connections.adopt(row, user="joe")

    threads = {name: threading.Thread(target=adopt, name=name) for name in ("early", "late")}
    threads["early"].start()
    assert early_ready.wait(30)
    threads["late"].start()
    assert looked.wait(30)
    adopted = site.connections.adopt(row, user="joe")
    done.set()
    threads["early"].join(30)
    end.set()
    threads["late"].join(30)
    assert found == {"early": adopted, "late": adopted}
    assert site.sandbox.counts["refresh"] == 1
    assert site.stored() == [adopted]


# What fails


class Failing:
    """A store that cannot be reached at one of the calls: before it was done, or after it."""

    def __init__(self, store, at=0, *, done=False, error=StoreUnavailable):
        self._store = store
        self._at = at
        self._done = done
        self._error = error
        self.calls = 0

    def __getattr__(self, name):
        method = getattr(self._store, name)
        if not callable(method) or name.startswith("_"):
            return method

        def call(*arguments):
            self.calls += 1
            fails = self.calls == self._at
            if fails and not self._done:
                raise self._error("The test's store is out of reach.")
            result = method(*arguments)
            if fails:
                raise self._error("The test's store is out of reach.")
            return result

        return call


class Killed(BaseException):
    """The end of a process, as far as the code that runs can tell."""


@pytest.mark.slow
@pytest.mark.threat(53)
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [StoreUnavailable, pytest.param(Killed, marks=pytest.mark.slow)])
def test_threat_53_a_failure_at_any_step_of_the_store_loses_no_token(site, done, error):
    counting = Failing(site.store)
    Connections(site.flow, counting).adopt(site.row(), user="joe")
    steps = counting.calls
    assert steps > 10
    lost = []
    for step in range(1, steps + 1):
        for stored in site.stored():
            site.store.delete(stored.id)
        row = site.row()
        before = site.redeemed()
        failing = Failing(site.store, step, done=done, error=error)
        with suppress(ConnectError, Killed):
            Connections(site.flow, failing).adopt(row, user="joe")
        try:
            adopted = site.connections.adopt(row, user="joe")
        except NotConnected:
            lost.append(step)
            continue
        assert site.works(adopted)
        assert site.stored() == [adopted]
        assert site.redeemed() == before + 1
    # A process that is killed between the answer and the store is the one loss there can be
    assert len(lost) <= (error is Killed)


@pytest.mark.threat(53)
def test_threat_53_a_provider_that_fails_after_the_refresh_loses_no_token(site):
    row = site.row()
    site.sandbox.misbehave("unauthorized")  # /me, not the token endpoint
    for _ in range(2):
        with pytest.raises(ProviderError):
            site.connections.adopt(row, user="joe")
    assert site.redeemed() == 1
    # Nobody finds what is kept meanwhile
    assert site.connections.of_user("joe") == site.connections.of_user("") == []
    assert list(site.connections.all()) == []
    (waiting,) = site.stored()
    assert not site.connections.shared(waiting)
    with pytest.raises(NotConnected):
        site.connections.session(waiting.id, user="joe")
    site.sandbox.misbehave()
    assert site.works(site.connections.adopt(row, user="joe"))
    assert site.redeemed() == 1
    assert len(site.stored()) == 1


def test_what_is_kept_is_encrypted_and_its_id_says_nothing(sandbox, root, tmp_path):
    path = tmp_path / "x.sqlite3"
    encryption = Encryption("a key that is as long as keys have to be")
    site = Site(sandbox, root, SQLStore(f"sqlite:///{path}", encryption=encryption))
    row = site.row()
    sandbox.misbehave("unauthorized")
    with pytest.raises(ProviderError) as caught:
        site.connections.adopt(row, user="joe")
    for secret in (row.token, row.refresh_token):
        assert secret.encode() not in path.read_bytes()
        assert secret not in walked(caught.value)
    sandbox.misbehave()
    assert site.works(site.connections.adopt(row, user="joe"))


def test_a_provider_that_is_down_uses_nothing_up(site):
    row = site.row()
    site.sandbox.misbehave("status=503")
    with pytest.raises(ProviderUnavailable):
        site.connections.adopt(row, user="joe")
    assert site.redeemed() == 0
    (waiting,) = site.stored()
    assert (waiting.user, waiting.token) == ("", row)


def test_a_refused_token_ends_in_a_typed_error_each_time_and_nothing_is_kept(site):
    row = site.row()
    site.sandbox.revoke()
    for attempt in (1, 2):
        with pytest.raises(ConnectionRevoked):
            site.connections.adopt(row, user="joe")
        assert site.stored() == []
        assert site.sandbox.counts["refresh"] == attempt


def test_a_lost_answer_is_asked_for_again(site):
    row = site.row()
    site.sandbox.misbehave("refresh-lost")
    with pytest.raises(ConnectError):
        site.connections.adopt(row, user="joe")
    (waiting,) = site.stored()
    assert waiting.refreshing_since is not None


# Tokens without a refresh token


def test_a_token_that_does_not_expire_is_stored_as_it_is(site):
    token = dance(site.flow)
    row = AccessToken(token.token, scope="non-expiring")
    adopted = site.connections.adopt(row, user="joe")
    assert (adopted.token, adopted.account.urn) == (row, JOE)
    assert site.stored() == [adopted]
    assert site.works(adopted)
    assert site.connections.adopt(row, user="joe") == adopted
    assert site.redeemed() == 0


def test_such_a_token_does_not_replace_a_connection_that_works(site):
    row = AccessToken(dance(site.flow).token)
    connected = site.connections.connect(dance(site.flow), user="joe")
    assert site.connections.adopt(row, user="joe") == connected
    site.connections.disconnect(connected.id, user="joe")
    other = AccessToken(dance(site.flow).token)
    assert site.connections.adopt(other, user="joe").token == other


def test_such_a_token_that_works_no_more_is_a_typed_error(site):
    row = site.row()
    dead = AccessToken(row.token)
    with pytest.raises(ProviderError, match="401"):
        site.connections.adopt(dead, user="joe")
    before = dict(site.sandbox.counts)
    with pytest.raises(ConnectionRevoked, match="no refresh token"):
        site.connections.adopt(AccessToken(row.token, expires_at=1), user="joe")
    assert dict(site.sandbox.counts) == before
    assert site.stored() == []


def test_a_token_of_oauth_1_is_adopted(sandbox, root):
    site = Site(sandbox, root, SQLStore("sqlite://"), "oauth1")
    token = dance(site.flow)
    adopted = site.connections.adopt(AccessToken(token.token, token.token_secret), user="joe")
    assert adopted.account.urn == JOE
    assert site.works(adopted)


# Whose it is


@pytest.mark.parametrize("account", [743372812, "743372812", JOE])
def test_an_account_is_known_by_its_number_or_its_urn(site, account):
    adopted = site.connections.adopt(site.row(), user="joe", account=account)
    assert adopted.account.urn == JOE
    # Another token of the same account: the connection that works is returned, nobody is asked
    other = site.row()
    before = dict(site.sandbox.counts)
    assert site.connections.adopt(other, user="joe", account=account) == adopted
    assert dict(site.sandbox.counts) == before
    assert site.connections.adopt(site.row(), user="ann", account=account).user == "ann"


@pytest.mark.parametrize("account", [743372813, "743372813", f"{JOE}3", "43372812", "joe", 2])
def test_another_account_is_refused_and_its_token_is_kept(site, account):
    row = site.row()
    with pytest.raises(ProviderError, match="another account"):
        site.connections.adopt(row, user="joe", account=account)
    assert site.connections.of_user("joe") == []
    assert site.works(site.connections.adopt(row, user="joe", account=JOE))
    assert site.redeemed() == 1


def test_soundclouds_numbers_are_urns():
    """A site that knows an account as 5 adopts soundcloud:users:5, which /me may give as 5 only."""
    from scconnect_wsgi.connections._accounts import account_from
    from scconnect_wsgi.connections._adopt import is_account

    for me in ({"urn": "soundcloud:users:5"}, {"id": 5}, {"id": 5, "urn": None}):
        urn = account_from(me, "https://api.soundcloud.com").urn
        for given in (5, "5", "soundcloud:users:5"):
            assert is_account(given, urn)
        for given in (15, "05", "users:5", "soundcloud:users:15", ":5", ""):
            assert not is_account(given, urn)
    assert not is_account("", "")
    assert not is_account(5, "")


def test_the_user_may_be_the_account(site):
    row = site.row()
    adopted = site.connections.adopt(row, user=None, account=743372812)
    assert adopted.user == f"{site.flow.provider.api_url}#{JOE}"
    assert site.connections.adopt(row, user=None) == adopted
    assert site.redeemed() == 1


def test_a_provider_that_does_not_say_whose_it_is():
    body = b'{"access_token": "new", "refresh_token": "newer", "expires_in": 3600}'
    granted = answer(body, content_type="application/json")
    missing = answer(b"{}", status="404 Not Found")

    def talk(connection):
        while request := connection.request():
            connection.send(granted if request.line.startswith("POST") else missing)

    with wire(talk) as server:
        provider = OAuth2Provider(f"{server.url}/a", f"{server.url}/t", api_url=server.url)
        store = SQLStore("sqlite://")
        flow = OAuth2(*CLIENT, provider=provider, transport=quick_transport())
        connections = Connections(flow, store)
        row = AccessToken("old", refresh_token="older", expires_at=1)
        adopted = connections.adopt(row, user="joe")
        assert connections.adopt(row, user="joe") == adopted
        assert store.all("", 10) == [adopted]
        lines = [request.line.split()[0] for request in server.requests]
        assert lines == ["POST", "GET"]


def test_a_token_is_adopted_for_one_user(site):
    row = site.row()
    site.connections.adopt(row, user="joe")
    with pytest.raises(NotConnected, match="another user"):
        site.connections.adopt(row, user="ann")
    assert site.connections.of_user("ann") == []


def test_a_connection_that_was_deleted_since_does_not_come_back(site):
    row = site.row()
    adopted = site.connections.adopt(row, user="joe")
    site.connections.disconnect(adopted.id, user="joe")
    with pytest.raises(NotConnected, match="deleted since"):
        site.connections.adopt(row, user="joe")
    assert site.stored() == []
    assert site.redeemed() == 1
    connected = site.connections.connect(dance(site.flow), user="joe")
    assert site.connections.adopt(row, user="joe") == connected


def test_a_connection_of_the_button_that_was_deleted_since_does_not_come_back(site):
    row = site.row()
    connected = site.connections.connect(dance(site.flow), user="joe")
    assert site.connections.adopt(row, user="joe", account=JOE) == connected
    site.connections.disconnect(connected.id, user="joe")
    for account in (JOE, None):
        with pytest.raises(NotConnected, match="deleted since"):
            site.connections.adopt(row, user="joe", account=account)
    assert site.stored() == []
    assert site.redeemed() == 0


def test_a_connection_that_ended_since_says_so(site):
    row = site.row()
    adopted = site.connections.adopt(row, user="joe")
    site.sandbox.revoke()
    with pytest.raises(ConnectionRevoked):
        site.connections.session(adopted.id, user="joe").me()
    before = dict(site.sandbox.counts)
    with pytest.raises(ConnectionRevoked):
        site.connections.adopt(row, user="joe")
    assert dict(site.sandbox.counts) == before


@pytest.mark.parametrize("user", ["", " ", "None"])
def test_nobody_adopts_nothing(site, user):
    with pytest.raises(NotSignedIn):
        site.connections.adopt(AccessToken("t", refresh_token="r", expires_at=1), user=user)
    assert site.stored() == []


def test_a_wrong_type_is_refused_before_anything_is_spent(site):
    token = AccessToken("t", refresh_token="r", expires_at=1)
    wrong: list[tuple[Any, Any, type[Exception]]] = [
        (token, {"user": 5}, TypeError),
        (token, {"user": "joe", "account": True}, TypeError),
        (token, {"user": "joe", "account": 5.0}, TypeError),
        (token, {"user": "joe", "account": b"5"}, TypeError),
        (token, {"user": "joe", "account": ""}, ValueError),
        ("t", {"user": "joe"}, TypeError),
        ({"access_token": "t"}, {"user": "joe"}, TypeError),
        (SimpleNamespace(token="t", token_secret="r"), {"user": "joe"}, TypeError),
    ]
    before = dict(site.sandbox.counts)
    for given, options, error in wrong:
        with pytest.raises(error):
            site.connections.adopt(given, **options)
    assert dict(site.sandbox.counts) == before
    assert site.stored() == []


def test_a_store_that_cannot_claim_is_told_before_anything_is_spent(site):
    class Old(Store):
        """A store of the site's own, which has the empty methods of the protocol."""

        def of_user(self, user):
            return []

    connections = Connections(site.flow, Old())  # type: ignore[abstract]
    with pytest.raises(ConfigurationError, match="claim"):
        connections.adopt(site.row(), user="joe")
    assert site.sandbox.counts.get("refresh", 0) == 0


def test_two_providers_keep_their_own(site):
    """The same refresh token at two providers, as an attacker would write it into a row."""
    me = answer(json.dumps({"urn": "x"}).encode(), content_type="application/json")
    with wire(saying(me)) as server:
        provider = OAuth2Provider(f"{server.url}/a", f"{server.url}/t", api_url=server.url)
        other = Connections(OAuth2(*CLIENT, provider=provider), site.store)
        row = site.row()
        with pytest.raises(ProviderError):  # it grants nothing
            other.adopt(row, user="joe")
        assert site.works(site.connections.adopt(row, user="joe"))
