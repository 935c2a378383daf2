"""TLS of API calls: who is believed, and that believing costs a look into a file once."""

import ssl
import subprocess
import sys
from contextlib import contextmanager

import pytest
import requests
import trustme
from support.flows import CLIENT, quick_transport
from support.stores import connection
from support.wire import answer, saying, saying_once, tunnel, wire

from scconnect_wsgi import OAuth2, OAuth2Provider
from scconnect_wsgi.connections._session import ApiSession
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken

SECRET = "a token that only the API may see"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


def bundle_of(authority, path):
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture
def bundle(authority, tmp_path):
    return bundle_of(authority, tmp_path / "authority.pem")


@pytest.fixture
def other_bundle(tmp_path):
    return bundle_of(trustme.CA(), tmp_path / "other.pem")


@contextmanager
def session_at(url, **options):
    provider = OAuth2Provider(f"{url}/authorize", f"{url}/token", api_url=url)
    flow = OAuth2(*CLIENT, provider=provider, transport=quick_transport(**options))
    store = SQLStore("sqlite://")
    with ApiSession(
        store.save(connection(api_url=url, token=AccessToken(SECRET))), store, flow
    ) as session:
        yield session


def refused(server, session, **options):
    with pytest.raises(requests.exceptions.SSLError) as caught:
        session.get("/me", **options)
    assert server.requests == []
    return str(caught.value)


@pytest.mark.threat(28)
def test_threat_28_the_authority_of_the_transport_is_the_one_of_the_calls(tls, bundle):
    with (
        wire(saying(answer(b"hello")), tls) as server,
        session_at(server.url, ca_bundle=bundle) as session,
    ):
        assert [session.get("/me").text for _ in range(2)] == ["hello"] * 2
        assert server.accepted == 1


@pytest.mark.threat(28)
@pytest.mark.parametrize("given", ["to the transport", "to the call", "to the session"])
def test_threat_28_another_authority_is_refused(given, tls, bundle, other_bundle):
    ca_bundle = other_bundle if given == "to the transport" else bundle
    with (
        wire(saying(answer()), tls) as server,
        session_at(server.url, ca_bundle=ca_bundle) as session,
    ):
        if given == "to the session":
            session.verify = other_bundle
        options = {"verify": other_bundle} if given == "to the call" else {}
        assert "CERTIFICATE_VERIFY_FAILED" in refused(server, session, **options)


@pytest.mark.threat(28)
def test_threat_28_verify_true_means_the_public_authorities(tls, bundle):
    with wire(saying(answer()), tls) as server, session_at(server.url, ca_bundle=bundle) as session:
        assert "CERTIFICATE_VERIFY_FAILED" in refused(server, session, verify=True)


@pytest.mark.parametrize("where", ["a file", "a folder"])
def test_a_call_may_bring_its_own_authority(where, tls, bundle, tmp_path, authority):
    verify = bundle
    if where == "a folder":  # as OpenSSL keeps one: files named after the hash of the subject
        verify = str(tmp_path / "authorities")
        (tmp_path / "authorities").mkdir()
        bundle_of(authority, tmp_path / "authorities" / f"{subject_hash(bundle)}.0")
    with wire(saying(answer(b"hello")), tls) as server, session_at(server.url) as session:
        assert session.get("/me", verify=verify).text == "hello"
        with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            session.get("/me")


def subject_hash(path):
    command = ["openssl", "x509", "-hash", "-noout", "-in", path]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.threat(28)
def test_threat_28_another_host_name_is_refused(authority, bundle):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("provider.example").configure_cert(context)
    with (
        wire(saying(answer()), context) as server,
        session_at(server.url, ca_bundle=bundle) as session,
    ):
        assert "Hostname mismatch" in refused(server, session)


@pytest.mark.threat(28)
@pytest.mark.parametrize("value", [False, ""])
def test_threat_28_verification_cannot_be_switched_off(value, tls, bundle):
    with wire(saying(answer()), tls) as server, session_at(server.url, ca_bundle=bundle) as session:
        assert "is refused" in refused(server, session, verify=value)
        session.verify = value
        assert "is refused" in refused(server, session)
        assert server.accepted == 0


def test_a_bundle_that_is_not_there_is_an_error(tls, bundle):
    with wire(saying(answer()), tls) as server, session_at(server.url, ca_bundle=bundle) as session:
        with pytest.raises(OSError, match="nowhere"):
            session.get("/me", verify="/nowhere/at/all.pem")
        assert server.accepted == 0


def test_a_certificate_of_the_client_is_shown_in_its_own_calls_only(authority, bundle, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    authority.issue_cert("joe@client.example").private_key_and_cert_chain_pem.write_to_path(
        str(tmp_path / "joe.pem")
    )
    shown = []

    def talk(connection):
        while connection.request():
            shown.append(bool(connection.sock.getpeercert()))
            connection.send(answer())

    with wire(talk, context) as server, session_at(server.url, ca_bundle=bundle) as session:
        for options in ({}, {"cert": str(tmp_path / "joe.pem")}, {}):
            assert session.get("/me", **options).status_code == 200
    assert shown == [False, True, False]


def test_a_proxy_tunnels_and_sees_no_token(tls, bundle):
    with wire(tunnel) as proxy, wire(saying(answer(b"through")), tls) as server:
        with session_at(
            server.url, ca_bundle=bundle, proxy=f"http://127.0.0.1:{proxy.port}"
        ) as session:
            assert [session.get("/me").text for _ in range(2)] == ["through"] * 2
        assert [request.line.rpartition(" ")[0] for request in proxy.requests] == [
            f"CONNECT {server.host}"
        ]
        assert SECRET not in str(proxy.requests)


@pytest.mark.threat(28)
def test_threat_28_a_proxy_cannot_stand_in_for_the_api(tls, other_bundle):
    with (
        wire(tunnel) as proxy,
        wire(saying(answer()), tls) as server,
        session_at(
            server.url, ca_bundle=other_bundle, proxy=f"http://127.0.0.1:{proxy.port}"
        ) as session,
    ):
        assert "CERTIFICATE_VERIFY_FAILED" in refused(server, session)


def test_the_bundle_is_read_once_for_token_requests_and_calls(tls, bundle):
    loads = []

    def count(frame, event, argument):
        if event == "c_call" and argument.__name__ in (
            "load_verify_locations",
            "set_default_verify_paths",
        ):
            loads.append(argument)

    with wire(saying_once(answer(b"ok", "Connection: close")), tls) as server:
        with session_at(server.url, ca_bundle=bundle) as session:
            sys.setprofile(count)
            try:
                for _ in range(5):
                    assert session.get("/me").text == "ok"
            finally:
                sys.setprofile(None)
        assert server.accepted == 5
    assert len(loads) == 1
