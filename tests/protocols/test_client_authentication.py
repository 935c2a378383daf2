"""How a client authenticates at the token endpoint: with its secret in the body, in the header, or
without a secret (RFC 6749 section 2.3.1; RFC 7591 section 2).
"""

import base64
import logging
from typing import Any
from urllib.parse import parse_qsl

import pytest
import requests
from support.configured import store_token as configured_storage
from support.flows import CALLBACK, CLIENT, dance, quick_transport
from support.reporter import walked
from support.site import KEY, page_of_the_site
from support.wire import answer, saying, wire

from scconnect_wsgi import HAND_OVER, OAuth2, OAuth2Provider, SCConnect
from scconnect_wsgi.config import filter_app_factory, from_env
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.errors import (
    ConfigurationError,
    ConnectError,
    ConnectionRevoked,
    InvalidGrant,
    ProviderError,
)
from scconnect_wsgi.sandbox import Sandbox, serve
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken

METHODS = ["client_secret_post", "client_secret_basic", "none"]
ODD = ("a client: é & co", "a secret+of/many%20=signs:~ü&")
GRANTED = b'{"access_token": "t", "refresh_token": "r", "expires_in": 3600}'
each_method = pytest.mark.parametrize("method", METHODS)


def secret_for(method, secret=CLIENT[1]):
    return () if method == "none" else (secret,)


@each_method
@pytest.mark.parametrize("client", [CLIENT, ODD], ids=["plain", "odd"])
def test_a_client_connects_calls_refreshes_and_signs_out(method, client):
    sandbox = Sandbox(client_id=client[0], client_secret=client[1], token_endpoint_auth=method)
    with serve(sandbox) as server:
        provider = sandbox.oauth2_provider(server.url)
        assert provider.token_endpoint_auth == method
        flow = OAuth2(client[0], *secret_for(method, client[1]), provider=provider)
        connections = Connections(flow, SQLStore("sqlite://"))
        made = connections.connect(dance(flow), user="joe", callback_url=CALLBACK)
        assert connections.session(made.id, user="joe").me().username == "joe"
        sandbox.expire()
        assert connections.session(made.id, user="joe").me().username == "joe"
        assert sandbox.counts["redeemed"] == 1
        connections.disconnect(made.id, user="joe")
        assert sandbox.counts["sign_out"] == 1


@each_method
@pytest.mark.parametrize("registered", METHODS)
def test_the_sandbox_accepts_only_the_way_that_is_registered(registered, method):
    sandbox = Sandbox(token_endpoint_auth=registered)
    with serve(sandbox) as server:
        provider = sandbox.oauth2_provider(server.url, token_endpoint_auth=method)
        flow = OAuth2(CLIENT[0], *secret_for(method), provider=provider)
        if method == registered:
            token = dance(flow)
            assert flow.refresh(token).token != token.token
            return
        with pytest.raises(ProviderError, match=r"another token_endpoint_auth.*\(invalid_client\)"):
            dance(flow)
        right = OAuth2(
            CLIENT[0], *secret_for(registered), provider=sandbox.oauth2_provider(server.url)
        )
        token = dance(right)
        with pytest.raises(ProviderError, match="invalid_client") as caught:
            flow.refresh(token)
        assert not isinstance(caught.value, InvalidGrant)
        assert sandbox.counts["redeemed"] == 0
        assert right.refresh(token).token


def basic(id, secret):
    return "Basic " + base64.b64encode(f"{id}:{secret}".encode()).decode()


@pytest.mark.parametrize(
    ("header", "fields"),
    [
        (basic(*CLIENT), {"client_secret": CLIENT[1]}),
        (basic(*CLIENT), {"client_id": "another"}),
        (basic(CLIENT[0], "wrong"), {}),
        (basic("another", CLIENT[1]), {}),
        (basic(*CLIENT).replace("Basic", "Bearer"), {}),
        ("Basic", {}),
        ("Basic !", {}),
        ("Basic " + base64.b64encode(b"\xff\xfe").decode(), {}),
        ("Basic " + base64.b64encode(CLIENT[0].encode()).decode(), {}),
        (None, {"client_id": CLIENT[0]}),
    ],
)
def test_the_sandbox_refuses_two_ways_at_once_and_what_is_no_credential(header, fields):
    sandbox = Sandbox(token_endpoint_auth="client_secret_basic")
    with serve(sandbox) as server:
        token = dance(OAuth2(*CLIENT, provider=sandbox.oauth2_provider(server.url)))
        body = {"grant_type": "refresh_token", "refresh_token": token.refresh_token, **fields}
        session_headers = {} if header is None else {"Authorization": header}
        refused = requests.post(
            f"{server.url}/oauth/token", data=body, headers=session_headers, timeout=10
        )
        assert (refused.status_code, refused.json()) == (401, {"error": "invalid_client"})
        assert sandbox.counts["redeemed"] == 0


def sent(method, client=CLIENT, step="exchange"):
    with wire(saying(answer(GRANTED, content_type="application/json"))) as server:
        provider = OAuth2Provider(
            f"{server.url}/a",
            f"{server.url}/token",
            token_endpoint_auth=method,
            headers={"X-Api-Key": "k"},
        )
        flow = OAuth2(
            client[0],
            *secret_for(method, client[1]),
            provider=provider,
            transport=quick_transport(timeout=10.0),
        )
        if step == "exchange":
            flow.finish(CALLBACK, {"state": "s", "code": "c"}, {"state": "s", "verifier": "v"})
        else:
            flow.refresh(AccessToken("t", refresh_token="r"))
        (request,) = server.requests
    return request.headers, dict(parse_qsl(request.body, strict_parsing=True))


@pytest.mark.parametrize("step", ["exchange", "refresh"])
def test_a_token_request_says_who_the_client_is_in_one_way_only(step):
    headers, body = sent("client_secret_post", step=step)
    assert "authorization" not in headers
    assert (body["client_id"], body["client_secret"]) == CLIENT

    headers, body = sent("client_secret_basic", step=step)
    assert headers["authorization"] == basic(*CLIENT)
    assert not {"client_id", "client_secret"} & set(body)
    assert headers["x-api-key"] == "k"

    headers, body = sent("none", step=step)
    assert "authorization" not in headers
    assert body["client_id"] == CLIENT[0]
    assert "client_secret" not in body


def test_id_and_secret_are_form_encoded_before_base64():
    """RFC 6749 section 2.3.1 and appendix B; a colon in an id would end it otherwise."""
    headers, _ = sent("client_secret_basic", ("a:b c", "d+e%f/é"))
    pair = base64.b64decode(headers["authorization"].removeprefix("Basic ")).decode("ascii")
    assert pair == "a%3Ab+c:d%2Be%25f%2F%C3%A9"


# Settings


@pytest.mark.parametrize(
    "method", ["", "basic", "Client_Secret_Basic", "client_secret_jwt", "private_key_jwt", None, 5]
)
def test_another_way_is_refused_where_it_is_given(method):
    builders = [
        lambda: OAuth2Provider(
            "https://a.example", "https://a.example", token_endpoint_auth=method
        ),
        lambda: Sandbox(token_endpoint_auth=method),
    ]
    for build in builders:
        with pytest.raises(ConfigurationError, match="client_secret_basic, none") as caught:
            build()
        assert caught.value.option == "token_endpoint_auth"


def provider(method):
    return OAuth2Provider("https://a.example/a", "https://a.example/t", token_endpoint_auth=method)


@pytest.mark.parametrize("secret", ["", None, " ", 5, b"secret"])
def test_a_confidential_client_needs_a_secret(secret):
    for method in ("client_secret_post", "client_secret_basic"):
        with pytest.raises(ConfigurationError) as caught:
            OAuth2("id", secret, provider=provider(method))
        assert caught.value.option == "client_secret"
    with pytest.raises(ConfigurationError):
        OAuth2("id")


def test_a_public_client_has_none():
    assert OAuth2("id", provider=provider("none")).client_id == "id"
    with pytest.raises(ConfigurationError, match="public client") as caught:
        OAuth2("id", "a secret", provider=provider("none"))
    assert caught.value.option == "client_secret"
    with pytest.raises(ConfigurationError) as caught:
        OAuth2("", provider=provider("none"))
    assert caught.value.option == "client_id"


def test_a_provider_stays_data():
    assert provider("none") == provider("none")
    assert provider("none") != provider("client_secret_basic")
    assert len({provider(method) for method in METHODS}) == 3
    assert "token_endpoint_auth='none'" in repr(provider("none"))


def test_a_secret_key_is_checked_against_what_a_public_client_has():
    flow = OAuth2("a-public-client-id-of-40-characters-0123", provider=provider("none"))
    assert flow.is_credential(flow.client_id.encode())
    for key in (b"none" * 8, KEY.encode(), b"None", b""):
        assert not flow.is_credential(key)
    options: Any = {"store_token": HAND_OVER, "base_url": "https://app.example"}
    SCConnect(page_of_the_site, flow, secret_key=KEY, **options)
    with pytest.raises(ConfigurationError, match="client id"):
        SCConnect(page_of_the_site, flow, secret_key=flow.client_id, **options)


SETTINGS = {
    "client_id": CLIENT[0],
    "client_secret": CLIENT[1],
    "secret_key": "CAMOR1ri-a_random_key_0123456789_of_43_chars",
    "store_token": "support.configured:store_token",
}


def by_environment(options):
    return from_env(
        page_of_the_site, {f"SCCONNECT_{name.upper()}": text for name, text in options.items()}
    )


def by_ini(options):
    return filter_app_factory(page_of_the_site, {}, **options)


both_ways = pytest.mark.parametrize("configure", [by_environment, by_ini])


@both_ways
@each_method
def test_a_configuration_says_it(configure, method):
    sandbox = Sandbox(token_endpoint_auth=method)
    with serve(sandbox) as server:
        options = {
            **SETTINGS,
            "authorize_url": f"{server.url}/authorize",
            "token_url": f"{server.url}/oauth/token",
            "token_endpoint_auth": method,
        }
        if method == "none":
            del options["client_secret"]
        assert dance(configure(options)._flow).token
    assert configured_storage.tokens == []


@both_ways
def test_a_configuration_that_cannot_work_names_the_option(configure):
    for changes, named in (
        ({"token_endpoint_auth": "none"}, "client_secret"),
        ({"token_endpoint_auth": "basic"}, "token_endpoint_auth"),
        ({"token_endpoint_auth": "client_secret_basic", "client_secret": ""}, "client_secret"),
        ({"token_endpoint_auth": "none", "protocol": "oauth1"}, "token_endpoint_auth"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            configure({**SETTINGS, **changes})
        assert caught.value.option.lower().removeprefix("scconnect_") == named
        assert CLIENT[1] not in caught.value.message


# Secrets


@pytest.mark.threat(32)
@pytest.mark.parametrize(
    "data",
    [
        answer(b'{"error": "invalid_client"}', status="401 Unauthorized"),
        answer(b"<html>"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",
        b"nonsense\r\n\r\n",
    ],
    ids=["refused", "a page", "cut off", "not HTTP"],
)
def test_threat_32_the_header_is_written_nowhere(data, caplog):
    caplog.set_level(logging.DEBUG)
    secret = "canary-client-secret-0123456789"
    header = basic("id", secret).removeprefix("Basic ")
    with wire(saying(data)) as server:
        known = OAuth2Provider(
            f"{server.url}/a", f"{server.url}/t", token_endpoint_auth="client_secret_basic"
        )
        flow = OAuth2("id", secret, provider=known, transport=quick_transport(timeout=1.0))
        with pytest.raises(ConnectError) as caught:
            flow.refresh(AccessToken("t", refresh_token="r"))
    seen = "\n".join([caplog.text, walked(caught.value), repr(flow), repr(vars(flow)), repr(known)])
    assert caplog.records
    assert secret not in seen
    assert header not in seen


def test_a_refused_refresh_of_a_public_client_ends_the_connection():
    sandbox = Sandbox(token_endpoint_auth="none")
    with serve(sandbox) as server:
        flow = OAuth2(CLIENT[0], provider=sandbox.oauth2_provider(server.url))
        connections = Connections(flow, SQLStore("sqlite://"))
        made = connections.connect(dance(flow), user="joe")
        sandbox.revoke()
        with pytest.raises(ConnectionRevoked):
            connections.session(made.id, user="joe").me()


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize("name", ["client_id", "client_secret"])
def test_a_credential_that_is_no_text_is_refused_without_showing_it(method, name):
    """os.environ has a lone surrogate for each byte that is not UTF-8."""
    provider = OAuth2Provider(
        "https://a.example/a", "https://a.example/t", token_endpoint_auth=method
    )
    credentials = {"client_id": "an-id", "client_secret": "a-secret", name: "canary-\udce9"}
    with pytest.raises(ConfigurationError, match="not UTF-8") as caught:
        OAuth2(credentials["client_id"], credentials["client_secret"], provider=provider)
    assert caught.value.option == name
    assert "canary" not in walked(caught.value)
