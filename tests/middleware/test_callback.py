"""The callback, from the provider or forged.

Lines 5, 7 to 10, 12 to 16, 20, 21 and 26 of the list of threats.
"""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import sha256
from urllib.parse import quote, urljoin, urlsplit
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
import webob
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.browser import ARRIVAL, Browser
from support.flow_cookies import kept
from support.flows import CLIENT, flow_for, nobody_asked
from support.responses import landed, query
from support.site import KEY, Store, page_of_the_site, running_site

from scconnect_wsgi import HAND_OVER, OAuth1, OAuth2, SCConnect
from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.middleware._cookies import FlowCookies
from scconnect_wsgi.sandbox import Sandbox, serve

PROTOCOLS = ("oauth1", "oauth2")
JOE = {"username": "joe", "oauth_token_id": "43"}
ISSUER = "https://issuer.example/a"
FLOW_ID = {"oauth1": "oauth_token", "oauth2": "state"}
PROOF = {"oauth1": "oauth_verifier", "oauth2": "code"}
# A path: no second slash, no control character, no space
SAME_ORIGIN = re.compile(r"/(?![/\\])[!-~]*")


@pytest.fixture(scope="module", params=PROTOCOLS)
def protocol(request):
    return request.param


@pytest.fixture(scope="module")
def shared(protocol, provider):
    with running_site(flow_for(protocol, provider.url)) as site:
        yield site


@pytest.fixture
def site(shared):
    shared.store.tokens.clear()
    return shared


def arrive(browser, url):
    return browser.get(url, **ARRIVAL)


def without(url, name):
    return re.sub(rf"(?<=[?&]){name}=[^&]*&?", "", url)


def instead(url, name, value):
    return f"{without(url, name).rstrip('&')}&{name}={value}"


def cookie_name(flow_id):
    return "scconnect-" + sha256(flow_id.encode()).hexdigest()[:24]


@pytest.mark.threat(5)
def test_threat_05_a_cross_site_arrival_is_what_the_callback_expects(site, browser):
    assert landed(browser.connect(site)) == JOE
    assert len(site.store.tokens) == 1


@pytest.mark.threat(7)
def test_threat_07_an_unconfirmed_callback_is_an_error_before_the_user_leaves(browser, provider):
    with running_site(flow_for("oauth1", provider.url + "/misbehave/unconfirmed")) as site:
        answer = browser.get(site.start)
    assert landed(answer)["error"] == "provider_error"
    assert "Set-Cookie" not in answer.headers


@pytest.mark.threat(7)
def test_threat_07_confirmed_is_read_without_regard_to_case(browser, provider):
    with running_site(flow_for("oauth1", provider.url + "/misbehave/Confirmed")) as site:
        assert landed(browser.connect(site)) == JOE


@pytest.mark.threat(8)
def test_threat_08_another_token_in_the_callback_asks_nobody(browser):
    sandbox = Sandbox(misbehave=["wrong-token"])
    with serve(sandbox) as server, running_site(flow_for("oauth1", server.url)) as site:
        assert landed(browser.connect(site))["error"] == "flow_mismatch"
        assert site.store.tokens == []
    assert sandbox.counts["access_token"] == 0


@pytest.mark.threat(8)
@pytest.mark.parametrize(
    "other", ["another", "%C3%BC", "%F0%9F%98%80"], ids=["ASCII", "latin", "emoji"]
)
def test_threat_08_10_a_cookie_renamed_to_fit_another_flow_id_asks_nobody(
    site, protocol, browser, provider, other
):
    back = browser.decide(browser.click(site))
    name, renamed = (
        cookie_name(query(url)[key])
        for url, key in [(back, FLOW_ID[protocol]), ("?x=" + other, "x")]
    )
    for cookie in list(browser.session.cookies):
        if cookie.name.startswith(name):
            browser.session.cookies.set(
                cookie.name.replace(name, renamed), cookie.value, domain="localhost.local"
            )
    with nobody_asked(provider):
        answer = arrive(browser, instead(back, FLOW_ID[protocol], other))
    assert landed(answer)["error"] == "flow_expired"
    assert site.store.tokens == []


@pytest.mark.threat(9)
@pytest.mark.parametrize("verifier", [None, ""], ids=["missing", "empty"])
def test_threat_09_without_verifier_or_code_nobody_is_asked(
    site, protocol, browser, provider, verifier
):
    back = browser.decide(browser.click(site))
    spoilt = (
        without(back, PROOF[protocol])
        if verifier is None
        else instead(back, PROOF[protocol], verifier)
    )
    with nobody_asked(provider):
        assert landed(arrive(browser, spoilt))["error"] == "provider_error"
    assert site.store.tokens == []


@pytest.mark.threat(9)
def test_threat_09_a_token_secret_in_the_callback_url_is_ignored(browser, provider):
    with running_site(flow_for("oauth1", provider.url)) as site:
        back = browser.decide(browser.click(site))
        assert landed(arrive(browser, back + "&oauth_token_secret=evil")) == JOE


@pytest.mark.threat(10)
def test_threat_10_state_has_128_bits_or_more_and_is_never_the_same(browser, provider):
    with running_site(flow_for("oauth2", provider.url)) as site:
        states = {query(browser.click(site))["state"] for _ in range(20)}
    assert len(states) == 20
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22,}", state) for state in states)  # 6 bits each
    for position in range(22):
        assert len({state[position] for state in states}) > 1


@pytest.mark.threat(10)
@pytest.mark.parametrize(
    "also", ["", "&error=access_denied", "&denied=1", "&oauth_problem=user_refused"]
)
@pytest.mark.parametrize(
    "wrong", [None, "", "x", "longer"], ids=["missing", "empty", "different", "longer"]
)
def test_threat_10_a_wrong_flow_id_is_an_error_whatever_else_it_says(
    site, protocol, browser, provider, wrong, also
):
    name = FLOW_ID[protocol]
    back = browser.decide(browser.click(site))
    forged = {
        None: without(back, name),
        "longer": f"{without(back, name)}&{name}={query(back)[name]}x",
    }
    with nobody_asked(provider):
        answer = arrive(browser, forged.get(wrong, instead(back, name, wrong)) + also)
        assert landed(answer)["error"] == "flow_mismatch"
    assert site.store.tokens == []
    assert landed(arrive(browser, back)) == JOE, "the flow that is really under way goes on"


@pytest.mark.threat(10)
@pytest.mark.parametrize("habit", ["no-state", "wrong-state"])
def test_threat_10_a_provider_that_loses_the_state_is_not_asked(browser, habit):
    sandbox = Sandbox(misbehave=[habit])
    with serve(sandbox) as server, running_site(flow_for("oauth2", server.url)) as site:
        assert landed(browser.connect(site))["error"] == "flow_mismatch"
        assert landed(browser.connect(site, "deny"))["error"] == "flow_mismatch"
    assert sandbox.counts["token"] == 0


@pytest.mark.threat(12)
@pytest.mark.parametrize("choice", ["allow", "deny"])
@pytest.mark.parametrize(
    "iss",
    [
        None,
        "",
        "https://evil.example/a",
        ISSUER + "/",
        ISSUER[:-1] + "A",
        ISSUER[:-1] + "%61",
        " " + ISSUER,
    ],
)
def test_threat_12_an_issuer_that_is_not_exactly_the_expected_one_is_refused(
    browser, provider, choice, iss
):
    flow = OAuth2(
        *CLIENT, provider=replace(provider.sandbox.oauth2_provider(provider.url), issuer=ISSUER)
    )
    with running_site(flow) as site:
        back = browser.decide(browser.click(site), choice)
        with nobody_asked(provider):
            answer = arrive(browser, back if iss is None else f"{back}&iss={quote(iss, safe='')}")
    assert landed(answer)["error"] == "flow_mismatch"
    assert site.store.tokens == []


@pytest.mark.threat(12)
def test_threat_12_the_expected_issuer_passes_and_an_unexpected_one_is_ignored(browser, provider):
    expecting = OAuth2(
        *CLIENT, provider=replace(provider.sandbox.oauth2_provider(provider.url), issuer=ISSUER)
    )
    for flow in (expecting, flow_for("oauth2", provider.url)):
        with running_site(flow) as site:
            back = browser.decide(browser.click(site))
            assert landed(arrive(browser, f"{back}&iss={quote(ISSUER, safe='')}")) == JOE


def strangers(protocol, provider):
    """Yield flows whose cookies ``flow_for(protocol, provider.url)`` must refuse."""
    kind = OAuth1 if protocol == "oauth1" else OAuth2
    where = getattr(provider.sandbox, protocol + "_provider")
    yield "another client", kind("another-client", CLIENT[1], provider=where(provider.url))
    yield "another provider", kind(*CLIENT, provider=where(provider.url + "/misbehave/Confirmed"))
    yield "another protocol", flow_for("oauth2" if protocol == "oauth1" else "oauth1", provider.url)


@pytest.mark.threat(13)
@pytest.mark.parametrize("stranger", ["another client", "another provider", "another protocol"])
def test_threat_13_a_cookie_made_for_another_is_refused(protocol, browser, provider, stranger):
    flow = flow_for(protocol, provider.url)
    pending = {"token": "an id", "secret": "s", "state": "an id", "verifier": "v" * 43}
    made = cookies_of(dict(strangers(protocol, provider))[stranger]).issue(
        "", "an id", "http://localhost", "", pending
    )
    good = cookies_of(flow).issue("", "an id", "http://localhost", "", pending)
    with running_site(flow, base_url="http://localhost") as site:
        back = f"{site.callback}?{FLOW_ID[protocol]}=an%20id&error=access_denied&denied=an%20id"
        answers = [
            landed(browser.get(back, **{**ARRIVAL, "Cookie": kept(values)}))
            for values in (made, good)
        ]
    assert [answer["error"] for answer in answers] == ["flow_expired", "access_denied"]


def cookies_of(flow):
    return FlowCookies(KEY, flow.audience, 600)


@pytest.mark.threat(14)
@pytest.mark.parametrize("users", [("joe", "ann"), ("ann", "joe"), ("joe", "Joe")])
def test_threat_14_a_flow_of_one_user_does_not_end_in_the_session_of_another(
    protocol, browser, provider, users
):
    def identify(request):
        return request.headers.get("X-User") or None

    with running_site(flow_for(protocol, provider.url), identify=identify) as site:
        first, second = ({**ARRIVAL, "Sec-Fetch-Site": "none", "X-User": user} for user in users)
        back = browser.decide(browser.get(site.start, **first).headers["Location"])
        with nobody_asked(provider):
            assert landed(browser.get(back, **second))["error"] == "wrong_user"
        assert site.store.tokens == []
        back = browser.decide(browser.get(site.start, **first).headers["Location"])
        assert landed(browser.get(back, **first)) == JOE


BROKEN = {
    "a doubled state": "&state=a&state=b",
    "a doubled token": "&oauth_token=a&oauth_token=b",
    "a doubled code": "&code=a&code=b",
    "a doubled error": "&error=a&error=a",
    "a doubled name of no meaning": "&x=&x=",
    "a name doubled by way of escapes": "&x=1&%78=2",
    "an over-long query": "&x=" + "a" * 9000,
    "too many parameters": "".join(f"&x{number}=1" for number in range(200)),
    "a byte that is no UTF-8": "&x=%ff",
    "an escaped surrogate": "&x=%ed%a0%80",
    "an over-long NUL": "&x=%c0%80",
    "a name that is no UTF-8": "&%fe=1",
    "a NUL": "&x=a%00b",
    "a NUL in a name": "&a%00b=x",
}


@pytest.mark.threat(15)
@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_threat_15_a_damaged_query_is_400_and_changes_nothing(site, browser, provider, broken):
    back = browser.decide(browser.click(site))
    with nobody_asked(provider):
        for url in (back + broken, f"{site.start}?{broken[1:]}"):
            answer = arrive(browser, url)
            assert answer.status_code == 400
            assert "Set-Cookie" not in answer.headers
            assert "script" not in answer.text
    assert landed(arrive(browser, back)) == JOE


def app_for(protocol, **options):
    """Return a site whose provider cannot be reached."""
    flow = flow_for(protocol, "http://127.0.0.1:9")
    return validator(
        SCConnect(page_of_the_site, flow, **{"secret_key": KEY, "store_token": Store(), **options})
    )


def ask(app, path="/oauth/access_token", **environ):
    setup_testing_defaults(environ)
    environ |= {"PATH_INFO": path, "HTTP_HOST": "localhost:8000"}
    environ.setdefault("QUERY_STRING", "")
    seen = []
    answer = app(
        environ,
        lambda status, headers, exc_info=None: seen.append((status[:3], dict(headers))) or bytes,
    )
    body = b"".join(answer)
    answer.close()
    return *seen[-1], body


@pytest.mark.threat(15)
@pytest.mark.parametrize(
    "raw",
    ["x=\xff", "\x00=1", "x=\xed\xa0\x80", "x=\x00", "\xc0\x80=", "a=1&a=2", "x=" + "\xe4" * 9],
)
def test_threat_15_raw_bytes_in_the_query_are_400(protocol, raw):
    assert ask(app_for(protocol), QUERY_STRING=raw)[0] == "400"
    assert ask(app_for(protocol), "/oauth/request_token", QUERY_STRING=raw)[0] == "400"


@pytest.mark.threat(15)
@pytest.mark.parametrize(
    "path", ["/\xff", "/oauth/access_token\x00", "/oauth/access_token/", "/oauth/\xff", "//oauth/x"]
)
def test_threat_15_paths_that_are_not_quite_ours_reach_the_application(protocol, path):
    status, _, body = ask(app_for(protocol), path)
    assert (status, body[:17]) == ("200", b"the site's own pa")


@pytest.mark.threat(16)
def test_threat_16_the_longest_tokens_of_providers_come_back(protocol, browser, provider):
    with running_site(flow_for(protocol, provider.url + "/misbehave/long-tokens")) as site:
        assert landed(browser.connect(site)) == JOE
        assert len(site.store.tokens[0].token) == 1500


@pytest.mark.threat(20)
def test_threat_20_the_same_callback_again_is_a_friendly_page(site, browser, provider):
    back = browser.decide(browser.click(site))
    assert landed(arrive(browser, back)) == JOE
    with nobody_asked(provider):
        for _ in range(2):
            assert landed(arrive(browser, back))["error"] == "flow_finished"
    assert len(site.store.tokens) == 1


@pytest.mark.threat(20)
def test_threat_20_a_refusal_that_is_reloaded_stays_one(site, browser, provider):
    back = browser.decide(browser.click(site), "deny")
    assert landed(arrive(browser, back))["error"] == "access_denied"
    with nobody_asked(provider):
        assert landed(arrive(browser, back))["error"] == "flow_finished"


@pytest.mark.threat(20)
def test_threat_20_in_a_browser_that_remembers_nothing_it_is_an_expired_flow(
    site, browser, provider
):
    back = browser.decide(browser.click(site))
    assert landed(arrive(browser, back)) == JOE
    with Browser() as other, nobody_asked(provider):
        assert landed(arrive(other, back))["error"] == "flow_expired"
    assert len(site.store.tokens) == 1


def own_page(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["scconnect.close_url"]({"query": environ["QUERY_STRING"]}).encode()]


ROADS = {
    "a mapping": {},
    "nothing": {"store_token": lambda token, request: None},
    "a response": {
        "store_token": lambda token, request: webob.Response(status=303, location="/welcome")
    },
    "a storage that raises": {"store_token": lambda token, request: 1 // 0},
    "the application itself": {"store_token": HAND_OVER, "app": own_page},
    "a failure handed over": {
        "on_failure": HAND_OVER,
        "app": own_page,
        "store_token": lambda token, request: 1 // 0,
    },
}


@pytest.mark.threat(21)
@pytest.mark.parametrize("options", ROADS.values(), ids=ROADS)
def test_threat_21_nothing_of_the_flow_is_in_the_answer_nor_is_it_kept(
    protocol, browser, provider, options
):
    with running_site(flow_for(protocol, provider.url), **options) as site:
        back = browser.decide(browser.click(site))
        answer = arrive(browser, back)
    assert answer.status_code == (200 if "app" in options else 303)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    said = answer.headers.get("Location", "") + answer.text
    secrets = [*query(back).values(), *(token.token for token in getattr(site.store, "tokens", ()))]
    assert len(secrets) > 1
    assert not [secret for secret in secrets if secret in said]


LEADING_AWAY = [
    "//evil.example",
    "/\\evil.example",
    "\t//evil.example",
    "/\n/evil.example",
    "https:evil.example",
    "javascript:alert(1)",
    "https://evil.example",
    "\\\\evil.example",
    "/%2f/evil",
    "http:\r\n//evil",
]


@pytest.mark.threat(26)
@pytest.mark.parametrize("away", LEADING_AWAY)
def test_threat_26_no_value_of_a_parameter_leads_off_the_origin(site, browser, away):
    names = ("next", "redirect_uri", "callback", "oauth_callback", "close_url", "SCRIPT_NAME", away)
    unknown = "&".join(f"{quote(name, safe='')}={quote(away, safe='')}" for name in names)
    extra = f"{unknown}&return_to={quote(away, safe='')}"
    back = browser.decide(browser.click(site))
    for url in (f"{site.callback}?state=x&oauth_token=x&{extra}", f"{back}&{extra}"):
        location = arrive(browser, url).headers["Location"]
        assert SAME_ORIGIN.fullmatch(location)
        assert "evil" not in location
    start = browser.get(f"{site.start}?{unknown}")  # for return_to see test_return_to.py
    assert browser.decide(start.headers["Location"]).startswith(site.callback + "?")


@pytest.mark.threat(26)
@pytest.mark.parametrize("away", LEADING_AWAY)
def test_threat_26_what_the_site_tells_its_page_stays_in_the_query(
    protocol, browser, provider, away
):
    with running_site(flow_for(protocol, provider.url), store_token=Store({away: away})) as site:
        answer = browser.connect(site)
    assert landed(answer) == {away: away}
    assert SAME_ORIGIN.fullmatch(answer.headers["Location"])
    assert (
        urlsplit(urljoin(site.url, answer.headers["Location"])).netloc == urlsplit(site.url).netloc
    )


@pytest.mark.threat(26)
@pytest.mark.parametrize(
    "mount",
    ["//evil.example", "/\\evil.example", "/\\\\evil", "/\t/evil", "/\r\n//evil", "/https:evil"],
)
def test_threat_26_no_mount_leads_off_the_origin(protocol, mount):
    for path in ("/oauth/access_token", "/oauth/request_token"):
        status, headers, body = ask(
            app_for(protocol), path, SCRIPT_NAME=mount, QUERY_STRING="state=x", HTTP_COOKIE=""
        )
        assert status == ("303" if "access" in path else "200")
        assert SAME_ORIGIN.fullmatch(headers.get("Location", "/"))
        assert not re.search(rb'(href|src|action)="(?!/[^/\\\\])', body)


@pytest.mark.threat(26)
@pytest.mark.parametrize(
    "root",
    ["https://app.example//evil", "https://app.example/\\evil", "https:app", "//app.example"],
)
def test_threat_26_a_base_url_that_could_lead_off_the_origin_is_refused(protocol, root):
    with pytest.raises(ConfigurationError) as caught:
        app_for(protocol, base_url=root)
    assert caught.value.option == "base_url"


NAMES = [
    "state",
    "code",
    "error",
    "iss",
    "denied",
    "oauth_token",
    "oauth_verifier",
    "oauth_problem",
    "oauth_token_secret",
]
PIECES = st.one_of(
    st.sampled_from(["an id", "", "access_denied", "%ff", "%00", "\xff"]), st.text(max_size=8)
)
NOISE = st.text(st.characters(max_codepoint=255), max_size=40)
QUERIES = st.one_of(
    NOISE,
    st.lists(st.tuples(st.sampled_from(NAMES), PIECES), max_size=6).map(
        lambda pairs: "&".join(
            f"{name}={quote(value, safe='%', errors='replace')}" for name, value in pairs
        )
    ),
)


@pytest.mark.threat(15)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    query_string=QUERIES,
    values=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    cookie_name("an id"),
                    f"{cookie_name('an id')}-signature",
                    cookie_name(""),
                    "scconnect-finished",
                    "scconnect-",
                    "x",
                ]
            ),
            NOISE,
        ),
        max_size=4,
    ),
    signed=st.booleans(),
    prefix=st.sampled_from(["", "__Host-", "__Host-Http-"]),
)
def test_threat_15_fuzz_the_callback_answers_303_or_400(
    protocol, query_string, values, signed, prefix
):
    flow = flow_for(protocol, "http://127.0.0.1:9")
    base = "https://app.example" if prefix else "http://localhost:8000"
    pending = {"token": "an id", "secret": "s", "state": "an id", "verifier": "v" * 43}
    header = "; ".join(f"{prefix}{name}={value}" for name, value in values)
    if signed:
        header += "; " + kept(cookies_of(flow).issue("", "an id", base, "", pending))
    status, headers, _ = ask(
        app_for(protocol, base_url=base), QUERY_STRING=query_string, HTTP_COOKIE=header
    )
    assert status in ("303", "400")
    assert status == "400" or SAME_ORIGIN.fullmatch(headers["Location"])
