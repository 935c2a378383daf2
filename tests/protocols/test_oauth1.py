"""The flow of OAuth 1.0a against a provider that verifies it, and against providers that do odd
things.
"""

import logging
import re
import time
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import example, given
from hypothesis import strategies as st
from oauthlib.common import Request
from oauthlib.oauth1.rfc5849 import signature as oauthlib_signature
from requests_oauthlib import OAuth1Session
from support.browser import Browser
from support.flows import CALLBACK, CLIENT, dance, flow_for, quick_transport
from support.responses import query
from support.stores import connection
from support.wire import answer, saying, saying_once, wire

from scconnect_wsgi import OAuth1, OAuth1Provider
from scconnect_wsgi.connections import ApiSession, Connections
from scconnect_wsgi.errors import (
    AccessDenied,
    ConfigurationError,
    FlowMismatch,
    ProviderError,
    ProviderUnavailable,
)
from scconnect_wsgi.protocols.oauth1 import HINTS, Signer, _token_fields
from scconnect_wsgi.query import MAX_FIELDS, read_form, read_query
from scconnect_wsgi.sandbox import Sandbox, serve
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.transport._client import HTTPResponse

TRANSPORT = (
    quick_transport()
)  # one for all: reading the CA bundle takes longer than most tests here
GRANTED = b"oauth_token=the-token&oauth_token_secret=the-token-secret&oauth_callback_confirmed=true"
PENDING = {"token": "asked", "secret": "asked-secret"}
BACK = {"oauth_token": "asked", "oauth_verifier": "the-verifier"}


@pytest.fixture(scope="module")
def rsa_pair():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return pem(key), public_pem(key)


def pem(key, encryption=None):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        encryption or serialization.NoEncryption(),
    ).decode()


def public_pem(key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def raw(server, secret=CLIENT[1], rsa_key=None, **provider):
    """A flow with a provider that is a Wire."""
    addresses = [f"{server.url}/{name}" for name in ("request_token", "authorize", "access_token")]
    made = OAuth1Provider(*addresses, **provider)
    return OAuth1(CLIENT[0], secret, provider=made, rsa_key=rsa_key, transport=TRANSPORT)


def signed(request):
    """The parameters of an Authorization header."""
    scheme, _, rest = request.headers["authorization"].partition(" ")
    assert scheme == "OAuth"
    return {name: unquote(value) for name, value in re.findall(r'([a-z_]+)="([^"]*)"', rest)}


# Against the sandbox, which verifies each signature


@pytest.mark.parametrize("method", ["HMAC-SHA1", "HMAC-SHA256", "PLAINTEXT"])
def test_a_signature_method_dances(sandbox, root, method):
    token = dance(flow_for("oauth1", root, signature_method=method))
    assert token.token
    assert token.token_secret
    assert (token.refresh_token, token.expires_at, token.scope) == (None, None, None)
    assert (sandbox.counts["request_token"], sandbox.counts["access_token"]) == (1, 1)


def test_rsa_dances_without_a_consumer_secret(rsa_pair):
    private, public = rsa_pair
    sandbox = Sandbox(rsa_public_key=public)
    with serve(sandbox) as server:
        provider = sandbox.oauth1_provider(server.url, signature_method="RSA-SHA1")
        assert dance(OAuth1(CLIENT[0], "", provider=provider, rsa_key=private)).token
        stranger = pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))
        with pytest.raises(ProviderError, match="status 401"):
            OAuth1(CLIENT[0], "", provider=provider, rsa_key=stranger).begin(CALLBACK)


def test_the_token_opens_the_api(root):
    token = dance(flow_for("oauth1", root))
    with OAuth1Session(*CLIENT, token.token, token.token_secret) as session:
        session.trust_env = False
        assert session.get(f"{root}/me", timeout=10).json()["username"] == "joe"


@pytest.mark.parametrize("method", ["HMAC-SHA1", "HMAC-SHA256", "PLAINTEXT"])
def test_a_wrong_consumer_secret_is_refused_with_a_hint(sandbox, root, method):
    provider = sandbox.oauth1_provider(root, signature_method=method)
    with pytest.raises(
        ProviderError, match=r"status 401.*consumer key, secret, callback URL or clock"
    ):
        OAuth1(CLIENT[0], "not the secret", provider=provider).begin(CALLBACK)


@pytest.mark.parametrize(
    "provider",
    [
        {"realm": "Photos and more"},
        {"request_token_params": {"x_auth_access_type": "read", "empty": "", "a b": "ü & + ="}},
        {"realm": "", "request_token_params": {"scope": "all"}},
        {"headers": {"User-Agent": "Site/1.0", "X-More": "more"}},
    ],
    ids=["a realm", "parameters of its own", "an empty realm and a parameter", "headers"],
)
def test_a_habit_of_a_provider_dances(root, provider):
    assert dance(flow_for("oauth1", root, **provider)).token


def test_a_query_in_the_request_token_url_is_signed(root):
    url = f"{root}/oauth/request_token?title=Special%3AOAuth%2Finitiate&format=a%20b&empty="
    assert dance(flow_for("oauth1", root, request_token_url=url)).token


@pytest.mark.parametrize("habit", ["Confirmed", "long-tokens"])
def test_an_odd_sandbox_dances(root, habit):
    assert dance(flow_for("oauth1", f"{root}/misbehave/{habit}")).token


# What is asked


def test_the_requests_are_what_was_configured():
    with wire(saying(answer(GRANTED))) as server:
        flow = raw(
            server,
            realm="The realm",
            request_token_params={"access": "read & write"},
            headers={"User-Agent": "Site/1.0 +https://site.example", "X-More": "more"},
        )
        departure = flow.begin(CALLBACK)
        flow.finish(
            CALLBACK,
            {"oauth_token": "the-token", "oauth_verifier": "the-verifier"},
            departure.pending,
        )
        first, second = server.requests
    assert first.line == "POST /request_token HTTP/1.1"
    assert first.body == "access=read+%26+write"
    assert first.headers["content-type"] == "application/x-www-form-urlencoded"
    assert signed(first)["oauth_callback"] == CALLBACK
    assert "oauth_token" not in signed(first)
    assert second.line == "POST /access_token HTTP/1.1"
    assert second.body == ""
    assert (signed(second)["oauth_token"], signed(second)["oauth_verifier"]) == (
        "the-token",
        "the-verifier",
    )
    for request in server.requests:
        assert request.headers["user-agent"] == "Site/1.0 +https://site.example"
        assert request.headers["x-more"] == "more"
        assert signed(request)["realm"] == "The realm"
        assert signed(request)["oauth_version"] == "1.0"
        assert abs(int(signed(request)["oauth_timestamp"]) - time.time()) < 60


def test_the_user_is_sent_to_the_page_with_the_token_and_what_was_configured():
    with wire(saying(answer(GRANTED))) as server:
        flow = raw(server, authorize_params={"scope": "read,write", "expiration": "never"})
        url, _, sent = flow.begin(CALLBACK).authorize_url.partition("?")
        assert url == f"{server.url}/authorize"
        assert sent == "oauth_token=the-token&scope=read%2Cwrite&expiration=never"
        assert query(raw(server).begin(CALLBACK).authorize_url)["display"] == "popup"


@pytest.mark.threat(35)
def test_threat_35_each_request_has_a_nonce_of_its_own():
    with wire(saying(answer(GRANTED))) as server:
        flow = raw(server)
        for _ in range(20):
            flow.begin(CALLBACK)
        assert len({signed(request)["oauth_nonce"] for request in server.requests}) == 20


@pytest.mark.threat(35)
def test_threat_35_an_exchange_whose_answer_is_lost_is_not_sent_again():
    def silence(connection):
        connection.request()

    with wire(silence) as server:
        with pytest.raises(ProviderUnavailable):
            raw(server).finish(CALLBACK, BACK, PENDING)
        assert len(server.requests) == 1


@pytest.mark.threat(35)
def test_threat_35_a_connection_that_was_closed_meanwhile_is_opened_anew():
    with wire(saying_once(answer(GRANTED))) as server:
        flow = raw(server)
        departure = flow.begin(CALLBACK)
        time.sleep(0.05)
        back = {"oauth_token": departure.flow_id, "oauth_verifier": "the-verifier"}
        assert flow.finish(CALLBACK, back, departure.pending).token == "the-token"
        assert (server.accepted, len(server.requests)) == (2, 2)


# What the answers must be


def begun(body, **options):
    with wire(saying(answer(body, **options))) as server:
        return raw(server).begin(CALLBACK)


def finished(body, **options):
    with wire(saying(answer(body, **options))) as server:
        return raw(server).finish(CALLBACK, BACK, PENDING)


@pytest.mark.threat(7)
@pytest.mark.parametrize(
    "confirmed",
    [
        "",
        "&oauth_callback_confirmed=",
        "&oauth_callback_confirmed=false",
        "&oauth_callback_confirmed=1",
    ],
    ids=["missing", "empty", "false", "1"],
)
def test_threat_7_a_callback_that_is_not_confirmed_is_an_error(confirmed):
    with pytest.raises(ProviderError, match="oauth_callback_confirmed"):
        begun(f"oauth_token=a&oauth_token_secret=b{confirmed}".encode())


@pytest.mark.threat(7)
def test_threat_7_the_sandbox_without_a_confirmation_is_refused(root):
    with pytest.raises(ProviderError, match="did not confirm"):
        flow_for("oauth1", f"{root}/misbehave/unconfirmed").begin(CALLBACK)


@pytest.mark.threat(7)
@pytest.mark.parametrize("spelling", ["true", "True", "TRUE"])
def test_threat_7_a_confirmation_is_read_without_case(spelling):
    departure = begun(
        f"oauth_token=a&oauth_token_secret=b&oauth_callback_confirmed={spelling}".encode()
    )
    assert (departure.flow_id, dict(departure.pending)) == ("a", {"token": "a", "secret": "b"})
    assert "'b'" not in repr(departure)


@pytest.mark.threat(8)
@pytest.mark.parametrize(
    "back",
    [
        {"oauth_token": "another", "oauth_verifier": "v"},
        {"oauth_token": "asked ", "oauth_verifier": "v"},
        {"oauth_token": "ASKED", "oauth_verifier": "v"},
        {"oauth_token": "äsked", "oauth_verifier": "v"},
        {"oauth_token": "", "oauth_verifier": "v"},
        {"oauth_verifier": "v"},
        {"denied": "another"},
        {"oauth_token": "another", "denied": "asked"},
        {"oauth_problem": "user_refused"},
        {"error": "access_denied"},
        {"oauth_token": "another", "error": "access_denied"},
    ],
    ids=str,
)
def test_threat_8_a_token_that_differs_is_refused_and_nothing_is_asked(back):
    with wire(saying(answer(GRANTED))) as server:
        with pytest.raises(FlowMismatch):
            raw(server).finish(CALLBACK, back, PENDING)
        assert server.accepted == 0


@pytest.mark.threat(8)
def test_threat_8_a_sandbox_that_brings_another_token_is_refused(sandbox, root):
    with pytest.raises(FlowMismatch):
        dance(flow_for("oauth1", f"{root}/misbehave/wrong-token"))
    assert sandbox.counts["access_token"] == 0


@pytest.mark.threat(9)
@pytest.mark.parametrize(
    "back", [{"oauth_token": "asked"}, {"oauth_token": "asked", "oauth_verifier": ""}], ids=str
)
def test_threat_9_a_missing_verifier_is_an_error_and_nothing_is_asked(back):
    with wire(saying(answer(GRANTED))) as server:
        with pytest.raises(ProviderError, match="without a verifier"):
            raw(server).finish(CALLBACK, back, PENDING)
        assert server.accepted == 0


@pytest.mark.threat(9)
def test_threat_9_a_secret_in_the_callback_is_ignored(root):
    assert dance(flow_for("oauth1", root), oauth_token_secret="of-somebody-else").token


@pytest.mark.threat(9)
def test_threat_9_a_wrong_verifier_is_refused_by_the_provider(root):
    with pytest.raises(ProviderError, match="status 401"):
        dance(flow_for("oauth1", root), oauth_verifier="guessed")


@pytest.mark.parametrize(
    "back",
    [
        {"denied": "asked"},
        {"oauth_token": "asked", "oauth_problem": "user_refused"},
        {"oauth_token": "asked", "oauth_problem": "permission_denied"},
        {"oauth_token": "asked", "denied": "asked", "oauth_verifier": "v"},
        {"oauth_token": "asked", "error": "access_denied"},
        {"oauth_token": "asked", "error": "access_denied", "oauth_verifier": "v"},
        {"oauth_token": "asked", "error": "user_refused"},
        {"oauth_token": "asked", "error": "user_denied"},
        {"oauth_token": "asked", "oauth_problem": "user_denied"},
        {"oauth_token": "asked", "oauth_verifier": "denied"},
        {"oauth_token": "asked", "error": "access_denied", "oauth_problem": "something_new"},
        {"denied": "asked", "error": "something_new"},
    ],
    ids=str,
)
def test_a_refusal_in_each_spelling_is_access_denied(back):
    with wire(saying(answer(GRANTED))) as server:
        with pytest.raises(AccessDenied):
            raw(server).finish(CALLBACK, back, PENDING)
        assert server.accepted == 0


@pytest.mark.parametrize("habit", ["Confirmed", "denied-problem", "denied-error"])
def test_a_user_who_says_no_at_the_sandbox(root, habit):
    flow = flow_for("oauth1", f"{root}/misbehave/{habit}")
    departure = flow.begin(CALLBACK)
    with Browser() as browser:
        back = query(browser.decide(departure.authorize_url, "deny"))
    assert flow.flow_id(back) == departure.flow_id
    with pytest.raises(AccessDenied):
        flow.finish(CALLBACK, back, departure.pending)


@pytest.mark.parametrize("name", ["oauth_problem", "error"])
@pytest.mark.parametrize("problem", [*HINTS, "something_new", "<script>"])
def test_a_problem_in_the_callback_is_an_error_with_a_hint(problem, name):
    with wire(saying(answer(GRANTED))) as server, pytest.raises(ProviderError) as caught:
        raw(server).finish(
            CALLBACK, {"oauth_token": "asked", name: problem, "oauth_verifier": "v"}, PENDING
        )
    assert server.accepted == 0
    assert "something_new" not in caught.value.message
    assert HINTS.get(problem, "aborted the flow.") in caught.value.message
    assert ("<" in caught.value.message) is False


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "403 Forbidden"])
@pytest.mark.parametrize("problem", HINTS)
def test_a_problem_in_an_answer_is_an_error_with_a_hint(problem, status):
    with pytest.raises(ProviderError) as caught:
        begun(f"oauth_problem={problem}&oauth_problem_advice=whisper".encode(), status=status)
    assert HINTS[problem] in caught.value.message
    assert status[:3] in caught.value.message
    assert "whisper" not in repr(caught.value)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "text/html; charset=utf-8",
        "text/plain",
        "application/json",
        "",
        "nonsense",
    ],
)
def test_a_form_is_read_whatever_the_content_type(content_type):
    token = finished(GRANTED, content_type=content_type)
    assert (token.token, token.token_secret) == ("the-token", "the-token-secret")


def test_further_fields_are_kept():
    token = finished(
        b"oauth_token=a%2Bb&oauth_token_secret=&user_nsid=1%40N02&username=Joe+S%C3%A4mple&empty=\n"
    )
    expected = {"user_nsid": "1@N02", "username": "Joe Sämple", "empty": ""}
    assert token == AccessToken("a+b", "", extra=expected)


GARBAGE = {
    "nothing": b"",
    "an error text": b"Invalid signature. Expected base string: POST&...",
    "an error text that looks like a form": b"error=1&message=no",
    "HTML": b"<!DOCTYPE html><title>Oops</title>",
    "JSON": b'{"oauth_token": "a", "oauth_token_secret": "b", "oauth_callback_confirmed": "true"}',
    "no token": b"oauth_token_secret=b&oauth_callback_confirmed=true",
    "an empty token": b"oauth_token=&oauth_token_secret=b&oauth_callback_confirmed=true",
    "no secret": b"oauth_token=a&oauth_callback_confirmed=true",
    "two tokens": b"oauth_token=a&oauth_token=c&oauth_token_secret=b&oauth_callback_confirmed=true",
    "a token with a line break": b"oauth_token=a%0D%0AX:y&oauth_token_secret=b"
    b"&oauth_callback_confirmed=true",
    "a secret with a line break": b"oauth_token=a&oauth_token_secret=b%0A"
    b"&oauth_callback_confirmed=true",
    "a token with NUL": b"oauth_token=a%00&oauth_token_secret=b&oauth_callback_confirmed=true",
    "invalid UTF-8": b"oauth_token=\xff&oauth_token_secret=b&oauth_callback_confirmed=true",
    "invalid UTF-8 in an escape": b"oauth_token=%ff&oauth_token_secret=b"
    b"&oauth_callback_confirmed=true",
    "a lone surrogate": b"oauth_token=%ED%A0%80&oauth_token_secret=b&oauth_callback_confirmed=true",
    "UTF-16": GRANTED.decode().encode("utf-16"),
}


@pytest.mark.threat(30)
@pytest.mark.parametrize("step", [begun, finished], ids=["request token", "access token"])
@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
def test_threat_30_garbage_is_one_typed_error(body, step):
    with pytest.raises(ProviderError, match="holds no token and secret") as caught:
        step(body)
    assert type(caught.value) is ProviderError
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.threat(30)
@pytest.mark.parametrize(
    "habit", ["error200", "html", "html403", "garbage", "short", "redirect", "huge"]
)
def test_threat_30_a_sandbox_on_a_bad_day_is_a_typed_error(root, habit):
    with pytest.raises((ProviderError, ProviderUnavailable)):
        flow_for("oauth1", f"{root}/misbehave/{habit}").begin(CALLBACK)


@pytest.mark.threat(36)
def test_threat_36_too_many_requests_are_passed_on(root):
    with pytest.raises(ProviderUnavailable) as caught:
        flow_for("oauth1", f"{root}/misbehave/429").begin(CALLBACK)
    assert caught.value.retry_after == 7


# Logs


@pytest.mark.threat(32)
def test_threat_32_no_log_holds_a_token_a_secret_or_a_verifier(caplog):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("oauthlib").setLevel(logging.DEBUG)
    with wire(saying(answer(GRANTED))) as server:
        flow = raw(server, request_token_params={"further": "parameter-of-the-request"})
        departure = flow.begin(CALLBACK)
        flow.finish(
            CALLBACK,
            {"oauth_token": "the-token", "oauth_verifier": "the-verifier"},
            departure.pending,
        )
        assert caplog.records  # the connection speaks, so a secret would be heard
        for secret in (
            "the-token",
            "the-verifier",
            CLIENT[1],
            "parameter-of-the-request",
            "oauth_signature",
        ):
            assert secret not in caplog.text


# Values that cannot work


def test_a_consumer_without_key_or_secret_is_refused():
    cases = [
        ("", "secret", "consumer_key"),
        ("key", "", "consumer_secret"),
        ("", "", "consumer_key"),
    ]
    for key, secret, option in cases:
        with pytest.raises(ConfigurationError) as caught:
            OAuth1(key, secret)
        assert caught.value.option == option


def rsa_provider(method="RSA-SHA1"):
    urls = [f"https://provider.example/{name}" for name in "abc"]
    return OAuth1Provider(*urls, signature_method=method)


def test_a_key_belongs_to_rsa_and_rsa_to_a_key(rsa_pair):
    needed = "is required with signature_method RSA-SHA1: the consumer's private key"
    unused = "is only for RSA-SHA1: the provider's signature_method is HMAC-SHA1"
    for method, key, words in (("RSA-SHA1", None, needed), ("HMAC-SHA1", rsa_pair[0], unused)):
        for secret in ("secret", "") if key is None else ("secret",):
            with pytest.raises(ConfigurationError, match=words) as caught:
                OAuth1("key", secret, provider=rsa_provider(method), rsa_key=key)
            assert caught.value.option == "rsa_key"


def test_a_key_that_is_no_rsa_private_key_is_refused(rsa_pair):
    encrypted = serialization.BestAvailableEncryption(b"password")
    keys = {
        "public": rsa_pair[1],
        "elliptic": pem(ec.generate_private_key(ec.SECP256R1())),
        "encrypted": pem(rsa.generate_private_key(public_exponent=65537, key_size=2048), encrypted),
        "text": "no key",
        "empty": "",
    }
    for key in keys.values():
        with pytest.raises(
            ConfigurationError, match="not an unencrypted RSA private key"
        ) as caught:
            OAuth1("key", "", provider=rsa_provider(), rsa_key=key)
        assert caught.value.option == "rsa_key"
        assert "BEGIN" not in repr(caught.value)


# The published vectors, through the class that signs


PHOTOS = {"client_key": "dpf43f3p2l4k3l03", "client_secret": "kd94hf93k423kf44"}
TOKEN = {"resource_owner_key": "nnch734d00sl2jdk", "resource_owner_secret": "pfkkdhi9sl3r4s00"}


def signature(uri, method="GET", body=None, **values):
    """The signature in the header of a whole request."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    _, headers, _ = Signer(**values).sign(uri, method, body, headers)
    return unquote(re.search(r'oauth_signature="([^"]*)"', headers["Authorization"])[1])


@pytest.mark.threat(40)
def test_threat_40_the_photos_example_of_oauth_core():
    uri = "http://photos.example.net/photos?file=vacation.jpg&size=original"
    made = signature(uri, **PHOTOS, **TOKEN, timestamp="1191242096", nonce="kllo9940pd9333jh")
    assert made == "tR3+Ty81lMeYAr/Fid0kMTYa/WM="


@pytest.mark.threat(40)
def test_threat_40_plaintext_of_oauth_core():
    owner = {"resource_owner_key": "hh5s93j4hdidpola", "resource_owner_secret": "hdhd0244k9j7ao03"}
    made = signature(
        "https://photos.example.net/access_token",
        "POST",
        **PHOTOS,
        **owner,
        signature_method="PLAINTEXT",
    )
    assert made == "kd94hf93k423kf44&hdhd0244k9j7ao03"


@pytest.mark.threat(40)
def test_threat_40_the_example_of_twitters_documentation():
    made = signature(
        "https://api.twitter.com/1/statuses/update.json?include_entities=true",
        "POST",
        "status=Hello%20Ladies%20%2b%20Gentlemen%2c%20a%20signed%20OAuth%20request%21",
        client_key="xvz1evFS4wEEPTGEFPHBog",
        client_secret="kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
        resource_owner_key="370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
        resource_owner_secret="LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE",
        timestamp="1318622958",
        nonce="kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg",
    )
    assert made == "tnnArxj06cWHq44gCs1OSKk/jLY="


# The key and the signature are those of the test cases that the oauth.net wiki published for
# RSA-SHA1.
WIKI_KEY = """-----BEGIN PRIVATE KEY-----
MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGBALRiMLAh9iimur8V
A7qVvdqxevEuUkW4K+2KdMXmnQbG9Aa7k7eBjK1S+0LYmVjPKlJGNXHDGuy5Fw/d
7rjVJ0BLB+ubPK8iA/Tw3hLQgXMRRGRXXCn8ikfuQfjUS1uZSatdLB81mydBETlJ
hI6GH4twrbDJCR2Bwy/XWXgqgGRzAgMBAAECgYBYWVtleUzavkbrPjy0T5FMou8H
X9u2AC2ry8vD/l7cqedtwMPp9k7TubgNFo+NGvKsl2ynyprOZR1xjQ7WgrgVB+mm
uScOM/5HVceFuGRDhYTCObE+y1kxRloNYXnx3ei1zbeYLPCHdhxRYW7T0qcynNmw
rn05/KO2RLjgQNalsQJBANeA3Q4Nugqy4QBUCEC09SqylT2K9FrrItqL2QKc9v0Z
zO2uwllCbg0dwpVuYPYXYvikNHHg+aCWF+VXsb9rpPsCQQDWR9TT4ORdzoj+Nccn
qkMsDmzt0EfNaAOwHOmVJ2RVBspPcxt5iN4HI7HNeG6U5YsFBb+/GZbgfBT3kpNG
WPTpAkBI+gFhjfJvRw38n3g/+UeAkwMI2TJQS4n8+hid0uus3/zOjDySH3XHCUno
cn1xOJAyZODBo47E+67R4jV1/gzbAkEAklJaspRPXP877NssM5nAZMU0/O/NGCZ+
3jPgDUno6WbJn5cqm8MqWhW1xGkImgRk+fkDBquiq4gPiT898jusgQJAd5Zrr6Q8
AO/0isr/3aa6O6NLQxISLKcPDk2NOccAfS/xOtfOz4sJYM3+Bs4Io9+dZGSDCA54
Lw03eHTNQghS0A==
-----END PRIVATE KEY-----
"""


@pytest.mark.threat(40)
def test_threat_40_the_rsa_example_of_the_oauth_wiki():
    made = signature(
        "http://photos.example.net/photos?file=vacaction.jpg&size=original",
        client_key="dpf43f3p2l4k3l03",
        signature_method="RSA-SHA1",
        rsa_key=WIKI_KEY,
        timestamp="1196666512",
        nonce="13917289812797014437",
    )
    assert made == (
        "jvTp/wX1TYtByB1m+Pbyo0lnCOLIsyGCH7wke8AUs3BpnwZJtAuEJkvQL2/9n4s5wUmUl4aCI4BwpraNx4RtEXMe5qg5T1LVTGliMRpKasKs"
        "W//e+RinhejgCuzoH26dyF8iY2ZZ/5D1ilgeijhV/vBka5twt399mXwaYdCwFYE="
    )


def rfc_signature(uri, method, secrets, oauth_params, body=None):
    """The requests of RFC 5849 carry no oauth_version, which oauthlib's own header always does."""
    client_secret, owner_secret = secrets
    signer = Signer("key", client_secret, resource_owner_secret=owner_secret)
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    request = Request(uri, method, body, headers)
    pairs: Any = [
        (f"oauth_{name}", value) for name, value in oauth_params.items()
    ]  # the stubs say strings
    request.oauth_params = pairs
    return signer.get_oauth_signature(request)


HMAC = {"signature_method": "HMAC-SHA1"}
RFC_1_2 = {
    "temporary credentials": (
        "74KNZJeDHnMBp0EMJ9ZHt/XKycU=",
        ("https://photos.example.net/initiate", "POST", ("kd94hf93k423kf44", "")),
        {
            "timestamp": "137131200",
            "nonce": "wIjqoS",
            "callback": "http://printer.example.com/ready",
        },
    ),
    "token credentials": (
        "gKgrFCywp7rO0OXSjdot/IHF7IU=",
        ("https://photos.example.net/token", "POST", ("kd94hf93k423kf44", "hdhd0244k9j7ao03")),
        {
            "token": "hh5s93j4hdidpola",
            "timestamp": "137131201",
            "nonce": "walatlh",
            "verifier": "hfdp7dh39dks9884",
        },
    ),
    "a photo": (
        "MdpQcU8iPSUjWoN/UDMsK2sui9I=",
        (
            "http://photos.example.net/photos?file=vacation.jpg&size=original",
            "GET",
            ("kd94hf93k423kf44", "pfkkdhi9sl3r4s00"),
        ),
        {"token": "nnch734d00sl2jdk", "timestamp": "137131202", "nonce": "chapoH"},
    ),
}


@pytest.mark.threat(40)
@pytest.mark.parametrize(("expected", "request_", "params"), RFC_1_2.values(), ids=RFC_1_2)
def test_threat_40_rfc_5849_section_1_2(expected, request_, params):
    uri, method, secrets = request_
    params = {"consumer_key": "dpf43f3p2l4k3l03", **HMAC, **params}
    assert rfc_signature(uri, method, secrets, params) == expected


@pytest.mark.threat(40)
def test_threat_40_rfc_5849_section_3_4_1_with_erratum_2550():
    params = {"consumer_key": "9djdj82h48djs9d2", "token": "kkk9d7dh3k39sjv7", **HMAC}
    params |= {"timestamp": "137131201", "nonce": "7d8f3e4a"}
    made = rfc_signature(
        "http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b",
        "post",
        ("j49sk3j29djd", "dh893hdasih9"),
        params,
        "c2&a3=2+q",
    )
    assert made == "r6/TJjbCOr97/+UU0NsvSne7s5g="


# Parsers


@pytest.mark.threat(40)
@given(st.binary(max_size=300), st.integers(200, 499), st.text(max_size=30))
@example(b"\x1coauth_token=a&oauth_token_secret=b\x1c", 200, "")
@example(b"oauth_problem=signature_invalid", 401, "")
@example(b"&" * 300, 200, "")
@example(b"oauth_token=%E2%80%AE&oauth_token_secret=b", 200, "")
def test_threat_40_any_answer_is_fields_or_one_error(body, status, content_type):
    try:
        fields = _token_fields(HTTPResponse(status, {"Content-Type": content_type}, body))
    except ProviderError:
        return
    assert status < 400
    assert fields["oauth_token"]
    assert (fields["oauth_token"] + fields["oauth_token_secret"]).isprintable()


@pytest.mark.threat(40)
@given(st.text(max_size=300))
@example("a=%00")
@example("a=1&a=2")
@example("a=1&%61=2")
@example("a=%ff")
@example("a=\ud800")
@example("&" * 500)
@example("=&==")
def test_threat_40_any_text_is_a_form_or_a_value_error(text):
    for read in (read_form, read_query):
        try:
            fields = read(text)
        except ValueError:
            continue
        assert len(fields) <= MAX_FIELDS
        assert not any("\x00" in name + value for name, value in fields.items())


@pytest.mark.threat(40)
@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=20))
def test_threat_40_a_form_that_was_written_is_read_back(fields):
    try:
        written = urlencode(fields)
    except UnicodeEncodeError:  # a lone surrogate cannot be written
        return
    if "\x00" in "".join([*fields, *fields.values()]):
        with pytest.raises(ValueError, match="NUL"):
            read_form(written)
    else:
        assert read_form(written) == fields


def test_the_whole_dance_ends_where_the_flow_began(root):
    """What a browser brings back after the provider's page is what finish takes."""
    flow = flow_for("oauth1", root)
    departure = flow.begin(CALLBACK)
    with Browser() as browser:
        landed = browser.decide(departure.authorize_url)
    assert landed.startswith(f"{CALLBACK}?")
    assert flow.flow_id(query(landed)) == departure.flow_id


# What the connections ask of a flow


@pytest.mark.parametrize(
    ("status", "challenge", "rejected"),
    [
        (401, "", True),
        (401, "OAuth oauth_problem=token_rejected", True),
        (401, "OAuth oauth_problem=token_revoked", True),
        (401, "OAuth oauth_problem=nonce_used", False),
        (401, "OAuth oauth_problem=timestamp_refused", False),
        (401, "OAuth oauth_problem=signature_invalid", False),
        (401, "OAuth oauth_problem=consumer_key_unknown", False),
        (403, "", False),
        (200, "", False),
    ],
)
def test_a_401_rejects_the_token_unless_it_names_another_problem(status, challenge, rejected):
    response = HTTPResponse(status, {"WWW-Authenticate": challenge}, b"")
    assert OAuth1(*CLIENT).rejects_token(response) is rejected


def test_there_is_nothing_to_sign_out_of():
    with wire(saying(answer(b""))) as server:
        raw(server, api_url=server.url).sign_out(AccessToken("t", token_secret="s"))
        assert server.accepted == 0


# What is signed is what is sent


UNUSUAL = {
    "an unreserved character that need not be encoded": "/%7Ejoe/api",
    "the same in lower case": "/%7ejoe/api",
    "a reserved character": "/a%2fb/api",
    "letters that need not be encoded": "/%61pi",
    "a query": "/api?key=%7E&other=a%20b",
}


def signature_of(request, url, **secrets):
    """Return the signature of what a server was sent, by oauthlib, which is told its address."""
    signature: Any = oauthlib_signature
    parameters = signature.collect_parameters(
        uri_query=urlsplit(url).query, body=request.body, headers=signed_header(request)
    )
    base = signature.signature_base_string(
        request.line.split()[0],
        signature.base_string_uri(url),
        signature.normalize_parameters(parameters),
    )
    return signature.sign_hmac_sha1_with_client(base, SimpleNamespace(**secrets))


def signed_header(request):
    return {"Authorization": request.headers["authorization"]}


@pytest.mark.threat(40)
@pytest.mark.parametrize("path", UNUSUAL.values(), ids=UNUSUAL)
@pytest.mark.parametrize("step", ["request token", "me", "call"])
def test_threat_40_the_address_is_signed_as_it_is_sent(path, step):
    """requests sends ``%7E`` as ``~``: a signature over the former is wrong."""
    if "?" in path and step != "request token":
        path = path.partition("?")[0]
    with wire(saying(answer(b"{}"))) as server:
        root = f"{server.url}{path}"
        addresses = [root] * 3
        provider = OAuth1Provider(*addresses, api_url=root.partition("?")[0])
        flow = OAuth1(*CLIENT, provider=provider, transport=TRANSPORT)
        secrets = {"client_secret": CLIENT[1], "resource_owner_secret": "token-secret"}
        token = AccessToken("token", "token-secret")
        if step == "request token":
            secrets["resource_owner_secret"] = ""
            with pytest.raises(ProviderError):
                flow.begin(CALLBACK)
        elif step == "me":
            Connections(flow, SQLStore("sqlite://")).account(token)
        else:
            store = SQLStore("sqlite://")
            stored = store.save(connection(token=token, api_url=provider.api_url))
            ApiSession(stored, store, flow).get("/tracks?q=%7E%20x")
        (request,) = server.requests
        url = f"{server.url}{request.line.split()[1]}"
    assert "~" in url or "%7" not in path
    assert signed(request)["oauth_signature"] == signature_of(request, url, **secrets)
