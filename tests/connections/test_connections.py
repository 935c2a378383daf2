"""From the click to the API, and to disconnecting: Connections around a site, over real sockets."""

import enum
import json
import sqlite3
import threading
import tracemalloc
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from types import SimpleNamespace
from wsgiref.validate import validator

import pytest
import requests
from django.utils.functional import SimpleLazyObject
from markupsafe import Markup
from support import stores
from support.browser import ARRIVAL, Browser
from support.flows import CALLBACK, CLIENT, dance, flow_for, nobody_asked, quick_transport
from support.responses import landed, query
from support.site import KEY, Mounted, page_of_the_site
from support.stores import KEYS, SQLITE_FILE, SQLITE_MEMORY
from support.wire import wire

from scconnect_wsgi import OAuth2, OAuth2Provider, SCConnect
from scconnect_wsgi.account import Account
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.encryption import Encryption
from scconnect_wsgi.errors import (
    ConfigurationError,
    ConnectionRevoked,
    KeyRemoved,
    NotConnected,
    NotSignedIn,
    ProviderError,
    ProviderUnavailable,
    StorageFailed,
    StoreUnavailable,
)
from scconnect_wsgi.sandbox import serve
from scconnect_wsgi.stores import Connection, Store
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken

HERE = {"Sec-Fetch-Site": "same-origin"}


def identify(request):
    return request.cookies.get("user") or None


@pytest.fixture(params=[SQLITE_FILE, SQLITE_MEMORY])
def store(request, tmp_path):
    with closing(request.param(tmp_path)) as store:
        yield store


@pytest.fixture
def lost():
    return []


@pytest.fixture
def flow(root):
    return flow_for("oauth2", root)


@pytest.fixture
def connections(flow, store, lost):
    return Connections(flow, store, identify=identify, on_lost=lambda *heard: lost.append(heard))


@contextmanager
def running(connections, flow, prefix="", identify=identify):
    site = SCConnect(
        page_of_the_site,
        flow,
        secret_key=KEY,
        store_token=connections.store_token,
        identify=identify,
    )
    app = validator(connections.serving(site))
    with serve(Mounted(app, prefix) if prefix else app) as server:
        url = server.url.replace("127.0.0.1", "localhost") + prefix
        yield SimpleNamespace(url=url, start=f"{url}/oauth/request_token")


@contextmanager
def signed_in(user):
    with Browser() as browser:
        browser.session.cookies.set("user", user, domain="localhost.local")
        yield browser


def connected(site, user, account="joe"):
    with signed_in(user) as browser:
        return landed(browser.get(browser.decide(browser.click(site), user=account), **ARRIVAL))


# The flow


@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
def test_a_flow_ends_with_a_connection_that_calls_the_api(protocol, root, store):
    flow = flow_for(protocol, root)
    connections = Connections(flow, store, identify=identify)
    with running(connections, flow) as site:
        fields = connected(site, "user-7")
    assert fields == {"oauth_token_id": fields["oauth_token_id"], "username": "joe"}
    with connections.session(fields["oauth_token_id"], user="user-7") as session:
        assert session.me().urn == "soundcloud:users:743372812"
        assert len([*session.collection("/me/tracks", limit=2)]) == 5
    (stored,) = connections.of_user("user-7")
    assert stored.callback_url == f"{site.url}/oauth/access_token"
    assert (stored.account.name, stored.api_url) == ("Joe Sample", root)


def test_a_refresh_says_the_callback_url_again(connections, flow, sandbox):
    with running(connections, flow) as site:
        id = connected(site, "u")["oauth_token_id"]
    sandbox.expire()
    assert connections.session(id, user="u").me().username == "joe"
    assert sandbox.counts["redeemed"] == 1


def test_nobody_who_is_not_signed_in_connects(connections, flow):
    with running(connections, flow) as site, Browser() as browser:
        assert landed(browser.get(site.start))["error"] == "not_signed_in"


def test_an_identify_that_gives_a_number_is_told(flow, store):
    connections = Connections(flow, store, identify=lambda request: 7)  # type: ignore[arg-type,return-value]
    with pytest.raises(StorageFailed, match="identify must return a string, not int"):
        connections.store_token(AccessToken("t"), None)


def test_connections_of_a_worker_know_nobody_who_is_signed_in(flow, store):
    connections = Connections(flow, store)
    with pytest.raises(StorageFailed, match="identify"):
        connections.store_token(AccessToken("t"), None)
    with pytest.raises(ConfigurationError, match="identify was not given to Connections"):
        connections.serving(page_of_the_site)
    assert connections.of_user("joe") == []


def test_a_settings_page_lists_the_connections_that_have_ended_too(flow, store, sandbox):
    connections = Connections(flow, store)
    connection = connections.connect(dance(flow), user="joe")
    of_another_api = replace(connection, id="x", api_url="https://other.example", version=0)
    store.save(of_another_api)
    sandbox.revoke()
    with pytest.raises(ConnectionRevoked):
        connections.session(connection.id, user="joe").me()
    assert connections.of_user("joe") == []
    (found,) = connections.of_user("joe", ended=True)
    assert (found.id, found.ended) == (connection.id, "connection_revoked")
    assert connections.of_user("ann", ended=True) == connections.of_user("", ended=True) == []
    connections.disconnect(found.id, user="joe")
    assert connections.of_user("joe", ended=True) == []


def test_a_worker_needs_no_identify(flow, store, sandbox):
    connections = Connections(flow, store)
    connection = connections.connect(dance(flow), user="joe")
    assert connections.of_user("joe") == [*connections.all()] == [connection]
    assert not connections.shared(connection)
    sandbox.expire()
    assert connections.session(connection.id, user="joe").me().username == "joe"
    connections.disconnect(connection.id, user="joe")
    assert [*connections.all()] == []
    by_account = connections.connect(dance(flow), user=None)
    assert connections.of_user(by_account.user) == [by_account]


@pytest.mark.parametrize("base", [object, Store], ids=["without", "with an empty one"])
def test_a_store_that_cannot_list_everything_is_told(flow, base):
    class Own(base):  # type: ignore[misc,valid-type]
        def of_user(self, user):
            return []

    with pytest.raises(ConfigurationError, match="store has no method all"):
        next(Connections(flow, Own()).all())


NAMES_OF_NOBODY = [
    "",
    " ",
    "\t",
    "\u2003",
    "None",
    " None ",
    "AnonymousUser",
    "\u200b",
]  # str(None) is what str(user.id) may be


@pytest.mark.threat(48)
@pytest.mark.parametrize("name", NAMES_OF_NOBODY, ids=repr)
def test_threat_48_a_visitor_without_a_name_is_nobody(flow, store, name):
    def identify(request):
        return name

    connections = Connections(flow, store, identify=identify)
    with running(connections, flow, identify=identify) as site, signed_in("joe") as browser:
        assert landed(browser.get(site.start))["error"] == "not_signed_in"
        assert store.of_user(name) == []
        store.save(
            Connection(
                "an id", name, flow.provider.api_url, AccessToken("t"), 1, Account(urn="urn:1")
            )
        )
        answer = browser.get(f"{site.url}/sc-connect/connections.json", **HERE)
        assert (answer.status_code, answer.json()) == (401, {"connected": False, "connections": []})
        answer = browser.post(
            f"{site.url}/sc-connect/disconnect", {"oauth_token_id": "an id"}, **HERE
        )
        assert answer.status_code == 401
    assert connections.of_user(name) == []
    with pytest.raises(NotConnected):
        connections.session("an id", user=name)
    with pytest.raises(NotConnected):
        connections.disconnect("an id", user=name)
    assert len(store.of_user(name)) == 1


@pytest.mark.threat(48)
@pytest.mark.parametrize("name", NAMES_OF_NOBODY, ids=repr)
def test_threat_48_nothing_is_kept_for_a_user_without_a_name(connections, sandbox, store, name):
    with nobody_asked(sandbox), pytest.raises(NotSignedIn, match="Nobody is signed in"):
        connections.connect(AccessToken("t"), user=name)
    assert store.of_user(name) == []


ASKED = {
    "session": lambda connections, user: connections.session("no such id", user=user),
    "disconnect": lambda connections, user: connections.disconnect("no such id", user=user),
    "of_user": lambda connections, user: connections.of_user(user),
    "connect": lambda connections, user: connections.connect(AccessToken("t"), user=user),
}
NO_STRINGS = [7, 0, b"u", uuid.UUID(int=7)]


@pytest.mark.threat(48)
@pytest.mark.parametrize(
    ("ask", "user"),
    # For connect, None has a meaning of its own: the account itself is the user.
    [
        (ask, user)
        for ask in ASKED
        for user in [*NO_STRINGS, None]
        if (ask, user) != ("connect", None)
    ],
    ids=repr,
)
def test_threat_48_a_user_that_is_no_string_is_told(connections, sandbox, ask, user):
    words = f"user must be a string, not {type(user).__name__}"
    with nobody_asked(sandbox), pytest.raises(TypeError, match=words):
        ASKED[ask](connections, user)


@pytest.mark.threat(48)
@pytest.mark.parametrize("ask", ASKED)
@pytest.mark.parametrize("user", ["u\x00", "u\ud800"], ids=ascii)
def test_threat_48_a_user_whom_no_database_keeps_is_told(connections, sandbox, ask, user):
    with (
        nobody_asked(sandbox),
        pytest.raises(TypeError, match="user must be a string that databas"),
    ):
        ASKED[ask](connections, user)


class Name(str, enum.Enum):  # noqa: UP042  # as sites wrote it before StrEnum
    JOE = "joe"


@pytest.mark.threat(48)
@pytest.mark.parametrize("user", [Name.JOE, Markup("joe"), SimpleLazyObject(lambda: "joe")])
@pytest.mark.parametrize("kind", stores.KINDS)
def test_48_a_user_is_the_same_one_in_whatever_class_the_string_has(flow, kind, tmp_path, user):
    with closing(kind(tmp_path)) as store:
        connections = Connections(flow, store, identify=lambda request: user)
        token = dance(flow)
        connection = connections.connect(token, user=user)
        assert type(connection.user) is str
        assert connections.connect(token, user="joe").id == connection.id
        for name in (user, "joe"):
            assert [found.id for found in connections.of_user(name)] == [connection.id]
            assert connections.session(connection.id, user=name).me().username == "joe"
        with (
            running(connections, flow, identify=lambda request: user) as site,
            Browser() as browser,
        ):
            listed = browser.get(f"{site.url}/sc-connect/connections.json", **HERE).json()
            assert [shown["oauth_token_id"] for shown in listed["connections"]] == [connection.id]
            back = browser.decide(browser.click(site), user="ann")
            assert landed(browser.get(back, **ARRIVAL))["username"] == "ann"
        assert len(connections.of_user("joe")) == 2
        connections.disconnect(connection.id, user=user)


@pytest.mark.threat(48)
@pytest.mark.parametrize("user", [7, b"u", True, "u\x00", "\ud800u"], ids=ascii)
def test_48_a_name_that_cannot_be_used_starts_nothing(connections, flow, sandbox, user):
    site = running(connections, flow, identify=lambda request: user)
    with nobody_asked(sandbox), site as site, Browser() as browser:
        fields = landed(browser.get(site.start))
    assert fields["error"] == "start_refused"
    assert fields["error_description"].startswith("identify must return a string")


@pytest.mark.threat(48)
def test_48_a_lazy_user_that_raises_starts_nothing(connections, flow, sandbox, caplog):
    def identify(request):
        return SimpleLazyObject(lambda: request.cookies["a user"])

    site = running(connections, flow, identify=identify)
    with nobody_asked(sandbox), site as site, Browser() as browser:
        assert landed(browser.get(site.start))["error"] == "start_refused"
    assert "KeyError: 'a user'" in caplog.text


@pytest.mark.threat(48)
@pytest.mark.parametrize("other", ["Joe", "joe ", "JOE", "jo\u0065\u0301", "jo\u00e9", "\uff4aoe"])
@pytest.mark.parametrize("kind", stores.KINDS)
def test_48_users_and_accounts_are_told_apart_to_the_letter(flow, kind, tmp_path, other):
    with closing(kind(tmp_path)) as store:
        connections = Connections(flow, store)
        own = store.save(
            stores.connection(
                "1", user="joe", api_url=flow.provider.api_url, account=Account("joe")
            )
        )
        account = Account(other)
        theirs = store.save(replace(own, id="2", version=0, user=other, account=account))
        assert [found.id for found in connections.of_user("joe")] == ["1"]
        assert [found.id for found in connections.of_user(other)] == ["2"]
        for id, user in [("1", other), ("2", "joe")]:
            with pytest.raises(NotConnected):
                connections.session(id, user=user)
            with pytest.raises(NotConnected):
                connections.disconnect(id, user=user)
        assert not connections.shared(own)
        assert not connections.shared(theirs)


@pytest.mark.parametrize("ask", ["session", "disconnect"])
@pytest.mark.parametrize("kind", stores.KINDS)
def test_an_id_that_none_of_ours_can_be_is_not_there(flow, kind, tmp_path, ask):
    with closing(kind(tmp_path)) as store:
        connections = Connections(flow, store)
        for id in (None, "", "\x00", "a\x00b", "\ud800", "\u2603", "x" * 10_000):
            with pytest.raises(NotConnected):
                getattr(connections, ask)(id, user="u")
        for wrong in (7, b"id", uuid.UUID(int=7)):
            with pytest.raises(TypeError, match=f"id must be a string, not {type(wrong).__name__}"):
                getattr(connections, ask)(wrong, user="u")


@pytest.mark.threat(48)
@pytest.mark.parametrize("user", [7, 0, b"u"], ids=repr)
def test_threat_48_an_identify_that_gives_no_string_is_a_500_and_the_log_says_why(
    flow, store, caplog, user
):
    connections = Connections(flow, store, identify=lambda request: user)
    with serve(connections.serving(page_of_the_site)) as server, Browser() as browser:
        answer = browser.get(f"{server.url}/sc-connect/connections.json", **HERE)
        assert (answer.status_code, set(answer.json())) == (500, {"error", "error_id"})
    problem = f"must return a string, not {type(user).__name__}: str(user.id) if"
    assert problem in caplog.text
    assert problem in answer.json()["error"]


def test_a_provider_without_an_api_is_refused(store):
    flow = OAuth2(*CLIENT, provider=OAuth2Provider("https://a.example/a", "https://a.example/t"))
    with pytest.raises(ConfigurationError, match="api_url") as caught:
        Connections(flow, store, identify=identify)
    assert caught.value.option == "flow"


# Who has what


def test_one_user_may_have_several_and_connecting_again_replaces(connections, flow):
    joe = connections.connect(dance(flow), user="u", callback_url=CALLBACK)
    with Browser() as browser:
        departure = flow.begin(CALLBACK)
        back = query(browser.decide(departure.authorize_url, user="ann"))
    ann = connections.connect(flow.finish(CALLBACK, back, departure.pending), user="u")
    again = connections.connect(dance(flow), user="u")
    assert again.id == joe.id != ann.id
    assert again.token != joe.token
    assert {found.account.username: found.token for found in connections.of_user("u")} == {
        "joe": again.token,
        "ann": ann.token,
    }


def test_two_clicks_at_once_make_one_connection(connections, flow):
    tokens = [dance(flow) for _ in range(4)]
    barrier = threading.Barrier(4)

    def connect(token):
        barrier.wait()
        return connections.connect(token, user="u").id

    with ThreadPoolExecutor(4) as threads:
        ids = set(threads.map(connect, tokens))
    (found,) = connections.of_user("u")
    assert ids == {found.id}
    assert found.token in tokens


def test_connecting_again_mends_what_was_revoked(connections, flow, sandbox, lost):
    first = connections.connect(dance(flow), user="u")
    sandbox.revoke()
    with pytest.raises(ConnectionRevoked):
        connections.session(first.id, user="u").me()
    assert connections.of_user("u") == []
    with pytest.raises(ConnectionRevoked):
        connections.session(first.id, user="u")
    assert [type(error) for _, error in lost] == [ConnectionRevoked]
    connections.connect(dance(flow), user="u")
    assert connections.session(first.id, user="u").me().username == "joe"


def test_an_account_that_two_users_connected_is_told_and_not_merged(connections, flow):
    with running(connections, flow) as site:
        first = connected(site, "first")
        second = connected(site, "second")
    assert "account_shared" not in first
    assert second == {**second, "account_shared": "1", "username": "joe"}
    assert first["oauth_token_id"] != second["oauth_token_id"]
    assert "first" not in str(second)
    assert connections.shared(connections.of_user("first")[0])


def test_a_user_who_logs_in_with_the_account_is_that_account(connections, flow):
    connection = connections.connect(dance(flow), user=None)
    assert connection.user == f"{flow.provider.api_url}#soundcloud:users:743372812"
    assert not connections.shared(connection)


@contextmanager
def answering_me(fields):
    """Serve an API that answers ``/me``, and every other address, with these fields."""
    body = json.dumps(fields).encode()

    def api(environ, start_response):
        start_response(
            "200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        )
        return [body]

    with serve(api) as server:
        yield server.url


@pytest.mark.threat(48)
@pytest.mark.parametrize(
    ("one", "another"),
    [
        ({"id": 5}, {"id": 5}),
        ({"id": 5}, {"id": "5"}),
        ({"urn": "soundcloud:users:5"}, {"id": 5}),
        ({"urn": "soundcloud:users:5"}, {"urn": "soundcloud:users:5"}),
    ],
)
def test_48_the_users_of_two_providers_are_two(store, one, another):
    with answering_me(one) as first, answering_me(another) as second:
        flows = [flow_for("oauth2", root) for root in (first, second)]
        made = [Connections(flow, store, identify=identify) for flow in flows]
        kept = [connections.connect(AccessToken("t"), user=None) for connections in made]
        assert kept[0].user != kept[1].user
        # Only SoundCloud's own API may name a user like this.
        assert "soundcloud:users:5" not in [connection.user for connection in kept]
        assert [
            connections.of_user(connection.user)
            for connections, connection in zip(made, kept, strict=True)
        ] == [[connection] for connection in kept]
        again = made[0].connect(AccessToken("another"), user=None)
        assert (again.id, again.user) == (kept[0].id, kept[0].user)


@pytest.mark.threat(48)
@pytest.mark.parametrize("id", [0, -5, True, None, "", 5.0, [5]])
def test_48_an_account_without_a_key_logs_nobody_in(store, id):
    with answering_me({"id": id, "username": "joe"}) as root:
        connections = Connections(flow_for("oauth2", root), store, identify=identify)
        with pytest.raises(ProviderError, match="nobody can be logged in"):
            connections.connect(AccessToken("t"), user=None)
        assert connections.connect(AccessToken("t"), user="u").account.urn == ""


def test_a_key_that_is_too_long_for_a_database_is_said(store):
    with answering_me({"urn": "u" * 250}) as root:
        connections = Connections(flow_for("oauth2", root), store, identify=identify)
        with pytest.raises(StorageFailed, match="255 characters"):
            connections.connect(AccessToken("t"), user=None)


# Workers and reports


def numbered(store, count, **fields):
    """Store connections of many users, and return their ids in order."""
    for number in range(count):
        store.save(stores.connection(f"{number:05}", user=f"user-{number % 7}", **fields))
    return [f"{number:05}" for number in range(count)]


def test_a_worker_sees_every_connection_of_its_api_without_identify(flow, store, root):
    ids = numbered(store, 250, api_url=root)
    ended = store.load("00249")
    store.save(replace(ended, ended="connection_revoked"))
    store.save(stores.connection("of another API", api_url="https://api.other.example"))
    connections = Connections(flow, store)
    found = [*connections.all()]
    assert [connection.id for connection in found] == ids
    assert [connection.id for connection in found if connection.ended] == ["00249"]


def test_all_connections_are_loaded_when_they_are_needed(flow, store, root):
    numbered(store, 250, api_url=root)
    seen = []
    for connection in Connections(flow, store).all():
        seen.append(connection.id)
        store.delete(connection.id)
        if connection.id == "00000":
            store.save(stores.connection("99999", user="new", api_url=root))
            store.delete("00200")
    assert len(seen) == len(set(seen)) == 250
    assert "99999" in seen
    assert "00200" not in seen
    assert store.all("", 1) == []


@pytest.mark.slow
def test_a_million_connections_would_need_no_more_memory_than_a_thousand(flow, store, root):
    numbered(store, 1_000, api_url=root, token=AccessToken("t" * 4096))
    tracemalloc.start()
    try:
        assert sum(1 for _ in Connections(flow, store).all()) == 1_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_500_000  # bytes; all tokens alone have 4,096,000


@pytest.mark.parametrize("user", ["other", "U", "u ", "", "%"])
def test_the_connection_of_somebody_else_is_none(connections, flow, user):
    connection = connections.connect(dance(flow), user="u")
    words = set()
    for id in (connection.id, "no such id"):
        with pytest.raises(NotConnected) as caught:
            connections.session(id, user=user)
        words.add(str(caught.value))
        with pytest.raises(NotConnected) as caught:
            connections.disconnect(id, user=user)
        words.add(str(caught.value))
    assert len(words) == 1
    assert connections.of_user(user) == []
    assert connections.session(connection.id, user="u").me().username == "joe"


def test_a_token_for_one_api_is_not_sent_to_another(connections, flow, store):
    connection = connections.connect(dance(flow), user="u")
    other = Connections(flow_for("oauth2", "http://127.0.0.1:9"), store, identify=identify)
    with pytest.raises(NotConnected):
        other.session(connection.id, user="u")
    assert other.of_user("u") == []


@pytest.mark.parametrize(
    ("habit", "error"),
    [("down", ProviderUnavailable), ("status=503", ProviderUnavailable), ("html", ProviderError)],
)
def test_nothing_is_kept_where_the_provider_does_not_say_who_it_is(root, flow, store, habit, error):
    spoiled = flow_for(
        "oauth2", root, api_url=f"{root}/misbehave/{habit}", transport=quick_transport()
    )
    connections = Connections(spoiled, store, identify=identify)
    with pytest.raises(error):
        connections.connect(dance(flow), user="u")
    assert connections.of_user("u") == []


def test_a_provider_without_me_is_kept_and_no_two_are_the_same(root, flow, store):
    connections = Connections(
        flow_for("oauth2", root, api_url=f"{root}/elsewhere"), store, identify=identify
    )
    first = connections.connect(AccessToken("t"), user="u")
    second = connections.connect(AccessToken("t"), user="u")
    assert first.id != second.id
    assert not connections.shared(first)
    with pytest.raises(ProviderError, match="nobody can be logged in"):
        connections.connect(AccessToken("t"), user=None)


class AwayForDeleting(SQLStore):
    """A store whose database is away when something is to be deleted."""

    def __init__(self):
        super().__init__("sqlite://")

    def delete(self, id):
        raise StoreUnavailable("away")


class Away:
    """A store that is away for its next save."""

    def __init__(self, store):
        self._store = store
        self._is_away = True

    def __getattr__(self, name):
        return getattr(self._store, name)

    def save(self, connection):
        if self._is_away:
            self._is_away = False
            raise StoreUnavailable("away")
        return self._store.save(connection)


def test_a_store_that_comes_back_gets_the_connection(flow, store):
    connections = Connections(flow, Away(store), identify=identify)
    assert connections.connect(dance(flow), user="u") == store.of_user("u")[0]


def test_a_hook_that_raises_changes_nothing(flow, store, sandbox, caplog):
    def on_lost(connection, error):
        raise RuntimeError(f"could not write a mail about {connection.token.token}")

    connections = Connections(flow, store, identify=identify, on_lost=on_lost)
    connection = connections.connect(dance(flow), user="u")
    sandbox.revoke()
    with pytest.raises(ConnectionRevoked):
        connections.session(connection.id, user="u").me()
    assert "could not write a mail about ***" in caplog.text


# Disconnect


def test_disconnecting_signs_out_and_forgets(connections, flow, sandbox):
    connection = connections.connect(dance(flow), user="u")
    connections.disconnect(connection.id, user="u")
    assert sandbox.counts["sign_out"] == 1
    with pytest.raises(NotConnected):
        connections.session(connection.id, user="u")
    headers = {"Authorization": f"OAuth {connection.token.token}"}
    assert (
        requests.get(f"{flow.provider.api_url}/me", headers=headers, timeout=10).status_code == 401
    )


def test_a_token_that_ended_is_refreshed_to_sign_out(flow, store, sandbox):
    connections = Connections(flow, store, identify=identify)
    connection = connections.connect(replace(dance(flow), expires_at=1), user="u")
    connections.disconnect(connection.id, user="u")
    assert (sandbox.counts["redeemed"], sandbox.counts["sign_out"]) == (1, 1)


def test_no_refresh_token_is_used_up_for_a_provider_without_a_sign_out(root, store, sandbox):
    flow = flow_for("oauth2", root, sign_out_url=None)
    connections = Connections(flow, store, identify=identify)
    connection = connections.connect(replace(dance(flow), expires_at=1), user="u")
    connections.disconnect(connection.id, user="u")
    assert (sandbox.counts["redeemed"], sandbox.counts["sign_out"]) == (0, 0)
    assert store.of_user("u") == []


@pytest.mark.threat(51)
@pytest.mark.parametrize("habit", ["down", "status=500", "html403", "revoked"])
def test_threat_51_whatever_the_provider_answers_the_connection_is_gone(root, flow, store, habit):
    url = f"{root}/misbehave/{habit}/sign-out"
    spoiled = flow_for("oauth2", root, sign_out_url=url, transport=quick_transport())
    connections = Connections(spoiled, store, identify=identify)
    connection = connections.connect(dance(flow), user="u")
    connections.disconnect(connection.id, user="u")
    assert connections.of_user("u") == []  # what the page shows
    with pytest.raises(NotConnected):
        store.load(connection.id)


@contextmanager
def silent():
    """Serve a provider that takes every request and answers none."""
    asked = threading.Event()
    end = threading.Event()

    def talk(connection):
        connection.request()
        asked.set()
        end.wait(30)

    with wire(talk) as server:
        try:
            yield server.url, asked
        finally:
            end.set()


@pytest.mark.threat(51)
@pytest.mark.parametrize("expires_at", [None, 1], ids=["sign-out", "refresh"])
def test_51_while_the_provider_hangs_the_connection_is_gone_already(store, expires_at, caplog):
    with silent() as (url, asked):
        provider = OAuth2Provider(
            f"{url}/a", f"{url}/token", api_url=url, sign_out_url=f"{url}/sign-out"
        )
        connections = Connections(
            OAuth2(*CLIENT, provider=provider, transport=quick_transport(timeout=2.0)), store
        )
        token = AccessToken("t", refresh_token="r", expires_at=expires_at)
        stored = store.save(stores.connection(user="u", api_url=url, token=token))
        with ThreadPoolExecutor(1) as thread:
            ending = thread.submit(connections.disconnect, stored.id, user="u")
            assert asked.wait(10)
            assert store.of_user("u") == []  # also if this process is killed now
            ending.result()
    assert "is deleted here, but the provider was not told" in caplog.text


@pytest.mark.threat(51)
@pytest.mark.parametrize(
    "habit", ["down", "status=500", "status=400", "garbage", "html403", "revoked", "refresh-lost"]
)
def test_51_however_a_refresh_fails_the_connection_is_gone(root, store, habit, caplog):
    url = f"{root}/misbehave/{habit}/oauth/token"
    flow = flow_for("oauth2", root, token_url=url, transport=quick_transport())
    token = AccessToken("t", refresh_token="r", expires_at=1)
    stored = store.save(stores.connection(user="u", api_url=root, token=token, refreshing_since=1))
    Connections(flow, store).disconnect(stored.id, user="u")
    assert store.of_user("u") == []
    assert "is deleted here, but the provider was not told" in caplog.text


@pytest.mark.threat(51)
def test_51_a_connection_that_another_process_is_refreshing_is_gone(flow, store, sandbox):
    connections = Connections(flow, store)
    connection = connections.connect(replace(dance(flow), expires_at=1), user="u")
    assert store.lease(connection.id, "a process that was killed", 60)
    connections.disconnect(connection.id, user="u")
    assert store.of_user("u") == []
    assert sandbox.counts["sign_out"] == 1


@pytest.mark.threat(51)
def test_51_a_connection_that_cannot_be_decrypted_is_gone(flow, tmp_path, sandbox, caplog):
    url = f"sqlite:///{tmp_path}/connections.sqlite3"
    with closing(SQLStore(url, encryption=Encryption(KEYS))) as old:
        connection = Connections(flow, old).connect(dance(flow), user="u")
    new_keys = ["another key, as long as a key of ours has to be"]
    with closing(SQLStore(url, encryption=Encryption(new_keys))) as store:
        connections = Connections(flow, store, identify=identify)
        assert connections.of_user("u") == []
        for ask in (connections.disconnect, connections.session):
            with pytest.raises(NotConnected):  # as if it were not there
                ask(connection.id, user="other")
        with pytest.raises(KeyRemoved):
            connections.session(connection.id, user="u")
        with running(connections, flow) as site, signed_in("u") as browser:
            answer = browser.post(
                f"{site.url}/sc-connect/disconnect", {"oauth_token_id": connection.id}, **HERE
            )
            assert (answer.status_code, answer.json()["connections"]) == (200, [])
        with pytest.raises(NotConnected):
            store.load(connection.id)
    assert sandbox.counts["sign_out"] == 0
    assert "is deleted here, but the provider was not told" in caplog.text


@pytest.mark.threat(51)
@pytest.mark.parametrize("encryption", [None, Encryption(KEYS)], ids=["plain", "encrypted"])
@pytest.mark.parametrize(
    "damage",
    [
        "token = substr(token, 1, 50)",
        "token = ''",
        "token = '[]'",
        "account = '{'",
        "account = '{\"urn\": 7}'",
        "obtained_at = 'yesterday'",
    ],
)
def test_51_a_row_that_was_damaged_is_gone(flow, tmp_path, damage, encryption):
    path = tmp_path / "connections.sqlite3"
    with closing(SQLStore(f"sqlite:///{path}", encryption=encryption)) as store:
        connections = Connections(flow, store)
        connection = connections.connect(dance(flow), user="u")
        with closing(sqlite3.connect(path)) as db, db:
            db.execute(f"UPDATE scconnect_connections SET {damage}")
        with pytest.raises(NotConnected):
            connections.disconnect(connection.id, user="other")
        connections.disconnect(connection.id, user="u")
        with pytest.raises(NotConnected):
            store.load(connection.id)


@pytest.mark.threat(51)
def test_51_where_the_store_is_away_the_provider_is_not_told(flow, sandbox):
    with closing(AwayForDeleting()) as store:
        connections = Connections(flow, store)
        connection = connections.connect(dance(flow), user="u")
        with pytest.raises(StoreUnavailable):
            connections.disconnect(connection.id, user="u")
        assert connections.session(connection.id, user="u").me().username == "joe"
    assert sandbox.counts["sign_out"] == 0


def test_oauth1_has_no_sign_out_and_forgets_all_the_same(root, store):
    flow = flow_for("oauth1", root)
    connections = Connections(flow, store, identify=identify)
    connection = connections.connect(dance(flow), user="u")
    connections.disconnect(connection.id, user="u")
    assert store.of_user("u") == []


# What the page may know


@pytest.mark.parametrize("prefix", ["", "/app"])
def test_the_page_knows_and_disconnects(connections, flow, prefix):
    with running(connections, flow, prefix) as site, signed_in("u") as browser:
        ask = f"{site.url}/sc-connect/connections.json"
        assert browser.get(ask, **HERE).json() == {"connected": False, "connections": []}
        id = connected(site, "u")["oauth_token_id"]
        answer = browser.get(ask, **HERE)
        shown = {
            "oauth_token_id": id,
            "username": "joe",
            "name": "Joe Sample",
            "avatar_url": f"{flow.provider.api_url}/avatar.svg",
            "permalink_url": "https://soundcloud.com/joe",
        }
        assert answer.json() == {"connected": True, "connections": [shown]}
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Vary"] == "Cookie"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in answer.headers
        answer = browser.post(f"{site.url}/sc-connect/disconnect", {"oauth_token_id": id}, **HERE)
        assert (answer.status_code, answer.json()) == (200, {"connected": False, "connections": []})
        again = browser.post(f"{site.url}/sc-connect/disconnect", {"oauth_token_id": id}, **HERE)
        assert (again.status_code, set(again.json())) == (404, {"error", "error_id"})
        # The browser files and the site's own pages are still there.
        assert browser.get(f"{site.url}/sc-connect/sc-connect.js").status_code == 200
        assert "the site's own page" in browser.get(f"{site.url}/elsewhere").text


def test_another_user_neither_sees_nor_ends_it(connections, flow):
    connection = connections.connect(dance(flow), user="u")
    with running(connections, flow) as site, signed_in("other") as browser:
        assert (
            browser.get(f"{site.url}/sc-connect/connections.json", **HERE).json()["connections"]
            == []
        )
        answer = browser.post(
            f"{site.url}/sc-connect/disconnect", {"oauth_token_id": connection.id}, **HERE
        )
        assert answer.status_code == 404
    assert connections.of_user("u") == [connection]


def test_nobody_sees_nothing(connections, flow):
    connections.connect(dance(flow), user="u")
    with running(connections, flow) as site, Browser() as browser:
        answer = browser.get(f"{site.url}/sc-connect/connections.json", **HERE)
        assert (answer.status_code, answer.json()) == (401, {"connected": False, "connections": []})
        assert (
            browser.post(
                f"{site.url}/sc-connect/disconnect", {"oauth_token_id": "x"}, **HERE
            ).status_code
            == 401
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("headers", "reads", "writes"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 200, 200),
        ({"Sec-Fetch-Site": "same-site"}, 403, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403, 403),
        ({"Sec-Fetch-Site": "none"}, 403, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "{root}"}, 403, 403),
        ({"Origin": "{root}"}, 200, 200),
        ({"Origin": "https://evil.example"}, 403, 403),
        ({"Origin": "null"}, 403, 403),
        ({"Origin": "http://[evil"}, 403, 403),
        ({"Referer": "{root}/account"}, 200, 200),
        ({"Referer": "https://evil.example/{root}"}, 403, 403),
        ({"X-Old": "browser"}, 200, 403),
    ],
)
def test_only_a_page_of_the_same_origin_is_answered(connections, flow, headers, reads, writes):
    connection = connections.connect(dance(flow), user="u")
    with running(connections, flow) as site, signed_in("u") as browser:
        headers = {name: value.format(root=site.url) for name, value in headers.items()}
        assert (
            browser.get(f"{site.url}/sc-connect/connections.json", **headers).status_code == reads
        )
        answer = browser.post(
            f"{site.url}/sc-connect/disconnect", {"oauth_token_id": connection.id}, **headers
        )
        assert answer.status_code == writes
    assert len(connections.of_user("u")) == (0 if writes == 200 else 1)


@pytest.mark.parametrize(
    "body", [b"", b"x=y", b"oauth_token_id=a&oauth_token_id=b", b"\xff", b"x" * 10_000]
)
def test_a_form_that_cannot_be_read_is_refused(connections, flow, body):
    with running(connections, flow) as site, signed_in("u") as browser:
        assert browser.post(f"{site.url}/sc-connect/disconnect", body, **HERE).status_code == 400


def test_other_methods_are_refused(connections, flow):
    with running(connections, flow) as site, signed_in("u") as browser:
        answer = browser.post(f"{site.url}/sc-connect/connections.json", {}, **HERE)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")
        assert browser.get(f"{site.url}/sc-connect/disconnect", **HERE).status_code == 405


def test_a_store_that_is_away_is_a_503(flow, tmp_path):
    connections = Connections(
        flow, SQLStore(f"sqlite:///{tmp_path}/no/such/folder.sqlite3"), identify=identify
    )
    with running(connections, flow) as site, signed_in("u") as browser:
        answer = browser.get(f"{site.url}/sc-connect/connections.json", **HERE)
        assert (answer.status_code, set(answer.json())) == (503, {"error", "error_id"})
