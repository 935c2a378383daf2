"""A token endpoint that is out of order costs calls nothing while their tokens still work.

And it is asked rarely: after a failure nobody asks again for a while, in no process. Threat 55.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest
from support.api import Recorded
from support.flows import CLIENT, quick_transport
from support.refresher import refresher, store_at, told
from support.stores import POSTGRESQL, SQLITE_FILE, connection
from support.wire import saying, wire

from scconnect_wsgi import OAuth2, OAuth2Provider
from scconnect_wsgi.connections._failed_refresh import LONGEST_PAUSE, PAUSE, SKEW, ClientPause
from scconnect_wsgi.connections._refresh import Refresher
from scconnect_wsgi.connections._session import ApiSession
from scconnect_wsgi.errors import (
    ConnectError,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
)
from scconnect_wsgi.sandbox import serve
from scconnect_wsgi.token import AccessToken

pytestmark = [pytest.mark.threat(55), pytest.mark.slow]  # it waits

ME = ("200 OK", {}, '{"urn": "soundcloud:users:1", "username": "joe"}')
RENEWED = (
    "200 OK",
    {},
    '{"access_token": "new", "refresh_token": "the next one", "expires_in": 3600}',
)
DOWN = ("503 Unavailable", {}, "")
LIMITED = ("429 Too Many Requests", {"Retry-After": "3600"}, "")
TOKENS = "POST /oauth/token"


@pytest.fixture(params=[SQLITE_FILE, POSTGRESQL])
def store(request, tmp_path):
    with closing(request.param(tmp_path)) as store:
        yield store


@pytest.fixture
def api():
    recorded = Recorded()
    with serve(recorded) as server:
        recorded.url = server.url
        recorded.say("/me", ME)
        yield recorded


@pytest.fixture
def silent():
    """A token endpoint that takes requests and never answers."""
    with wire(lambda connection: connection.request() and connection.stream.read()) as server:
        yield server


def flow_at(api, *, token_url=None, client=CLIENT, timeout=3.0):
    token_url = token_url or f"{api.url}/oauth/token"
    provider = OAuth2Provider(f"{api.url}/a", token_url, api_url=api.url)
    return OAuth2(*client, provider=provider, transport=quick_transport(timeout=timeout))


def stored(store, api, *, seconds_left, id="one", **fields):
    """Store a connection whose token is good for so many seconds more."""
    now = int(time.time())
    token = AccessToken("old", refresh_token=f"of {id}", expires_at=now + seconds_left)
    new = connection(id, token=token, api_url=api.url, obtained_at=now - 3600, **fields)
    return store.save(new)


def call(store, flow, id="one"):
    """Call the API in a session of its own; return what came, and the seconds it took."""
    begun = time.monotonic()
    try:
        with ApiSession(store.load(id), store, flow) as session:
            return session.me().username, time.monotonic() - begun
    except ConnectError as error:
        return error, time.monotonic() - begun


def calls_at_once(store, flow):
    with ThreadPoolExecutor(8) as threads:
        return [*threads.map(lambda _: call(store, flow), range(8))]


def test_nobody_waits_for_a_refresh_while_the_token_works(store, api, silent):
    stored(store, api, seconds_left=55)
    flow = flow_at(api, token_url=f"{silent.url}/token")
    answers = calls_at_once(store, flow) + calls_at_once(store, flow)
    assert [result for result, _ in answers] == ["joe"] * 16
    assert len([seconds for _, seconds in answers if seconds > 2.5]) <= 1  # the one that tries
    assert len(silent.requests) == 1


def test_with_an_expired_token_all_fail_when_the_one_that_tries_fails(store, api, silent):
    stored(store, api, seconds_left=-5)
    flow = flow_at(api, token_url=f"{silent.url}/token")
    answers = calls_at_once(store, flow)
    assert {type(result) for result, _ in answers} == {ProviderUnavailable}
    assert max(seconds for _, seconds in answers) < 3 + 6
    assert len(silent.requests) == 1
    told_to_wait = [result.retry_after for result, _ in answers if result.retry_after]
    assert len(told_to_wait) == 7
    assert all(1 <= seconds <= PAUSE for seconds in told_to_wait)
    assert "Try again in" in call(store, flow)[0].message
    assert len(silent.requests) == 1


FAILURES = {
    "down": DOWN,
    "no such address": ("404 Not Found", {}, ""),
    "a page of the network": ("403 Forbidden", {"Content-Type": "text/html"}, "<h1>No</h1>"),
    "the client is refused": ("401 Unauthorized", {}, '{"error": "invalid_client"}'),
    "the word is unclear": ("400 Bad Request", {}, '{"error": "invalid_request"}'),
    "a redirect": ("302 Found", {"Location": "/login"}, ""),
    "garbage": ("200 OK", {}, "<html>"),
    "overloaded": ("429 Too Many Requests", {}, ""),
    "overloaded for no time": ("429 Too Many Requests", {"Retry-After": "0"}, ""),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_after_any_failure_there_is_a_pause(store, api, failure):
    stored(store, api, seconds_left=-5)
    api.say("/oauth/token", failure)
    flow = flow_at(api)
    now = time.time()

    def refresh(clock):
        Refresher(store, flow, clock=lambda: clock).refresh(store.load("one"))

    with pytest.raises((ProviderError, ProviderUnavailable)):
        refresh(now)
    with pytest.raises(ProviderUnavailable) as caught:
        refresh(now)
    assert caught.value.retry_after >= 1
    assert api.lines() == [TOKENS]
    time.sleep(1.1 if failure[1].get("Retry-After") == "0" else 0)
    if failure[0].startswith("429") and not failure[1]:
        return  # the whole client is paused, by the store's clock
    with pytest.raises((ProviderError, ProviderUnavailable)):
        refresh(now + 61)
    assert api.lines() == [TOKENS] * 2


def test_a_provider_that_cannot_be_reached_is_not_tried_by_every_call(store, api):
    stored(store, api, seconds_left=-5)
    flow = flow_at(api, token_url="http://127.0.0.1:9/token")
    first, second = call(store, flow)[0], call(store, flow)[0]
    assert (first.retry_after, "refused the connection" in first.message) == (None, True)
    assert 1 <= second.retry_after <= PAUSE


def test_during_a_429_of_an_hour_it_is_asked_once(store, api):
    stored(store, api, seconds_left=-5)
    api.say("/oauth/token", LIMITED)
    flow = flow_at(api)
    answers = [call(store, flow)[0] for _ in range(50)]
    assert {type(answer) for answer in answers} == {RateLimited}
    assert all(3500 <= answer.retry_after <= 3600 for answer in answers)
    assert api.lines() == [TOKENS]


@pytest.mark.parametrize("seconds_left", [-5, 50])
def test_a_429_is_for_all_connections_of_the_client(store, api, seconds_left):
    for id in ("one", "two", "three"):
        stored(store, api, seconds_left=seconds_left, id=id)
    api.say("/oauth/token", LIMITED)
    for id in ("one", "two", "three", "two", "three"):
        answer, _ = call(store, flow_at(api), id)
        assert answer == "joe" if seconds_left > 0 else isinstance(answer, RateLimited)
    assert api.lines().count(TOKENS) == 1
    # Another client has a limit of its own
    stored(store, api, seconds_left=-5, id="four")
    call(store, flow_at(api, client=("another client", CLIENT[1])), "four")
    assert api.lines().count(TOKENS) == 2


def test_a_provider_that_says_when_it_is_back_says_it_to_all(store, api):
    for id in ("one", "two"):
        stored(store, api, seconds_left=-5, id=id)
    api.say("/oauth/token", ("503 Unavailable", {"Retry-After": "600"}, ""))
    for id in ("one", "two"):
        answer, _ = call(store, flow_at(api), id)
        assert type(answer) is ProviderUnavailable
        assert 500 <= answer.retry_after <= 600
    assert api.lines() == [TOKENS]


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Unavailable"])
@pytest.mark.parametrize("asked", ["31536000", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_pause_of_a_year_is_one_of_an_hour(store, api, status, asked):
    for id in ("one", "two"):
        stored(store, api, seconds_left=-5, id=id)
    api.say("/oauth/token", (status, {"Retry-After": asked}, ""), RENEWED)
    call(store, flow_at(api), "one")
    answer, _ = call(store, flow_at(api), "two")
    assert 3500 <= answer.retry_after <= LONGEST_PAUSE == 3600
    assert api.lines() == [TOKENS]
    later = Refresher(store, flow_at(api), clock=lambda: time.time() + LONGEST_PAUSE + 1)
    assert later.refresh(store.load("one")).token.token == "new"


def test_the_failure_of_one_connection_is_not_that_of_the_others(store, api):
    for id in ("one", "two"):
        stored(store, api, seconds_left=-5, id=id)
    api.say("/oauth/token", DOWN, RENEWED)
    assert isinstance(call(store, flow_at(api), "one")[0], ProviderUnavailable)
    assert call(store, flow_at(api), "two")[0] == "joe"


def test_calls_go_on_during_a_429_while_the_token_works(store, api):
    stored(store, api, seconds_left=50)
    api.say("/oauth/token", LIMITED)
    assert [call(store, flow_at(api))[0] for _ in range(5)] == ["joe"] * 5
    assert api.lines() == [TOKENS, *["GET /me"] * 5]


def test_a_pause_is_one_of_all_processes(tmp_path, api):
    url = f"sqlite:///{tmp_path}/shared.sqlite3"
    with closing(store_at(url)) as store:
        for id in ("one", "two"):
            stored(store, api, seconds_left=-5, id=id)
    api.say("/oauth/token", LIMITED)
    for id in ("one", "one", "two"):
        with refresher(url=url, root=api.url, id=id, user="user 1") as process:
            told(process)
            assert process.stdout.readline().startswith("RateLimited(")
    assert api.lines() == [TOKENS]


def test_it_recovers_when_the_pause_is_over(store, api):
    stored(store, api, seconds_left=-5)
    api.say("/oauth/token", ("429 Too Many Requests", {"Retry-After": "1"}, ""), RENEWED)
    flow = flow_at(api)
    assert isinstance(call(store, flow)[0], RateLimited)
    time.sleep(1.5)
    assert call(store, flow)[0] == "joe"
    assert store.load("one").failed_refresh is None


def test_it_recovers_by_itself_within_the_pause_of_a_failure(store, api):
    stored(store, api, seconds_left=-5)
    api.say("/oauth/token", DOWN, RENEWED)
    flow = flow_at(api)
    begun = time.monotonic()
    while call(store, flow)[0] != "joe":
        assert time.monotonic() - begun < PAUSE + 10
        time.sleep(0.5)
    assert api.lines().count(TOKENS) == 2


@pytest.mark.parametrize("jump", [-86_400, -SKEW - 1, PAUSE + 1, 86_400])
def test_a_clock_that_jumped_pauses_nobody(store, api, jump):
    stale = stored(store, api, seconds_left=-200_000)
    api.say("/oauth/token", DOWN, RENEWED)
    flow, now = flow_at(api), time.time()
    with pytest.raises(ProviderUnavailable):
        Refresher(store, flow, clock=lambda: now).refresh(stale)
    fresh = Refresher(store, flow, clock=lambda: now + jump).refresh(stale)
    assert fresh.token.token == "new"


def test_a_user_who_connects_again_has_no_pause(store, api):
    failed = stored(store, api, seconds_left=-5)
    api.say("/oauth/token", DOWN, RENEWED)
    call(store, flow_at(api))
    new = replace(
        failed, token=replace(failed.token, token="of the new grant"), failed_refresh=None
    )
    store.save(replace(new, version=store.load("one").version))
    assert call(store, flow_at(api))[0] == "joe"


def test_a_store_that_cannot_claim_pauses_each_connection(store, api):
    class WithoutClaims:
        """A store of a site's own, of before there were claims."""

        def __getattr__(self, name):
            if name in ("claim", "settle", "outcome"):
                raise AttributeError(name)
            return getattr(store, name)

    for id in ("one", "two"):
        stored(store, api, seconds_left=-5, id=id)
    api.say("/oauth/token", LIMITED)
    for id in ("one", "two", "one", "two"):
        assert isinstance(call(WithoutClaims(), flow_at(api), id)[0], RateLimited)
    assert api.lines() == [TOKENS] * 2


def test_a_token_that_is_not_due_costs_no_question_to_the_store(store, api):
    saved = stored(store, api, seconds_left=3000)

    class Counting:
        asked = 0

        def __getattr__(self, name):
            self.asked += 1
            return getattr(store, name)

    counting = Counting()
    with ApiSession(saved, counting, flow_at(api)) as session:
        counting.asked = 0
        for _ in range(3):
            assert session.me().username == "joe"
    assert counting.asked == 0


def test_nothing_secret_is_remembered(store, api):
    stored(store, api, seconds_left=-5)
    with wire(saying(b"HTTP/1.1 400 Bad\r\nContent-Length: 6\r\n\r\nsecret")) as server:
        call(store, flow_at(api, token_url=f"{server.url}/token"))
    assert "secret" not in repr(store.load("one").failed_refresh)


@pytest.mark.parametrize(
    "damaged",
    [
        '{"failed_at": 1',
        "{}",
        "[]",
        "5",
        "[" * 100_000,
        '{"failed_at": "soon", "pause": 3600}',
        '{"failed_at": 1, "pause": 3600, "a field of a later version": 1}',
    ],
    ids=["cut off", "empty", "a list", "a number", "too deep", "a word", "another version's"],
)
def test_a_pause_that_cannot_be_read_is_none(store, api, damaged):
    for id in ("one", "two"):
        stored(store, api, seconds_left=-5, id=id)
    api.say("/oauth/token", LIMITED, RENEWED)
    call(store, flow_at(api), "one")
    name = ClientPause(store, flow_at(api))._name
    assert store.outcome(name) is not None
    store.settle(name, damaged)
    assert call(store, flow_at(api), "two")[0] == "joe"
