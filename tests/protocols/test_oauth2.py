"""The flow of OAuth 2.1 against a provider that verifies it, and against providers that do odd
things.
"""

import json
import logging
import math
import re
import time
from urllib.parse import parse_qsl

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.browser import Browser
from support.flows import CALLBACK, CLIENT, dance, flow_for, quick_transport
from support.responses import query
from support.wire import answer, saying, saying_once, wire

from scconnect_wsgi import OAuth2, OAuth2Provider
from scconnect_wsgi.errors import (
    AccessDenied,
    ConfigurationError,
    FlowMismatch,
    InvalidGrant,
    ProviderError,
    ProviderUnavailable,
)
from scconnect_wsgi.protocols.oauth2 import HINTS, MAX_LIFETIME, _fields, _token, code_challenge
from scconnect_wsgi.token import AccessToken
from scconnect_wsgi.transport._client import HTTPResponse

TRANSPORT = (
    quick_transport()
)  # one for all: reading the CA bundle takes longer than most tests here
PENDING = {"state": "the-state", "verifier": "the-verifier-of-this-flow"}
BACK = {"state": "the-state", "code": "the-code"}
GRANTED = {
    "access_token": "the-token",
    "token_type": "Bearer",
    "expires_in": 3599,
    "refresh_token": "the-refresh-token",
    "scope": "",
}


def raw(server, scope=None, **provider):
    """A flow with a provider that is a Wire."""
    made = OAuth2Provider(f"{server.url}/authorize", f"{server.url}/token", **provider)
    return OAuth2(*CLIENT, provider=made, scope=scope, transport=TRANSPORT)


def finished(body, content_type="application/json", **options):
    """What the flow makes of a token answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with wire(saying(answer(data, content_type=content_type, **options))) as server:
        return raw(server).finish(CALLBACK, BACK, PENDING)


def refused(back, kind, pending=PENDING, **provider):
    """The one error of what came back, before the provider was asked."""
    with wire(
        saying(answer(json.dumps(GRANTED).encode(), content_type="application/json"))
    ) as server:
        with pytest.raises(kind) as caught:
            raw(server, **provider).finish(CALLBACK, back, pending)
        assert server.accepted == 0
    assert type(caught.value) is kind
    return caught.value


# Against the sandbox, which verifies everything


def test_the_dance(sandbox, root):
    token = dance(flow_for("oauth2", root))
    assert token.token
    assert token.refresh_token
    assert token.token_secret is None
    assert abs(token.expires_at - time.time() - 3600) < 60
    assert sandbox.counts["token"] == 1


@pytest.mark.parametrize("habit", ["long-tokens", "no-expiry", "iss"])
def test_an_odd_sandbox_dances(root, habit):
    token = dance(flow_for("oauth2", f"{root}/misbehave/{habit}"))
    assert (token.expires_at is None) == (habit == "no-expiry")


@pytest.mark.threat(31)
def test_threat_31_a_scope_that_changed_keeps_the_token(root):
    token = dance(flow_for("oauth2", f"{root}/misbehave/scope-changed=less"))
    assert token.token
    assert token.scope == "less"


@pytest.mark.threat(31)
@pytest.mark.parametrize(
    ("scope", "expected"),
    [("other", "other"), ("", ""), (None, None), (["a", "b"], "a b"), ([], ""), ("a b", "a b")],
    ids=str,
)
def test_threat_31_any_scope_keeps_the_token(scope, expected):
    token = finished({**GRANTED, "scope": scope})
    assert (token.token, token.scope) == ("the-token", expected)


@pytest.mark.threat(10)
@pytest.mark.parametrize("habit", ["no-state", "wrong-state"])
def test_threat_10_a_sandbox_that_brings_another_state_is_refused(sandbox, root, habit):
    with pytest.raises(FlowMismatch):
        dance(flow_for("oauth2", f"{root}/misbehave/{habit}"))
    assert sandbox.counts["token"] == 0


def test_a_user_who_says_no_at_the_sandbox(sandbox, root):
    flow = flow_for("oauth2", root)
    departure = flow.begin(CALLBACK)
    with Browser() as browser:
        back = query(browser.decide(departure.authorize_url, "deny"))
    with pytest.raises(AccessDenied):
        flow.finish(CALLBACK, back, departure.pending)
    assert sandbox.counts["token"] == 0


@pytest.mark.threat(11)
def test_threat_11_a_verifier_of_another_flow_is_refused_by_the_provider(root):
    flow = flow_for("oauth2", root)
    departure = flow.begin(CALLBACK)
    other = flow.begin(CALLBACK)
    with Browser() as browser:
        back = query(browser.decide(departure.authorize_url))
    with pytest.raises(ProviderError, match="invalid_grant"):
        flow.finish(CALLBACK, back, {**departure.pending, "verifier": other.pending["verifier"]})


def test_a_wrong_secret_and_a_wrong_callback_are_told_apart(sandbox, root):
    flow = OAuth2(CLIENT[0], "not the secret", provider=sandbox.oauth2_provider(root))
    with pytest.raises(ProviderError, match=r"client secret is wrong \(invalid_client\)"):
        dance(flow)
    flow = flow_for("oauth2", root)
    departure = flow.begin(CALLBACK)
    with Browser() as browser:
        back = query(browser.decide(departure.authorize_url))
    with pytest.raises(ProviderError, match=r"callback URL"):
        flow.finish(f"{CALLBACK}/", back, departure.pending)


# Leaving


def test_the_user_is_sent_away_with_what_was_configured():
    provider = OAuth2Provider(
        "https://p.example/authorize?tenant=1",
        "https://p.example/token",
        authorize_params={"prompt": "a & b"},
    )
    departure = OAuth2("me", "secret", provider=provider, scope="read write").begin(CALLBACK)
    assert departure.authorize_url.startswith(
        "https://p.example/authorize?tenant=1&response_type=code&"
    )
    assert query(departure.authorize_url) == {
        "tenant": "1",
        "response_type": "code",
        "client_id": "me",
        "redirect_uri": CALLBACK,
        "code_challenge": code_challenge(departure.pending["verifier"]),
        "code_challenge_method": "S256",
        "state": departure.pending["state"],
        "scope": "read write",
        "prompt": "a & b",
    }
    assert departure.pending["verifier"] not in repr(departure)
    assert departure.pending["verifier"] not in departure.authorize_url


def test_soundcloud_is_asked_for_a_popup_and_no_scope():
    departure = OAuth2("me", "secret").begin(CALLBACK)
    assert departure.authorize_url.startswith("https://secure.soundcloud.com/authorize?")
    asked = query(departure.authorize_url)
    assert asked["display"] == "popup"
    assert "scope" not in asked


@pytest.mark.threat(10)
def test_threat_10_the_state_has_256_bits_and_threat_11_verifier_and_state_are_fresh():
    flow = OAuth2("me", "secret")
    departures = [flow.begin(CALLBACK) for _ in range(50)]
    for name in ("state", "verifier"):
        values = {departure.pending[name] for departure in departures}
        assert len(values) == 50
        assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", value) for value in values)
    assert all(departure.flow_id == departure.pending["state"] for departure in departures)


@pytest.mark.threat(11)
def test_threat_11_rfc_7636_appendix_b():
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert code_challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


# Coming back


@pytest.mark.threat(10)
@pytest.mark.parametrize(
    "back",
    [
        {"code": "c"},
        {"code": "c", "state": ""},
        {"code": "c", "state": "another"},
        {"code": "c", "state": "the-state "},
        {"code": "c", "state": "THE-STATE"},
        {"code": "c", "state": "the-ståte"},
        {"error": "access_denied"},
        {"error": "access_denied", "state": "another"},
        {"error": "server_error", "state": ""},
    ],
    ids=str,
)
def test_threat_10_a_state_that_differs_is_refused_before_anything_is_believed(back):
    refused(back, FlowMismatch)


@pytest.mark.threat(12)
@pytest.mark.parametrize(
    "iss", [None, "", "https://other.example", "https://issuer.example/", "HTTPS://issuer.example"]
)
@pytest.mark.parametrize(
    "rest", [{"code": "c"}, {"error": "access_denied"}], ids=["a code", "a refusal"]
)
def test_threat_12_an_issuer_that_differs_is_refused(iss, rest):
    back = {"state": "the-state", **rest, **({} if iss is None else {"iss": iss})}
    refused(back, FlowMismatch, issuer="https://issuer.example")


@pytest.mark.threat(12)
def test_threat_12_the_issuer_that_was_configured_is_welcome(sandbox, root):
    made = sandbox.oauth2_provider(f"{root}/misbehave/iss=http:%252F%252F127.0.0.1")
    provider = OAuth2Provider(made.authorize_url, made.token_url, issuer="http://127.0.0.1")
    assert dance(OAuth2(*CLIENT, provider=provider)).token


def test_a_refusal_without_a_code_is_an_error():
    for back in ({"state": "the-state"}, {"state": "the-state", "code": ""}):
        assert "without a code" in refused(back, ProviderError).message


@pytest.mark.parametrize(
    "word", ["access_denied", "user_denied", "user_cancelled_login", "user_cancelled_authorize"]
)
def test_a_refusal_of_the_user_is_access_denied(word):
    refused({"state": "the-state", "error": word, "code": "c"}, AccessDenied)


@pytest.mark.parametrize("word", ["server_error", "temporarily_unavailable"])
def test_a_provider_that_could_not_is_unavailable(word):
    refused({"state": "the-state", "error": word}, ProviderUnavailable)


@pytest.mark.parametrize("word", [*HINTS, "something_new", "", "<script>whisper\r\n"])
def test_an_error_in_the_callback_is_an_error_with_a_hint(word):
    error = refused(
        {"state": "the-state", "error": word, "error_description": "whisper", "code": "c"},
        ProviderError,
    )
    assert HINTS.get(word, "aborted the flow.") in error.message
    assert "whisper" not in repr(error)


# The token request


def test_the_token_request_is_exact():
    granted = answer(json.dumps(GRANTED).encode(), content_type="application/json")
    with wire(saying(granted)) as server:
        flow = raw(server, scope="read", headers={"User-Agent": "Site/1.0", "X-More": "more"})
        flow.finish(f"{CALLBACK}?a=ü&b", {**BACK, "code": "the code/+&=%"}, PENDING)
        (request,) = server.requests
    assert request.line == "POST /token HTTP/1.1"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["accept"] == "application/json"
    assert request.headers["user-agent"] == "Site/1.0"
    assert request.headers["x-more"] == "more"
    assert "authorization" not in request.headers
    assert parse_qsl(request.body, strict_parsing=True) == [
        ("grant_type", "authorization_code"),
        ("client_id", CLIENT[0]),
        ("client_secret", CLIENT[1]),
        ("redirect_uri", f"{CALLBACK}?a=ü&b"),
        ("code_verifier", PENDING["verifier"]),
        ("code", "the code/+&=%"),
    ]


@pytest.mark.threat(35)
def test_threat_35_a_code_is_never_sent_again():
    def silence(connection):
        connection.request()

    with wire(silence) as server:
        with pytest.raises(ProviderUnavailable):
            raw(server).finish(CALLBACK, BACK, PENDING)
        assert len(server.requests) == 1


@pytest.mark.threat(27)
def test_threat_27_a_redirect_is_not_followed_with_the_code():
    with wire(saying(answer())) as second:
        moved = answer(b"", f"Location: {second.url}/token", status="307 Temporary Redirect")
        with wire(saying(moved)) as server, pytest.raises(ProviderError, match="redirect"):
            raw(server).finish(CALLBACK, BACK, PENDING)
        assert second.accepted == 0


# Answers that are good


def test_a_token_is_what_the_answer_says():
    token = finished({**GRANTED, "user": {"id": 5}, "id_token": "x"})
    assert abs(token.expires_at - time.time() - 3599) < 30
    assert (token.token, token.refresh_token, token.scope) == ("the-token", "the-refresh-token", "")
    assert token.extra == {"token_type": "Bearer", "user": {"id": 5}, "id_token": "x"}


def test_a_token_alone_is_enough():
    assert finished({"access_token": "t"}) == AccessToken("t")
    nothing = {"refresh_token": None, "expires_in": None, "scope": None, "token_type": None}
    assert finished({"access_token": "t", **nothing}) == AccessToken(
        "t", extra={"token_type": None}
    )


def test_a_mark_and_empty_fields_are_no_reason_to_lose_a_token():
    body = (
        b"\xef\xbb\xbf"
        + json.dumps({**GRANTED, "refresh_token": "", "token_type": "", "error": None}).encode()
    )
    token = finished(body)
    assert (token.token, token.refresh_token) == ("the-token", None)


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER", "OAuth"])
def test_a_token_type_is_read_without_case(kind):
    assert finished({"access_token": "t", "token_type": kind}).token == "t"


@pytest.mark.parametrize(
    ("value", "seconds"), [(0, 0), (3599.9, 3599), ("3599", 3599), (MAX_LIFETIME, MAX_LIFETIME)]
)
def test_a_lifetime_is_read_in_each_spelling(value, seconds):
    assert (
        abs(finished({"access_token": "t", "expires_in": value}).expires_at - time.time() - seconds)
        < 30
    )


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json;charset=UTF-8",
        "Application/JSON ; x=y",
        "application/vnd.a+json",
        "",
    ],
)
def test_json_is_read_in_each_spelling_of_its_type(content_type):
    assert finished(GRANTED, content_type=content_type).token == "the-token"


# Answers that are not


def granting(**changes):
    return json.dumps({**GRANTED, **changes}).encode()


GARBAGE = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "a list of one token": b"[" + granting() + b"]",
    "a number": b"1",
    "a text": b'"x"',
    "true": b"true",
    "an empty object": b"{}",
    "NaN": b"NaN",
    "deep nesting of lists": b"[" * 30_000 + b"]" * 30_000,
    "deep nesting of objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "100,000 brackets": b"[" * 100_000,
    "a token of 5": granting(access_token=5),
    "a token of true": granting(access_token=True),
    "an empty token": granting(access_token=""),
    "a token of null": granting(access_token=None),
    "a list for a token": granting(access_token=["t"]),
    "an object for a token": granting(access_token={"t": 1}),
    "a token with CR LF": granting(access_token="t\r\nX-Evil: 1"),
    "a token with a line feed at its end": granting(access_token="t\n"),
    "a token with NUL": granting(access_token="t\x00"),
    "a token that is not ASCII": granting(access_token="tökén"),
    "a lone surrogate for a token": b'{"access_token": "\\ud800"}',
    "a second document": granting() + b"{}",
    "text behind the document": granting() + b" x",
    "a token named twice": b'{"access_token": "a", "access_token": "b"}',
    "half a document": granting()[:-5],
    "JavaScript": b"callback(" + granting() + b")",
    "HTML": b"<!DOCTYPE html><title>Oops</title>",
    "invalid UTF-8": b'{"access_token": "t\xff"}',
    "UTF-8 of a surrogate": b'{"access_token": "\xed\xa0\x80"}',
    "NUL": b"\x00",
}


def typed(caught):
    refused = "(invalid_grant)" in str(caught.value)
    assert type(caught.value) is (InvalidGrant if refused else ProviderError)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert "Evil" not in caught.value.message


@pytest.mark.threat(30)
@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
def test_threat_30_garbage_is_one_typed_error(body):
    with pytest.raises(ProviderError) as caught:
        finished(body)
    typed(caught)


@pytest.mark.threat(30)
@pytest.mark.parametrize(
    "status", ["400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found"]
)
@pytest.mark.parametrize(
    "body", [b"", b"null", b"<h1>Evil</h1>", b'{"error": 5}', b'{"error": ["x"]}', b"{}"]
)
def test_threat_30_garbage_with_an_error_status_is_one_typed_error(body, status):
    with pytest.raises(ProviderError, match=f"status {status[:3]}") as caught:
        finished(body, status=status)
    typed(caught)


@pytest.mark.threat(30)
@pytest.mark.parametrize("content_type", ["text/html", "text/plain; charset=utf-8", "nonsense"])
@pytest.mark.parametrize("body", [b"<title>Oops</title>", b"", b"Try again, Evil"])
def test_threat_30_a_page_in_place_of_json_is_one_typed_error(body, content_type):
    with pytest.raises(ProviderError, match="something other than JSON") as caught:
        finished(body, content_type=content_type)
    typed(caught)


@pytest.mark.threat(30)
def test_threat_30_a_good_answer_with_an_error_status_is_an_error():
    with pytest.raises(ProviderError, match="status 400"):
        finished(GRANTED, status="400 Bad Request")


@pytest.mark.threat(30)
@pytest.mark.parametrize(
    "habit", ["error200", "html", "html403", "garbage", "short", "redirect", "huge"]
)
def test_threat_30_a_sandbox_on_a_bad_day_is_a_typed_error(root, habit):
    with pytest.raises((ProviderError, ProviderUnavailable)):
        flow_for("oauth2", f"{root}/misbehave/{habit}").finish(CALLBACK, BACK, PENDING)


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "401 Unauthorized"])
@pytest.mark.parametrize("word", [*HINTS, "something_new", "Evil\r\nword"])
def test_an_error_of_the_provider_is_an_error_with_a_hint(word, status):
    with pytest.raises(ProviderError, match=f"status {status[:3]}") as caught:
        finished({"error": word, "error_description": "Evil", **GRANTED}, status=status)
    typed(caught)
    assert (
        (f"{HINTS[word]} ({word})" in caught.value.message)
        if word in HINTS
        else caught.value.message.endswith(").")
    )


@pytest.mark.threat(36)
@pytest.mark.parametrize("word", ["rate_limit_exceeded", "temporarily_unavailable", "server_error"])
@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
def test_threat_36_a_provider_that_cannot_now_is_unavailable(word, status):
    with pytest.raises(ProviderUnavailable, match=word):
        finished({"error": word}, status=status)


@pytest.mark.threat(36)
def test_threat_36_too_many_requests_are_passed_on(root):
    with pytest.raises(ProviderUnavailable) as caught:
        flow_for("oauth2", f"{root}/misbehave/429=42").finish(CALLBACK, BACK, PENDING)
    assert caught.value.retry_after == 42
    assert caught.value.fields()["retry_after"] == "42"


# Logs


@pytest.mark.threat(32)
def test_threat_32_no_log_holds_a_code_a_token_or_a_verifier(caplog):
    caplog.set_level(logging.DEBUG)
    with wire(
        saying_once(answer(json.dumps(GRANTED).encode(), content_type="application/json"))
    ) as server:
        raw(server).finish(CALLBACK, BACK, PENDING)
    assert caplog.records
    for secret in ("the-code", "the-token", "the-refresh-token", PENDING["verifier"], CLIENT[1]):
        assert secret not in caplog.text


def test_a_client_without_id_or_secret_is_refused():
    cases = [("", "secret", "client_id"), ("id", "", "client_secret"), ("", "", "client_id")]
    for id, secret, option in cases:
        with pytest.raises(ConfigurationError) as caught:
            OAuth2(id, secret)
        assert caught.value.option == option


# Parsers


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
NAMES = st.sampled_from(
    ["access_token", "refresh_token", "expires_in", "scope", "token_type", "error", "x"]
)
WRITTEN = JSON_VALUES.map(lambda value: json.dumps(value).encode())
TYPES = st.sampled_from(["application/json", "", "text/html"]) | st.text(max_size=20)


@pytest.mark.threat(40)
@given(st.binary(max_size=100) | WRITTEN, TYPES, st.integers(200, 499))
@example(b"-" * 100, "application/json", 200)
@example(b'"' + b'\\"' * 50, "application/json", 200)
@example(b"\x00", "application/json", 200)
@example(b"error=%ff&error", "", 200)
def test_threat_40_any_answer_is_fields_or_one_error(body, content_type, status):
    try:
        fields = _fields(HTTPResponse(status, {"Content-Type": content_type}, body))
    except ProviderError:
        return
    assert isinstance(fields, dict)


@pytest.mark.threat(40, 53)
@given(st.dictionaries(NAMES, JSON_VALUES))
@example({"expires_in": "9" * 5000})
@example({"expires_in": "12345x"})
@example({"expires_in": "0000000000001"})
@example({"expires_in": float("inf"), "scope": ["\ud800"]})
@example({"access_token": "t", "scope": "\ud800", "x": {"\udfff": math.nan}})
def test_threat_40_any_object_with_a_token_is_a_token(fields):
    written = json.dumps({**fields, "access_token": "t"}).encode()
    token = _token(_fields(HTTPResponse(200, {}, written)))
    assert token.token == "t"
    assert token.refresh_token is None or re.fullmatch(r"[ -~]+", token.refresh_token)
    assert token.scope is None or isinstance(token.scope, str)
    assert token.expires_at is None or 0 <= token.expires_at - time.time() + 30 <= MAX_LIFETIME + 60
    stored = json.dumps(token.to_dict(), ensure_ascii=False, allow_nan=False).encode("utf-8")
    assert AccessToken.from_dict(json.loads(stored)) == token


# What the connections ask of a flow


@pytest.mark.parametrize(("status", "rejected"), [(401, True), (200, False), (403, False)])
def test_a_401_rejects_the_token(status, rejected):
    problem = {"WWW-Authenticate": "OAuth oauth_problem=nonce_used"}  # of the other protocol
    assert OAuth2(*CLIENT).rejects_token(HTTPResponse(status, problem, b"")) is rejected


def test_signing_out_posts_the_token_as_json():
    with wire(saying(answer(b"{}"))) as server:
        flow = raw(server, sign_out_url=f"{server.url}/sign-out", headers={"X-Api-Key": "k"})
        flow.sign_out(AccessToken("the-token"))
    (request,) = server.requests
    assert request.line == "POST /sign-out HTTP/1.1"
    assert json.loads(request.body) == {"access_token": "the-token"}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == "OAuth the-token"
    assert request.headers["x-api-key"] == "k"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("400 Bad Request", ProviderError),
        ("401 Unauthorized", ProviderError),
        ("503 Busy", ProviderUnavailable),
    ],
)
def test_a_refusal_to_sign_out_is_an_error(status, kind):
    with wire(saying(answer(b"", status=status))) as server, pytest.raises(kind) as caught:
        raw(server, sign_out_url=f"{server.url}/sign-out").sign_out(AccessToken("the-token"))
    assert type(caught.value) is kind


def test_a_provider_without_sign_out_is_not_asked():
    with wire(saying(answer(b"{}"))) as server:
        raw(server).sign_out(AccessToken("the-token"))
        assert server.accepted == 0


UNCLEAR = {
    "no JSON": (b"<html>", "200 OK", True),
    "no token": (b"{}", "200 OK", True),
    "a refusal with a good status": (b'{"error": "invalid_grant"}', "200 OK", True),
    "an error page": (b"<html>", "403 Forbidden", False),
    "a refusal": (b'{"error": "invalid_grant"}', "400 Bad Request", False),
    "overloaded": (b'{"error": "server_error"}', "200 OK", False),
}


@pytest.mark.parametrize(("body", "status", "unknown"), UNCLEAR.values(), ids=UNCLEAR)
def test_the_outcome_is_unknown_if_there_may_have_been_a_token(body, status, unknown):
    with pytest.raises((ProviderError, ProviderUnavailable)) as caught:
        finished(body, status=status)
    assert caught.value.outcome_unknown is unknown
