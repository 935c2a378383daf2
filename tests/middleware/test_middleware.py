"""The contract of SCConnect, over real sockets and in both protocols.

What a site may give it, and what happens then.
"""

import dataclasses
import hashlib
import http.client
import re
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
import webob
import webob.exc
from support.browser import ARRIVAL, CLICK, Browser, hidden_fields
from support.canary import secrets_met
from support.flows import CODES, flow_for, quick_transport
from support.responses import landed, query
from support.site import KEY, Mounted, Site, Store, page_of_the_site, running_site
from support.wire import answer, saying, wire

from scconnect_wsgi import HAND_OVER, AccessToken, OAuth1, OAuth1Provider, OAuth2, SCConnect
from scconnect_wsgi.errors import ConfigurationError, ConnectError
from scconnect_wsgi.sandbox import Sandbox, serve

# The sandbox's name for the last request of a flow
EXCHANGE = {"oauth1": "access_token", "oauth2": "token"}
PREFIXES = pytest.mark.parametrize("prefix", ["", "/shop"], ids=["root", "prefix"])
EVERYTHING = {
    "nothing": None,
    "number": 43,
    "letters": "Zoë Ω 日本 🎧",
    "markup": "<img src=x onerror=alert(1)>&\"'",
    "lines": "a\r\nSet-Cookie: evil=1\r\n\r\n<html>",
    "a key & a half=": "#?/../",
    7: True,
}


@pytest.fixture(scope="module")
def sandbox():
    return Sandbox()


@pytest.fixture(scope="module")
def provider(sandbox):
    with serve(sandbox) as server:
        yield server.url


@pytest.fixture(params=["oauth1", "oauth2"])
def protocol(request):
    return request.param


@pytest.fixture
def flow(protocol, provider):
    return flow_for(protocol, provider)


@pytest.fixture
def exchanges(sandbox, protocol):
    """Return a callable: how often the provider was asked for an access token in this test."""
    before = sandbox.counts[EXCHANGE[protocol]]
    return lambda: sandbox.counts[EXCHANGE[protocol]] - before


def flow_cookies(browser):
    return [
        cookie.name
        for cookie in browser.session.cookies
        if cookie.name.startswith("scconnect-") and cookie.value
    ]


def assert_over(browser, answer):
    """Check that the flow has ended, and that nobody keeps the answer.

    Its cookie has gone from the browser. The one that lists finished flows stays.
    """
    assert flow_cookies(browser) == ["scconnect-finished"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


# What store_token returns


@PREFIXES
def test_a_mapping_becomes_the_query_of_close_html(flow, browser, prefix):
    with running_site(flow, prefix=prefix, store_token=Store(EVERYTHING)) as site:
        assert len(flow_cookies(browser)) == 0
        address = browser.decide(browser.click(site))
        assert len(flow_cookies(browser)) == 2
        answer = browser.get(address, **ARRIVAL)
        assert landed(answer) == {
            **{str(key): value for key, value in EVERYTHING.items()},
            "nothing": "",
            "number": "43",
            "7": "true",
        }
        assert answer.headers["Location"].startswith(f"{prefix}/sc-connect/close.html?")
        assert "evil" not in answer.cookies
        assert_over(browser, answer)
        assert (
            browser.get(urljoin(site.callback, answer.headers["Location"]), **ARRIVAL).status_code
            == 200
        )


@PREFIXES
def test_none_becomes_an_empty_query(flow, browser, prefix):
    with running_site(flow, prefix=prefix, store_token=lambda token, request: None) as site:
        answer = browser.connect(site)
    assert answer.headers["Location"] == f"{prefix}/sc-connect/close.html"
    assert_over(browser, answer)


def test_a_response_is_sent_as_it_is(flow, browser):
    def store_token(token, request):
        response = webob.Response(
            "töken kept", status=201, content_type="text/plain", charset="utf-8"
        )
        response.set_cookie("session", "mine")
        response.headers["X-Own"] = "1"
        response.cache_control = "max-age=5"
        return response

    with running_site(flow, store_token=store_token) as site:
        answer = browser.connect(site)
    assert (answer.status_code, answer.text, answer.headers["X-Own"]) == (201, "töken kept", "1")
    assert answer.headers["Cache-Control"] == "max-age=5"  # the site's own header
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.cookies["session"] == "mine"
    assert flow_cookies(browser) == ["scconnect-finished"]


def test_an_http_exception_of_webob_is_a_response_too(flow, browser):
    with running_site(
        flow, store_token=lambda token, request: webob.exc.HTTPFound(location="/welcome")
    ) as site:
        answer = browser.connect(site)
    assert (answer.status_code, answer.headers["Location"]) == (302, f"{site.url}/welcome")
    assert_over(browser, answer)


@pytest.mark.parametrize("result", ["text", 43, ["a", "b"], b"bytes", True], ids=repr)
def test_anything_else_is_a_failed_storage(flow, browser, result):
    store = Store(result)
    with running_site(flow, store_token=store) as site:
        answer = browser.connect(site)
    assert landed(answer)["error"] == "storage_failed"
    assert "store_token" in landed(answer)["error_description"]
    assert len(store.tokens) == 1
    assert_over(browser, answer)


def test_the_storage_is_given_the_token_and_the_request(protocol, flow, browser):
    seen = []
    with running_site(
        flow, store_token=lambda token, request: seen.append((token, request))
    ) as site:
        browser.connect(site)
    [(token, request)] = seen
    assert isinstance(token, AccessToken)
    assert isinstance(request, webob.Request)
    assert bool(token.token_secret) == (protocol == "oauth1")
    assert bool(token.refresh_token) == bool(token.expires_at) == (protocol == "oauth2")
    assert request.path == "/oauth/access_token"


# Threat 37: the storage fails


class Unreliable(Store):
    """Raises the first ``times`` times, with the token in its message."""

    def __init__(self, times):
        super().__init__()
        self.times = times
        self.calls = 0

    def __call__(self, token, request):
        self.calls += 1
        if self.calls <= self.times:
            raise RuntimeError(
                f"cannot insert {token.token} {token.token_secret} {token.refresh_token}"
            )
        return super().__call__(token, request)


@pytest.mark.threat(37)
def test_37_a_storage_that_fails_once_is_tried_again_and_the_provider_is_not(
    flow, browser, exchanges
):
    with running_site(flow, store_token=Unreliable(1)) as site:
        answer = browser.connect(site)
    assert landed(answer) == {"username": "joe", "oauth_token_id": "43"}
    assert (site.store.calls, len(site.store.tokens), exchanges()) == (2, 1, 1)


@pytest.mark.threat(37)
def test_37_a_storage_that_fails_always_is_told_once_to_everybody(flow, browser, exchanges, caplog):
    heard = []
    with running_site(
        flow, store_token=Unreliable(9), on_failure=lambda *given: heard.append(given)
    ) as site:
        answer = browser.connect(site)
    assert landed(answer)["error"] == "storage_failed"
    assert_over(browser, answer)
    assert (site.store.calls, exchanges()) == (2, 1)
    [(error, request)] = heard
    assert (error.code, request.path) == ("storage_failed", "/oauth/access_token")
    ours = [record for record in caplog.records if record.name == "scconnect_wsgi"]
    # The first is the callback URL
    assert [record.levelname for record in ours] == ["INFO", "ERROR", "ERROR", "WARNING"]
    assert "  |     raise RuntimeError" in ours[2].getMessage()
    assert "RuntimeError: cannot insert *** " in ours[2].getMessage()
    everything = (
        "".join(traceback.format_exception(error))
        + repr(error)
        + caplog.text
        + answer.headers["Location"]
    )
    assert [
        secret
        for secret in secrets_met()
        if secret in everything and secret not in query_values(answer)
    ] == []
    assert error.__cause__ is None
    assert error.__context__ is None


def query_values(answer):
    """Return what the test's own browser sent: urllib3 logs its address."""
    return set(query(answer.request.url).values())


@pytest.mark.threat(37)
def test_37_a_debugging_server_gets_the_exception_itself(flow, browser):
    raised = []

    def debugging(environ, start_response):
        environ["x-wsgiorg.throw_errors"] = True
        try:
            return application(environ, start_response)
        except RuntimeError as error:
            raised.append(error)
            start_response("500 Oops", [("Content-Type", "text/plain"), ("Content-Length", "0")])
            return []

    application = SCConnect(page_of_the_site, flow, secret_key=KEY, store_token=Unreliable(9))
    with serve(debugging) as server:
        answer = browser.connect(Site(server.url, None))
    assert answer.status_code == 500
    assert [type(error) for error in raised] == [RuntimeError]


# HAND_OVER


class Framework:
    """The wrapped application, which answers a hand-over inside its own framework."""

    def __init__(self, raising=None):
        self.environ = None
        self.raising = raising

    def __call__(self, environ, start_response):
        self.environ = dict(environ)
        if self.raising:
            raise self.raising
        close_url = environ["scconnect.close_url"]({"user": "jöe", "n": 1, "none": None})
        start_response(
            "302 Found", [("Location", close_url), ("Set-Cookie", "session=mine"), ("X-Own", "1")]
        )
        return [b""]


@contextmanager
def plain_site(flow, app, prefix="", **options):
    """Like running_site, but without the validator, which calls applications in its own way."""
    application = SCConnect(app, flow, secret_key=KEY, **options)
    with serve(Mounted(application, prefix) if prefix else application) as server:
        yield Site(server.url.replace("127.0.0.1", "localhost") + prefix, None)


@PREFIXES
def test_hand_over_calls_the_application_with_the_token(flow, browser, prefix):
    app = Framework()
    with plain_site(flow, app, prefix, store_token=HAND_OVER) as site:
        address = browser.decide(browser.click(site))
        answer = browser.get(address, **ARRIVAL)
        again = browser.get(address, **ARRIVAL)
    assert isinstance(app.environ["scconnect.token"], AccessToken)
    assert "scconnect.error" not in app.environ
    assert (app.environ["SCRIPT_NAME"], app.environ["PATH_INFO"]) == (prefix, "/oauth/access_token")
    assert app.environ["QUERY_STRING"] == ""
    assert not [
        value for value in query(address).values() if value in repr(sorted(app.environ.items()))
    ]
    assert answer.headers["Location"] == f"{prefix}/sc-connect/close.html?user=j%C3%B6e&n=1&none="
    assert (answer.status_code, answer.headers["X-Own"], answer.cookies["session"]) == (
        302,
        "1",
        "mine",
    )
    assert_over(browser, answer)
    assert landed(again)["error"] == "flow_finished"


def test_an_application_may_name_exc_info_in_a_hand_over(flow, browser):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            raise ValueError("half way")
        except ValueError:
            start_response("500 Own", [("Content-Type", "text/plain")], exc_info=sys.exc_info())
        return [b"my own words"]

    with plain_site(flow, app, store_token=HAND_OVER) as site:
        answer = browser.connect(site)
    assert (answer.status_code, answer.text) == (500, "my own words")
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("on_failure", [None, HAND_OVER], ids=["success", "failure"])
def test_an_exception_of_the_application_passes_through_a_hand_over(flow, browser, on_failure):
    boom = ValueError("the application's own")
    passed = []

    def outside(environ, start_response):
        try:
            return application(environ, start_response)
        except ValueError as error:
            passed.append(error)
            start_response("500 Oops", [("Content-Type", "text/plain"), ("Content-Length", "0")])
            return []

    store_token = HAND_OVER if on_failure is None else Store()
    options = {"secret_key": KEY, "store_token": store_token, "on_failure": on_failure}
    application = SCConnect(Framework(boom), flow, **options)
    with serve(outside) as server:
        answer = browser.connect(Site(server.url, None), choice="deny" if on_failure else "allow")
    assert answer.status_code == 500
    assert passed == [boom]
    assert passed[0].__context__ is None


def test_a_failure_handed_over(flow, browser):
    app = Framework()
    with plain_site(flow, app, store_token=Store(), on_failure=HAND_OVER) as site:
        answer = browser.connect(site, choice="deny")
        error = app.environ["scconnect.error"]
        assert isinstance(error, ConnectError)
        assert (error.code, app.environ["QUERY_STRING"]) == ("access_denied", "")
        assert "scconnect.token" not in app.environ
        assert answer.headers["Location"].startswith("/sc-connect/close.html?user=")
        assert_over(browser, answer)
        browser.get(site.start, **{**CLICK, "Host": "shop.example"})
        assert app.environ["scconnect.error"].code == "start_refused"
        assert app.environ["PATH_INFO"] == "/oauth/request_token"


# on_failure


def deny(flow, browser, on_failure):
    with running_site(flow, on_failure=on_failure) as site:
        answer = browser.connect(site, choice="deny")
    assert site.store.tokens == []
    assert flow_cookies(browser) == ["scconnect-finished"]
    return answer


def test_on_failure_may_answer_with_a_mapping(flow, browser):
    answer = deny(flow, browser, lambda error, request: {"sorry": error.code, "error": "mine"})
    fields = landed(answer)
    assert re.fullmatch("[0-9a-f]{8}", fields.pop("error_id"))
    assert fields == {"sorry": "access_denied", "error": "mine"}


def test_on_failure_may_answer_with_a_response(flow, browser):
    answer = deny(flow, browser, lambda error, request: webob.Response(error.message, status=418))
    assert (answer.status_code, answer.text) == (418, "The user did not allow the connection.")
    assert_over(browser, answer)


@pytest.mark.parametrize("result", [None, "text", 5], ids=repr)
def test_on_failure_may_say_nothing(flow, browser, result):
    answer = deny(flow, browser, lambda error, request: result)
    assert landed(answer)["error"] == "access_denied"


def test_on_failure_that_raises_changes_nothing_and_is_logged(flow, browser, caplog):
    def on_failure(error, request):
        raise LookupError("no such template")

    assert landed(deny(flow, browser, on_failure))["error"] == "access_denied"
    assert "LookupError: no such template" in caplog.text


# identify, and threat 14


@pytest.mark.threat(14)
def test_14_only_the_user_who_began_a_flow_may_finish_it(flow, browser, exchanges):
    users = ["joe"]
    with running_site(flow, identify=lambda request: users[-1]) as site:
        assert landed(browser.connect(site))["username"] == "joe"
        for other in ("ann", None, "", "None"):
            users.append("joe")
            address = browser.decide(browser.click(site))
            users.append(other)
            code = "wrong_user" if other == "ann" else "not_signed_in"
            assert landed(browser.come_back(address))["error"] == code
    assert (len(site.store.tokens), exchanges()) == (1, 1)


@pytest.mark.threat(48)
@pytest.mark.parametrize("before", ["", None, "None", " "], ids=repr)
@pytest.mark.parametrize("after", ["", None, "None", " "], ids=repr)
def test_48_a_user_without_a_name_is_nobody(flow, browser, before, after, exchanges):
    users = [before]
    with running_site(flow, identify=lambda request: users[-1]) as site:
        assert landed(browser.get(site.start))["error"] == "not_signed_in"
        users.append("joe")
        address = browser.decide(browser.click(site))
        users.append(after)
        assert landed(browser.come_back(address))["error"] == "not_signed_in"
    assert (site.store.tokens, exchanges()) == ([], 0)


@pytest.mark.parametrize("answer", [43, 0, b"joe", b"", ValueError("no database")], ids=repr)
def test_identify_that_cannot_answer_stops_the_start_and_the_callback(
    flow, browser, answer, exchanges, caplog
):
    answers = [answer]

    def identify(request):
        if isinstance(answers[-1], Exception):
            raise answers[-1]
        return answers[-1]

    with running_site(flow, identify=identify) as site:
        refused = landed(browser.get(site.start))
        assert (refused["error"], flow_cookies(browser)) == ("start_refused", [])
        assert "identify" in refused["error_description"]
        answers.append("joe")
        address = browser.decide(browser.click(site))
        answers.append(answer)
        assert landed(browser.get(address, **ARRIVAL))["error"] == "start_refused"
    assert (site.store.tokens, exchanges()) == ([], 0)
    assert ("no database" in caplog.text) == isinstance(answer, Exception)


# base_url, and threat 6


@pytest.mark.threat(6)
@pytest.mark.parametrize(
    "base_url", ["http://127.0.0.1:9", "http://127.0.0.1:9/shop", "http://127.0.0.1:9/shop/"]
)
@pytest.mark.parametrize("callable_", [False, True], ids=["a string", "a callable"])
def test_6_base_url_alone_makes_the_callback_url(flow, browser, base_url, callable_):
    root = base_url.rstrip("/")
    spoofed = {"Forwarded": "host=evil.example;proto=https", "X-Forwarded-Prefix": "/evil"}
    spoofed |= {f"X-Forwarded-{name}": "evil.example" for name in ("Host", "Server", "Proto")}
    given = (lambda request: base_url) if callable_ else base_url
    with running_site(flow, base_url=given) as site:
        for headers in ({}, spoofed, {**spoofed, "Host": "evil.example"}):
            answer = browser.get(site.start, **CLICK, **headers)
            assert browser.decide(answer.headers["Location"]).startswith(
                f"{root}/oauth/access_token?"
            )
        failed = browser.get(site.callback, **ARRIVAL)
    assert failed.headers["Location"].startswith(
        f"{urlsplit(root).path}/sc-connect/close.html?error="
    )


def test_a_host_that_is_no_loopback_one_needs_a_base_url(flow, browser):
    with running_site(flow) as site:
        fields = landed(browser.get(site.start, **CLICK, Host="shop.example"))
    assert fields["error"] == "start_refused"
    assert 'base_url="https://app.example"' in fields["error_description"]
    assert flow_cookies(browser) == []


def _raises(request):
    raise KeyError("tenant")


@pytest.mark.parametrize(
    "base_url",
    [
        _raises,
        *(
            lambda request, url=url: url
            for url in ("http://shop.example", "rubbish", "", None, 5, b"https://a")
        ),
    ],
    ids=["raises", "http", "rubbish", "empty", "None", "number", "bytes"],
)
def test_a_base_url_callable_that_gives_no_address_refuses_the_start(flow, browser, base_url):
    with running_site(flow, base_url=base_url, prefix="/shop") as site:
        answer = browser.get(site.start)
    assert landed(answer)["error"] == "start_refused"
    assert "base_url" in landed(answer)["error_description"]
    assert answer.headers["Location"].startswith("/shop/sc-connect/close.html?")


# The constructor

WRONG: dict[str, list[Any]] = {
    "store_token": [None, "save", {"a": 1}],
    "base_url": [
        "http://shop.example",
        "shop.example",
        "",
        "https://",
        "https://u:p@shop.example",
        "https://shop.example?a",
        "https://shop.example#a",
        "https://shop example",
        "https://shop.example//a",
        "ftp://shop.example",
        5,
        b"x",
    ],
    "request_token_path": [
        "oauth",
        "/",
        "",
        "//a",
        "/a b",
        "/a?b",
        "/ä",
        None,
        "/oauth/access_token",
        "/../a",
    ],
    "access_token_path": ["oauth", "/", "/a%20b", "/a#b", 5, "/sc-connect/close.html", "/a/./b"],
    "assets_path": ["", "/", "assets", "/a/", "//evil.example", None],
    "cookie_max_age": [0, -1, 901, float("nan"), "600", None],
    "secret_key": [
        "",
        b"",
        [],
        [""],
        [KEY, ""],
        None,
        5,
        "x",
        b"x",
        "ab" * 20,
        [KEY, "x"],
        ("x", KEY),
    ],
    "identify": ["joe", 5],
    "on_failure": ["text", {"error": "mine"}, 5],
    "app": [None, "app"],
    "flow": [None, "oauth2", OAuth2],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_value_that_cannot_work_is_refused_when_the_site_starts(name, value):
    options: dict[str, Any] = {
        "app": page_of_the_site,
        "flow": OAuth2("id", "secret of the client"),
        "secret_key": KEY,
        "store_token": Store(),
    }
    SCConnect(**options)
    with pytest.raises(ConfigurationError) as refused:
        SCConnect(**{**options, name: value})
    assert refused.value.option == name
    assert KEY not in refused.value.message


# Every code arrives

DEADLINE = 3.0  # seconds for one call to the provider
SLACK = 10.0  # more that it may take on a busy machine; without a deadline it would take 20


class Scenario:
    """A site, a browser, and a provider that is told to misbehave at the token endpoint."""

    def __init__(self, protocol, provider, browser):
        self.protocol = protocol
        self.provider = provider
        self.browser = browser
        self.users = ["joe"]
        self.store = Store()

    def flow(self, misbehave=None):
        flow = flow_for(self.protocol, self.provider, transport=quick_transport(timeout=DEADLINE))
        name = "access_token_url" if self.protocol == "oauth1" else "token_url"
        if misbehave:
            url = getattr(flow.provider, name).replace(
                self.provider, f"{self.provider}/misbehave/{misbehave}"
            )
            flow.provider = dataclasses.replace(flow.provider, **{name: url})
        return flow

    def identify(self, request):
        if self.users[-1] is None:
            raise LookupError("no user")
        return self.users[-1]

    @contextmanager
    def site(self, misbehave=None, **options):
        with running_site(
            self.flow(misbehave), identify=self.identify, store_token=self.store, **options
        ) as site:
            yield site

    def came_back(self, site):
        return self.browser.decide(self.browser.click(site))

    def access_denied(self):
        with self.site() as site:
            return self.browser.connect(site, choice="deny")

    def flow_expired(self):
        with self.site() as site, Browser() as other:
            return other.get(self.came_back(site), **ARRIVAL)

    def flow_mismatch(self):
        with self.site() as site:
            self.came_back(site)
            return self.browser.get(
                f"{site.callback}?state=a&code=b&oauth_token=c&oauth_verifier=d", **ARRIVAL
            )

    def flow_finished(self):
        with self.site() as site:
            address = self.came_back(site)
            assert landed(self.browser.get(address, **ARRIVAL))["username"] == "joe"
            self.store.tokens.clear()
            return self.browser.get(address, **ARRIVAL)

    def wrong_user(self):
        with self.site() as site:
            address = self.came_back(site)
            self.users.append("ann")
            return self.browser.get(address, **ARRIVAL)

    def not_signed_in(self):
        self.users.append("")
        with self.site() as site:
            return self.browser.get(site.start)

    def provider_unavailable(self):
        with self.site("429=12") as site:
            return self.browser.connect(site)

    def provider_error(self):
        with self.site("garbage") as site:
            return self.browser.connect(site)

    def storage_failed(self):
        self.store = Unreliable(2)
        with self.site() as site:
            return self.browser.connect(site)

    def start_refused(self):
        self.users.append(None)
        with self.site() as site:
            return self.browser.get(site.start)


@pytest.mark.parametrize("code", CODES)
def test_every_failure_takes_the_road_home(protocol, provider, browser, code):
    scenario = Scenario(protocol, provider, browser)
    answer = getattr(scenario, code)()
    fields = landed(answer)
    assert fields["error"] == code
    assert fields["error_description"]
    assert set(fields) - {"retry_after"} == {"error", "error_description", "error_id"}
    assert scenario.store.tokens == []


# Threat 36: the provider has a bad day


BAD_DAYS = pytest.mark.parametrize("habit", ["down", "slow=20", "drip=0.3", "429=12", "status=503"])


@pytest.mark.slow
@pytest.mark.threat(36)
@BAD_DAYS
def test_36_a_bad_day_of_the_provider_at_the_start(provider, browser, habit):
    """OAuth 1.0a only: the start of an OAuth 2.1 flow does not ask the provider."""
    with running_site(
        flow_for(
            "oauth1",
            f"{provider}/misbehave/{habit}",
            transport=quick_transport(timeout=DEADLINE),
        )
    ) as site:
        assert_one_error_in_time(browser, site, site.start, habit)


@pytest.mark.slow
@pytest.mark.threat(36)
@BAD_DAYS
def test_36_a_bad_day_of_the_provider_at_the_callback(protocol, provider, browser, habit):
    scenario = Scenario(protocol, provider, browser)
    with scenario.site(habit) as site:
        assert_one_error_in_time(browser, site, scenario.came_back(site), habit)


def assert_one_error_in_time(browser, site, address, habit):
    """Check that the site's own pages answer meanwhile, and that the deadline ends the call."""
    with Browser() as visitor, ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        waiting = pool.submit(browser.get, address, **CLICK)
        assert visitor.get(f"{site.url}/page").status_code == 200
        assert time.monotonic() - began < DEADLINE
        fields = landed(waiting.result())
        assert time.monotonic() - began < DEADLINE + SLACK
    assert fields["error"] == "provider_unavailable"
    assert fields.get("retry_after") == ("12" if habit == "429=12" else None)
    assert site.store.tokens == []


# Several at once


def test_several_instances_in_one_process(provider, browser):
    first = Store({"who": "first"})
    second = Store({"who": "second"})
    inner = SCConnect(
        page_of_the_site, flow_for("oauth1", provider), secret_key=KEY, store_token=first
    )
    outer = SCConnect(
        inner,
        flow_for("oauth2", provider),
        secret_key=KEY,
        store_token=second,
        request_token_path="/two/begin",
        access_token_path="/two/back/callback",
        assets_path="/two/files",
    )
    with serve(outer) as server:
        one = Site(server.url, first)
        two = Site(server.url, second)
        two.start = f"{server.url}/two/begin"
        two.callback = f"{server.url}/two/back/callback"
        addresses = {site: browser.decide(browser.click(site)) for site in (one, two)}
        crossed = browser.get(
            addresses[two].replace("/two/back/callback", "/oauth/access_token"), **ARRIVAL
        )
        assert landed(crossed)["error"] in ("flow_mismatch", "flow_expired")
        assert (first.tokens, second.tokens) == ([], [])
        home = browser.get(addresses[two], **ARRIVAL).headers["Location"]
        assert home == "/two/files/close.html?who=second"
        assert browser.get(server.url + home, **ARRIVAL).status_code == 200
        assert landed(browser.get(addresses[one], **ARRIVAL)) == {"who": "first"}
        assert browser.get(f"{server.url}/two/files/sc-connect.js").status_code == 200
        assert browser.get(f"{server.url}/two").text == "the site's own page at '/two'"
    assert (len(first.tokens), len(second.tokens)) == (1, 1)


@PREFIXES
def test_custom_paths(flow, browser, prefix):
    paths = {
        "request_token_path": "/go",
        "access_token_path": "/a.b/c_d~e/callback",
        "assets_path": "/static/sc",
    }
    with running_site(flow, prefix=prefix, **paths) as site:
        site.start = f"{site.url}/go"
        site.callback = f"{site.url}/a.b/c_d~e/callback"
        answer = browser.connect(site)
        assert answer.headers["Location"].startswith(f"{prefix}/static/sc/close.html?username=joe")
        for path in ("/oauth/request_token", "/oauth/access_token", "/sc-connect/sc-connect.js"):
            assert browser.get(site.url + path).text == f"the site's own page at {path!r}"


def sign_up(browser, provider, name):
    page = browser.get(f"{provider}/signup").text
    answer = browser.post(
        f"{provider}/signup", {**dict(hidden_fields(page)), "username": name, "password": name}
    )
    assert answer.status_code == 303, answer.text


@pytest.mark.slow
@pytest.mark.threat(39)
def test_39_threads_never_mix_up_users(sandbox, provider, protocol):
    """Eight users connect at once, four times each, with two flows in progress at a time."""

    def store_token(token, request):
        return {
            "owner": sandbox._state.access[token.token].grant.username,
            "token": hashlib.sha256(token.token.encode()).hexdigest(),
        }

    def user(number):
        name = f"{protocol}-user-{number}"
        owners = []
        tokens = []
        with Browser() as browser:
            sign_up(browser, provider, name)
            for _ in range(2):
                addresses = [browser.decide(browser.click(site)) for _ in range(2)]
                for address in reversed(addresses):
                    fields = landed(browser.get(address, **ARRIVAL))
                    owners.append(fields["owner"] == name)
                    tokens.append(fields["token"])
        return owners, tokens

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with (
            running_site(flow_for(protocol, provider), store_token=store_token) as site,
            ThreadPoolExecutor(8) as pool,
        ):
            results = list(pool.map(user, range(8)))
    finally:
        sys.setswitchinterval(interval)
    assert [owners for owners, _ in results] == [[True] * 4] * 8
    assert len({token for _, tokens in results for token in tokens}) == 32


# Everything else is the application's


def streaming(environ, start_response):
    write = start_response(
        "203 Not Mine",
        [("Content-Type", "text/x-own"), ("X-A", "1"), ("X-A", "2"), ("set-cookie", "a")],
    )
    write(b"written, ")

    class Body:
        def __iter__(self):
            return iter([b"then ", b"", b"\xff\x00 streamed"])

        def close(self):
            environ["closed"].append(True)

    return Body()


def correcting(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    try:
        raise ValueError("half way")
    except ValueError:
        start_response(
            "500 My Own Error",
            [("Content-Type", "text/plain"), ("X-B", "é".encode().decode("latin-1"))],
            sys.exc_info(),
        )
    return [b"my own words"]


def missing(environ, start_response):
    start_response("404 Nichts da", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"none"]


def echoing(environ, start_response):
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"] or 0))
    parts = [
        environ[name].encode("latin-1")
        for name in ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "HTTP_COOKIE")
    ]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"|".join([*parts, body])]


@pytest.mark.parametrize("app", [streaming, correcting, missing, echoing])
def test_the_application_is_passed_through_byte_for_byte(flow, app):
    """Send the same request to the application by itself and to the wrapped one."""
    closed = []
    wrapped = SCConnect(app, flow, secret_key=KEY, store_token=Store())

    def answer(application):
        def tracked(environ, start_response):
            environ["closed"] = closed
            return application(environ, start_response)

        with serve(tracked) as server:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            connection.request(
                "POST", "/%ff/a%2f..//b?x=%00&x=;", b"\x00body", {"Cookie": "scconnect-x=1; \xff"}
            )
            response = connection.getresponse()
            headers = [pair for pair in response.getheaders() if pair[0] != "Date"]
            result = response.status, response.reason, headers, response.read()
            connection.close()
        return result

    assert answer(wrapped) == answer(app)
    assert closed == ([True, True] if app is streaming else [])


FOREIGN = [
    "/",
    "",
    "/anything",
    "/sc-connect",
    "/oauth",
    "/oauth/",
    "/oauth/request_token/",
    "/oauth/request_token/x",
    "/oauth/access_token/x",
    "/OAUTH/request_token",
    "//oauth/request_token",
    "/x/oauth/request_token",
    "/sc-connect.js",
    "/sc-connectx/close.html",
    "/\xff\xfe",
    "/oauth/request_token\x00",
]


@pytest.mark.parametrize("path", FOREIGN)
def test_a_foreign_path_reaches_the_application_untouched(flow, path):
    boom = OSError("the application's own")

    def app(given_environ, given_start_response):
        assert given_environ is environ
        assert given_start_response is start_response
        assert given_environ == before
        if path == "/anything":
            raise boom
        return body

    environ = {
        "REQUEST_METHOD": "BREW",
        "PATH_INFO": path,
        "HTTP_COOKIE": "\xff",
        "QUERY_STRING": "\xff&&",
    }
    before = dict(environ)
    body = iter([b""])
    start_response: Any = object()
    wrapped = SCConnect(app, flow, secret_key=KEY, store_token=Store())
    if path == "/anything":
        with pytest.raises(OSError, match="own") as passed:
            wrapped(environ, start_response)
        assert passed.value is boom
    else:
        assert wrapped(environ, start_response) is body


@PREFIXES
def test_what_is_under_the_assets_path_is_ours(flow, browser, prefix):
    with running_site(flow, prefix=prefix) as site:
        answer = browser.get(f"{site.url}/sc-connect/no-such-file")
    assert answer.status_code == 404
    assert f'href="{prefix}/sc-connect/sc-connect.css"' in answer.text


@pytest.mark.threat(32)
def test_threat_32_a_handed_over_request_says_the_code_nowhere():
    seen = {}

    def server(environ, start_response):
        environ["RAW_URI"] = environ["REQUEST_URI"] = (
            f"{environ['PATH_INFO']}?{environ['QUERY_STRING']}"
        )
        return application(environ, start_response)

    def app(environ, start_response):
        seen.update(environ)
        return page_of_the_site(environ, start_response)

    with serve(Sandbox()) as provider, serve(server) as running, Browser() as browser:
        site = Site(running.url.replace("127.0.0.1", "localhost"), None)
        application = SCConnect(
            app,
            flow_for("oauth2", provider.url),
            secret_key=KEY,
            store_token=HAND_OVER,
            identify=lambda request: request.GET.get("nobody", "somebody"),
        )
        callback = browser.decide(browser.click(site))
        assert browser.get(callback, **ARRIVAL).status_code == 200
    assert seen["RAW_URI"] == seen["REQUEST_URI"] == "/oauth/access_token"
    assert query(callback)["code"] not in repr(seen)


@pytest.mark.threat(32)
def test_threat_32_a_callable_that_raises_with_the_address_leaves_no_code_in_the_log(caplog):
    def identify(request):
        if "code" in request.GET:
            raise KeyError(f"no session for {request.url}")
        return "joe"

    with (
        serve(Sandbox()) as provider,
        running_site(flow_for("oauth2", provider.url), identify=identify) as site,
        Browser() as browser,
    ):
        callback = browser.decide(browser.click(site))
        answer = browser.get(callback, **ARRIVAL)
    assert landed(answer)["error"] == "start_refused"
    [traced] = [
        record.getMessage()
        for record in caplog.records
        if "identify callable" in record.getMessage()
    ][:1]
    assert "KeyError" in traced
    assert query(callback)["code"] not in traced
    assert query(callback)["state"] not in traced


def test_a_provider_may_give_the_same_request_token_again():
    given = answer(b"oauth_token=the-same&oauth_token_secret=secret&oauth_callback_confirmed=true")
    with wire(saying(given)) as server, Browser() as browser:
        provider = OAuth1Provider(
            f"{server.url}/request", f"{server.url}/authorize", f"{server.url}/access"
        )
        with running_site(OAuth1("key", "secret", provider=provider)) as site:
            for _ in range(2):
                browser.click(site)
                back = browser.get(
                    f"{site.callback}?oauth_token=the-same&oauth_verifier=v", **ARRIVAL
                )
                assert landed(back) == {"username": "joe", "oauth_token_id": "43"}
    assert len(site.store.tokens) == 2
