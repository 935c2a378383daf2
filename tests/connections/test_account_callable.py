"""Providers that say in their own way whose token it is: a callable that makes an Account of it.

Each is served over a real socket and answers as the provider of that name does.
"""

import datetime
import json
import ssl
from contextlib import closing, contextmanager
from types import SimpleNamespace

import pytest
import trustme
from support.flows import CLIENT, quick_transport
from support.reporter import kept
from support.wire import answer, saying, wire

from scconnect_wsgi import OAuth1, OAuth1Provider, OAuth2, OAuth2Provider, Transport
from scconnect_wsgi.account import Account
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.errors import ConfigurationError, ConnectError, NotSignedIn, ProviderError
from scconnect_wsgi.provider import SOUNDCLOUD, SOUNDCLOUD_2009
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken

pytestmark = pytest.mark.threat(48)

SECRET = "a-token-that-nobody-may-read"
NO_ADDRESS = ["400 Bad Request", "403 Forbidden", "404 Not Found", "405 Not Allowed", "410 Gone"]


@pytest.fixture
def store():
    with closing(SQLStore("sqlite://")) as store:
        yield store


@contextmanager
def api(*, status="200 OK", body=b"{}", path="/me", fields=()):
    """Serve an API with one answer at one address, and a 404 at all others."""

    def talk(connection):
        while request := connection.request():
            if request.line.split()[1] == path:
                connection.send(answer(body, *fields, status=status))
            else:
                connection.send(answer(b"nothing here", status="404 Not Found"))

    with wire(talk) as server:
        yield server


def flow_at(root, protocol="oauth2", **fields):
    if protocol == "oauth1":
        provider = OAuth1Provider(
            f"{root}/request", f"{root}/authorize", f"{root}/access", api_url=root, **fields
        )
        return OAuth1(*CLIENT, provider=provider, transport=quick_transport())
    new = OAuth2Provider(f"{root}/authorize", f"{root}/token", api_url=root, **fields)
    return OAuth2(*CLIENT, provider=new, transport=quick_transport())


def of_x(fields):
    return Account(urn=fields["user_id"], username=fields["screen_name"])


def of_flickr(fields):
    return Account(urn=fields["user_nsid"], username=fields["username"], name=fields["fullname"])


def of_zotero(fields):
    return Account(fields["userID"], fields["username"])


def of_spotify(fields):
    return Account(
        urn=fields["id"],
        username=fields["display_name"],
        avatar_url=fields["images"][0]["url"],
        permalink_url=fields["external_urls"]["spotify"],
    )


def of_discogs(fields):
    return Account(urn=str(fields["id"]), username=fields["username"])


BESIDE_THE_TOKEN = {
    "x": (of_x, {"user_id": "783214", "screen_name": "joe"}, Account("783214", "joe")),
    "flickr": (
        of_flickr,
        {"fullname": "Joe Sample", "user_nsid": "35034348999@N01", "username": "joe"},
        Account("35034348999@N01", "joe", "Joe Sample"),
    ),
    "zotero": (of_zotero, {"userID": "475425", "username": "joe"}, Account("475425", "joe")),
}


@pytest.mark.parametrize("status", [*NO_ADDRESS, "401 Unauthorized", "302 Found", "200 OK"])
@pytest.mark.parametrize("name", BESIDE_THE_TOKEN)
def test_48_a_provider_that_names_the_account_beside_the_token(store, name, status):
    read, extra, expected = BESIDE_THE_TOKEN[name]
    login = ["Location: /login"] if status.startswith("302") else []
    with api(status=status, body=b"<p>A page for people</p>", fields=login) as server:
        connections = Connections(flow_at(server.url, "oauth1"), store, account=read)
        first = connections.connect(AccessToken("t", "s", extra=extra), user="u")
        again = connections.connect(AccessToken("new", "s", extra=extra), user="u")
        assert (first.account, again.id) == (expected, first.id)
        assert [kept.id for kept in connections.of_user("u")] == [first.id]
        session = connections.session(first.id, user="u")
        if not status.startswith("401"):
            assert session.me() == expected
        as_user = connections.connect(AccessToken("t", "s", extra=extra), user=None)
        assert as_user.user == f"{server.url}#{expected.urn}"


def test_48_a_provider_that_names_the_account_at_me_in_its_own_words(store):
    page = "https://open.spotify.com/user/wizzler"
    body = {
        "id": "wizzler",
        "display_name": "JM Wizzler",
        "images": [{"url": "https://pics.example/1"}],
        "external_urls": {"spotify": page},
    }
    expected = Account("wizzler", "JM Wizzler", "", "https://pics.example/1", page)
    with api(body=json.dumps(body).encode()) as server:
        connections = Connections(flow_at(server.url), store, account=of_spotify)
        connection = connections.connect(AccessToken("t"), user="u")
        assert connection.account == expected
        assert connections.session(connection.id, user="u").me() == expected


@pytest.mark.parametrize("path", ["/oauth/identity", "/rest?method=test.login&format=json"])
def test_48_a_provider_that_names_the_account_at_another_address(store, path):
    with api(path=path, body=b'{"id": 1, "username": "joe"}') as server:
        flow = flow_at(server.url, "oauth1", account_path=path)
        for callable_ in (of_discogs, None):
            connections = Connections(flow, store, account=callable_)
            connection = connections.connect(AccessToken("t", "s"), user="u")
            assert connection.account == Account("1", "joe")
            assert connections.session(connection.id, user="u").me() == Account("1", "joe")
        assert {request.line.split()[1] for request in server.requests} == {path}


def test_48_a_provider_without_an_address_is_not_asked_for_it(store):
    with api() as server:
        flow = flow_at(server.url, "oauth1", account_path="")
        connections = Connections(flow, store, account=of_x)
        extra = {"user_id": "5", "screen_name": "joe"}
        connection = connections.connect(AccessToken("t", "s", extra=extra), user="u")
        assert connections.session(connection.id, user="u").me().username == "joe"
        assert Connections(flow, store).account(AccessToken("t", "s", extra=extra)) == Account()
        assert server.requests == []


@pytest.mark.parametrize("status", NO_ADDRESS)
def test_48_without_the_callable_such_a_connection_is_kept_without_a_name(store, status):
    with api(status=status) as server:
        connections = Connections(flow_at(server.url), store)
        assert connections.connect(AccessToken("t"), user="u").account == Account()
        with pytest.raises(ProviderError, match="nobody can be logged in"):
            connections.connect(AccessToken("t"), user=None)


@pytest.mark.parametrize("status", ["401 Unauthorized", "418 Teapot", "200 OK", "302 Found"])
def test_48_without_the_callable_another_answer_is_an_error_that_names_it(store, status):
    with api(status=status, body=b"[]", fields=["Location: /login"]) as server:
        connections = Connections(flow_at(server.url), store)
        with pytest.raises(ProviderError) as caught:
            connections.connect(AccessToken("t"), user="u")
        if not status.startswith("302"):
            assert "account_path" in caught.value.message
        assert connections.of_user("u") == []


@pytest.mark.parametrize("adopted", [False, True], ids=["connected", "adopted"])
def test_48_a_name_that_comes_only_with_the_first_token_outlives_a_refresh(store, adopted):
    """Strava names the athlete beside the first token only."""

    def account(fields):
        return Account(str(fields["athlete"]["id"]), fields["athlete"]["username"])

    granted = answer(
        b'{"access_token": "new", "refresh_token": "newer", "expires_in": 21600}',
        content_type="application/json",
    )
    with wire(saying(granted)) as server:
        flow = flow_at(server.url, account_path="")
        connections = Connections(flow, store, account=account)
        first = AccessToken(
            "old",
            refresh_token="older",
            expires_at=1,
            extra={"athlete": {"id": 9, "username": "joe"}, "since": datetime.datetime(2026, 1, 1)}
            if adopted
            else {"athlete": {"id": 9, "username": "joe"}},
        )
        take_over = connections.adopt if adopted else connections.connect
        connection = take_over(first, user="u")
        with connections.session(connection.id, user="u") as session:
            session.get("/x")
            assert session.connection.token.token == "new"
            assert session.me() == connection.account == Account("9", "joe")


DECORATED = {  # answers, and the name that is read
    "Latin-1": (b'{"id": 5, "username": "caf\xe9"}', "caf?"),
    "a tab and a line break": (b'{"id": 5, "username": "a\tb\n"}', "a\tb\n"),
    "half of an emoji": (b'{"id": 5, "username": "joe\\ud83d"}', "joe?"),
    "an emoji in halves": (b'{"id": 5, "username": "joe\\ud83d\\ude00"}', "joe\N{GRINNING FACE}"),
    "UTF-16": ('{"id": 5, "username": "joe"}'.encode("utf-16"), "joe"),
}


@pytest.mark.threat(53)
@pytest.mark.parametrize("with_callable", [False, True], ids=["fields", "callable"])
@pytest.mark.parametrize("name", DECORATED)
def test_threat_53_a_name_that_is_not_well_written_costs_no_token(store, name, with_callable):
    body, username = DECORATED[name]
    with api(body=body) as server:
        account = of_discogs if with_callable else None
        connections = Connections(flow_at(server.url), store, account=account)
        connection = connections.connect(AccessToken("t"), user="u")
        assert connection.account == Account("5", username)
        assert store.of_user("u") == [connection]


@pytest.mark.parametrize(
    "body", [b'{"urn": "andr\xe9"}', b'{"id": "andr\xe8"}', b'{"id": "\\ud800"}']
)
def test_48_a_key_that_is_not_well_written_names_nobody(store, body):
    """Otherwise andre with one accent could log in as andre with another one."""
    with api(body=body) as server:
        connections = Connections(flow_at(server.url), store)
        with pytest.raises(ProviderError, match="nobody can be logged in"):
            connections.connect(AccessToken("t"), user=None)


def test_48_the_answer_wins_over_what_came_with_the_token(store):
    seen = []

    def account(fields):
        seen.append(fields)
        return Account(str(fields["id"]))

    with api(body=b'{"id": 7, "name": "of the API"}') as server:
        connections = Connections(flow_at(server.url), store, account=account)
        token = AccessToken("t", extra={"id": 8, "name": "of the token", "athlete": {"id": 9}})
        assert connections.account(token).urn == "7"
        assert seen == [{"id": 7, "name": "of the API", "athlete": {"id": 9}}]
        assert token.extra["id"] == 8


WRONG = {
    "a mapping": lambda fields: {"urn": "1"},
    "nothing": lambda fields: None,
    "a text": lambda fields: "1",
    "the class": lambda fields: Account,
    "a number for a urn": lambda fields: Account(1),  # type: ignore[arg-type]
    "no name": lambda fields: Account("1", None),
    "another class": lambda fields: SimpleNamespace(urn="1"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_48_a_callable_that_returns_something_else_is_told(store, wrong):
    with api() as server:
        connections = Connections(flow_at(server.url), store, account=WRONG[wrong])  # type: ignore[arg-type]
        with pytest.raises(ProviderError, match="must return an Account whose fields are strings"):
            connections.connect(AccessToken("t"), user="u")
        assert connections.of_user("u") == []


@pytest.mark.parametrize("urn", ["", " ", "None", "\N{ZERO WIDTH SPACE}", "a\x00b", "\ud800"])
def test_48_a_callable_that_names_nobody_names_nobody(store, urn):
    with api() as server:
        connections = Connections(flow_at(server.url), store, account=lambda fields: Account(urn))
        assert connections.connect(AccessToken("t"), user="u").account.urn == ""
        with pytest.raises(ProviderError, match="nobody can be logged in"):
            connections.connect(AccessToken("t"), user=None)


@contextmanager
def soundcloud(status, body, folder):
    """Serve SoundCloud's own API, behind a proxy, and return a transport that trusts it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("api.soundcloud.com").configure_cert(tls)

    def proxy(connection):
        connection.wire.requests.append(connection.stream.readline())
        while connection.stream.readline().strip():
            pass
        connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with tls.wrap_socket(connection.sock.dup(), server_side=True) as secured:
            secured.recv(65_536)
            secured.sendall(answer(body, status=status))

    with wire(proxy) as server:
        bundle = str(folder / "authority.pem")
        yield Transport(timeout=5, ca_bundle=bundle, proxy=server.url), server


@pytest.mark.parametrize("status", [*NO_ADDRESS, "401 Unauthorized"])
def test_48_soundcloud_has_an_address_for_it(store, tmp_path, status):
    with soundcloud(status, b"{}", tmp_path) as (transport, server):
        connections = Connections(OAuth2(*CLIENT, transport=transport), store)
        with pytest.raises(ProviderError, match=f"status {status[:3]}"):
            connections.connect(AccessToken("t"), user="u")
        assert [line[:31] for line in server.requests] == [b"CONNECT api.soundcloud.com:443 "]
    assert connections.of_user("u") == []


def test_48_soundcloud_names_the_account(store, tmp_path):
    with soundcloud("200 OK", b'{"id": 5, "username": "joe"}', tmp_path) as (transport, _):
        connections = Connections(OAuth2(*CLIENT, transport=transport), store)
        connection = connections.connect(AccessToken("t"), user=None)
        assert (connection.user, connection.account.username) == ("soundcloud:users:5", "joe")


@pytest.mark.parametrize("provider", [SOUNDCLOUD, SOUNDCLOUD_2009], ids=["today", "2009"])
@pytest.mark.parametrize("urn", ["5", "joe", "soundcloud:users:0", "https://api.example#5"])
def test_48_an_account_of_soundcloud_has_a_urn_of_soundcloud(store, provider, urn):
    from scconnect_wsgi.connections._accounts import read_account

    found = read_account({}, AccessToken("t"), provider.api_url, lambda fields: Account(urn, "joe"))
    assert found == Account("", "joe")


def test_48_addresses_of_the_callable_are_those_of_the_web(store):
    with api() as server:
        account = Account("1", "joe", "Joe", "javascript:alert(1)", "data:text/html,x")
        connections = Connections(flow_at(server.url), store, account=lambda fields: account)
        assert connections.account(AccessToken("t")) == Account("1", "joe", "Joe")


def test_48_a_callable_that_raises_is_told_and_no_secret_is_kept(store, caplog):
    def account(fields):
        raise KeyError(f"user_id in {dict(fields)}")

    with api() as server:
        connections = Connections(flow_at(server.url), store, account=account)
        token = AccessToken(SECRET, extra={"id_token": f"{SECRET}.signature"})
        with pytest.raises(ProviderError, match="raised KeyError") as caught:
            connections.connect(token, user="u")
        assert SECRET not in kept(caught.value)
        assert SECRET not in caplog.text
        assert "KeyError" in caplog.text
        assert caught.value.error_id in caplog.text
        assert caught.value.__cause__ is caught.value.__context__ is None
        assert connections.of_user("u") == []


@pytest.mark.parametrize("error", [NotSignedIn("not this one"), ProviderError("no such account")])
def test_48_a_callable_may_refuse_an_account(store, error):
    def account(fields):
        raise error

    with api() as server:
        connections = Connections(flow_at(server.url), store, account=account)
        with pytest.raises(ConnectError) as caught:
            connections.connect(AccessToken("t"), user="u")
        assert caught.value is error


def test_48_a_callable_that_is_none_is_refused_at_once(store):
    with pytest.raises(ConfigurationError, match="account must be a callable, not str"):
        Connections(flow_at("http://localhost:1"), store, account="mysite:account")  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["me", "//me me", "/me#x", "/m\\e", "/\N{SNOWMAN}", None, 7])
def test_an_account_path_that_cannot_work_is_refused(path):
    with pytest.raises(ConfigurationError) as caught:
        flow_at("http://localhost:1", account_path=path)
    assert caught.value.option == "account_path"
