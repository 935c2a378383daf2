"""An ended connection can be looked at again: an outage need not cost every user.

Threat 52.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest
from support.api import Recorded
from support.flows import CLIENT, dance, flow_for, nobody_asked, quick_transport
from support.stores import POSTGRESQL, SQLITE_FILE, connection
from webob import Request

from scconnect_wsgi import OAuth1, OAuth1Provider, OAuth2, OAuth2Provider
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.connections._saving import save_over_previous
from scconnect_wsgi.errors import (
    ConnectionRevoked,
    NotConnected,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RefreshLost,
)
from scconnect_wsgi.sandbox import serve
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken

pytestmark = [pytest.mark.threat(52), pytest.mark.slow]

PROTOCOLS = ["oauth1", "oauth2"]
WELCOME = ("200 OK", {}, '{"urn": "soundcloud:users:1", "username": "joe"}')
REFUSED = ("401 Unauthorized", {}, "{}")
GONE = ("404 Not Found", {}, "{}")
RENEWED = (
    "200 OK",
    {},
    '{"access_token": "new", "refresh_token": "the next one", "expires_in": 3600}',
)
REFRESH_REFUSED = ("400 Bad Request", {}, '{"error": "invalid_grant"}')
TOKENS = "POST /oauth/token"


@pytest.fixture(params=[SQLITE_FILE, POSTGRESQL])
def store(request, tmp_path):
    with closing(request.param(tmp_path)) as store:
        yield store


@pytest.fixture
def lost():
    return []


def site_of(flow, store, lost):
    return Connections(
        flow,
        store,
        identify=lambda request: request.headers.get("X-User"),
        on_lost=lambda *heard: lost.append(heard),
    )


def shown(connections, user):
    """Return what the page's script is told about a user's connections."""
    request = Request.blank("/sc-connect/connections.json", headers={"X-User": user})
    answer = request.get_response(connections.serving(lambda environ, start_response: []))
    return [found["oauth_token_id"] for found in answer.json["connections"]]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_hour_in_which_everybody_was_refused_costs_nobody(protocol, sandbox, root, store, lost):
    flow = flow_for(protocol, root)
    connections = site_of(flow, store, lost)
    id = connections.connect(dance(flow), user="joe").id
    sandbox.misbehave("unauthorized", "revoked")
    with pytest.raises(ConnectionRevoked):
        connections.session(id, user="joe").me()
    sandbox.misbehave()
    assert (connections.of_user("joe"), shown(connections, "joe")) == ([], [])

    revived = connections.revive(id, user="joe")
    assert (revived.id, revived.ended) == (id, "")
    assert connections.of_user("joe") == [revived] == [store.load(id)]
    assert shown(connections, "joe") == [id]
    with connections.session(id, user="joe") as session:
        assert session.me().username == "joe"
    assert len(lost) == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_the_user_took_back_stays_ended(protocol, sandbox, root, store, lost):
    flow = flow_for(protocol, root)
    connections = site_of(flow, store, lost)
    id = connections.connect(dance(flow), user="joe").id
    sandbox.revoke()
    with pytest.raises(ConnectionRevoked):
        connections.session(id, user="joe").me()
    ended = store.load(id)
    for _ in range(2):
        with pytest.raises(ConnectionRevoked, match="connect again"):
            connections.revive(id, user="joe")
    after = store.load(id)
    assert (after.ended, after.token) == ("connection_revoked", ended.token)
    assert after.refreshing_since is None
    assert connections.of_user("joe") == []
    assert len(lost) == 1  # the site was told when it ended


def test_a_connection_that_works_is_returned_and_nobody_is_asked(sandbox, root, store, lost):
    flow = flow_for("oauth2", root)
    connections = site_of(flow, store, lost)
    connected = connections.connect(dance(flow), user="joe")
    with nobody_asked(sandbox):
        assert connections.revive(connected.id, user="joe") == connected


@pytest.mark.parametrize("user", ["ann", "", "Joe"])
def test_only_its_user_revives_it(sandbox, root, store, lost, user):
    flow = flow_for("oauth2", root)
    connections = site_of(flow, store, lost)
    connected = connections.connect(dance(flow), user="joe")
    store.save(replace(connected, ended="connection_revoked"))
    with nobody_asked(sandbox):
        with pytest.raises(NotConnected) as caught:
            connections.revive(connected.id, user=user)
        assert type(caught.value) is NotConnected
        with pytest.raises(TypeError, match="user must be"):
            connections.revive(connected.id, user=7)
        with pytest.raises(NotConnected):
            connections.revive("no such id", user="joe")


def test_eight_that_revive_it_at_once_refresh_once(sandbox, root, store, lost):
    flow = flow_for("oauth2", root, transport=quick_transport(timeout=5.0))
    connections = site_of(flow, store, lost)
    connected = connections.connect(dance(flow), user="joe")
    expired = replace(connected.token, expires_at=1)
    store.save(replace(connected, token=expired, ended="connection_revoked"))
    with ThreadPoolExecutor(8) as threads:
        revived = [*threads.map(lambda _: connections.revive(connected.id, user="joe"), range(8))]
    assert {found.token.token for found in revived} == {store.load(connected.id).token.token}
    assert {found.ended for found in revived} == {""}
    assert sandbox.counts["refresh"] == sandbox.counts["redeemed"] == 1
    assert lost == []


def test_a_user_who_connected_again_meanwhile_keeps_the_new_token(sandbox, root, store, lost):
    flow = flow_for("oauth2", root)
    connections = site_of(flow, store, lost)
    connected = connections.connect(dance(flow), user="joe")
    store.save(replace(connected, ended="connection_revoked"))
    again = connections.connect(dance(flow), user="joe")
    assert (again.id, connections.revive(again.id, user="joe")) == (connected.id, again)


# What the provider says, and when


@pytest.fixture
def api():
    recorded = Recorded()
    with serve(recorded) as server:
        recorded.url = server.url
        yield recorded


class Ended:
    """A site with one connection that has ended."""

    def __init__(self, api, *, protocol="oauth2", code="connection_revoked", **token):
        self.api = api
        self.store = SQLStore("sqlite://")
        self.lost = []
        self.flow = self._flow(protocol)
        known = {"refresh_token": "of before"} if protocol == "oauth2" else {"token_secret": "s"}
        self.store.save(
            connection(
                user="joe",
                token=AccessToken("old", **{**known, **token}),
                api_url=api.url,
                obtained_at=1,
                ended=code,
            )
        )
        self.connections = site_of(self.flow, self.store, self.lost)

    def _flow(self, protocol):
        url, transport = self.api.url, quick_transport(timeout=5.0)
        if protocol == "oauth1":
            old = OAuth1Provider(f"{url}/r", f"{url}/a", f"{url}/t", api_url=url)
            return OAuth1(*CLIENT, provider=old, transport=transport)
        provider = OAuth2Provider(f"{url}/a", f"{url}/oauth/token", api_url=url)
        return OAuth2(*CLIENT, provider=provider, transport=transport)

    def revive(self):
        return self.connections.revive("one", user="joe")

    @property
    def stored(self):
        return self.store.load("one")


class ConnectedAgain:
    """A store in which a user connects again just before their fresh token is marked as ended."""

    def __init__(self, store, connection):
        self._store = store
        self._connection = connection

    def __getattr__(self, name):
        return getattr(self._store, name)

    def save(self, connection):
        if connection.ended and connection.token.token == "new":
            save_over_previous(self._store, self._connection)
        return self._store.save(connection)


@pytest.mark.parametrize("code", ["connection_revoked", "refresh_lost"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_token_that_me_accepts_is_not_refreshed(api, protocol, code):
    api.say("/me", WELCOME)
    site = Ended(api, protocol=protocol, code=code)
    assert site.revive() == site.stored
    assert (site.stored.ended, site.stored.token.token) == ("", "old")
    assert api.lines() == ["GET /me"]


@pytest.mark.parametrize("me", [REFUSED, GONE, ("403 Forbidden", {}, "")])
def test_a_token_that_me_does_not_accept_is_refreshed_once(api, me):
    api.say("/me", me, WELCOME)
    api.say("/oauth/token", RENEWED)
    site = Ended(api)
    assert site.revive().token.token == "new"
    assert site.stored.ended == ""
    assert api.lines() == ["GET /me", TOKENS, "GET /me"]


@pytest.mark.parametrize("me", [WELCOME, GONE, ("503 Unavailable", {}, "")])
def test_a_token_that_is_due_is_refreshed_without_asking_first(api, me):
    api.say("/me", me)
    api.say("/oauth/token", RENEWED)
    site = Ended(api, expires_at=int(time.time()) + 5)
    assert site.revive().token.token == "new"
    assert api.lines() == [TOKENS, "GET /me"]


def test_a_me_that_refuses_the_fresh_token_ends_it_again(api):
    api.say("/me", REFUSED)
    api.say("/oauth/token", RENEWED)
    site = Ended(api, code="refresh_lost")
    with pytest.raises(ConnectionRevoked):
        site.revive()
    # The old refresh token is used up, so the new one must be kept
    assert (site.stored.ended, site.stored.token.token) == ("connection_revoked", "new")


def test_a_user_who_connects_again_while_me_refuses_has_a_connection_that_works(api):
    site = Ended(api)
    api.say("/me", REFUSED)
    api.say("/oauth/token", RENEWED)
    works = connection(user="joe", token=AccessToken("newer"), api_url=api.url)
    connections = site_of(site.flow, ConnectedAgain(site.store, works), [])
    assert connections.revive("one", user="joe") == site.stored
    assert (site.stored.ended, site.stored.token.token) == ("", "newer")


@pytest.mark.parametrize(
    ("code", "kind"), [("connection_revoked", ConnectionRevoked), ("refresh_lost", RefreshLost)]
)
@pytest.mark.parametrize(
    "refusal", [REFRESH_REFUSED, ("400 Bad Request", {}, ""), ("401 Unauthorized", {}, "{}")]
)
def test_a_refresh_that_is_refused_leaves_it_as_it_was(api, code, kind, refusal):
    api.say("/me", REFUSED)
    api.say("/oauth/token", refusal)
    site = Ended(api, code=code)
    with pytest.raises(kind) as caught:
        site.revive()
    assert type(caught.value) is kind
    assert (site.stored.ended, site.stored.token.token) == (code, "old")
    assert site.stored.refreshing_since is None
    assert site.lost == []


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (("503 Unavailable", {}, ""), ProviderUnavailable),
        (("429 Too Many Requests", {"Retry-After": "60"}, ""), RateLimited),
    ],
)
@pytest.mark.parametrize("path", ["/me", "/oauth/token"])
def test_trouble_is_told_and_it_stays_ended(api, trouble, kind, path):
    api.say("/me", REFUSED)
    api.say("/oauth/token", RENEWED)
    api.say(path, trouble)
    site = Ended(api)
    for _ in range(2):
        with pytest.raises(kind):
            site.revive()
    assert site.stored.ended == "connection_revoked"
    assert api.lines().count(TOKENS) == (1 if path == "/oauth/token" else 0)


def test_it_can_be_tried_again_after_the_trouble(api):
    api.say("/me", WELCOME)
    api.say("/oauth/token", ("429 Too Many Requests", {"Retry-After": "1"}, ""), RENEWED)
    site = Ended(api, expires_at=1)
    with pytest.raises(RateLimited):
        site.revive()
    time.sleep(1.5)
    assert site.revive().ended == ""


@pytest.mark.parametrize(
    ("me", "kind"),
    [
        (REFUSED, ConnectionRevoked),
        (GONE, ProviderError),
        (("503 Unavailable", {}, ""), ProviderUnavailable),
        (("401 Unauthorized", {}, "oauth_problem=timestamp_refused"), ProviderError),
    ],
)
def test_oauth1_has_only_me_to_ask(api, me, kind):
    api.say("/me", me)
    site = Ended(api, protocol="oauth1")
    with pytest.raises(kind) as caught:
        site.revive()
    assert type(caught.value) is kind
    assert site.stored.ended == "connection_revoked"
    assert api.lines() == ["GET /me"]


def test_a_process_that_died_while_it_revived_is_no_obstacle(api):
    api.say("/me", REFUSED, WELCOME)
    api.say("/oauth/token", RENEWED)
    site = Ended(api)
    site.store.save(replace(site.stored, refreshing_since=int(time.time()) - 3600))
    assert site.revive().token.token == "new"
    assert site.stored.refreshing_since is None
