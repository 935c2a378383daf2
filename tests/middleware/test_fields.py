"""The fields that a site gives to its page: how each value travels, and how much fits."""

import datetime
import decimal
import enum
import json
import logging
import re
import uuid
from urllib.parse import quote, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.browser import ARRIVAL
from support.canary import met
from support.flows import flow_for
from support.responses import landed, query
from support.servers import gunicorn, site_on
from support.site import Store, running_site

from scconnect_wsgi import HAND_OVER, AccessToken
from scconnect_wsgi.middleware._results import with_fields

LIMIT = 2048  # bytes of query
MOST_HEADERS = 4096  # bytes of a response's headers that nginx takes
LONG_PATH = "/account?" + "a" * 503  # as long as a return_to may be


@pytest.fixture(params=["oauth1", "oauth2"])
def flow(request, provider):
    return flow_for(request.param, provider.url)


@pytest.fixture
def one_flow(provider):
    return flow_for("oauth2", provider.url)


def fields_of(flow, browser, result):
    """Return what the page hears if store_token returns this."""
    with running_site(flow, store_token=Store(result)) as site:
        return landed(browser.connect(site))


# Values


class Colour(str, enum.Enum):  # noqa: UP042  # whose str() has the class in it
    RED = "red"


class Number(enum.IntEnum):
    SEVEN = 7


class Lazy:
    """A translation that is chosen when it is read, as frameworks have them."""

    def __str__(self):
        return "Verbunden als Zoë"


class Shout(str):
    def __str__(self):
        return self.upper()


NOON = datetime.datetime(2026, 11, 27, 12, 0, tzinfo=datetime.UTC)
VALUES = [
    (None, ""),
    ("", ""),
    (True, "true"),
    (False, "false"),
    (43, "43"),
    (-1.5, "-1.5"),
    (float("nan"), ""),
    (decimal.Decimal("9.90"), "9.90"),
    (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    (NOON, "2026-11-27T12:00:00+00:00"),
    (NOON.date(), "2026-11-27"),
    (NOON.time(), "12:00:00"),
    ("Zoë".encode(), "Zoë"),
    (b"\xff", "\ufffd"),
    (Colour.RED, "red"),
    (Number.SEVEN, "7"),
    (Lazy(), "Verbunden als Zoë"),
    (Shout("as it is"), "as it is"),
    ([], "[]"),
    ({}, "{}"),
    ((1, "a", None, True), '[1,"a",null,true]'),
    ({"a": [1, {"b": "Zoë 🎧"}]}, '{"a":[1,{"b":"Zoë 🎧"}]}'),
    ({1: NOON.date(), "n": float("inf"), "l": Lazy()}, None),
    ({"only"}, '["only"]'),
]


@pytest.mark.parametrize(("value", "text"), VALUES, ids=lambda value: repr(value)[:40])
def test_each_value_travels_as_a_script_reads_it(one_flow, browser, value, text):
    if text is None:
        text = '{"1":"2026-11-27","n":null,"l":"Verbunden als Zoë"}'
    assert fields_of(one_flow, browser, {"value": value, 1: value}) == {"value": text, "1": text}


@pytest.mark.slow
@pytest.mark.frameworks
def test_a_lazy_translation_of_django_is_text(one_flow, browser):
    from support.sites.django import site

    site()
    from django.utils.functional import lazystr
    from django.utils.safestring import mark_safe
    from django.utils.translation import gettext_lazy

    result = {"a": gettext_lazy("Yes"), "b": lazystr(5), "c": mark_safe("<b>"), "d": [lazystr("x")]}
    assert fields_of(one_flow, browser, result) == {"a": "Yes", "b": "5", "c": "<b>", "d": '["x"]'}


class Broken:
    """A value that needs a database which has gone."""

    def __str__(self):
        raise LookupError("no database, and the secret of its address")


def circle():
    ring = []
    ring.append(ring)
    return ring


@pytest.mark.parametrize(
    "value", [Broken(), [Broken()], circle(), 10**5000], ids=["alone", "inside", "circle", "huge"]
)
def test_a_value_that_cannot_be_read_is_empty_and_the_token_is_stored_once(
    flow, browser, value, caplog
):
    store = Store({"name": "joe", "broken": value})
    with running_site(flow, store_token=store) as site:
        assert landed(browser.connect(site)) == {"name": "joe", "broken": ""}
    assert len(store.tokens) == 1
    [error] = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert "'broken'" in error
    assert "the secret of its address" not in caplog.text


class Detached(dict):
    """A row whose database has gone."""

    def items(self):
        raise LookupError("no database, and the secret of its address")


@pytest.mark.parametrize("result", [Detached(name="joe"), {Broken(): 1}], ids=["all", "a name"])
def test_a_mapping_that_cannot_be_read_is_empty_and_the_token_is_stored_once(
    flow, browser, result, caplog
):
    store = Store(result)
    with running_site(flow, store_token=store) as site:
        assert landed(browser.connect(site)) == {}
    assert len(store.tokens) == 1
    assert "The page gets no fields, because the mapping raised LookupError" in caplog.text
    assert "the secret of its address" not in caplog.text


# The token stays with the site


def whole(token):
    return token


TOKENS = {
    "itself": whole,
    "in a mapping": lambda token: {"token": token},
    "deep in a mapping": lambda token: {"account": {"tokens": [token]}},
    "its fields": AccessToken.to_dict,
    "its value": lambda token: {"id": token.token},
    "its value, deep": lambda token: {"account": [{"id": token.token}]},
    "its value in a sentence": lambda token: {"message": f"You have {token.token}!"},
    "its value as bytes": lambda token: {"id": token.token.encode()},
    "as a name": lambda token: {token.token: True},
    "the other value": lambda token: {"id": token.token_secret or token.refresh_token},
}


def remember(token):
    met(token.token, token.token_secret, token.refresh_token)


@pytest.mark.threat(21)
@pytest.mark.parametrize("make", TOKENS.values(), ids=TOKENS)
def test_threat_21_the_token_is_not_given_to_the_page(flow, browser, make):
    calls = []

    def store_token(token, request):
        remember(token)
        calls.append(token)
        return make(token)

    with running_site(flow, store_token=store_token) as site:
        response = browser.connect(site)
    fields = landed(response)
    assert fields["error"] == "storage_failed"
    assert "store_token must not give the token" in fields["error_description"]
    assert "an id of your own" in fields["error_description"]
    [token] = calls
    assert token.token not in response.headers["Location"]


@pytest.mark.threat(21)
@pytest.mark.parametrize("make", TOKENS.values(), ids=TOKENS)
def test_threat_21_close_url_does_not_take_the_token_either(flow, browser, make):
    refused = []

    def app(environ, start_response):
        token = environ["scconnect.token"]
        remember(token)
        with pytest.raises(ValueError, match="must not give the token") as caught:
            environ["scconnect.close_url"](make(token))
        refused.append(token.token not in str(caught.value))
        location = environ["scconnect.close_url"]({"username": "joe"})
        start_response("303 See Other", [("Location", location), ("Content-Type", "text/plain")])
        return [b""]

    with running_site(flow, app=app, store_token=HAND_OVER) as site:
        assert landed(browser.connect(site)) == {"username": "joe"}
    assert refused == [True]


@pytest.mark.threat(21)
@pytest.mark.parametrize("secret", ['quoted"secret', "back\\slashed", "base64+/secret=="])
def test_threat_21_a_token_is_found_however_it_is_encoded(secret):
    token = AccessToken(secret)
    address = f"https://api.example/stream?{urlencode({'token': secret})}"
    for value in (secret, [secret], {"a": f"It is {secret}!"}, repr([secret]), address, [address]):
        with pytest.raises(ValueError, match="must not give the token"):
            with_fields("/close.html", {"value": value}, token)


# How much fits


def headers_of(response):
    """Return the size of a response's headers."""
    return sum(len(f"{name}: {value}\r\n") for name, value in response.raw.headers.items())


BIG = {"username": "joe", "bio": "b" * 5000, "oauth_token_id": 43, "tracks": list(range(1000))}


@pytest.mark.parametrize("prefix", ["", "/shop"], ids=["root", "prefix"])
@pytest.mark.parametrize("return_to", ["", "/account", LONG_PATH], ids=["popup", "short", "long"])
def test_fields_that_do_not_fit_are_left_out_and_the_flow_ends_well(
    flow, browser, prefix, return_to, caplog
):
    with running_site(flow, prefix=prefix, store_token=Store(BIG)) as site:
        site.start += f"?return_to={quote(return_to)}" if return_to else ""
        response = browser.connect(site)
    fields = query(response.headers["Location"])
    fields.pop("a" * 503, None)
    assert fields == {"username": "joe", "oauth_token_id": "43", "fields_dropped": "2"}
    assert headers_of(response) < MOST_HEADERS
    [error] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "'bio', 'tracks'" in error.getMessage()
    assert str(LIMIT) in error.getMessage()


@pytest.mark.parametrize("return_to", ["", LONG_PATH], ids=["popup", "long"])
@pytest.mark.parametrize("letter", ["a", "é", "🎧", "%"])
def test_the_limit_counts_bytes_of_the_query_as_it_is_sent(one_flow, browser, letter, return_to):
    result = {f"f{number}": letter * 100 for number in range(30)}
    with running_site(one_flow, store_token=Store(result)) as site:
        site.start += f"?return_to={quote(return_to)}" if return_to else ""
        response = browser.connect(site)
    location = response.headers["Location"]
    assert LIMIT - 1300 < len(urlsplit(location).query) <= LIMIT
    dropped = int(query(location)["fields_dropped"])
    kept = [name for name in query(location) if name in result]
    assert len(kept) + dropped == 30
    assert headers_of(response) < MOST_HEADERS


def test_the_log_says_how_many_fields_it_does_not_name(one_flow, browser, caplog):
    result = {f"f{number}": "x" * 100 for number in range(40)}
    dropped = int(fields_of(one_flow, browser, result)["fields_dropped"])
    [error] = [record for record in caplog.records if record.levelno == logging.ERROR]
    named = re.findall(r"'f\d+'", error.getMessage())
    assert f", and {dropped - len(named)} more. " in error.getMessage()


def test_what_fits_is_not_touched(one_flow, browser):
    result = {"text": "x" * (LIMIT - len("text=") - 1)}
    assert fields_of(one_flow, browser, result) == result


@pytest.mark.parametrize(
    "mine",
    [
        {},
        {"error": "mine", "error_description": "d" * 300},
        {"error": "e" * 5000},
        {"error": "🎧" * 2000, "error_description": "d" * 3000},
        {"error_id": "i" * 3000, "error": "mine"},
    ],
    ids=lambda mine: str(mine)[:40],
)
@pytest.mark.parametrize("return_to", ["", LONG_PATH], ids=["popup", "long"])
def test_a_failure_with_long_fields_stays_a_failure(flow, browser, mine, return_to):
    def on_failure(error, request):
        return {"page": "x" * 3000, **error.fields(), **mine}

    with running_site(flow, on_failure=on_failure) as site:
        site.start += f"?return_to={quote(return_to)}" if return_to else ""
        response = browser.connect(site, choice="deny")
    fields = query(response.headers["Location"])
    assert mine.get("error", "access_denied").startswith(fields["error"])
    assert "page" not in fields
    assert len(urlsplit(response.headers["Location"]).query) <= LIMIT
    if "error_id" not in mine:
        assert len(fields["error_id"]) == 8


def test_close_url_of_a_hand_over_has_the_same_limit(flow, browser, caplog):
    def app(environ, start_response):
        location = environ["scconnect.close_url"](BIG)
        start_response("303 See Other", [("Location", location), ("Content-Type", "text/plain")])
        return [b""]

    with running_site(flow, app=app, store_token=HAND_OVER) as site:
        fields = landed(browser.connect(site))
    assert fields == {"username": "joe", "oauth_token_id": "43", "fields_dropped": "2"}
    assert "'bio', 'tracks'" in caplog.text


@pytest.mark.slow
def test_gunicorn_serves_the_address_at_which_such_a_flow_ends(provider, browser, tmp_path):
    """gunicorn answers 414 to a request line of more than 4,094 bytes."""
    text = f"""
from support.flows import flow_for
from support.site import KEY, page_of_the_site
from scconnect_wsgi import SCConnect

application = SCConnect(
    page_of_the_site, flow_for("oauth2", {provider.url!r}), secret_key=KEY,
    store_token=lambda token, request: {BIG!r},
)
"""
    with site_on(gunicorn("sync"), tmp_path, text) as site:
        for start in (site.start, f"{site.start}?return_to={quote(LONG_PATH)}"):
            site.start = start
            location = browser.connect(site).headers["Location"]
            page = browser.get(site.url + location, **ARRIVAL)
            assert page.status_code == 200
            assert query(location)["username"] == "joe"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
LONG = st.builds(str.__mul__, st.sampled_from(["x", "é", "%"]), st.integers(0, 3000))
ADDRESSES = st.sampled_from(["/sc-connect/close.html", "/account?tab=2", LONG_PATH])


@given(ADDRESSES, st.dictionaries(st.text(), JSON | LONG, max_size=8))
def test_no_fields_exceed_the_limit(address, fields):
    location = with_fields(address, {"error": "mine", "error_id": "01234567", **fields})
    assert len(urlsplit(location).query) <= LIMIT
    assert "error_id" in query(location) or len(str(fields["error_id"])) > 8
    assert query(location)["error"] is not None
    for name, text in query(location).items():
        if isinstance(fields.get(name), (dict, list, bool)):
            json.loads(text)
