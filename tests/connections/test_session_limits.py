"""Limits of API calls: the deadline and the cap of a page, and that a stream has neither."""

import gzip
import io
import json
import os
import subprocess
import sys
import textwrap
import time
import tracemalloc
from contextlib import contextmanager

import pytest
import requests
from support.flows import CLIENT
from support.paths import TESTS
from support.stores import connection
from support.wire import answer, dripping, saying, wire

from scconnect_wsgi import OAuth2, OAuth2Provider, Transport
from scconnect_wsgi.connections._session import ApiSession
from scconnect_wsgi.errors import ConnectionRevoked, ProviderError, ProviderUnavailable
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.transport._cap import MAX_PAGE, with_cap
from scconnect_wsgi.transport._connection import MAX_IDLE
from scconnect_wsgi.transport._deadline import current_deadline

pytestmark = pytest.mark.slow  # it waits, or sends much

LIMIT = 0.4  # seconds; the deadline of the calls that are to run into it
ENOUGH = 1.5  # seconds; the deadline of calls that are to succeed, on a busy machine too
FAR_BEYOND = 5.0  # seconds; without a deadline these calls would take 20 seconds


@contextmanager
def session_at(url, *, timeout=10.0, token=None, store=None, **options):
    provider = OAuth2Provider(f"{url}/authorize", f"{url}/oauth/token", api_url=url)
    flow = OAuth2(*CLIENT, provider=provider, transport=Transport(timeout=timeout))
    store = store or SQLStore("sqlite://")
    kept = store.save(connection(api_url=url, token=token or AccessToken("a token")))
    with ApiSession(kept, store, flow, **options) as session:
        yield session


def me(session):
    return session.me()


def collection(session):
    return list(session.collection("/me/tracks"))


both = pytest.mark.parametrize("call", [me, collection])


# The deadline

LONG = b"x" * 1000
DRIPS = {
    "the status line": b"HTTP/1.1 " + b"2" * 1000,
    "the header": b"HTTP/1.1 200 OK\r\nX-Padding: " + LONG,
    "the body": b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + LONG,
    "a body in pieces": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"1\r\nx\r\n" * 200,
    "the body of a redirect": b"HTTP/1.1 302 Found\r\nLocation: /me\r\nContent-Length: 9999\r\n\r\n"
    + LONG,
    "the body of a refusal": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9999\r\n\r\n" + LONG,
}


@pytest.mark.threat(29)
@both
@pytest.mark.parametrize("data", DRIPS.values(), ids=DRIPS)
def test_threat_29_a_drip_keeps_the_deadline_of_a_page(call, data):
    with wire(dripping(data)) as server, session_at(server.url, timeout=LIMIT) as session:
        begun = time.monotonic()
        with pytest.raises(ProviderUnavailable):
            call(session)
        assert time.monotonic() - begun < FAR_BEYOND


@pytest.mark.threat(29)
@both
def test_threat_29_redirects_share_one_deadline(call):
    def talk(connection):
        while request := connection.request():
            time.sleep(0.2)
            number = len(connection.wire.requests)
            path = request.line.split()[1].partition("?")[0]
            connection.send(answer(b"", f"Location: {path}?n={number}", status="302 Found"))

    with wire(talk) as server, session_at(server.url, timeout=LIMIT) as session:
        with pytest.raises(ProviderUnavailable):
            call(session)
        assert len(server.requests) <= 3


def test_a_wait_that_the_api_asks_for_is_not_part_of_the_deadline():
    replies = [answer(b"", "Retry-After: 1", status="503 Busy"), answer(b"{}")]

    def talk(connection):
        while connection.request():
            connection.send(replies.pop(0))

    with wire(talk) as server:
        waits = {"timeout": ENOUGH, "sleep": lambda _: time.sleep(ENOUGH + 0.1)}
        with session_at(server.url, **waits) as session:
            assert session.me().urn == ""


def test_a_refresh_is_not_part_of_the_deadline():
    token = AccessToken("old", refresh_token="r", expires_at=1)

    def talk(connection):
        while request := connection.request():
            if request.line.startswith("POST"):
                time.sleep(0.6 * ENOUGH)
                body = b'{"access_token": "new", "token_type": "OAuth", "expires_in": 3600}'
                connection.send(answer(body, content_type="application/json"))
            else:
                time.sleep(0.6 * ENOUGH)
                connection.send(answer(b"{}"))

    with wire(talk) as server, session_at(server.url, timeout=ENOUGH, token=token) as session:
        assert session.me().urn == ""
        assert session.connection.token.token == "new"


def test_a_stream_has_a_limit_for_each_read_only():
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + b"x" * 20
    with wire(dripping(data, 0.04)) as server, session_at(server.url, timeout=ENOUGH) as session:
        begun = time.monotonic()
        with session.get("/tracks/1/stream", stream=True) as response:
            assert b"".join(response.iter_content(5)) == b"x" * 20
        assert time.monotonic() - begun > ENOUGH


def test_the_deadline_of_a_page_is_over_when_the_page_is_there():
    """A kept-alive connection goes back to requests' own timeout."""

    def talk(connection):
        connection.request()
        connection.send(answer(b"{}"))
        connection.request()
        time.sleep(ENOUGH + 0.2)
        connection.send(answer(b"late"))

    with wire(talk) as server, session_at(server.url, timeout=ENOUGH) as session:
        session.me()
        assert session.get("/tracks", timeout=10).text == "late"
        assert server.accepted == 1


# The cap

BOMB = gzip.compress(b"[" + b" " * 50_000_000 + b"]", compresslevel=1)
GZIP = "Content-Encoding: gzip"
TOO_LONG = {
    "a bomb": answer(BOMB, GZIP),
    "a bomb in pieces": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked"
    b"\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BOMB), BOMB),
    "a bomb in a bomb": answer(gzip.compress(BOMB), "Content-Encoding: gzip, gzip"),
    "a long page": answer(b"[" + b" " * MAX_PAGE + b"]"),
    "a bomb in a redirect": answer(BOMB, GZIP, "Location: /me", status="302 Found"),
}
OTHER_BOMBS = {
    "in a 401": (answer(BOMB, GZIP, status="401 Unauthorized"), ProviderError),
    "in a 404": (answer(BOMB, GZIP, status="404 Not Found"), ProviderError),
    "in a 503": (answer(BOMB, GZIP, status="503 Busy"), ProviderUnavailable),
    "in a 503 that asks to wait": (
        answer(BOMB, GZIP, "Retry-After: 1", status="503 Busy"),
        ProviderUnavailable,
    ),
}


@contextmanager
def little_memory():
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MAX_PAGE


@pytest.mark.threat(29)
@both
@pytest.mark.parametrize("data", TOO_LONG.values(), ids=TOO_LONG)
def test_threat_29_a_page_is_capped_and_its_decoded_size_counts(call, data):
    with wire(saying(data)) as server, session_at(server.url) as session:
        with little_memory(), pytest.raises(ProviderError, match=str(MAX_PAGE)) as caught:
            call(session)
        assert type(caught.value) is ProviderError


@pytest.mark.threat(29)
@both
@pytest.mark.parametrize(("data", "error"), OTHER_BOMBS.values(), ids=OTHER_BOMBS)
def test_threat_29_no_other_status_fills_the_memory(call, data, error):
    with (
        wire(saying(data)) as server,
        session_at(server.url, sleep=lambda _: None) as session,
        little_memory(),
        pytest.raises(error),
    ):
        call(session)


@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_a_page_of_200_tracks_is_not_too_long(encoding):
    tracks = [{"title": "x" * 3000, "id": number} for number in range(200)]
    body = json.dumps(tracks).encode()
    said = answer(gzip.compress(body), GZIP) if encoding else answer(body)
    with wire(saying(said)) as server, session_at(server.url) as session:
        assert collection(session) == tracks


def test_a_call_of_the_sites_own_is_not_capped():
    body = b"x" * (MAX_PAGE + 1)
    with wire(saying(answer(body))) as server, session_at(server.url) as session:
        assert session.get("/tracks/1/stream").content == body


JSON = "application/json"
KINDS = [JSON, "Application/JSON; charset=utf-8", "application/hal+json", ""]


@pytest.mark.threat(29)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fields", [[GZIP], []], ids=["a bomb", "a long one"])
def test_threat_29_json_that_is_read_at_once_is_capped(kind, fields):
    body = BOMB if fields else b"[" + b" " * MAX_PAGE + b"]"
    said = answer(body, *fields, content_type=kind)
    with wire(saying(said)) as server, session_at(server.url) as session:
        with little_memory(), pytest.raises(ProviderError, match="stream=True"):
            session.get("/me/tracks")
        with session.get("/me/tracks", stream=True) as response:
            length = sum(len(piece) for piece in response.iter_content(65_536))
        assert length > MAX_PAGE


@pytest.mark.threat(29)
@pytest.mark.parametrize("timeout", [LIMIT, (10, LIMIT)], ids=["one", "two"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_threat_29_json_that_is_read_at_once_keeps_the_timeout(timeout, chunked):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    if chunked:
        beginning = head + b"Transfer-Encoding: chunked\r\n\r\n"
        pieces = [b"1\r\nx\r\n"] * 1000
    else:
        beginning = head + b"Content-Length: 9999\r\n\r\n"
        pieces = [b"x"] * 1000

    def talk(connection):
        connection.request()
        connection.send(beginning)
        for piece in pieces:
            connection.send(piece)
            time.sleep(0.02)

    with wire(talk) as server, session_at(server.url) as session:
        begun = time.monotonic()
        with pytest.raises(requests.ConnectionError):
            session.get("/me", timeout=timeout)
        assert time.monotonic() - begun < FAR_BEYOND


def test_json_without_a_timeout_may_take_its_time():
    data = answer(b'{"slowly": "but surely"}', content_type=JSON)
    with wire(dripping(data, 0.01)) as server, session_at(server.url) as session:
        assert session.get("/me", timeout=None).json() == {"slowly": "but surely"}


@pytest.mark.threat(46)
def test_threat_46_a_body_that_nobody_reads_does_not_hold_up_the_next_call():
    said = [answer(b"x" * 60_000, "Retry-After: 1", status="503 Busy"), answer(b"{}")]

    def talk(connection):
        connection.request()
        data = said.pop(0)
        head, _, body = data.partition(b"\r\n\r\n")
        connection.send(head + b"\r\n\r\n")
        for position in range(len(body)):
            connection.send(body[position : position + 1])
            time.sleep(0 if len(body) < 9 else 0.02)

    with wire(talk) as server, session_at(server.url, sleep=lambda _: None) as session:
        begun = time.monotonic()
        assert session.get("/me").json() == {}
        assert time.monotonic() - begun < FAR_BEYOND


# What is sent


BODIES = {
    "nothing": (None, b""),
    "a short text": (b"a short text", b"a short text"),
    "more than a record": (b"y" * 200_000, b"y" * 200_000),
    "a file": (io.BytesIO(b"z" * 200_000), b"z" * 200_000),
}


@pytest.mark.parametrize(("body", "expected"), BODIES.values(), ids=BODIES)
def test_an_upload_arrives_whole(body, expected):
    with wire(saying(answer(b"{}"))) as server, session_at(server.url) as session:
        for _ in range(2):
            if hasattr(body, "seek"):
                body.seek(0)
            assert session.post("/tracks", data=body).status_code == 200
        assert [request.body.encode() for request in server.requests] == [expected] * 2
        assert server.accepted == 1


def test_an_upload_of_pieces_is_sent_as_it_is_made():
    heard = []

    def talk(connection):
        line = connection.stream.readline()
        while connection.stream.readline().strip():
            pass
        while size := int(connection.stream.readline(), 16):
            heard.append(connection.stream.read(size))
            connection.stream.readline()
        connection.stream.readline()
        assert line.startswith(b"POST /tracks")
        connection.send(answer(b"{}"))

    with wire(talk) as server, session_at(server.url) as session:
        pieces = (bytes([65 + number]) * 9000 for number in range(20))
        assert session.post("/tracks", data=pieces).status_code == 200
    assert [piece[:1] for piece in heard] == [bytes([65 + number]) for number in range(20)]


def test_a_large_upload_is_not_copied():
    body = b"x" * 30_000_000

    def talk(connection):
        connection.stream.readline()
        while connection.stream.readline().strip():
            pass
        left = len(body)
        while left:
            left -= len(connection.stream.read(min(left, 100_000)))
        connection.send(answer(b"{}"))

    with wire(talk) as server, session_at(server.url) as session:
        tracemalloc.start()
        try:
            assert session.post("/tracks", data=body).status_code == 200
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < len(body) / 2


# One pool


def test_token_requests_and_calls_share_their_connections():
    said = answer(
        b'{"access_token": "new", "token_type": "OAuth"}', content_type="application/json"
    )
    with wire(saying(said)) as server, session_at(server.url) as session:
        session.get("/me")
        flow = session._adapter._flow
        assert flow.refresh(AccessToken("old", refresh_token="r")).token == "new"
        session.get("/me")
        assert (server.accepted, len(server.requests)) == (1, 3)


FORKING = """
    import os, sys
    from support.flows import CLIENT
    from support.stores import connection
    from scconnect_wsgi import OAuth2, OAuth2Provider, Transport
    from scconnect_wsgi.connections._session import ApiSession
    from scconnect_wsgi.stores.sql import SQLStore

    (url,) = sys.argv[1:]
    provider = OAuth2Provider(f"{url}/authorize", f"{url}/token", api_url=url)
    flow, store = OAuth2(*CLIENT, provider=provider, transport=Transport(timeout=5)), SQLStore("sqlite://")
    session = ApiSession(store.save(connection(api_url=url)), store, flow)
    def say(who):
        assert session.post("/echo", data=who).text == who
    say("parent-before")
    child = os.fork()
    if not child:
        code = 1
        try:
            say("child")
            say("child-again")
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    say("parent-after")
"""


@pytest.mark.threat(39)
def test_threat_39_no_connection_of_calls_is_carried_over_a_fork():
    def echo(connection):
        number = connection.wire.accepted
        while request := connection.request():
            heard.append((number, request.body))
            connection.send(answer(request.body.encode()))

    heard = []
    with wire(echo) as server:
        command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FORKING), server.url]
        path = os.pathsep.join([str(TESTS), *filter(None, sys.path)])
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert heard == [(1, "parent-before"), (2, "child"), (2, "child-again"), (1, "parent-after")]


# Uploads that take their time


class Slow:
    """A body that is made while it is sent, in pieces with a pause before each."""

    def __init__(self, pieces, pause):
        self._pieces = pieces
        self._pause = pause

    def __iter__(self):
        for piece in self._pieces:
            time.sleep(self._pause)
            yield piece


def upload(connection):
    """Read a request with a chunked body; return when its head and its end were there."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.stream.read(1)
    arrived = time.monotonic()
    body = b""
    while not body.endswith(b"0\r\n\r\n"):
        body += connection.stream.read(1)
    connection.send(answer(b"{}"))
    return arrived, time.monotonic()


def test_an_upload_whose_source_is_slow_uses_a_connection_that_was_used_before():
    """The connection rests for longer than connections may, while the source is thinking."""

    def talk(connection):
        connection.request()
        connection.send(answer(b"{}"))
        upload(connection)

    with wire(talk) as server, session_at(server.url) as session:
        session.get("/me")
        slow = Slow([b"x" * 100, b"y" * 100], MAX_IDLE + 0.1)
        assert session.post("/tracks", data=iter(slow)).status_code == 200
        assert server.accepted == 1


def test_the_head_of_a_streamed_upload_leaves_at_once():
    times = []

    def talk(connection):
        times.append(upload(connection))

    with wire(talk) as server, session_at(server.url) as session:
        begun = time.monotonic()
        session.post("/tracks", data=iter(Slow([b"x", b"y", b"z"], 0.3)))
    ((head, end),) = times
    assert head - begun < 0.3
    assert end - begun > 0.9


@pytest.mark.threat(46)
@both
def test_threat_46_the_body_of_a_redirect_that_is_no_gzip_is_not_read(call):
    redirect = answer(b"no gzip" * 6_000_000, GZIP, "Location: /good", status="302 Found")
    good = b'{"urn": "soundcloud:users:1", "collection": []}'

    def talk(connection):
        while request := connection.request():
            connection.send(answer(good) if request.line.startswith("GET /good") else redirect)

    with wire(talk) as server, session_at(server.url) as session:
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        call(session)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak - before < 20_000_000


ODD_REDIRECTS = [
    f"https://{'a' * 64}.example/",
    "https://a..b/",
    "https://[::1",
    "https://\xff\xfe/",
]


@both
@pytest.mark.parametrize("location", ODD_REDIRECTS, ids=ascii)
def test_a_redirect_to_no_address_is_one_typed_error(call, location):
    redirect = answer(b"", f"Location: {location}", status="302 Found")
    with (
        wire(saying(redirect)) as server,
        session_at(server.url) as session,
        pytest.raises((ProviderError, ProviderUnavailable)),
    ):
        call(session)


@both
@pytest.mark.parametrize("body", [b"[" + b"1" * 5000 + b"]", b'{"collection": ' + b"1" * 5000])
def test_a_number_without_end_is_one_typed_error(call, body):
    with (
        wire(saying(answer(body))) as server,
        session_at(server.url) as session,
        pytest.raises(ProviderError),
    ):
        call(session)


def test_the_sites_on_lost_has_neither_the_deadline_nor_the_cap_of_the_page():
    heard = []

    def on_lost(connection, error):
        heard.append((current_deadline(), with_cap("as it was")))

    refused = saying(answer(b"{}", status="401 Unauthorized"))
    with (
        wire(refused) as server,
        session_at(server.url, on_lost=on_lost) as session,
        pytest.raises(ConnectionRevoked),
    ):
        session.me()
    assert heard == [(None, "as it was")]
