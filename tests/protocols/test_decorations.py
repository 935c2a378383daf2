"""Whatever stands beside a token in an answer: it does not cost the token (threat 53).

By then the code, the verifier or the refresh token has been spent, and nobody gets another answer.
"""

import json
import time
from urllib.parse import parse_qs

import pytest
from support.flows import CALLBACK, CLIENT, quick_transport
from support.stores import KINDS
from support.stores import connection as stored
from support.wire import answer, wire

from scconnect_wsgi import OAuth1, OAuth1Provider, OAuth2, OAuth2Provider
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.errors import InvalidGrant, ProviderError
from scconnect_wsgi.token import AccessToken

pytestmark = pytest.mark.threat(53)

TOKEN = "the-new-token"
REFRESH = "the-new-refresh-token"
GRANTED = {
    "access_token": TOKEN,
    "token_type": "Bearer",
    "expires_in": 3599,
    "refresh_token": REFRESH,
    "scope": "",
}
JSON_TYPE = "application/json"


def granting(**changes):
    return json.dumps({**GRANTED, **changes}).encode()


def written(name, text):
    """Return an answer in which a field is written as ``text``, which may be no JSON."""
    return granting(**{name: "HERE"}).replace(b'"HERE"', text.encode())


def nested(depth, inner="1"):
    return "[" * depth + inner + "]" * depth


LIFETIMES = {  # what is written, and the seconds that are read
    "3600": 3600,
    "0": 0,
    "3600.9": 3600,
    '"3600"': 3600,
    '"3600.0"': 3600,
    '" 3600"': 3600,
    '"3600 \\n"': 3600,
    "3.6e3": 3600,
    '"0007"': 7,
    "-1": None,
    '"-1"': None,
    "-0.5": None,
    '""': None,
    '" "': None,
    "null": None,
    '"never"': None,
    '"3600s"': None,
    '"3,600"': None,
    '"1e3"': None,
    '"1_000"': None,
    '"0x10"': None,
    '"Infinity"': None,
    '"٣"': None,
    '"²"': None,
    '"2026-11-27T12:00:00Z"': None,
    "9223372036854775807": None,
    '"9223372036854775807"': None,
    "100000000000": None,
    "true": None,
    "false": None,
    "[3600]": None,
    "[]": None,
    "{}": None,
    '{"seconds": 3600}': None,
    "NaN": None,
    "Infinity": None,
    "-Infinity": None,
    "1e999": None,
    "-1e999": None,
    "9" * 400: None,
    "9" * 9000: None,
    f'"{"9" * 9000}"': None,
    nested(99): None,
    nested(3000): None,
}
DECORATIONS = {
    "a token type of two words": granting(token_type="User Access Token"),
    "a token type with a space behind it": granting(token_type="Bearer "),
    "a token type of another kind": granting(token_type="mac"),
    "a token type of null": granting(token_type=None),
    "an empty token type": granting(token_type=""),
    "a token type of 5": granting(token_type=5),
    "a list of token types": granting(token_type=["Bearer"]),
    "no token type": json.dumps(
        {name: GRANTED[name] for name in GRANTED if name != "token_type"}
    ).encode(),
    "an empty error": granting(error=""),
    "a blank error": granting(error=" "),
    "an error of null": granting(error=None),
    "an error of 0": granting(error=0),
    "an error of false": granting(error=False),
    "an empty object of errors": granting(error={}),
    "an error that is no text": granting(error={"code": "ok"}, error_description=""),
    "a description of no error": granting(error_description="ok"),
    "a scope of 5": granting(scope=5),
    "a scope of numbers": granting(scope=[1, 2]),
    "a scope that is an object": granting(scope={"a": 1}),
    "a scope of true": granting(scope=True),
    "a scope with a lone surrogate": granting(scope="\ud800"),
    "NaN elsewhere": written("x", "NaN"),
    "1e999 elsewhere": written("x", "[1e999, -Infinity]"),
    "a long number elsewhere": written("x", "-" + "1" * 9000),
    "values nested 101 deep": written("x", nested(100)),
    "values nested 30,000 deep": written("x", nested(30_000)),
    "objects nested 5,000 deep": written("x", '{"[": ' * 5000 + '"\\"]"' + "}" * 5000),
    "two values that are nested too deep": written("x", f"[{nested(200)}, {nested(200)}, 7]"),
    "a lone surrogate elsewhere": granting(name="\udfff"),
    "a lone surrogate in a name": granting(**{"\udfff": 1}),
    "a surrogate inside of a list": granting(x=[{"a": "\ud83d"}]),
    "NUL elsewhere": granting(name="\x00"),
    "a line break inside of a text": written("name", '"Joe\n\tSample"'),
    "a name twice": granting()[:-1] + b', "scope": "a", "x": 1, "x": 2}',
    "a name twice, deeper": written("x", '{"b": 1, "b": 2}'),
    "the same token twice": granting()[:-1] + b', "access_token": "the-new-token"}',
    "a byte order mark": b"\xef\xbb\xbf" + granting(),
    "white space around it": b"\r\n\t " + granting() + b" \n",
    "Latin-1 elsewhere": written("name", '"Zoe"').replace(b"Zoe", b"Zo\xeb"),
    "a name that is not UTF-8": written("x", "1")[:-1] + b', "\xff\xfe": 1}',
    "UTF-8 of a surrogate elsewhere": written("x", "1")[:-1] + b', "y": "\xed\xa0\x80"}',
    "UTF-16": granting().decode().encode("utf-16"),
    "UTF-16 without a mark": granting().decode().encode("utf-16-le"),
    "UTF-32": granting().decode().encode("utf-32-be"),
    "a form": b"access_token=the-new-token&token_type=bearer&refresh_token=the-new-refresh-token"
    b"&expires_in=3600.0&scope=a,b",
    "a form with a line break behind it": b"refresh_token=the-new-refresh-token&error="
    b"&access_token=the-new-token\r\n",
    "a form with more than a token": b"access_token=the-new-token&a=%ff&b=\xff&c=1&c=2&d&e=%00"
    b"&refresh_token=the-new-refresh-token" + b"".join(b"&f%d=1" % number for number in range(300)),
}
REFRESH_TOKENS = {  # which are none; the access token is good all the same
    "an empty one": granting(refresh_token=""),
    "null": granting(refresh_token=None),
    "false": granting(refresh_token=False),
    "a number": granting(refresh_token=5),
    "a list": granting(refresh_token=["r"]),
    "one with CR LF": granting(refresh_token="r\r\nX-Evil: 1"),
    "one that is not ASCII": granting(refresh_token="rëfresh"),
    "one with a lone surrogate": granting(refresh_token="r\ud800"),
    "one that is not UTF-8": granting(refresh_token="r").replace(b'"r"', b'"r\xff"'),
    "two different ones": granting()[:-1] + b', "refresh_token": "another"}',
}
CONTENT_TYPES = [
    "application/json; charset=utf-8",
    'application/json;charset="ISO-8859-1"',
    "Application/JSON ; x=y",
    "application/vnd.provider.v2+json",
    "application/jsonp",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
    "text/json",
    "text/plain",
    "text/plain; charset=utf-8",
    "text/html",
    "text/html;charset=UTF-8",
    "text/javascript",
    "text/javascript; charset=utf-8",
    "nonsense",
    "",
]


class Provider:
    """A provider that says ``token`` to each token request, and to /me who joe is."""

    def __init__(self, body, content_type=JSON_TYPE, status="200 OK"):
        self.token = answer(body, content_type=content_type, status=status)

    def __call__(self, connection):
        while request := connection.request():
            me = b'{"urn": "joe", "username": "joe"}'
            is_me = request.line.startswith("GET /me")
            connection.send(answer(me, content_type=JSON_TYPE) if is_me else self.token)


def flow_at(server):
    provider = OAuth2Provider(f"{server.url}/a", f"{server.url}/token", api_url=server.url)
    return OAuth2(*CLIENT, provider=provider, transport=quick_transport(timeout=10.0))


def exchanged(flow):
    pending = {"state": "the-state", "verifier": "the-verifier-of-this-flow"}
    return flow.finish(CALLBACK, {"state": "the-state", "code": "the-code"}, pending)


def refreshed(flow):
    old = AccessToken("an old token", refresh_token="an old refresh token", scope="old")
    return flow.refresh(old)


STEPS = pytest.mark.parametrize("step", [exchanged, refreshed], ids=["a code", "a refresh token"])


def outcome(step, body, content_type=JSON_TYPE, **options):
    with wire(Provider(body, content_type, **options)) as server:
        token = step(flow_at(server))
        assert len(server.requests) == 1
    # A site stores it as JSON of its own, in a database that takes no lone surrogate and no NaN
    kept = json.dumps(token.to_dict(), ensure_ascii=False, allow_nan=False).encode("utf-8")
    assert AccessToken.from_dict(json.loads(kept)) == token
    return token


@STEPS
@pytest.mark.parametrize("value", LIFETIMES, ids=lambda value: f"{value[:25]} {len(value)}")
def test_threat_53_any_lifetime_keeps_the_token(value, step):
    token = outcome(step, written("expires_in", value))
    assert (token.token, token.refresh_token) == (TOKEN, REFRESH)
    seconds = LIFETIMES[value]
    if seconds is None:
        assert token.expires_at is None
    else:
        assert abs(token.expires_at - time.time() - seconds) < 30
    assert ("expires_in" in token.extra) == (seconds is None and value not in ("null", '""'))


@STEPS
@pytest.mark.parametrize("body", DECORATIONS.values(), ids=DECORATIONS)
def test_threat_53_a_decoration_keeps_the_token(body, step):
    token = outcome(step, body)
    assert (token.token, token.refresh_token) == (TOKEN, REFRESH)
    assert token.scope is None or isinstance(token.scope, str)


@STEPS
@pytest.mark.parametrize("body", REFRESH_TOKENS.values(), ids=REFRESH_TOKENS)
def test_threat_53_a_refresh_token_that_is_none_keeps_the_access_token(body, step):
    token = outcome(step, body)
    assert token.token == TOKEN
    assert token.refresh_token == ("an old refresh token" if step is refreshed else None)


@STEPS
@pytest.mark.parametrize("content_type", CONTENT_TYPES)
@pytest.mark.parametrize(
    "body", [granting(), DECORATIONS["a form"]], ids=["JSON", "a form of some providers"]
)
def test_threat_53_any_content_type_keeps_the_token(body, content_type, step):
    token = outcome(step, body, content_type)
    assert (token.token, token.refresh_token) == (TOKEN, REFRESH)


def test_what_is_unknown_stays_in_extra():
    token = outcome(
        exchanged,
        granting(
            token_type="User Access Token", expires_in="never", scope={"a": 1}, user={"id": 5}
        ),
    )
    assert token.extra == {
        "token_type": "User Access Token",
        "expires_in": "never",
        "scope": {"a": 1},
        "user": {"id": 5},
    }
    beyond = "[NaN, 1e999, -Infinity, 1.5, 7, " + "8" * 700 + "]"
    assert outcome(exchanged, written("x", beyond)).extra["x"] == [
        *("NaN", "1e999", "-Infinity", 1.5, 7),
        "8" * 700,
    ]
    assert outcome(exchanged, written("x", nested(98))).extra["x"] == json.loads(nested(98))
    assert outcome(exchanged, written("x", nested(99))).extra["x"] == json.loads(nested(98, "null"))
    twice = outcome(exchanged, written("x", '{"b": 1, "b": 2, "c": 3, "c": 3}'))
    assert twice.extra["x"] == {"b": None, "c": 3}


@STEPS
def test_a_token_that_cannot_be_told_is_an_error(step):
    """Two different tokens are no decoration, and neither is one that cannot be sent."""
    for body in (
        granting()[:-1] + b', "access_token": "another"}',
        granting(access_token=5),
        granting(access_token="t\ufffd"),
        granting(access_token="t").replace(b'"t"', b'"t\xff"'),
        granting(access_token="\ud800"),
        b"access_token=a&access_token=b",
        b"access_token=%ff",
        b'<a href="?x=1&access_token=stranger">',
        b"See /login?x&access_token=stranger !",
    ):
        with pytest.raises(ProviderError) as caught:
            outcome(step, body)
        assert caught.value.outcome_unknown


@STEPS
@pytest.mark.parametrize("content_type", CONTENT_TYPES)
@pytest.mark.parametrize(
    "body",
    [b'{"error": "invalid_grant"}', b"error=invalid_grant&error_uri=x"],
    ids=["JSON", "form"],
)
def test_a_refusal_is_told_whatever_its_content_type(body, content_type, step):
    with pytest.raises(InvalidGrant) as caught:
        outcome(step, body, content_type, status="400 Bad Request")
    assert not caught.value.outcome_unknown


@pytest.mark.parametrize("make_store", KINDS)
def test_every_store_keeps_a_decorated_token(make_store, tmp_path):
    """An API call refreshes, and the next process reads what was stored."""
    store = make_store(tmp_path)
    odd = (
        granting(
            expires_in="never", token_type="User Access Token", name="\udfff\x00", scope=["a", "b"]
        )[:-1]
        + b', "x": 1e999, "y": '
        + nested(3000).encode()
        + b"}"
    )
    with wire(Provider(odd, "text/html")) as server:
        expired = AccessToken("an old token", refresh_token="an old refresh token", expires_at=1)
        store.save(stored(user="joe", api_url=server.url, token=expired))
        sites = [Connections(flow_at(server), store) for _ in range(2)]
        for site in sites:
            assert site.session("one", user="joe").me().username == "joe"
        lines = [request.line.split()[0] for request in server.requests]
        assert lines == ["POST", "GET", "GET"]
        assert parse_qs(server.requests[0].body)["refresh_token"] == ["an old refresh token"]
        kept = store.load("one").token
    assert (kept.token, kept.refresh_token, kept.expires_at) == (TOKEN, REFRESH, None)
    assert kept.scope == "a b"
    assert kept.extra["x"] == "1e999"


# OAuth 1.0a


ANSWER1 = b"oauth_token=the-new-token&oauth_token_secret=the-secret&oauth_callback_confirmed=true"
DECORATIONS1 = {
    "a name that comes twice": ANSWER1 + b"&a=1&a=2",
    "the same token twice": ANSWER1 + b"&oauth_token=the-new-token",
    "invalid UTF-8 elsewhere": ANSWER1 + b"&screen_name=Zo\xeb",
    "invalid UTF-8 in an escape elsewhere": ANSWER1 + b"&screen_name=Zo%EB",
    "a surrogate elsewhere": ANSWER1 + b"&x=%ED%A0%80",
    "NUL elsewhere": ANSWER1 + b"&x=%00",
    "many fields": ANSWER1 + b"".join(b"&f%d=1" % number for number in range(300)),
    "a field without a value": ANSWER1 + b"&x&&=",
    "an error that is empty": ANSWER1 + b"&error=&oauth_problem=",
    "an expiry": ANSWER1 + b"&oauth_expires_in=never&oauth_session_handle=x",
    "a line break behind it": ANSWER1 + b"\r\n",
}


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
@pytest.mark.parametrize("body", DECORATIONS1.values(), ids=DECORATIONS1)
def test_threat_53_a_decoration_keeps_the_token_of_oauth_1(body, content_type):
    with wire(Provider(body, content_type)) as server:
        addresses = [f"{server.url}/{name}" for name in ("r", "a", "token")]
        flow = OAuth1(
            *CLIENT, provider=OAuth1Provider(*addresses), transport=quick_transport(timeout=10.0)
        )
        departure = flow.begin(CALLBACK)
        back = {"oauth_token": TOKEN, "oauth_verifier": "v"}
        token = flow.finish(CALLBACK, back, departure.pending)
    assert (token.token, token.token_secret) == (TOKEN, "the-secret")
    kept = json.dumps(token.to_dict(), ensure_ascii=False, allow_nan=False).encode("utf-8")
    assert AccessToken.from_dict(json.loads(kept)) == token
