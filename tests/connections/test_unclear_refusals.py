"""A provider that refuses a refresh token, but not in the words of RFC 6749, ends it in the end.

Not in an hour, which may be an outage or a mistake in a deployment. Threat 52.
"""

import time
from contextlib import closing
from dataclasses import replace

import pytest
from support.api import Recorded
from support.flows import CLIENT, quick_transport
from support.stores import POSTGRESQL, SQLITE_FILE, connection, sqlite_file

from scconnect_wsgi import OAuth2, OAuth2Provider
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.connections._failed_refresh import REFUSAL_PERIOD, REFUSALS
from scconnect_wsgi.connections._refresh import Refresher
from scconnect_wsgi.errors import (
    ConnectionRevoked,
    ProviderError,
    ProviderUnavailable,
    RefreshLost,
    UnclearRefusal,
)
from scconnect_wsgi.sandbox import serve
from scconnect_wsgi.stores import FailedRefresh
from scconnect_wsgi.token import AccessToken

pytestmark = [pytest.mark.threat(52), pytest.mark.slow]

BAD, UNAUTHORIZED = "400 Bad Request", "401 Unauthorized"
HOUR = 3600
HTML = {"Content-Type": "text/html"}
UNCLEAR = {
    "invalid_request": (BAD, {}, '{"error": "invalid_request"}'),
    "400 without a word": (BAD, {}, ""),
    "401 without a word": (UNAUTHORIZED, {}, ""),
    "an empty object": (BAD, {}, "{}"),
    "an empty word": (BAD, {}, '{"error": ""}'),
    "Twitch's": (
        BAD,
        {},
        '{"status": 400, "message": "Invalid refresh token", "error": "Bad Request"}',
    ),
    "X's": (
        BAD,
        {},
        '{"errors": [{"code": 131, "message": "Value passed for the token was invalid."}]}',
    ),
    "a word in an object": (BAD, {}, '{"error": {"type": "invalid_grant"}}'),
    "a page": (BAD, HTML, "<h1>Bad Request</h1>"),
    "a page with 401": (UNAUTHORIZED, HTML, "<h1>Unauthorized</h1>"),
    "a word of its own": (UNAUTHORIZED, {}, '{"error": "token_revoked"}'),
    "half a document": (BAD, {}, '{"error": "inv'),
    "a list": (BAD, {}, '["invalid_grant"]'),
}
NEVER = {
    "a client that is unknown": (UNAUTHORIZED, {}, '{"error": "invalid_client"}'),
    "a client without the right": (BAD, {}, '{"error": "unauthorized_client"}'),
    "another grant type": (BAD, {}, '{"error": "unsupported_grant_type"}'),
    "overloaded": ("429 Too Many Requests", {"Retry-After": "1"}, ""),
    "out of order": ("500 Error", {}, '{"error": "invalid_grant"}'),
    "away": ("503 Unavailable", {}, ""),
    "a page of the network": ("403 Forbidden", HTML, "<h1>Forbidden</h1>"),
    "no such address": ("404 Not Found", HTML, "<h1>Not Found</h1>"),
    "not in so many words": (BAD, {}, '{"error": "temporarily_unavailable"}'),
    "a redirect": ("302 Found", {"Location": "/login"}, ""),
}
RENEWED = ("200 OK", {}, '{"access_token": "new", "refresh_token": "next", "expires_in": 60}')


@pytest.fixture
def api():
    recorded = Recorded()
    with serve(recorded) as server:
        recorded.url = server.url
        yield recorded


@pytest.fixture
def flow(api):
    provider = OAuth2Provider(f"{api.url}/a", f"{api.url}/oauth/token", api_url=api.url)
    return OAuth2(*CLIENT, provider=provider, transport=quick_transport(timeout=5.0))


@pytest.fixture
def folder(tmp_path, api):
    """The folder of an SQLite file with one connection, whose token expired."""
    token = AccessToken("old", refresh_token="a refresh token", expires_at=1)
    with closing(sqlite_file(tmp_path)) as store:
        store.save(connection(token=token, api_url=api.url))
    return tmp_path


def refreshed(folder, flow, at):
    """Refresh at a time, with a store of its own, as another process would; return the outcome."""
    with closing(sqlite_file(folder)) as store:
        try:
            stale = store.load("one")
            return Refresher(store, flow, clock=lambda: at).refresh(stale).ended
        except (ProviderError, ProviderUnavailable) as error:
            return type(error)


@pytest.mark.parametrize("answer", UNCLEAR.values(), ids=UNCLEAR)
def test_an_unclear_refusal_ends_a_connection_when_it_is_repeated_for_hours(
    api, flow, folder, answer
):
    api.say("/oauth/token", answer)
    begun = 2_000_000_000
    for minute in range(0, 61, 4):
        assert refreshed(folder, flow, begun + 60 * minute) is UnclearRefusal
    assert refreshed(folder, flow, begun + REFUSAL_PERIOD - 1) is UnclearRefusal
    assert refreshed(folder, flow, begun + REFUSAL_PERIOD + HOUR) == "connection_revoked"


@pytest.mark.parametrize("answer", NEVER.values(), ids=NEVER)
def test_what_cannot_be_about_the_token_ends_nothing_however_often_it_is_repeated(
    api, flow, folder, answer
):
    api.say("/oauth/token", answer)
    begun = int(time.time())
    for day in range(5):
        if "Retry-After" in answer[1]:
            time.sleep(1.1)  # the pause of the client, by the store's clock
        assert refreshed(folder, flow, begun + 24 * HOUR * day) not in (UnclearRefusal, "")
    assert api.lines() == ["POST /oauth/token"] * 5
    with closing(sqlite_file(folder)) as store:
        assert store.load("one").ended == ""


def test_one_refusal_long_after_another_ends_nothing(api, flow, folder):
    api.say("/oauth/token", UNCLEAR["invalid_request"])
    for number in range(REFUSALS - 1):
        assert refreshed(folder, flow, 2_000_000_000 + 24 * HOUR * number) is UnclearRefusal
    assert refreshed(folder, flow, 2_100_000_000) == "connection_revoked"


def test_other_trouble_in_between_neither_counts_nor_ends(api, flow, folder):
    refused, other = UNCLEAR["invalid_request"], NEVER["a page of the network"]
    api.say("/oauth/token", refused, refused, refused, other, other, refused)
    times = [2_000_000_000 + number * 65 for number in range(3)]
    assert [refreshed(folder, flow, at) for at in times] == [UnclearRefusal] * 3
    times = [2_000_000_000 + REFUSAL_PERIOD + number * 65 for number in range(2)]
    assert [refreshed(folder, flow, at) for at in times] == [ProviderError] * 2
    assert refreshed(folder, flow, 2_000_000_000 + 2 * REFUSAL_PERIOD) == "connection_revoked"


def test_a_refresh_that_succeeds_begins_the_count_again(api, flow, folder):
    refused = UNCLEAR["invalid_request"]
    api.say("/oauth/token", *[refused] * 4, RENEWED, refused)
    at = 2_000_000_000
    for number in range(4):
        assert refreshed(folder, flow, at + number * HOUR) is UnclearRefusal
    assert refreshed(folder, flow, at + 2 * REFUSAL_PERIOD) == ""
    at += 3 * REFUSAL_PERIOD
    with closing(sqlite_file(folder)) as store:
        stored = store.load("one")
        store.save(replace(stored, token=replace(stored.token, expires_at=1)))
    for number in range(3):
        assert refreshed(folder, flow, at + number * HOUR) is UnclearRefusal


def test_a_token_whose_answer_was_lost_before_is_told_as_that(api, flow, folder):
    api.say("/oauth/token", UNCLEAR["400 without a word"])
    with closing(sqlite_file(folder)) as store:
        store.save(replace(store.load("one"), refreshing_since=1))
    for number in range(REFUSALS - 1):
        assert refreshed(folder, flow, 2_000_000_000 + 24 * HOUR * number) is UnclearRefusal
    assert refreshed(folder, flow, 2_100_000_000) == "refresh_lost"


@pytest.mark.parametrize("make", [SQLITE_FILE, POSTGRESQL])
@pytest.mark.parametrize("lost_before", [False, True])
def test_the_site_is_told_once_that_the_user_must_connect_again(
    api, flow, make, lost_before, tmp_path
):
    api.say("/oauth/token", UNCLEAR["invalid_request"])
    hours_ago = int(time.time()) - REFUSAL_PERIOD - HOUR
    failed = FailedRefresh(hours_ago + 9, pause=60, refusals=REFUSALS - 1, refused_since=hours_ago)
    lost = []
    with closing(make(tmp_path)) as store:
        store.save(
            connection(
                user="joe",
                token=AccessToken("old", refresh_token="a refresh token", expires_at=1),
                api_url=api.url,
                failed_refresh=failed,
                refreshing_since=hours_ago if lost_before else None,
            )
        )
        connections = Connections(flow, store, on_lost=lambda *heard: lost.append(heard))
        kind = RefreshLost if lost_before else ConnectionRevoked
        for _ in range(2):
            with pytest.raises(kind), connections.session("one", user="joe") as session:
                session.me()
        assert [(found.id, type(error)) for found, error in lost] == [("one", kind)]
        assert connections.of_user("joe") == []
    assert api.lines() == ["POST /oauth/token"]
