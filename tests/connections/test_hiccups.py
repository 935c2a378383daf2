"""A hiccup of the API: a GET of ours is asked again, and a collection that breaks says where.

Hiccups are over after one or two answers. What lasts is one typed error, within the deadline.
"""

import time

import pytest
from support.sessions import flow_at, sessions_of
from support.wire import answer, wire

from scconnect_wsgi.account import Account
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.connections._accounts import fetch_account
from scconnect_wsgi.connections._waiting import PAUSES
from scconnect_wsgi.errors import ConnectError, ProviderError, ProviderUnavailable, RateLimited
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken

pytestmark = pytest.mark.slow  # it waits

JOE = b'{"urn": "soundcloud:users:1", "username": "joe"}'
RESET, HANG_UP, SILENCE = "reset", "hang up", "silence"
HICCUPS = {
    "500": answer(b"", status="500 Internal Server Error"),
    "502": answer(b"<html>", status="502 Bad Gateway", content_type="text/html"),
    "503": answer(b"", status="503 Service Unavailable"),
    "500 with Retry-After": answer(b"", "Retry-After: 1", status="500 Internal Server Error"),
    "502 with Retry-After": answer(b"", "Retry-After: 1", status="502 Bad Gateway"),
    "408 with Retry-After": answer(b"", "Retry-After: 1", status="408 Request Timeout"),
    "503 with Retry-After": answer(b"", "Retry-After: 1", status="503 Service Unavailable"),
    "504": answer(b"", status="504 Gateway Timeout"),
    "429": answer(b"", status="429 Too Many Requests"),
    "429 with Retry-After": answer(b"", "Retry-After: 1", status="429 Too Many Requests"),
    "429 that says 0": answer(b"", "Retry-After: 0", status="429 Too Many Requests"),
    "408": answer(b"", "Connection: close", status="408 Request Timeout"),
    "a reset": RESET,
    "a connection that ends": HANG_UP,
    "half a header": b"HTTP/1.1 200 OK\r\nContent-Ty",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 47\r\n\r\n" + JOE[:20],
    "half a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2f\r\n" + JOE[:20],
}
BROKEN_OFF = [said for name, said in HICCUPS.items() if name.startswith("half")]
hiccup = pytest.mark.parametrize("said", HICCUPS.values(), ids=HICCUPS)


WELCOME = answer(JOE)


def speaking(*said, then=WELCOME):
    """Say these in turn, one for each request, and then the same answer for ever."""
    left = list(said)

    def talk(connection):
        while request := connection.request():
            data = left.pop(0) if left else then
            if data == RESET:
                connection.reset()
            if data == SILENCE:
                connection.stream.read()
            if data in (RESET, HANG_UP, SILENCE):
                return
            if callable(data):
                data = data(request)
            connection.send(data)
            if data in BROKEN_OFF:
                return

    return talk


def connect(url, **options):
    connections = Connections(flow_at(url, **options), SQLStore("sqlite://"))
    return connections.connect(AccessToken("a token"), user="joe").account


def me(url, **options):
    with sessions_of(flow_at(url, **options), "joe") as (joe,):
        return joe.me()


each = pytest.mark.parametrize("ask", [connect, me])


@each
@hiccup
def test_a_hiccup_of_me_costs_nothing(ask, said):
    with wire(speaking(said)) as server:
        assert ask(server.url).urn == "soundcloud:users:1"
        assert len(server.requests) == 2


@each
def test_nor_do_two(ask):
    with wire(speaking(HICCUPS["503"], RESET)) as server:
        assert ask(server.url).username == "joe"
        assert len(server.requests) == 3


@each
@pytest.mark.parametrize("said", [HICCUPS["503"], HICCUPS["429"], RESET], ids=["503", "429", ""])
def test_what_lasts_is_one_typed_error(ask, said):
    with wire(speaking(*[said] * 9)) as server:
        with pytest.raises(ProviderUnavailable):
            ask(server.url)
        assert len(server.requests) == len(PAUSES) + 1


@pytest.mark.threat(29)
@each
def test_threat_29_all_attempts_together_keep_the_deadline(ask):
    start = time.monotonic()
    with wire(speaking(HICCUPS["503"], SILENCE, SILENCE)) as server:
        with pytest.raises(ProviderUnavailable):
            ask(server.url, timeout=3)
        assert len(server.requests) <= 2
    assert time.monotonic() - start < 3 + 5


@pytest.mark.parametrize(
    "said",
    [
        answer(b"", "Retry-After: 3600", status="429 Too Many Requests"),
        answer(b"", "Retry-After: 10", status="503 Service Unavailable"),
    ],
    ids=["429", "503"],
)
def test_nobody_waits_beyond_the_deadline(said):
    slept = []
    with wire(speaking(*[said] * 9)) as server:
        with pytest.raises(ProviderUnavailable) as caught:
            fetch_account(
                flow_at(server.url), server.url, AccessToken("a token"), sleep=slept.append
            )
        assert len(server.requests) == 1
    assert slept == []
    assert caught.value.retry_after


OTHERS = {
    "401": answer(b"{}", status="401 Unauthorized"),
    "a redirect": answer(b"", "Location: /you", status="302 Found"),
    "no JSON": answer(b"<html>"),
    "a list": answer(b"[]"),
}


@pytest.mark.parametrize("said", OTHERS.values(), ids=OTHERS)
def test_what_is_no_hiccup_is_asked_once(said):
    with wire(speaking(said, then=said)) as server:
        with pytest.raises(ProviderError):
            connect(server.url)
        assert len(server.requests) == 1


def test_an_api_without_me_is_asked_once():
    with wire(speaking(answer(b"", status="404 Not Found"))) as server:
        assert connect(server.url) == Account()
        assert len(server.requests) == 1


def test_a_token_request_is_not_sent_again():
    with wire(speaking(HICCUPS["503"])) as server:
        with pytest.raises(ProviderUnavailable):
            flow_at(server.url).refresh(AccessToken("old", refresh_token="r"))
        assert len(server.requests) == 1


# Collections


def take(items, found):
    """Append what is found, one by one, so that nothing is lost if there is an error in between."""
    for item in found:
        items.append(item)


def page(number, last=5, host=""):
    """Return the answer with a page of two items, and the address of the next one."""

    def made(request):
        more = f'"{host or server_of(request)}/me/tracks?page={number + 1}"'
        items = f"[{2 * number}, {2 * number + 1}]"
        body = f'{{"collection": {items}, "next_href": {more if number < last else "null"}}}'
        return answer(body.encode())

    return made


def server_of(request):
    return f"http://{request.headers['host']}"


def pages(*hiccups, host=""):
    """Serve pages 0 to 5; each of ``hiccups`` is what page 2 says before it is in order."""
    left = list(hiccups)

    def talk(connection):
        while request := connection.request():
            number = int(request.line.split()[1].partition("page=")[2].partition("&")[0] or 0)
            data = left.pop(0) if number == 2 and left else page(number, host=host)(request)
            if data == RESET:
                connection.reset()
            if data in (RESET, HANG_UP):
                return
            connection.send(data)
            if data in BROKEN_OFF:
                return

    return talk


def test_json_that_is_too_deep_is_no_hiccup():
    deep = answer(b"[" * 100_000 + b"]" * 100_000)
    with wire(speaking(then=deep)) as server, sessions_of(flow_at(server.url), "joe") as (joe,):
        for ask in (joe.me, lambda: list(joe.collection("/me/tracks"))):
            with pytest.raises(ProviderError, match="something other than expected"):
                ask()
        assert len(server.requests) == 2


@hiccup
def test_a_hiccup_in_the_middle_of_a_collection_costs_nothing(said):
    with wire(pages(said)) as server, sessions_of(flow_at(server.url), "joe") as (joe,):
        assert list(joe.collection("/me/tracks")) == list(range(12))


BREAKS = {
    "it is down": [HICCUPS["503"]] * 3,
    "it breaks the connection": [RESET] * 3,
    "it limits the rate": [answer(b"", "Retry-After: 600", status="429 Too Many Requests")],
    "it refuses": [answer(b"{}", status="403 Forbidden")],
    "it answers with a page of HTML": [answer(b"<html>")],
    "it answers without a list": [answer(b"{}")],
}


@pytest.mark.parametrize("said", BREAKS.values(), ids=BREAKS)
def test_a_collection_that_breaks_says_where_to_go_on(said):
    with wire(pages(*said)) as server, sessions_of(flow_at(server.url), "joe") as (joe,):
        items = []
        with pytest.raises((ProviderError, ProviderUnavailable)) as caught:
            take(items, joe.collection("/me/tracks", limit=2))
        assert items == [0, 1, 2, 3]
        error = caught.value
        assert error.next_href == f"{server.url}/me/tracks?page=2"
        assert error.next_href not in str(error) + repr(error)
        assert list(joe.collection(error.next_href)) == list(range(4, 12))


def test_nothing_is_missing_and_nothing_comes_twice():
    """As docs/tokens.md shows it."""
    with (
        wire(pages(*[HICCUPS["503"]] * 6)) as server,
        sessions_of(flow_at(server.url), "joe") as (joe,),
    ):
        items, where = [], "/me/tracks"
        for _ in range(4):
            try:
                take(items, joe.collection(where))
                break
            except ProviderUnavailable as error:
                where = error.next_href
        assert items == list(range(12))


def test_a_first_page_that_breaks_says_so_too():
    with (
        wire(speaking(*[HICCUPS["503"]] * 3, then=answer(b'{"collection": [1]}'))) as server,
        sessions_of(flow_at(server.url), "joe") as (joe,),
    ):
        with pytest.raises(ProviderUnavailable) as caught:
            next(joe.collection("/me/tracks", limit=2))
        assert caught.value.next_href.startswith(f"{server.url}/me/tracks?")
        assert list(joe.collection(caught.value.next_href)) == [1]
        paths = {request.line.split()[1] for request in server.requests}
        assert paths == {"/me/tracks?linked_partitioning=true&limit=2"}


def test_other_errors_know_no_page():
    error = RateLimited("too many")
    assert error.next_href is None
    assert "next_href" not in error.fields()


# Pages that lead on and on


def leading_on(items_at):
    """Serve pages without end; page N has the items that ``items_at(N)`` returns."""

    def talk(connection):
        while request := connection.request():
            offset = int(request.line.split()[1].partition("offset=")[2].partition("&")[0] or 0)
            following = f"{server_of(request)}/me/tracks?offset={offset + 50}"
            body = f'{{"collection": {items_at(offset // 50)}, "next_href": "{following}"}}'
            connection.send(answer(body.encode()))

    return talk


def test_empty_pages_in_the_middle_are_passed_over():
    def items_at(number):
        return [number] if number % 15 == 0 else []

    with wire(leading_on(items_at)) as server, sessions_of(flow_at(server.url), "joe") as (joe,):
        tracks = joe.collection("/me/tracks")
        assert [next(tracks) for _ in range(5)] == [0, 15, 30, 45, 60]


@pytest.mark.parametrize("full", [0, 1, 7])
def test_empty_pages_without_end_are_one_typed_error(full):
    def items_at(number):
        return [number] if number < full else []

    with wire(leading_on(items_at)) as server, sessions_of(flow_at(server.url), "joe") as (joe,):
        items = []
        with pytest.raises(ProviderError, match="in a row are empty") as caught:
            take(items, joe.collection("/me/tracks"))
        assert items == list(range(full))
        asked = len(server.requests)
        assert asked <= full + 25
        assert caught.value.next_href == f"{server.url}/me/tracks?offset={asked * 50}"


INTERNAL = {
    "an internal host": "http://api-internal.svc:8080",
    "an internal address": "http://10.0.0.7",
    "https for http": "https://{host}",
    "another port": "http://localhost:1",
    "a password": "http://joe:secret@api-internal",
}


@pytest.mark.parametrize("internal", INTERNAL.values(), ids=INTERNAL)
@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_a_next_page_on_an_internal_host_is_asked_of_the_api(internal, prefix):
    def talk(connection):
        inner = pages(host=internal.format(host=connection.wire.host))
        inner(connection)

    with (
        wire(talk) as server,
        sessions_of(flow_at(server.url + prefix), "joe") as (joe,),
    ):
        assert list(joe.collection("/me/tracks")) == list(range(12))
        assert {request.line.split("?")[0] for request in server.requests} == {
            f"GET {prefix}/me/tracks"
        }


ELSEWHERE = [
    "http://api-internal/admin?page=1",
    "http://api-internal/me?page=1",
    "http://api-internal/me/tracks/1?page=1",
    "http://api-internal/me/tracks/../../admin?page=1",
    "http://api-internal/me/%74racks/..?page=1",
    "ftp://api-internal/me/tracks?page=1",
    "javascript:/me/tracks?page=1",
    "//api-internal/me/tracks?page=1",
    "http://[::1/me/tracks?page=1",
    "http:///me/tracks?page=1",
    "a word",
    "?page=1",
]


@pytest.mark.parametrize("following", ELSEWHERE)
def test_any_other_address_off_the_api_is_said_and_not_asked(following):
    body = f'{{"collection": [1], "next_href": "{following}"}}'.encode()
    with (
        wire(speaking(then=answer(body))) as server,
        sessions_of(flow_at(server.url), "joe") as (joe,),
    ):
        tracks = joe.collection("/me/tracks")
        assert next(tracks) == 1
        with pytest.raises(ProviderError, match="next_href") as caught:
            next(tracks)
        assert isinstance(caught.value, ConnectError)
        assert len(server.requests) == 1


def test_a_mended_address_that_leads_to_itself_ends_too():
    body = b'{"collection": [1], "next_href": "http://inside/me/tracks?linked_partitioning=true"}'
    with (
        wire(speaking(then=answer(body))) as server,
        sessions_of(flow_at(server.url), "joe") as (joe,),
    ):
        with pytest.raises(ProviderError, match="leads to itself"):
            list(joe.collection("/me/tracks"))
        assert len(server.requests) == 1
