"""Who is at the other end of a TLS connection (threats 44 and 45).

A certificate is asked for and checked at each end: the provider's, and that of an https proxy. No
session of one host is good for another one.
"""

import socket
import ssl
import threading
from contextlib import contextmanager, suppress

import pytest
import requests
import trustme
from support.sessions import flow_at, sessions_of
from support.wire import answer, saying, tunnel, wire

from scconnect_wsgi import OAuth2, OAuth2Provider, Transport
from scconnect_wsgi.errors import ConnectError
from scconnect_wsgi.token import AccessToken

SECRET = "a-token-that-nobody-else-may-see"
PASSWORD = "cGFzc3dvcmQ"  # of the proxy; in its Authorization header as Base64
TOKEN = b'{"access_token": "new", "token_type": "OAuth"}'
GOOD = answer(TOKEN, content_type="application/json")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stranger():
    """An authority that nobody has been told to trust."""
    return trustme.CA()


def context_of(authority, *names, version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def flow_with(transport, url):
    provider = OAuth2Provider(f"{url}/authorize", f"{url}/token", api_url=url)
    return OAuth2("id", "secret", provider=provider, transport=transport)


# Each asks a provider and returns what went wrong


def refresh(flow):
    try:
        flow.refresh(AccessToken("old", refresh_token=SECRET))
    except ConnectError as error:
        return error
    return None


def get(flow):
    with sessions_of(flow, SECRET) as (session,):
        try:
            session.get("/me")
        except requests.RequestException as error:
            return error
    return None


def me(flow):
    with sessions_of(flow, SECRET) as (session,):
        try:
            session.me()
        except ConnectError as error:
            return error
    return None


asks = pytest.mark.parametrize("ask", [refresh, get, me])


class Listening:
    """A proxy that answers what it should, and remembers all that it was sent."""

    def __init__(self):
        self.heard = b""

    def __call__(self, connection):
        request = connection.request()
        self.heard += str(request).encode()
        if not request.line.startswith("CONNECT "):
            connection.send(GOOD)
            return
        host, _, port = request.line.split()[1].rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5) as onward:
            connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self.copy, args=[onward, connection.sock], daemon=True)
            back.start()
            self.copy(connection.sock, onward)

    def copy(self, source, target):
        with suppress(OSError):
            while data := source.recv(65_536):
                self.heard += data
                target.sendall(data)


@contextmanager
def through(proxy_tls, server_tls, bundle, user=""):
    """Yield the proxy, the server, and a flow that reaches the one through the other."""
    listening = Listening()
    with wire(listening, proxy_tls) as proxy, wire(saying(GOOD), server_tls) as server:
        scheme = "https" if proxy_tls else "http"
        flow = flow_at(
            server.url,
            ca_bundle=bundle,
            proxy=f"{scheme}://{user}localhost:{proxy.port}",
            timeout=5,
        )
        yield listening, server, flow


# Threat 45: a proxy

BAD = {
    "of an authority that is not trusted": lambda own, stranger: context_of(stranger, "localhost"),
    "of another host": lambda own, stranger: context_of(own, "elsewhere.example"),
    "of another host, in the common name": lambda own, stranger: context_with_common_name(own),
}
bad = pytest.mark.parametrize("certificate", BAD.values(), ids=BAD)


def context_with_common_name(authority):
    """Return a context whose certificate names this host where it was named twenty years ago."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example", common_name="localhost").configure_cert(context)
    return context


@pytest.mark.threat(45)
@asks
@bad
@pytest.mark.parametrize("secure", [True, False], ids=["to https", "to http"])
def test_threat_45_a_proxy_that_is_not_trusted_hears_nothing(
    ask, certificate, secure, authority, stranger, tls, bundle
):
    proxy_tls = certificate(authority, stranger)
    with through(proxy_tls, tls if secure else None, bundle, user=f"joe:{PASSWORD}@") as (
        proxy,
        server,
        flow,
    ):
        error = ask(flow)
        assert "certificate" in str(error).lower()
        assert (proxy.heard, server.requests) == (b"", [])


@pytest.mark.threat(45)
@asks
@bad
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_threat_45_a_trusted_proxy_vouches_for_nobody(
    ask, certificate, scheme, authority, stranger, tls, bundle
):
    server_tls = certificate(authority, stranger)
    with through(tls if scheme == "https" else None, server_tls, bundle) as (proxy, server, flow):
        error = ask(flow)
        assert "certificate" in str(error).lower()
        assert server.requests == []
        assert SECRET.encode() not in proxy.heard


@pytest.mark.threat(45)
@asks
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_threat_45_the_proxy_itself_does_not_see_what_it_tunnels(ask, scheme, tls, bundle):
    with through(tls if scheme == "https" else None, tls, bundle) as (proxy, server, flow):
        assert ask(flow) is None
        (request,) = server.requests
        assert SECRET in str(request)
        assert proxy.heard.count(b"CONNECT ") == 1
        assert SECRET.encode() not in proxy.heard


@pytest.mark.threat(45)
@asks
def test_threat_45_a_check_that_failed_once_fails_again(ask, stranger, tls, bundle):
    """Nothing that a first attempt leaves behind switches a check off."""
    with (
        wire(tunnel, tls) as proxy,
        wire(saying(GOOD), context_of(stranger, "localhost")) as bad,
        wire(saying(GOOD), tls) as good,
    ):
        own = {"ca_bundle": bundle, "proxy": f"https://localhost:{proxy.port}", "timeout": 5}
        for _ in range(2):
            assert ask(flow_at(bad.url, **own)) is not None
            assert ask(flow_at(good.url, **own)) is None
        assert bad.requests == []


# Threat 44: sessions


def resuming():
    """Answer each request on a connection of its own, and note whether a session was resumed."""
    resumed = []

    def talk(connection):
        resumed.append(connection.sock.session_reused)
        connection.request()
        connection.send(answer(TOKEN, "Connection: close", content_type="application/json"))

    return talk, resumed


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.threat(44)
@asks
@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
def test_threat_44_no_session_makes_another_host_pass(ask, version, authority, bundle):
    """One server under two names: a session of the first must not spare the check of the second.

    The certificate is for localhost only, and OpenSSL would resume without looking at it.
    """
    context = context_of(authority, "localhost", version=version)
    talk, resumed = resuming()
    transport = Transport(timeout=5, ca_bundle=bundle)
    with wire(talk, context) as server:
        for _ in range(2):
            assert ask(flow_with(transport, server.url)) is None
        error = ask(flow_with(transport, server.url.replace("localhost", "127.0.0.1")))
        assert "certificate" in str(error).lower()
    assert not any(resumed)


@pytest.mark.threat(44)
@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
def test_threat_44_nor_another_port_or_another_authority(
    version, authority, stranger, bundle, tmp_path
):
    """Two servers with one session-ticket key between them, as behind a balancer."""
    context = context_of(authority, "localhost", version=version)
    talk, resumed = resuming()
    other_bundle = tmp_path / "stranger.pem"
    stranger.cert_pem.write_to_path(str(other_bundle))
    transport = Transport(timeout=5, ca_bundle=bundle)
    other = Transport(timeout=5, ca_bundle=str(other_bundle))
    with wire(talk, context) as first, wire(talk, context) as second:
        for server in (first, second):
            assert refresh(flow_with(transport, server.url)) is None
            error = refresh(flow_with(other, server.url))
            assert "certificate" in str(error).lower()
    assert resumed == [False, False]
