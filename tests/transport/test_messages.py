"""What is said when a provider, or the proxy in between, cannot be reached over a real socket."""

import re
import socket
import ssl
import subprocess
import sys
import warnings
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from support.flows import CLIENT, quick_transport
from support.stores import connection
from support.wire import answer, saying, saying_once, wire

from scconnect_wsgi import OAuth2, OAuth2Provider, Transport
from scconnect_wsgi.connections import ApiSession
from scconnect_wsgi.errors import ProviderUnavailable
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.transport import HTTPRequest, error_for


def token_request(transport, url):
    transport.send(lambda: HTTPRequest("POST", f"{url}/token", {}, "a=b"))


def api_call(transport, url):
    provider = OAuth2Provider(f"{url}/a", f"{url}/t", api_url=url)
    store = SQLStore("sqlite://")
    stored = store.save(connection(api_url=url))
    ApiSession(stored, store, OAuth2(*CLIENT, provider=provider, transport=transport)).me()


ASKING = pytest.mark.parametrize("ask", [token_request, api_call])


def said(ask, transport, url):
    with pytest.raises(ProviderUnavailable) as caught:
        ask(transport, url)
    return caught.value.message


@contextmanager
def deaf_port():
    """Yield a port that refuses every connection."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        yield deaf.getsockname()[1]


# TLS


def server_context(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@ASKING
def test_openssl_says_why_it_refuses_a_certificate(ask, authority, bundle):
    cases = {
        "unable to get local issuer certificate": (authority.issue_cert("localhost"), None),
        "certificate has expired": (
            authority.issue_cert("localhost", not_after=YESTERDAY),
            bundle,
        ),
        "Hostname mismatch, certificate is not valid for 'localhost'": (
            authority.issue_cert("other.example"),
            bundle,
        ),
    }
    for reason, (certificate, trusted) in cases.items():
        with wire(saying(answer()), server_context(certificate)) as server:
            message = said(ask, quick_transport(ca_bundle=trusted), server.url)
        assert message.startswith(f"The certificate of localhost was not accepted ({reason}).")


def authority_without_key_identifiers(folder):
    """Return the server context and the bundle of an authority as many companies have one."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a private authority")])
    now = datetime.now(UTC)

    def certificate(subject, public_key, *extensions):
        builder = x509.CertificateBuilder(
            name, subject, public_key, 1, YESTERDAY, now + timedelta(1)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)

    host_key = ec.generate_private_key(ec.SECP256R1())
    host = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    private = host_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "host.pem").write_bytes(
        private + certificate(host, host_key.public_key(), (names, False))
    )
    basic = x509.BasicConstraints(ca=True, path_length=None)
    (folder / "ca.pem").write_bytes(certificate(name, key.public_key(), (basic, True)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "host.pem")
    return context, str(folder / "ca.pem")


@ASKING
def test_what_python_3_13_refuses_of_a_private_authority_is_named(ask, tmp_path):
    context, bundle = authority_without_key_identifiers(tmp_path)
    strict = bool(ssl.create_default_context().verify_flags & ssl.VERIFY_X509_STRICT)
    transport = quick_transport(ca_bundle=bundle)
    with wire(saying(answer(b'{"id": 1}')), context) as server:
        if not strict:
            ask(transport, server.url)  # Python 3.12 and older take it
            return
        message = said(ask, transport, server.url)
    assert "(Missing Authority Key Identifier)" in message
    assert "RFC 5280" in message


def test_the_strict_rules_of_python_3_13_are_named_whatever_python_this_is(tmp_path):
    context, bundle = authority_without_key_identifiers(tmp_path)
    strict = ssl.create_default_context(cafile=bundle)
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    with (
        wire(saying(answer()), context) as server,
        socket.create_connection(("127.0.0.1", server.port)) as sock,
        pytest.raises(ssl.SSLCertVerificationError) as caught,
    ):
        strict.wrap_socket(sock, server_hostname="localhost")
    message = error_for(caught.value, server.url).message
    assert "(Missing Authority Key Identifier)" in message
    assert "from Python 3.13 on its certificates must keep all rules of RFC 5280" in message


@ASKING
def test_openssl_says_why_there_is_no_tls(ask, authority, bundle):
    context = server_context(authority.issue_cert("localhost"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with wire(saying(answer()), context) as server:
        message = said(ask, quick_transport(ca_bundle=bundle), server.url)
    assert message.startswith("No TLS connection to localhost could be made (")
    # Which alert it is depends on OpenSSL
    assert re.search("TLSV1_ALERT_PROTOCOL_VERSION|HANDSHAKE_FAILURE", message)
    with wire(lambda connection: connection.send(answer())) as server:
        message = said(ask, quick_transport(), server.url.replace("http:", "https:"))
    assert "(WRONG_VERSION_NUMBER)" in message
    assert "the port is not one for https" in message


# The site's own exceptions


@ASKING
@pytest.mark.parametrize(
    "own",
    [
        ssl.SSLCertVerificationError("of another host"),
        socket.gaierror("of another host"),
        TimeoutError("of a database"),
        RecursionError("of a template"),
    ],
    ids=lambda own: type(own).__name__,
)
def test_what_a_site_was_handling_is_not_taken_for_what_went_wrong(ask, own):
    with deaf_port() as port:
        try:
            raise own
        except type(own):
            message = said(ask, quick_transport(), f"http://127.0.0.1:{port}")
    assert message.startswith("127.0.0.1 refused the connection")


# Proxies


@pytest.fixture
def environment(monkeypatch):
    """Return a function that sets a variable; no proxy is set before."""
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)
    return monkeypatch.setenv


HINT = "names a proxy (HTTPS_PROXY), which is not used"


@ASKING
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_a_proxy_of_the_environment_is_mentioned_if_a_name_is_unknown(ask, name, environment):
    environment(name, "http://joe:whisper@proxy.example:3128")
    message = said(ask, quick_transport(timeout=5), "https://provider.invalid")
    assert "provider.invalid cannot be resolved" in message
    assert HINT in message
    assert "Transport(proxy=...)" in message
    assert "whisper" not in message


@ASKING
def test_a_proxy_of_the_environment_is_mentioned_if_nothing_answers(ask, environment):
    environment("HTTPS_PROXY", "http://proxy.example:3128")
    with deaf_port() as port:
        message = said(ask, quick_transport(), f"https://127.0.0.1:{port}")
        assert "refused the connection" in message
        assert HINT in message
        environment("NO_PROXY", "127.0.0.1")
        assert "proxy" not in said(ask, quick_transport(), f"https://127.0.0.1:{port}").lower()
    environment("NO_PROXY", "")
    with wire(lambda connection: connection.stream.read()) as server:  # no handshake
        url = server.url.replace("http:", "https:")
        message = said(ask, Transport(timeout=0.5), url)
    assert "did not answer in time" in message
    assert HINT in message


def test_all_proxy_is_mentioned_as_well(environment):
    environment("ALL_PROXY", "socks5://proxy.example:1080")
    message = said(token_request, quick_transport(timeout=5), "https://provider.invalid")
    assert "(ALL_PROXY), which is not used" in message


def test_a_proxy_of_the_environment_is_not_mentioned_once_the_provider_was_reached(environment):
    environment("HTTP_PROXY", "http://proxy.example:3128")
    with wire(saying_once(b"")) as server:
        assert "proxy" not in said(token_request, quick_transport(), server.url).lower()


@pytest.mark.slow
def test_a_failure_is_told_where_proxy_bypass_takes_the_host_alone():
    # As on macOS and Windows
    program = """
import urllib.request
urllib.request.proxy_bypass = lambda host: False
from scconnect_wsgi.errors import ProviderUnavailable
from scconnect_wsgi.transport import error_for
assert isinstance(error_for(ConnectionRefusedError(), "https://a.example"), ProviderUnavailable)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@ASKING
def test_without_a_proxy_in_the_environment_none_is_mentioned(ask, environment):
    assert "proxy" not in said(ask, quick_transport(timeout=5), "https://provider.invalid").lower()


@ASKING
def test_a_dead_proxy_is_named_and_the_provider_is_not_blamed(ask):
    with deaf_port() as port:
        transport = quick_transport(proxy=f"http://joe:whisper@127.0.0.1:{port}")
        message = said(ask, transport, "https://provider.example")
    assert message == (
        "127.0.0.1 refused the connection, or broke it before its answer was complete. It is the "
        "proxy of Transport(proxy=...), so provider.example was not asked."
    )
    transport = quick_transport(timeout=5, proxy="http://joe:whisper@proxy.invalid:3128")
    message = said(ask, transport, "https://provider.example")
    assert message.startswith("The name proxy.invalid cannot be resolved.")
    assert "whisper" not in message


@ASKING
@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("407 whisper", "It wants a user name and a password: http://user:password@host:port."),
        ("403 whisper", "It answered with status 403: it may not allow this address."),
        ("502 whisper", "It answered with status 502: it may not allow this address."),
    ],
)
def test_what_a_proxy_answers_in_place_of_connecting_is_said(ask, status, words):
    with wire(saying_once(answer(b"", status=status))) as proxy:
        transport = quick_transport(proxy=f"http://127.0.0.1:{proxy.port}")
        message = said(ask, transport, "https://provider.example")
    assert message.endswith(words)
    assert "provider.example was not asked" in message
    assert "whisper" not in message
