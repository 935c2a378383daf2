"""How a provider is reached, on good and on bad days, over real sockets."""

import gzip
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import pytest
import trustme
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.flows import quick_transport
from support.wire import answer, dripping, saying, saying_once, tunnel, wire

from scconnect_wsgi import ConnectError, OAuth1, OAuth2, Transport
from scconnect_wsgi.errors import (
    ConfigurationError,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
)
from scconnect_wsgi.sandbox import Sandbox, serve
from scconnect_wsgi.transport._client import HTTPRequest, HTTPResponse
from scconnect_wsgi.transport._failures import MAX_RETRY_AFTER, retry_seconds

SECRET = "the-secret-of-this-call"
QUICK = quick_transport()  # one for many: reading the CA bundle takes longer than most tests here
PATIENT = quick_transport(timeout=10)  # for a server that takes its time to make what it sends
# Seconds that a call may take beyond its deadline on a busy machine. Without a deadline the calls
# below would take 10 seconds and more.
SLACK = 5.0
LIMIT = 0.4  # seconds, the deadline of the calls that are to run into it


def call(transport, url, body="a=b"):
    return transport.send(
        lambda: HTTPRequest("POST", f"{url}/token", {"Authorization": SECRET}, body)
    )


def failure(transport, url, kind):
    """The one error of a call: of this kind, without a secret in it or behind it."""
    with pytest.raises(ConnectError) as caught:
        call(transport, url, body=SECRET)
    error = caught.value
    too_many = kind is ProviderUnavailable and "(status 429)" in error.message
    assert type(error) is (RateLimited if too_many else kind), error
    assert SECRET not in repr(error)
    assert error.__cause__ is None
    assert error.__context__ is None
    return error


def served_once(data, kind, transport=None):
    with wire(saying_once(data)) as server:
        return failure(transport or QUICK, server.url, kind)


# TLS


@pytest.fixture
def other_bundle(tmp_path):
    path = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return path


@pytest.mark.threat(28)
def test_threat_28_a_private_authority_is_taken_where_it_is_given(tls, bundle):
    with wire(saying(answer(b"hello")), tls) as server:
        assert call(quick_transport(ca_bundle=bundle), server.url).body == b"hello"


@pytest.mark.threat(28)
def test_threat_28_another_authority_is_refused(tls, other_bundle):
    with wire(saying(answer()), tls) as server:
        error = failure(
            quick_transport(ca_bundle=str(other_bundle)), server.url, ProviderUnavailable
        )
        assert "certificate of localhost was not accepted" in error.message
        assert server.requests == []


@pytest.mark.threat(28)
def test_threat_28_another_host_name_is_refused(authority, bundle):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("provider.example").configure_cert(context)
    with wire(saying(answer()), context) as server:
        error = failure(quick_transport(ca_bundle=bundle), server.url, ProviderUnavailable)
        assert "certificate of localhost was not accepted" in error.message
        assert server.requests == []


@pytest.mark.threat(28)
def test_threat_28_the_environment_cannot_bring_an_authority(tls, bundle, monkeypatch):
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(bundle))
    monkeypatch.setenv("SSL_CERT_DIR", str(bundle.parent))
    monkeypatch.setenv("PYTHONHTTPSVERIFY", "0")
    with wire(saying(answer()), tls) as server:
        failure(quick_transport(), server.url, ProviderUnavailable)
        assert server.requests == []


@pytest.mark.threat(28)
def test_threat_28_the_environment_cannot_take_an_authority_away(tls, bundle, monkeypatch):
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, "/nowhere/at/all.pem")
    with wire(saying(answer()), tls) as server:
        assert call(quick_transport(ca_bundle=bundle), server.url).status == 200


def test_the_bundle_is_read_once_for_any_number_of_connections(tls, bundle):
    transport = quick_transport(ca_bundle=bundle)
    loads = []

    def count(frame, event, argument):
        if event == "c_call" and argument.__name__ in (
            "load_verify_locations",
            "set_default_verify_paths",
        ):
            loads.append(argument)

    with wire(saying_once(answer(b"ok", "Connection: close")), tls) as server:
        sys.setprofile(count)
        try:
            assert call(transport, server.url).body == b"ok"
            assert (
                len(loads) == 1
            )  # at the first use in this process, and not when the transport is made
            bundle.unlink()
            for _ in range(4):
                assert call(transport, server.url).body == b"ok"
            assert len(loads) == 1
            ssl.create_default_context()  # so that this count is known to see a load
        finally:
            sys.setprofile(None)
        assert server.accepted == 5
    assert len(loads) > 1


def test_a_bundle_that_is_gone_at_its_first_use_is_a_typed_error(tls, bundle):
    transport = quick_transport(ca_bundle=bundle)
    bundle.unlink()
    with wire(saying(answer()), tls) as server:
        assert (
            "ca_bundle can no longer be read"
            in failure(transport, server.url, ProviderUnavailable).message
        )
        assert server.accepted == 0


# The environment


@pytest.mark.threat(28)
def test_threat_28_proxies_and_netrc_of_the_environment_are_ignored(tmp_path, monkeypatch):
    (tmp_path / ".netrc").write_text(
        "machine localhost login thief password thief\ndefault login x password y\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with wire(saying(answer(b"proxy"))) as proxy, wire(saying(answer(b"provider"))) as server:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.upper(), proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        transport = quick_transport()
        assert call(transport, server.url).body == b"provider"
        assert proxy.accepted == 0
        assert server.requests[0].headers["authorization"] == SECRET
        transport.send(lambda: HTTPRequest("POST", server.url, {}))
        assert "authorization" not in server.requests[1].headers


# A proxy that was asked for


def test_a_proxy_that_is_asked_for_forwards(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    with wire(tunnel) as proxy, wire(saying(answer())) as server:
        transport = quick_transport(proxy=f"http://joe:p%40ss@127.0.0.1:{proxy.port}")
        assert call(transport, server.url).body == b"forwarded"
        assert proxy.requests[0].line == f"POST {server.url}/token HTTP/1.1"
        assert proxy.requests[0].headers["proxy-authorization"] == "Basic am9lOnBAc3M="
        assert server.accepted == 0
        assert "p%40ss" not in repr(transport)


def test_a_proxy_that_is_asked_for_tunnels_and_sees_no_secret(tls, bundle):
    with wire(tunnel) as proxy, wire(saying(answer(b"through")), tls) as server:
        transport = quick_transport(ca_bundle=bundle, proxy=f"http://127.0.0.1:{proxy.port}")
        assert [call(transport, server.url).body for _ in range(3)] == [b"through"] * 3
        assert [request.line.rpartition(" ")[0] for request in proxy.requests] == [
            f"CONNECT {server.host}"
        ]
        assert SECRET not in str(proxy.requests)
        assert len(server.requests) == 3


@pytest.mark.threat(28)
def test_threat_28_a_proxy_cannot_stand_in_for_the_provider(tls, other_bundle):
    with wire(tunnel) as proxy, wire(saying(answer()), tls) as server:
        transport = quick_transport(
            ca_bundle=str(other_bundle), proxy=f"http://127.0.0.1:{proxy.port}"
        )
        assert "certificate" in failure(transport, server.url, ProviderUnavailable).message
        assert server.requests == []


@pytest.mark.threat(29)
def test_threat_29_a_proxy_that_drips_keeps_the_deadline(bundle):
    with wire(dripping(b"HTTP/1.1 200 OK\r\nX-Padding: " + b"x" * 1000)) as proxy:
        transport = Transport(
            timeout=LIMIT, ca_bundle=bundle, proxy=f"http://127.0.0.1:{proxy.port}"
        )
        within_the_deadline(transport, "https://localhost:9")
        assert proxy.accepted == 1


def test_a_proxy_that_refuses_to_tunnel(bundle):
    with wire(saying_once(answer(b"", status="502 Bad Gateway"))) as proxy:
        transport = quick_transport(ca_bundle=bundle, proxy=f"http://127.0.0.1:{proxy.port}")
        failure(transport, "https://localhost:9", ProviderUnavailable)
        assert SECRET not in str(proxy.requests)


# Kept-alive connections


def test_a_connection_is_kept():
    with wire(saying(answer())) as server:
        transport = quick_transport()
        for _ in range(5):
            call(transport, server.url)
        assert (server.accepted, len(server.requests)) == (1, 5)


def test_a_connection_over_tls_is_kept(tls, bundle):
    with wire(saying(answer()), tls) as server:
        transport = quick_transport(ca_bundle=bundle)
        for _ in range(5):
            call(transport, server.url)
        assert (server.accepted, len(server.requests)) == (1, 5)


def test_a_connection_that_rested_too_long_is_not_used():
    with wire(saying(answer())) as server:
        transport = quick_transport()
        call(transport, server.url)
        time.sleep(1.1)
        call(transport, server.url)
        assert (server.accepted, len(server.requests)) == (2, 2)


@pytest.mark.slow
@pytest.mark.threat(35)
def test_threat_35_a_provider_that_hangs_up_without_a_word_breaks_nothing():
    def talk(connection):
        connection.request()
        connection.sock.send(
            answer(), getattr(socket, "MSG_MORE", 0)
        )  # answer and hang-up leave in one packet
        connection.sock.shutdown(socket.SHUT_WR)
        connection.stream.read()

    with wire(talk) as server, ThreadPoolExecutor(4) as pool:
        transport = Transport(timeout=5)
        assert {a.status for a in pool.map(lambda _: call(transport, server.url), range(300))} == {
            200
        }
        assert len(server.requests) == 300


@pytest.mark.threat(35)
def test_threat_35_a_provider_that_hangs_up_without_a_word_over_tls(tls, bundle):
    with wire(saying_once(answer()), tls) as server:
        transport = quick_transport(ca_bundle=bundle)
        for _ in range(20):
            time.sleep(0.005)
            call(transport, server.url)
        assert len(server.requests) == 20


@pytest.mark.threat(39)
def test_threat_39_no_cookie_is_kept():
    with wire(saying(answer(b"", "Set-Cookie: session=of-somebody; Path=/"))) as server:
        transport = quick_transport()
        call(transport, server.url)
        call(transport, server.url)
        assert "cookie" not in server.requests[1].headers


@pytest.mark.slow
@pytest.mark.threat(39)
def test_threat_39_threads_get_their_own_answers():
    def echo(connection):
        while request := connection.request():
            connection.send(answer(request.body.encode()))

    with wire(echo) as server, ThreadPoolExecutor(8) as pool:
        transport = Transport(timeout=5)
        sent = [f"user={number}" for number in range(200)]
        assert [
            a.body.decode() for a in pool.map(lambda body: call(transport, server.url, body), sent)
        ] == sent


FORKING = """
    import os, sys
    from scconnect_wsgi.transport._client import HTTPRequest, Transport
    url, bundle = sys.argv[1:]
    transport = Transport(timeout=5, ca_bundle=bundle)
    def say(who):
        assert transport.send(lambda: HTTPRequest("POST", url, {}, who)).body == who.encode()
    say("parent before")
    child = os.fork()
    if not child:
        code = 1
        try:
            say("child")
            say("child again")
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    say("parent after")
"""


@pytest.mark.slow
@pytest.mark.threat(39)
def test_threat_39_no_connection_is_carried_over_a_fork(tls, bundle):
    def echo(connection):
        number = connection.wire.accepted
        while request := connection.request():
            heard.append((number, request.body))
            connection.send(answer(request.body.encode()))

    heard = []
    with wire(echo, tls) as server:
        command = [sys.executable, "-c", textwrap.dedent(FORKING), server.url, str(bundle)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, done.stderr
    assert heard == [(1, "parent before"), (2, "child"), (2, "child again"), (1, "parent after")]


# What is sent again, and what never is


@pytest.mark.threat(35)
def test_threat_35_a_refused_connection_is_tried_again_with_a_new_nonce():
    built = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound and deaf: connections are refused until it listens
        port = listener.getsockname()[1]

        def build():
            built.append(len(built))
            if len(built) == 2:
                listener.listen()
                threading.Thread(target=serve_one, daemon=True).start()
            return HTTPRequest("POST", f"http://127.0.0.1:{port}/", {}, f"nonce={len(built)}")

        def serve_one():
            peer, _ = listener.accept()
            with peer, peer.makefile("rb") as stream:
                while line := stream.readline().strip():
                    heard.append(line)
                heard.append(stream.read(len(b"nonce=2")))
                peer.sendall(answer())

        heard = []
        assert QUICK.send(build).status == 200
    assert heard[-1] == b"nonce=2"
    assert len(built) == 2


@pytest.mark.threat(35)
def test_threat_35_a_connection_that_stays_refused_is_tried_three_times():
    built = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(ProviderUnavailable, match="refused the connection"):
            QUICK.send(lambda: built.append(1) or HTTPRequest("POST", url, {}))
    assert len(built) == 3


def reset(connection):
    """End the connection by RST."""
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    connection.sock.close()


def silence(connection):
    connection.request()


def half_an_answer(connection):
    connection.request()
    connection.send(b"HTTP/1.1 20")


def hang_up_hard(connection):
    connection.request()
    reset(connection)


def no_patience(connection):
    connection.request()
    time.sleep(LIMIT + 0.1)


@pytest.mark.threat(35)
@pytest.mark.parametrize(
    "talk", [silence, half_an_answer, hang_up_hard, no_patience], ids=lambda talk: talk.__name__
)
@pytest.mark.parametrize("warm", [False, True], ids=["on a new connection", "on a kept connection"])
def test_threat_35_what_has_left_is_never_sent_again(talk, warm):
    def conversation(connection):
        if warm:
            connection.request()
            connection.send(answer())
        talk(connection)

    with wire(conversation) as server:
        transport = Transport(timeout=LIMIT)
        if warm:
            call(transport, server.url)
        failure(transport, server.url, ProviderUnavailable)
        time.sleep(0.05)
        assert len(server.requests) == 1 + warm
        assert server.accepted == 1


def read_a_little_and_reset(connection):
    """Break the connection while the other side is still sending."""
    connection.stream.read(1000)
    connection.reset()


@pytest.mark.slow
@pytest.mark.threat(35)
@pytest.mark.parametrize("large", ["head", "body"])
@pytest.mark.parametrize("warm", [False, True], ids=["on a new connection", "on a kept connection"])
def test_threat_35_a_request_that_broke_off_while_it_was_sent_may_have_been_heard(warm, large):
    built = []

    def talk(connection):
        if warm and not server.requests:
            connection.request()
            connection.send(answer())
        read_a_little_and_reset(connection)

    def build():
        built.append(1)
        # More than any socket holds back, so that it is being sent when the connection breaks. A
        # large head is the first piece that is sent, and a large body the second.
        padding = {"head": "", "body": "", large: "x" * 30_000_000}
        return HTTPRequest("POST", server.url, {"X-Padding": padding["head"]}, padding["body"])

    with wire(talk) as server:
        transport = Transport(timeout=20)
        if warm:
            call(transport, server.url)
        with pytest.raises(ProviderUnavailable) as caught:
            transport.send(build)
        assert caught.value.outcome_unknown
        # A kept connection may have rested too long by then, and is given up before a byte leaves
        assert len(built) <= 1 + warm
        assert len(server.requests) == warm  # nothing arrived completely


class LateHeader(str):
    """A header's value that waits when it is encoded, just before the first byte leaves."""

    def encode(self, *args):
        late.set()
        assert gone.wait(10)
        return super().encode(*args)


late = threading.Event()
gone = threading.Event()


@pytest.mark.threat(35)
def test_threat_35_the_last_look_before_writing_sees_that_the_provider_hung_up():
    """The pool has looked at the connection before, and it was open then."""

    def talk(connection):
        while connection.request():
            connection.send(answer())
            if len(server.requests) == 1:
                assert late.wait(10)
                connection.sock.shutdown(socket.SHUT_RDWR)
                gone.set()

    with wire(talk) as server:
        transport = Transport(timeout=10)
        call(transport, server.url)
        request = HTTPRequest("POST", server.url, {"X-Late": LateHeader("a")}, "a=b")
        assert transport.send(lambda: request).status == 200
        assert (len(server.requests), server.accepted) == (2, 2)


@pytest.mark.threat(35)
def test_threat_35_of_a_request_that_never_left_the_outcome_is_known():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        error = failure(QUICK, f"http://127.0.0.1:{listener.getsockname()[1]}", ProviderUnavailable)
    assert not error.outcome_unknown


# The deadline


@pytest.mark.threat(36)
def test_threat_36_nobody_waits_longer_than_ten_seconds_unless_the_site_says_so():
    flows = OAuth2("id", "secret"), OAuth1("key", "secret")
    assert {flow.transport.timeout for flow in flows} == {Transport().timeout} == {10.0}
    assert flows[0].transport is flows[1].transport


def within_the_deadline(transport, url):
    start = time.monotonic()
    error = failure(transport, url, ProviderUnavailable)
    assert time.monotonic() - start < transport.timeout + SLACK
    assert "did not answer in time" in error.message


DRIPS = {
    "the status line": b"HTTP/1.1 " + b"2" * 1000,
    "the header": b"HTTP/1.1 200 OK\r\nX-Padding: " + b"x" * 1000,
    "the body": b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b"x" * 1000,
    "a body without a length": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1000,
    "a body in pieces": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"1\r\nx\r\n" * 200,
    "a piece that never ends": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00000001"
    + b";" * 1000,
    "interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
    "an error": b"HTTP/1.1 404 Not Found\r\nContent-Length: 9999\r\n\r\n" + b"x" * 1000,
}


@pytest.mark.slow
@pytest.mark.threat(29)
@pytest.mark.parametrize("data", DRIPS.values(), ids=DRIPS)
def test_threat_29_a_drip_keeps_the_deadline(data):
    with wire(dripping(data)) as server:
        within_the_deadline(Transport(timeout=LIMIT), server.url)
        assert len(server.requests) == 1


@pytest.mark.threat(29)
def test_threat_29_a_drip_over_tls_keeps_the_deadline(tls, bundle):
    with wire(dripping(DRIPS["the body"]), tls) as server:
        within_the_deadline(Transport(timeout=LIMIT, ca_bundle=bundle), server.url)


@pytest.mark.threat(29)
def test_threat_29_a_handshake_that_never_comes_keeps_the_deadline(bundle):
    with wire(lambda connection: connection.sock.recv(1) and time.sleep(10)) as server:
        url = server.url.replace("http:", "https:")
        within_the_deadline(Transport(timeout=LIMIT, ca_bundle=bundle), url)


@pytest.mark.threat(29)
def test_threat_29_a_provider_that_does_not_read_keeps_the_deadline():
    with wire(lambda connection: time.sleep(10)) as server:
        start = time.monotonic()
        with pytest.raises(ProviderUnavailable):
            call(Transport(timeout=LIMIT), server.url, body="x" * 30_000_000)
        assert time.monotonic() - start < LIMIT + SLACK


@pytest.mark.threat(29)
def test_threat_29_the_deadline_holds_over_all_tries():
    """A build that is slow uses up the time of the call."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        built = []
        with pytest.raises(ProviderUnavailable):
            Transport(timeout=0.1).send(
                lambda: built.append(time.sleep(0.11)) or HTTPRequest("POST", url, {})
            )
    assert len(built) == 1


@pytest.mark.threat(36)
@pytest.mark.parametrize("habit", ["slow=2", "drip=0.05"])
def test_threat_36_a_slow_sandbox_keeps_the_deadline(habit):
    with serve(Sandbox()) as server:
        within_the_deadline(Transport(timeout=LIMIT), f"{server.url}/misbehave/{habit}/oauth")


# The size of an answer, and whether it is whole


def sized(length, framing):
    body = b"x" * length
    if framing == "a length":
        return answer(body)
    if framing == "pieces":
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (
            length,
            body,
        )
    return b"HTTP/1.1 200 OK\r\n\r\n" + body


@pytest.mark.threat(29)
@pytest.mark.parametrize("framing", ["a length", "pieces", "the end of the connection"])
def test_threat_29_the_body_is_capped(framing):
    transport = quick_transport(max_bytes=100)
    with wire(saying_once(sized(100, framing))) as server:
        assert call(transport, server.url).body == b"x" * 100
    assert (
        "longer than 100 bytes"
        in served_once(sized(101, framing), ProviderError, transport).message
    )


@pytest.mark.slow
@pytest.mark.threat(29)
@pytest.mark.parametrize("habit", ["huge", "gzip-bomb"])
def test_threat_29_what_would_fill_the_memory_is_left_unread(habit):
    with serve(Sandbox(misbehave=[habit])) as server:
        failure(PATIENT, f"{server.url}/oauth", ProviderError)  # the sandbox packs its bomb once
        tracemalloc.start()
        try:
            failure(PATIENT, f"{server.url}/oauth", ProviderError)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 4_000_000  # the answer has 64 MB


@pytest.mark.threat(29)
@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate", "br", "identity, gzip"])
def test_threat_29_a_compressed_answer_is_refused(coding):
    data = answer(gzip.compress(b"{}"), f"Content-Encoding: {coding}")
    assert "compressed" in served_once(data, ProviderError).message


def test_compression_is_not_asked_for():
    with wire(saying(answer(b"ok", "Content-Encoding: identity"))) as server:
        assert call(QUICK, server.url).body == b"ok"
        assert server.requests[0].headers["accept-encoding"] == "identity"
        assert server.requests[0].headers["user-agent"] == "scconnect-wsgi"


SHORT = {
    "less than its length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
    "nothing of its length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
    "pieces without the last": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "a piece cut in two": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{}",
}


@pytest.mark.parametrize("data", SHORT.values(), ids=SHORT)
def test_a_short_body_is_no_success(data):
    with wire(saying_once(data)) as server, pytest.raises((ProviderError, ProviderUnavailable)):
        call(QUICK, server.url)


def test_a_response_is_its_status_its_headers_and_its_body():
    data = answer(
        b"no such thing", status="404 Not Found", content_type="text/x-reason; charset=utf-8"
    )
    with wire(saying(data)) as server:
        response = call(QUICK, server.url)
    assert (response.status, response.body) == (404, b"no such thing")
    assert response.headers["content-type"] == "text/x-reason; charset=utf-8"


# Redirects and errors


@pytest.mark.threat(27)
@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308, 399])
def test_threat_27_a_redirect_is_an_error_and_nobody_else_hears_of_it(status):
    with wire(saying(answer())) as second:
        location = f"Location: {second.url}/token"
        with wire(saying(answer(b"", location, status=f"{status} Elsewhere"))) as server:
            assert "redirect" in failure(QUICK, server.url, ProviderError).message
            assert len(server.requests) == 1
        assert second.accepted == 0


@pytest.mark.threat(36)
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 599])
def test_threat_36_an_overloaded_provider_is_unavailable(status):
    error = served_once(
        answer(b"", "Retry-After: 120", status=f"{status} Busy"), ProviderUnavailable
    )
    assert error.retry_after == 120
    assert str(status) in error.message


@pytest.mark.threat(36)
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("999999999999999999999", MAX_RETRY_AFTER),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
    ],
)
def test_threat_36_retry_after_is_passed_on(value, seconds):
    data = answer(b"", f"Retry-After: {value}", status="503 Busy")
    assert served_once(data, ProviderUnavailable).retry_after == seconds


@pytest.mark.threat(36)
@pytest.mark.parametrize(
    ("ahead", "least", "most"), [(100, 90, 101), (-100, 0, 0), (10**7, 86_400, 86_400)]
)
def test_threat_36_retry_after_may_be_a_date(ahead, least, most):
    data = answer(
        b"", f"Retry-After: {formatdate(time.time() + ahead, usegmt=True)}", status="503 Busy"
    )
    assert least <= served_once(data, ProviderUnavailable).retry_after <= most


@pytest.mark.threat(36)
def test_threat_36_no_retry_after_is_none():
    assert served_once(answer(b"", status="500 Oh"), ProviderUnavailable).retry_after is None


@pytest.mark.threat(36)
def test_threat_36_a_provider_that_is_down():
    with serve(Sandbox(misbehave=["down"])) as server:
        error = failure(QUICK, f"{server.url}/oauth", ProviderUnavailable)
    assert "127.0.0.1 refused the connection, or broke it" in error.message


@pytest.mark.threat(36)
def test_threat_36_a_host_that_is_not_there():
    error = failure(quick_transport(timeout=5), "http://provider.invalid", ProviderUnavailable)
    assert "provider.invalid cannot be resolved" in error.message


@pytest.mark.threat(33)
@pytest.mark.parametrize("status", [500, 429])
def test_threat_33_a_word_of_the_provider_is_not_in_the_error(status):
    data = answer(b"<script>", "X-Word: whisper", status=f"{status} whisper")
    assert "whisper" not in repr(served_once(data, ProviderUnavailable))


@pytest.mark.threat(30)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: "]),
)
@example(b"SSH-2.0-OpenSSH_9.2\r\n", b"")
@example(b"HTTP/1.1 abc OK\r\n\r\n", b"")
@example(b"-5\r\n\r\nabc", b"HTTP/1.1 200 OK\r\nContent-Length: ")
@example(b"5, 6\r\n\r\nabc", b"HTTP/1.1 200 OK\r\nContent-Length: ")
@example(b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"HTTP/1.1 200 OK\r\n")
@example(b"\r\n".join(b"X-%d: y" % number for number in range(200)), b"HTTP/1.1 200 OK\r\n")
def test_threat_30_garbage_in_place_of_http_is_an_answer_or_a_typed_error(
    garbage_server, garbage, beginning
):
    server, transport = garbage_server
    server.garbage = beginning + garbage
    try:
        outcome = call(transport, server.url)
    except ConnectError as error:
        outcome = error
    assert type(outcome) in (HTTPResponse, ProviderError, ProviderUnavailable)


@pytest.fixture
def garbage_server():
    def talk(connection):
        connection.request()
        connection.send(connection.wire.garbage)
        connection.sock.shutdown(socket.SHUT_WR)

    with wire(talk) as server:
        yield server, Transport(timeout=2)


def _is_seconds(found):
    return found is None or (isinstance(found, int) and 0 <= found <= MAX_RETRY_AFTER)


@pytest.mark.threat(40)
@given(st.text())
@example("²")
@example("9" * 5000)
@example("Mon, 01 Jan 99999 00:00:00 GMT")
@example("Mon, 31 Feb 2026 00:00:00 GMT")
@example("Mon, 01 Jan 0001 00:00:00 +2359")
def test_threat_40_retry_after_of_any_text(text):
    assert _is_seconds(retry_seconds(text))


@pytest.mark.threat(40)
@given(
    st.from_regex(
        r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{1,6} \d\d:\d\d:\d\d ([+-]\d{1,6}|GMT)",
        fullmatch=True,
    )
)
def test_threat_40_retry_after_of_what_looks_like_a_date(text):
    assert _is_seconds(retry_seconds(text))


# Values that cannot work


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": 301},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"max_bytes": 0},
        {"proxy": "localhost:3128"},
        {"proxy": "socks5://localhost:1080"},
        {"proxy": "http://"},
        {"proxy": ""},
        {"ca_bundle": "/nowhere/at/all.pem"},
        {"ca_bundle": __file__},
    ],
    ids=str,
)
def test_a_transport_that_cannot_work_is_refused_at_once(options):
    with pytest.raises(ConfigurationError) as caught:
        Transport(**options)
    assert [caught.value.option] == list(options)


@pytest.mark.threat(32)
def test_threat_32_a_header_that_cannot_be_read_is_not_logged(caplog):
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\noauth_token_secret=whisper\r\n\r\nok"
    with wire(saying_once(data)) as server, pytest.raises((ProviderError, ProviderUnavailable)):
        call(quick_transport(), server.url)
    assert "whisper" not in caplog.text
