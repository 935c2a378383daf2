"""What a flow takes from the environment: nothing (threat 28).

docs/options.md and docs/tokens.md say so. Each variable is set to what would be noticed if it were
used, for token requests and API calls alike.
"""

import ssl

import pytest
from support.flows import CLIENT, quick_transport
from support.stores import connection
from support.wire import answer, saying, wire

from scconnect_wsgi import OAuth2, OAuth2Provider
from scconnect_wsgi.connections import ApiSession
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.transport import HTTPRequest
from scconnect_wsgi.transport._tls import context_for

pytestmark = pytest.mark.threat(28)

ME = answer(b'{"id": 1}', content_type="application/json")


def token_request(transport, url):
    transport.send(lambda: HTTPRequest("POST", f"{url}/token", {"Authorization": "ours"}, "a=b"))


def api_call(transport, url):
    provider = OAuth2Provider(f"{url}/a", f"{url}/t", api_url=url, token_type="ours")
    store = SQLStore("sqlite://")
    stored = store.save(connection(api_url=url, token=AccessToken("token")))
    ApiSession(stored, store, OAuth2(*CLIENT, provider=provider, transport=transport)).me()


ASKING = pytest.mark.parametrize("ask", [token_request, api_call])


@ASKING
def test_threat_28_no_variable_changes_a_call(ask, tls, bundle, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login thief password thief\n")
    keys = tmp_path / "keys.log"
    variables = {
        "NETRC": netrc,
        "SSLKEYLOGFILE": keys,
        "SSL_CERT_FILE": "/nowhere/at/all.pem",
        "SSL_CERT_DIR": "/nowhere",
        "REQUESTS_CA_BUNDLE": "/nowhere/at/all.pem",
        "CURL_CA_BUNDLE": "/nowhere/at/all.pem",
        "PYTHONHTTPSVERIFY": "0",
        "OAUTHLIB_INSECURE_TRANSPORT": "1",
        "OAUTHLIB_RELAX_TOKEN_SCOPE": "1",
        "NO_PROXY": "",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    with wire(saying(answer(b"proxy"))) as proxy, wire(saying(ME), tls) as server:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.upper(), proxy.url)
        ask(quick_transport(ca_bundle=str(bundle)), server.url)
        assert proxy.accepted == 0
    assert [request.headers["authorization"].split()[0] for request in server.requests] == ["ours"]
    assert not keys.exists()


@ASKING
def test_threat_28_the_keys_of_no_connection_are_written_to_a_file(
    ask, tls, bundle, tmp_path, monkeypatch
):
    """Python's own default context does that."""
    keys = tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(keys))
    with wire(saying(ME), tls) as server:
        ask(quick_transport(ca_bundle=str(bundle)), server.url)
        assert not keys.exists()
        ssl.create_default_context()
        assert keys.exists()  # so that this test is known to see a file
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "no such folder" / "keys.log"))
    with wire(saying(ME), tls) as server:
        ask(quick_transport(ca_bundle=str(bundle)), server.url)  # nor does a wrong path break it


def test_a_context_is_as_strict_as_pythons_own(bundle):
    """It is not made by Python's function, so it must not fall behind it."""
    ours = context_for(str(bundle))
    default = ssl.create_default_context(cafile=str(bundle))
    names = ("verify_flags", "verify_mode", "check_hostname", "options", "minimum_version")
    for name in (*names, "maximum_version", "post_handshake_auth", "hostname_checks_common_name"):
        assert getattr(ours, name) == getattr(default, name), name
    assert ours.get_ciphers() == default.get_ciphers()
    assert ours.get_ca_certs() == default.get_ca_certs()
