"""Each call gets its own answer (threats 41 and 46).

Around the answer stand interim responses, and whatever else a provider may send.
"""

import select
import socket
import threading
import time
import tracemalloc
from contextlib import contextmanager, suppress

import pytest
import requests
from support.flows import CALLBACK, CLIENT
from support.responses import query
from support.sessions import TIMEOUT, answer_to, flow_at, me, plain_get, sessions_of, token_request
from support.wire import answer, saying, tunnel, wire

from scconnect_wsgi import OAuth1, OAuth1Provider, Transport
from scconnect_wsgi.errors import ProviderError, ProviderUnavailable
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.transport._strict import MAX_INTERIM, TLS_RECORD

pytestmark = pytest.mark.slow  # it waits, or sends much

PAUSE = 0.05  # seconds between two pieces, so that they are read one by one
LATE = 0.2  # seconds after which a piece that was sent after a pause is there
SLACK = 5.0  # seconds a call may take beyond its deadline on a busy machine
EARLY_HINTS = (
    b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nLink: </b.js>; rel=preload\r\n\r\n"
)
INTERIM = {
    "100": [b"HTTP/1.1 100 Continue\r\n\r\n"],
    "102": [b"HTTP/1.1 102 Processing\r\n\r\n"],
    "103": [b"HTTP/1.1 103 Early Hints\r\n\r\n"],
    "199": [b"HTTP/1.1 199 Something New\r\n\r\n"],
    "a bare status": [b"HTTP/1.1 102\r\n\r\n"],
    "103 with headers": [EARLY_HINTS],
    "several": [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n",
        EARLY_HINTS,
        EARLY_HINTS,
    ],
    "as many as are read": [b"HTTP/1.1 102 Processing\r\n\r\n"] * MAX_INTERIM,
    "one of HTTP/1.0": [b"HTTP/1.0 102 Processing\r\n\r\n"],
    "one that wants to close": [b"HTTP/1.1 103 Early Hints\r\nConnection: close\r\n\r\n"],
    "one with a length": [b"HTTP/1.1 102 Processing\r\nContent-Length: 100\r\n\r\n"],
    "one that is chunked": [b"HTTP/1.1 102 Processing\r\nTransfer-Encoding: chunked\r\n\r\n"],
}
ENDINGS = {
    "without end": b"HTTP/1.1 102 Processing\r\n\r\n",
    "without end, 100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "without end, with much in each": b"HTTP/1.1 103 Early Hints\r\n"
    + b"Link: %s\r\n" % (b"x" * 60_000) * 90
    + b"\r\n",
    "a header without end": b"HTTP/1.1 103 Early Hints\r\n" + b"Link: x\r\n" * 50,
    "a line without end": b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 100_000,
}
interim = pytest.mark.parametrize("pieces", INTERIM.values(), ids=INTERIM)
pauses = pytest.mark.parametrize("pause", [0, PAUSE], ids=["at once", "late"])


def preceded_by(pieces, pause=0):
    """Answer each request, with these pieces before the answer.

    With a pause they come one after the other.
    """

    def talk(connection):
        while request := connection.request():
            said = [*pieces, answer_to(request, len(connection.wire.requests))]
            for data in said if pause else [b"".join(said)]:
                time.sleep(pause / len(pieces))
                connection.send(data)

    return talk


def repeating(data):
    """Say the beginning of an answer, and go on with it until the other side hangs up."""

    def talk(connection):
        connection.request()
        while True:
            connection.send(data)

    return talk


# Interim responses


@pytest.mark.threat(41)
@interim
@pauses
def test_threat_41_each_call_of_the_api_gets_its_own_answer(pieces, pause):
    with wire(preceded_by(pieces, pause)) as server:
        with sessions_of(flow_at(server.url), "joe", "ann") as (joe, ann):
            heard = [session.get("/me") for session in (joe, ann, joe)]
        assert [answer.status_code for answer in heard] == [200] * 3
        assert [answer.text for answer in heard] == [
            f"OAuth token of {user}" for user in ("joe", "ann", "joe")
        ]
        assert (server.accepted, len(server.requests)) == (
            1,
            3,
        )  # read to its end, the connection was kept


@pytest.mark.threat(41)
@interim
@pauses
def test_threat_41_each_request_token_is_the_one_that_was_asked_for(pieces, pause):
    with wire(preceded_by(pieces, pause)) as server:
        provider = OAuth1Provider(
            f"{server.url}/request_token", f"{server.url}/authorize", f"{server.url}/token"
        )
        flow = OAuth1(*CLIENT, provider=provider, transport=Transport(timeout=TIMEOUT))
        given = [query(flow.begin(CALLBACK).authorize_url)["oauth_token"] for _ in range(3)]
        assert given == ["number-1", "number-2", "number-3"]
        assert server.accepted == 1


@pytest.mark.threat(41)
@interim
@pauses
def test_threat_41_each_code_and_each_refresh_gives_its_own_token(pieces, pause):
    with wire(preceded_by(pieces, pause)) as server:
        flow = flow_at(server.url)
        for code in ("joe", "ann"):
            departure = flow.begin(CALLBACK)
            back = {"code": code, "state": query(departure.authorize_url)["state"]}
            assert flow.finish(CALLBACK, back, departure.pending).token == f"for {code}"
        assert flow.refresh(AccessToken("old", refresh_token="bob")).token == "for bob"
        assert server.accepted == 1


def call_of_the_api(url):
    with (
        sessions_of(flow_at(url), "joe") as (joe,),
        pytest.raises(requests.RequestException) as caught,
    ):
        joe.get("/me")
    assert isinstance(caught.value, requests.ConnectionError)
    assert "token of joe" not in str(caught.value)


def request_for_a_token(url):
    flow = flow_at(url)
    departure = flow.begin(CALLBACK)
    back = {"code": "joe", "state": query(departure.authorize_url)["state"]}
    with pytest.raises((ProviderError, ProviderUnavailable)):
        flow.finish(CALLBACK, back, departure.pending)


both = pytest.mark.parametrize("fails", [call_of_the_api, request_for_a_token])


@pytest.mark.threat(41)
@both
def test_threat_41_another_protocol_was_not_asked_for(fails):
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    with wire(saying(switch)) as server:
        fails(server.url)
        assert len(server.requests) == 1


@pytest.mark.threat(46)
@both
@pytest.mark.parametrize("data", ENDINGS.values(), ids=ENDINGS)
def test_threat_46_interim_responses_without_end_are_an_error(fails, data):
    with wire(repeating(data)) as server:
        start = time.monotonic()
        tracemalloc.start()
        try:
            fails(server.url)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert time.monotonic() - start < TIMEOUT + SLACK
    assert peak < 50_000_000


# Parts of the final response that never end

HEADER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEADER + b"Transfer-Encoding: chunked\r\n\r\n"
LETTERS = b"x" * 50_000
LINES = b"X-Line: x\r\n" * 5_000
MOST = (
    1_000  # pieces that are sent, 50 MB in all: a call without a bound is to fail, not the machine
)
WITHOUT_END = {
    "a chunk size": (CHUNKED, b"0" * 50_000),
    "a chunk extension": (CHUNKED + b"1;", LETTERS),
    "a chunk extension behind a chunk": (CHUNKED + b"1\r\n{\r\n1;name=", LETTERS),
    "a header line": (HEADER + b"X-Line: ", LETTERS),
    "headers": (HEADER, LINES),
    "a trailer line": (CHUNKED + b"2\r\n{}\r\n0\r\nX-Line: ", LETTERS),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", LINES),
    "a chunk of a negative size": (CHUNKED + b"-1\r\n", LETTERS),
}


def going_on(beginning, more):
    """Say the beginning of an answer and then the same piece for long, and never end it."""

    def talk(connection):
        connection.request()
        connection.send(beginning)
        for _ in range(MOST):
            connection.send(more)
        connection.request()

    return talk


@contextmanager
def bounded():
    """Fail if what happens inside takes much time or memory."""
    start = time.monotonic()
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000
    assert time.monotonic() - start < 1 + SLACK


@pytest.mark.threat(46)
@pytest.mark.parametrize("fails", [token_request, me, plain_get])
@pytest.mark.parametrize(("beginning", "more"), WITHOUT_END.values(), ids=WITHOUT_END)
def test_threat_46_a_line_or_a_header_without_end_is_one_typed_error(fails, beginning, more):
    with wire(going_on(beginning, more)) as server, bounded():
        fails(server.url)


# What comes behind an answer


def followed_by(trailing, pause=None):
    """Answer the first request with something behind its answer, in one piece or later.

    Every other request is answered as it should be.
    """

    def talk(connection):
        while request := connection.request():
            number = len(connection.wire.requests)
            whole = answer_to(request, number)
            if number > 1:
                connection.send(whole)
            elif pause is None:
                connection.send(whole + trailing)
            else:
                connection.send(whole)
                time.sleep(pause)
                connection.send(trailing)

    return talk


SOMEBODY_ELSES = answer(b"OAuth token of somebody else")
BEHIND = {
    "another answer": SOMEBODY_ELSES,
    "the beginning of another answer": SOMEBODY_ELSES[:20],
    "an interim response": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "an answer that fills a record": answer(b"x" * (TLS_RECORD - 400)),
}


@pytest.mark.threat(41)
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("pause", [None, PAUSE], ids=["in one piece", "later"])
@pytest.mark.parametrize("trailing", BEHIND.values(), ids=BEHIND)
def test_threat_41_a_connection_with_something_behind_the_answer_is_not_used_again(
    trailing, pause, secure, tls, bundle
):
    with wire(followed_by(trailing, pause), tls if secure else None) as server:
        with sessions_of(flow_at(server.url, ca_bundle=bundle), "joe", "ann") as (joe, ann):
            assert joe.get("/me").text == "OAuth token of joe"
            time.sleep(LATE)
            assert ann.get("/me").text == "OAuth token of ann"
            assert joe.get("/me").text == "OAuth token of joe"
        assert (server.accepted, len(server.requests)) == (2, 3)


@pytest.mark.threat(41)
@pytest.mark.parametrize("trailing", BEHIND.values(), ids=BEHIND)
def test_threat_41_nor_is_one_of_token_requests(trailing, tls, bundle):
    with wire(followed_by(trailing), tls) as server:
        flow = flow_at(server.url, ca_bundle=bundle)
        for name in ("joe", "ann", "bob"):
            assert flow.refresh(AccessToken("old", refresh_token=name)).token == f"for {name}"
        assert (server.accepted, len(server.requests)) == (2, 3)


@pytest.mark.threat(41)
def test_threat_41_a_proxy_may_say_more_before_it_tunnels(tls, bundle):
    def talk(connection):
        connection.send(EARLY_HINTS)
        tunnel(connection)

    with wire(talk) as proxy, wire(preceded_by(INTERIM["102"]), tls) as server:
        flow = flow_at(server.url, ca_bundle=bundle, proxy=f"http://127.0.0.1:{proxy.port}")
        with sessions_of(flow, "joe") as (joe,):
            assert joe.get("/me").text == "OAuth token of joe"
        assert flow.refresh(AccessToken("old", refresh_token="bob")).token == "for bob"


def gathering_tunnel(connection):
    """Be a proxy that passes on in one piece what the server sends within 50 milliseconds."""
    request = connection.request()
    host, _, port = request.line.split()[1].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as onward:
        connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        pass_on = threading.Thread(target=copy, args=[connection.sock, onward], daemon=True)
        pass_on.start()
        with suppress(OSError):
            while data := onward.recv(65_536):
                while select.select([onward], [], [], 0.05)[0]:
                    more = onward.recv(65_536)
                    if not more:
                        break
                    data += more
                connection.send(data)


def copy(source, target):
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)


@pytest.mark.threat(41)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_threat_41_what_waits_in_the_tls_of_a_proxy_is_nobodys_answer(scheme, tls, bundle):
    """Through an https proxy, the second response lies decrypted in the memory of urllib3."""

    def talk(connection):
        while request := connection.request():
            connection.send(answer_to(request, len(connection.wire.requests)))
            if len(connection.wire.requests) == 1:
                connection.send(SOMEBODY_ELSES)

    proxy_tls = tls if scheme == "https" else None
    with wire(gathering_tunnel, proxy_tls) as proxy, wire(talk, tls) as server:
        flow = flow_at(server.url, ca_bundle=bundle, proxy=f"{scheme}://localhost:{proxy.port}")
        with sessions_of(flow, "joe", "ann") as (joe, ann):
            assert joe.get("/me").text == "OAuth token of joe"
            assert ann.get("/me").text == "OAuth token of ann"
            assert joe.get("/me").text == "OAuth token of joe"


@pytest.mark.threat(41)
def test_threat_41_an_answer_to_head_that_has_a_body_after_all(tls, bundle):
    with wire(saying(answer(b"a body")), tls) as server:
        with sessions_of(flow_at(server.url, ca_bundle=bundle), "joe") as (joe,):
            assert [joe.head("/me").status_code, joe.get("/me").text] == [200, "a body"]
        assert server.accepted == 2
