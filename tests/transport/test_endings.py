"""Where a response begins and ends, if the two sides do not agree (threats 41 and 46).

Whatever a server sends beside its answer, each user gets their own or an error.
"""

import ssl
import time
from contextlib import closing, contextmanager, suppress

import pytest
import requests
from support.sessions import answer_to, flow_at, me, plain_get, sessions_of, token_request
from support.wire import answer, saying, tunnel, wire

from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.transport._connection import StrictConnection, StrictHTTPSConnection

pytestmark = pytest.mark.slow  # it waits

SLACK = 5.0  # seconds a call may take beyond its deadline on a busy machine
LATE = 0.2  # seconds after which a piece that was sent after a pause is there
MINE = b"OAuth token of joe"
HEADER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEADER + b"Transfer-Encoding: chunked\r\n\r\n"

each = pytest.mark.parametrize("fails", [token_request, me, plain_get])
secured = pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])


def answering(connection):
    """Answer each request as it should be."""
    while request := connection.request():
        connection.send(answer_to(request, len(connection.wire.requests)))


def first(data, later=b""):
    """Answer the first request with these bytes, and every other one as it should be."""

    def talk(connection):
        while request := connection.request():
            number = len(connection.wire.requests)
            connection.send(data if number == 1 else answer_to(request, number))
            if number == 1 and later:
                time.sleep(LATE / 4)
                connection.send(later)

    return talk


@contextmanager
def joe_and_ann(talk, tls, bundle, secure=True, **options):
    with (
        wire(talk, tls if secure else None) as server,
        sessions_of(flow_at(server.url, ca_bundle=bundle, **options), "joe", "ann") as (joe, ann),
    ):
        yield server, joe, ann


# Both lengths, or none that can be read

UNREADABLE = {
    "two lengths": b"Content-Length: 2\r\nContent-Length: 18\r\n\r\n{}",
    "two lengths in one field": b"Content-Length: 2, 18\r\n\r\n{}",
    "a length with an underscore": b"Content-Length: 0_2\r\n\r\n{}",
    "a length with a sign": b"Content-Length: +2\r\n\r\n{}",
    "a negative length": b"Content-Length: -2\r\n\r\n{}",
    "a length in words": b"Content-Length: two\r\n\r\n{}",
    "a length behind a vertical tab": b"Content-Length: \x0b2\r\n\r\n{}",
    "an empty length": b"Content-Length:\r\n\r\n{}",
    "another transfer coding": b"Transfer-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    "two transfer codings": b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a coding behind a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n2\r\n{}\r\n0\r\n\r\n",
}


@pytest.mark.threat(41)
@each
@pytest.mark.parametrize("rest", UNREADABLE.values(), ids=UNREADABLE)
def test_threat_41_a_response_without_a_clear_end_is_an_error(fails, rest):
    with wire(saying(HEADER + rest)) as server:
        start = time.monotonic()
        fails(server.url, timeout=10)
        assert time.monotonic() - start < SLACK  # at once, and not by its deadline


ENDS = {
    "a length and chunks": HEADER
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n12\r\n%s\r\n0\r\n\r\n" % MINE,
    "chunks and a length": HEADER
    + b"Transfer-Encoding: chunked\r\nContent-Length: 900\r\n\r\n12\r\n%s\r\n0\r\n\r\n" % MINE,
    "chunks in HTTP/1.0": CHUNKED.replace(b"1.1", b"1.0", 1).replace(
        b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n"
    )
    + b"12\r\n%s\r\n0\r\n\r\n" % MINE,
}


@pytest.mark.threat(41)
@secured
@pytest.mark.parametrize("data", ENDS.values(), ids=ENDS)
def test_threat_41_a_doubtful_end_is_the_end_of_the_connection(data, secure, tls, bundle):
    with joe_and_ann(first(data), tls, bundle, secure) as (server, joe, ann):
        assert joe.get("/me").content == MINE
        assert ann.get("/me").text == "OAuth token of ann"
        assert server.accepted == 2


GOOD = {
    "the same length twice": HEADER + b"Content-Length: 18\r\n" * 2 + b"\r\n" + MINE,
    "the same length in one field": HEADER + b"Content-Length: 18, 18\r\n\r\n" + MINE,
    "chunks with extensions": CHUNKED + b"12 ;a=b;c\r\n%s\r\n000;x\r\nX: y\r\n\r\n" % MINE,
    "a coding with a space behind it": CHUNKED.replace(b"chunked", b"chunked ")
    + b"12\r\n%s\r\n0\r\n\r\n" % MINE,
    "a coding with a tab behind it, and a length": CHUNKED.replace(
        b"chunked\r\n", b"chunked\t\r\nContent-Length: 5\r\n"
    )
    + b"12\r\n%s\r\n0\r\n\r\n" % MINE,
    "a chunk size in capitals": CHUNKED.replace(b"chunked", b"Chunked")
    + b"A\r\n%s\r\n8\r\n%s\r\n0\r\n\r\n" % (MINE[:10], MINE[10:]),
}


@pytest.mark.parametrize("data", GOOD.values(), ids=GOOD)
def test_what_is_unusual_and_clear_is_read(data, tls, bundle):
    with joe_and_ann(first(data), tls, bundle, secure=False) as (_, joe, ann):
        assert joe.get("/me").content == MINE
        assert ann.get("/me").text == "OAuth token of ann"


@pytest.mark.parametrize("data", GOOD.values(), ids=GOOD)
@pytest.mark.parametrize("read", ["read", "read1"])
def test_and_by_callers_who_read_it_themselves(data, read, tls, bundle):
    with joe_and_ann(first(data), tls, bundle, secure=False) as (_, joe, ann):
        raw = joe.get("/me", stream=True).raw
        assert b"".join(iter(getattr(raw, read), b"")) == MINE
        raw.close()
        assert ann.get("/me").text == "OAuth token of ann"


BEHIND = [b"XX", b"\n\r", b"\n0", b"\r\r", b"  "]


@pytest.mark.threat(46)
@each
@pytest.mark.parametrize("behind", BEHIND, ids=ascii)
def test_threat_46_so_is_a_chunk_that_does_not_end_where_it_says(fails, behind):
    body = b"2\r\n{}%s0\r\n\r\n" % behind
    with wire(saying(CHUNKED + body)) as server:
        fails(server.url, timeout=10)


SIZES = [b"-1", b"-2", b"+2", b"0x2", b"0_2", b"2 2", b"", b" 2", b"2\0", b"f" * 17, b"two"]


@pytest.mark.threat(46)
@each
@pytest.mark.parametrize("size", SIZES, ids=ascii)
def test_threat_46_a_chunk_size_that_is_none_is_one_typed_error(fails, size):
    with wire(saying(CHUNKED + size + b"\r\n{}\r\n0\r\n\r\n")) as server:
        start = time.monotonic()
        fails(server.url, timeout=10)
        assert time.monotonic() - start < SLACK


# Responses that have no body

BODILESS = {
    "204": b"HTTP/1.1 204 No Content\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\n",
}
SOMEBODY_ELSES = answer(b"OAuth token of somebody else")
BODIES = {
    "none, though chunks were announced": (b"Transfer-Encoding: chunked\r\n\r\n", b""),
    "none, though a length was announced": (b"Content-Length: 28\r\n\r\n", b""),
    "one": (b"Content-Length: 28\r\n\r\nOAuth token of somebody else", b""),
    "one in chunks": (b"Transfer-Encoding: chunked\r\n\r\n5\r\nOAuth\r\n0\r\n\r\n", b""),
    "a whole response": (b"\r\n" + SOMEBODY_ELSES, b""),
    "one, later": (b"Content-Length: 28\r\n\r\n", b"OAuth token of somebody else"),
    "a whole response, later": (b"\r\n", SOMEBODY_ELSES),
}


@pytest.mark.threat(41)
@secured
@pytest.mark.parametrize("head", BODILESS.values(), ids=BODILESS)
@pytest.mark.parametrize(("rest", "later"), BODIES.values(), ids=BODIES)
def test_threat_41_a_body_where_none_belongs_is_nobodys(head, rest, later, secure, tls, bundle):
    with joe_and_ann(first(head + rest, later), tls, bundle, secure) as (_, joe, ann):
        assert joe.get("/me").content == b""
        time.sleep(LATE if later else 0)
        assert ann.get("/me").text == "OAuth token of ann"
        assert joe.get("/me").content == MINE


@pytest.mark.threat(41)
@secured
@pytest.mark.parametrize(("rest", "later"), BODIES.values(), ids=BODIES)
def test_threat_41_nor_is_one_behind_the_answer_to_head(rest, later, secure, tls, bundle):
    head = b"HTTP/1.1 200 OK\r\n"
    with joe_and_ann(first(head + rest, later), tls, bundle, secure) as (_, joe, ann):
        assert joe.head("/me").content == b""
        time.sleep(LATE if later else 0)
        assert ann.get("/me").text == "OAuth token of ann"


# Responses to nothing


def speaking_first(connection):
    """Send a response before the request, and then the right one."""
    connection.send(SOMEBODY_ELSES)
    answering(connection)


def impatient(connection):
    connection.send(answer(b"", status="408 Request Timeout"))


@pytest.mark.threat(41)
@secured
@pytest.mark.parametrize("talk", [speaking_first, impatient])
def test_threat_41_a_response_before_the_request_is_nobodys(talk, secure, tls, bundle):
    """Read as joe's, it would leave joe's own for ann."""
    with wire(talk, tls if secure else None) as server:
        trusted = ssl.create_default_context(cafile=bundle)
        connected: StrictConnection
        if secure:
            connected = StrictHTTPSConnection("localhost", server.port, ssl_context=trusted)
        else:
            connected = StrictConnection("localhost", server.port)
        with closing(connected):
            connected.connect()
            time.sleep(LATE)  # a call has no such pause: what arrives within it is what is early
            with pytest.raises(ConnectionResetError):
                connected.request("GET", "/me")
            time.sleep(LATE)
            assert server.requests == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_session_tickets_are_no_response(version, authority, bundle):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    authority.issue_cert("localhost").configure_cert(context)
    with wire(saying(answer(MINE)), context) as server:
        trusted = ssl.create_default_context(cafile=bundle)
        connected = StrictHTTPSConnection("localhost", server.port, ssl_context=trusted)
        with closing(connected):
            connected.connect()
            time.sleep(LATE)
            connected.request("GET", "/me")
            assert connected.getresponse().data == MINE


@pytest.mark.threat(41)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_threat_41_nor_is_what_a_proxy_says_before_it_is_asked(scheme, tls, bundle):
    def talk(connection):
        connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n" + SOMEBODY_ELSES)
        tunnel(connection)

    proxy_tls = tls if scheme == "https" else None
    with wire(talk, proxy_tls) as proxy:
        options = {"proxy": f"{scheme}://localhost:{proxy.port}", "timeout": 2}
        with joe_and_ann(answering, tls, bundle, **options) as (_, joe, ann):
            for session, user in [(joe, "joe"), (ann, "ann"), (joe, "joe")]:
                with suppress(requests.RequestException):
                    assert session.get("/me").text == f"OAuth token of {user}"


@pytest.mark.threat(41)
def test_threat_41_responses_in_advance_are_not_kept(tls, bundle):
    """One request, and the answers to the next three at once."""
    data = b"".join(answer(b"OAuth token of %d" % number) for number in range(4))
    with joe_and_ann(first(data), tls, bundle) as (server, joe, ann):
        assert joe.get("/me").text == "OAuth token of 0"
        assert [who.get("/me").text for who in (ann, joe, ann)] == [
            "OAuth token of ann",
            "OAuth token of joe",
            "OAuth token of ann",
        ]
        assert server.accepted == 2


# While a request is on its way


def interrupting(interim, pause):
    """Send interim responses while a body is arriving, and the answer when it is there."""

    def talk(connection):
        while line := connection.stream.readline():
            headers = {}
            while field := connection.stream.readline().decode().strip():
                name, _, value = field.partition(": ")
                headers[name.lower()] = value
            connection.wire.requests.append(line)
            left = int(headers.get("content-length", 0))
            while left:
                for data in interim:
                    connection.send(data)
                left -= len(connection.stream.read(min(left, 100_000)))
                time.sleep(pause)
            connection.send(answer(headers["authorization"].encode()))

    return talk


@pytest.mark.threat(41)
@secured
@pytest.mark.parametrize("expect", [{}, {"Expect": "100-continue"}], ids=["", "expected"])
@pytest.mark.parametrize(
    "interim",
    [
        [b"HTTP/1.1 100 Continue\r\n\r\n"],
        [b"HTTP/1.1 102 Processing\r\n\r\n"],
        [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"],
    ],
    ids=["100", "102", "100 and 103"],
)
def test_threat_41_interim_responses_during_an_upload(interim, expect, secure, tls, bundle):
    with joe_and_ann(interrupting(interim, 0.01), tls, bundle, secure) as (server, joe, ann):
        sent = joe.post("/tracks", data=b"x" * 450_000, headers=expect)
        assert (sent.status_code, sent.content) == (200, MINE)
        assert ann.get("/me").text == "OAuth token of ann"
        assert server.accepted == 1


@pytest.mark.threat(41)
@secured
def test_threat_41_a_refusal_in_the_middle_of_an_upload(secure, tls, bundle):
    """The rest of the body is not taken for ann's request, nor what comes of it for her answer."""

    def talk(connection):
        while line := connection.stream.readline():
            while connection.stream.readline().strip():
                pass
            connection.wire.requests.append(line)
            if line.startswith(b"POST"):
                connection.send(answer(b"too large", status="413 Content Too Large"))
                return
            connection.send(answer(b"a good answer"))

    with joe_and_ann(talk, tls, bundle, secure) as (server, joe, ann):
        with suppress(requests.ConnectionError):  # it may be reset before the refusal is read
            assert joe.post("/tracks", data=b"x" * 3_000_000).status_code == 413
        # A request that is sent in the moment of hanging up is lost, whatever the client does
        server.wait_until_hung_up()
        assert ann.get("/me").text == "a good answer"


# Streams that nobody reads to their end


def close(response):
    response.close()


def read_a_little_and_close(response):
    next(response.iter_content(5))
    response.close()


def leave(response):
    next(response.iter_content(5))


def give_back(response):
    response.raw.release_conn()


def read_a_little_and_give_back(response):
    response.raw.read(5)
    response.raw.release_conn()


LONG = {
    "short": answer(MINE),
    "a record": answer(MINE * 900),
    "long": answer(MINE * 20_000),
    "chunks": CHUNKED + b"12\r\n%s\r\n" % MINE * 3 + b"0\r\n\r\n",
}


@pytest.mark.threat(41)
@secured
@pytest.mark.parametrize("data", LONG.values(), ids=LONG)
@pytest.mark.parametrize(
    "end",
    [close, read_a_little_and_close, leave, give_back, read_a_little_and_give_back],
    ids=lambda end: end.__name__,
)
def test_threat_41_a_stream_that_is_not_read_leaves_nothing(end, data, secure, tls, bundle):
    with joe_and_ann(first(data), tls, bundle, secure) as (server, joe, ann):
        response = joe.get("/tracks/1/stream", stream=True)
        end(response)
        assert ann.get("/me").text == "OAuth token of ann"
        assert server.accepted == 2


@pytest.mark.threat(41)
def test_threat_41_a_token_request_after_a_stream_that_was_not_read(tls, bundle):
    with wire(first(answer(MINE)), tls) as server:
        flow = flow_at(server.url, ca_bundle=bundle)
        with sessions_of(flow, "joe") as (joe,):
            joe.get("/tracks/1/stream", stream=True).raw.release_conn()
            assert flow.refresh(AccessToken("old", refresh_token="bob")).token == "for bob"


# A drip, where no deadline holds


def dripping_on(beginning, piece):
    """Say a beginning, and then a piece again and again, slowly, for long."""

    def talk(connection):
        connection.request()
        connection.send(beginning)
        for _ in range(600):
            connection.send(piece)
            time.sleep(0.05)

    return talk


DRIPS = {
    "a status line": (b"HTTP/1.1 200 ", b"O"),
    "a header line": (HEADER + b"X-Line: ", b"x"),
    "header lines": (HEADER, b"X-Line: x\r\n"),
    "a chunk size": (CHUNKED, b"0"),
    "a chunk extension": (CHUNKED + b"12;", b"x"),
    "a trailer line": (CHUNKED + b"0\r\nX-Line: ", b"x"),
}


@pytest.mark.threat(46)
@pytest.mark.parametrize(("beginning", "piece"), DRIPS.values(), ids=DRIPS)
def test_threat_46_a_drip_of_a_header_or_a_line_ends(beginning, piece):
    with wire(dripping_on(beginning, piece)) as server:
        start = time.monotonic()
        plain_get(server.url, timeout=0.5)
        assert time.monotonic() - start < 1.5 + SLACK


def test_a_slow_start_is_not_a_drip():
    """A server may think for as long as one read may take, also before each interim response."""

    def talk(connection):
        connection.request()
        for _ in range(3):
            time.sleep(1.4)
            connection.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        time.sleep(1.4)
        connection.send(answer(MINE))

    with (
        wire(talk) as server,
        sessions_of(flow_at(server.url, timeout=3), "joe") as (joe,),
    ):
        assert joe.get("/me").content == MINE
