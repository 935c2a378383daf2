"""A callback that comes twice: one exchange, one storage, and two answers that say the same.

Lines 20, 42 and 43 of the list of threats. What processes share is tested in
tests/connections/test_one_outcome.py.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import webob
from support.browser import ARRIVAL, CLICK, Browser
from support.flows import flow_for, nobody_asked
from support.responses import landed
from support.site import JOE, KEY, Site, Store, page_of_the_site, running_site

from scconnect_wsgi import HAND_OVER, SCConnect
from scconnect_wsgi.documentation import entry
from scconnect_wsgi.middleware._outcomes import Outcomes
from scconnect_wsgi.middleware._replay import (
    MAX_BYTES,
    MAX_OUTCOMES,
    MEMORY,
    PATIENCE,
    Outcome,
    ReplayGuard,
)
from scconnect_wsgi.middleware._responses import observed
from scconnect_wsgi.sandbox import Sandbox, serve

PROTOCOLS = ("oauth1", "oauth2")
EXCHANGE = {"oauth1": "access_token", "oauth2": "token"}  # the sandbox's names in its counts
PROOF = {"oauth1": "oauth_verifier", "oauth2": "code"}
CLOSE = "/sc-connect/close.html"


@pytest.fixture(params=PROTOCOLS)
def protocol(request):
    return request.param


@contextmanager
def unvalidated_site(flow, app=page_of_the_site, **options):
    """Like running_site, for applications that end in ways which the validator does not know."""
    options = {"secret_key": KEY, "store_token": Store(), **options}
    application = SCConnect(app, flow, **options)

    def server(environ, start_response):
        try:
            return list(application(environ, start_response))
        except Interrupted:
            headers = [("Content-Type", "text/plain"), ("Content-Length", "0")]
            start_response("500 Oops", headers, sys.exc_info())
            return [b""]

    with serve(server) as running:
        yield Site(running.url.replace("127.0.0.1", "localhost"), options["store_token"])


class Interrupted(BaseException):
    """What ends a greenlet or a worker in the middle of a request."""


def clicked(browser, *urls):
    """Send all of these requests at once, with the cookies of now, as double clicks do."""
    headers = {**ARRIVAL, "Cookie": cookie_header(browser)}
    with ThreadPoolExecutor(len(urls)) as threads:
        return list(threads.map(lambda url: fetched(url, headers), urls))


def reloaded(browser, url):
    """Send a request, and again as if the first answer had been lost: with the same cookies."""
    headers = {**ARRIVAL, "Cookie": cookie_header(browser)}
    return fetched(url, headers), fetched(url, headers)


def cookie_header(browser):
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.session.cookies)


def fetched(url, headers):
    with Browser() as plain:
        return plain.get(url, **headers)


def set_cookies(answer):
    """Return the Set-Cookie values of an answer; requests would join them."""
    return answer.raw.headers.getlist("Set-Cookie")


@pytest.mark.slow
@pytest.mark.threat(20, 42)
@pytest.mark.parametrize("clicks", [2, 3, 5])
def test_threat_42_each_of_several_clicks_hears_that_the_account_is_connected(
    protocol, clicks, browser
):
    sandbox = Sandbox(misbehave=("slow=0.4",))
    with serve(sandbox) as provider, running_site(flow_for(protocol, provider.url)) as site:
        back = browser.decide(browser.click(site))
        answers = clicked(browser, *[back] * clicks)
    assert [landed(answer) for answer in answers] == [JOE] * clicks
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert len({tuple(sorted(set_cookies(answer))) for answer in answers}) == 1
    assert len(site.store.tokens) == 1
    assert sandbox.counts[EXCHANGE[protocol]] == 1


@pytest.mark.threat(42)
@pytest.mark.parametrize("choice", ["allow", "deny"])
def test_threat_42_another_code_of_the_same_flow_changes_nothing(protocol, choice, browser):
    sandbox = Sandbox(misbehave=("slow=0.3",))
    with serve(sandbox) as provider, running_site(flow_for(protocol, provider.url)) as site:
        back = browser.decide(browser.click(site), choice)
        headers = {**ARRIVAL, "Cookie": cookie_header(browser)}
        first = fetched(back, headers)
        asked = dict(sandbox.counts)
        name = {"oauth1": "oauth_token", "oauth2": "state"}[protocol]
        flow_id = dict(part.split("=") for part in back.partition("?")[2].split("&"))
        denied = back.partition("?")[2].partition("denied=")[2]
        other = f"{site.callback}?{name}={flow_id.get(name, denied)}&{PROOF[protocol]}=other"
        second = fetched(other, headers)
    assert second.headers["Location"] == first.headers["Location"]
    assert landed(first) == (JOE if choice == "allow" else landed(first))
    assert dict(sandbox.counts) == asked
    assert len(site.store.tokens) == (choice == "allow")


@pytest.mark.threat(42)
@pytest.mark.parametrize("fault", ["429=12", "garbage", "status=503", "slow=0.4"])
def test_threat_42_a_failure_is_heard_twice_and_asked_for_once(protocol, fault, browser):
    sandbox = Sandbox()
    store_token = Store() if fault != "slow=0.4" else lambda token, request: 1 // 0
    with (
        serve(sandbox) as provider,
        running_site(
            flow_for(protocol, provider.url, **faulty(protocol, provider.url, fault)),
            store_token=store_token,
        ) as site,
    ):
        back = browser.decide(browser.click(site))
        first, second = clicked(browser, back, back)
    assert first.headers["Location"] == second.headers["Location"]
    assert landed(first)["error"] != "flow_finished"
    assert sandbox.counts[EXCHANGE[protocol]] == 1


def faulty(protocol, root, fault):
    """Return the address of a token endpoint with a fault, as an option of the provider."""
    if protocol == "oauth1":
        return {"access_token_url": f"{root}/misbehave/{fault}/oauth/access_token"}
    return {"token_url": f"{root}/misbehave/{fault}/oauth/token"}


def framework(status, *headers, body=b"a page"):
    """Return an application that answers a hand-over, and everything else, alike."""

    def app(environ, start_response):
        given = [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), *headers]
        start_response(status, given)
        return [body]

    return app


def welcome(token_or_error, request):
    response = webob.Response(status=303, location="/welcome")
    response.set_cookie("session", "mine")
    response.set_cookie("theme", "dark")
    return response


def page(token_or_error, request):
    response = webob.Response("You are in.")
    response.set_cookie("session", "mine")
    return response


SESSION = ("Set-Cookie", "session=mine")
WELCOME = ("Location", "/welcome?name=joe")
HUGE = ("Location", "/welcome?" + "x" * MAX_BYTES)
FAILED = {"store_token": lambda token, request: 1 // 0}
# What the site does with a token or a failure; where the second answer leads, which is where the
# first one led if that led anywhere; and the site's own cookies in the second answer.
ROADS = {
    "a mapping": ({}, CLOSE + "?username=joe&oauth_token_id=43", []),
    "nothing": ({"store_token": lambda token, request: None}, CLOSE, []),
    "a redirect": (
        {"store_token": welcome},
        "/welcome",
        ["session=mine; Path=/", "theme=dark; Path=/"],
    ),
    "a page": ({"store_token": page}, CLOSE, ["session=mine; Path=/"]),
    "a redirect of the application": (
        {"store_token": HAND_OVER, "app": framework("302 Found", WELCOME, SESSION)},
        "/welcome?name=joe",
        ["session=mine"],
    ),
    "a page of the application": (
        {"store_token": HAND_OVER, "app": framework("200 OK", SESSION)},
        CLOSE,
        ["session=mine"],
    ),
    "an error of the application": (
        {"store_token": HAND_OVER, "app": framework("503 Later")},
        CLOSE + "?error=storage_failed&",
        [],
    ),
    "a very long redirect": (
        {"store_token": HAND_OVER, "app": framework("303 See", HUGE, SESSION)},
        CLOSE,
        [],
    ),
    "a storage that fails": (FAILED, CLOSE + "?error=storage_failed&", []),
    "a failure with a mapping": (
        {**FAILED, "on_failure": lambda error, request: {"why": error.code}},
        CLOSE + "?why=storage_failed",
        [],
    ),
    "a failure with a redirect": (
        {**FAILED, "on_failure": welcome},
        "/welcome",
        ["session=mine; Path=/", "theme=dark; Path=/"],
    ),
    "a failure with a page": (
        {**FAILED, "on_failure": page},
        CLOSE + "?error=storage_failed&",
        ["session=mine; Path=/"],
    ),
    "a failure handed over": (
        {**FAILED, "on_failure": HAND_OVER, "app": framework("200 OK")},
        CLOSE + "?error=storage_failed&",
        [],
    ),
}


@pytest.mark.threat(42)
@pytest.mark.parametrize(("options", "location", "cookies"), ROADS.values(), ids=ROADS)
def test_threat_42_whatever_the_site_answers_the_second_answer_leads_to_the_same_place(
    browser, provider, options, location, cookies
):
    with running_site(flow_for("oauth2", provider.url), **options) as site:
        back = browser.decide(browser.click(site))
        asked = provider.counts["token"]
        first, second = reloaded(browser, back)
    assert provider.counts["token"] == asked + 1
    assert second.status_code == 303
    assert second.headers["Location"].removeprefix(site.url).startswith(location)
    if "Location" in first.headers and len(first.headers["Location"]) < MAX_BYTES:
        assert second.headers["Location"] == first.headers["Location"]
    assert [value for value in set_cookies(second) if "scconnect-" not in value] == cookies
    ours = [value for value in set_cookies(first) if "scconnect-" in value]
    assert [value for value in set_cookies(second) if "scconnect-" in value] == ours
    assert (second.headers["Cache-Control"], second.headers["Referrer-Policy"]) == (
        "no-store",
        "no-referrer",
    )


@pytest.mark.threat(42)
def test_threat_42_the_sites_callables_are_called_for_the_first_callback_only(browser, provider):
    called = Counter()

    def store_token(token, request):
        called["store_token"] += 1
        raise LookupError

    def on_failure(error, request):
        called[error.code] += 1

    with running_site(
        flow_for("oauth2", provider.url), store_token=store_token, on_failure=on_failure
    ) as site:
        back = browser.decide(browser.click(site))
        reloaded(browser, back)
    assert called == {"store_token": 2, "storage_failed": 1}  # it is tried again once


@pytest.mark.threat(42)
def test_threat_42_a_flow_that_ended_at_a_path_of_the_site_ends_there_twice(browser, provider):
    with running_site(flow_for("oauth2", provider.url)) as site:
        start = browser.get(f"{site.start}?return_to=/account%3Ftab=2", **CLICK)
        back = browser.decide(start.headers["Location"])
        first, second = reloaded(browser, back)
    assert second.headers["Location"] == first.headers["Location"]
    assert second.headers["Location"].startswith("/account?tab=2&username=joe")


def interrupted(token, request):
    raise Interrupted


def dying(environ, start_response):
    raise Interrupted


def answering_500(environ, start_response):
    start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
    return [b"Sorry."]


def dying_late(environ, start_response):
    start_response("303 See Other", [WELCOME])
    raise Interrupted


def dying_while_read(environ, start_response):
    yield dying(environ, start_response)


def dying_late_while_read(environ, start_response):
    yield dying_late(environ, start_response)


@pytest.mark.threat(42)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"store_token": interrupted}, id="while it is stored"),
        pytest.param({"store_token": HAND_OVER, "app": dying}, id="in the application"),
        pytest.param({"store_token": HAND_OVER, "app": dying_late}, id="after its first line"),
        pytest.param({"store_token": HAND_OVER, "app": dying_while_read}, id="in a generator"),
        pytest.param(
            {"store_token": HAND_OVER, "app": dying_late_while_read},
            id="in a generator, after its first line",
        ),
        pytest.param(
            {"store_token": lambda token, request: 1 // 0, "on_failure": interrupted},
            id="while the site hears of a failure",
        ),
    ],
)
def test_threat_42_nobody_waits_for_a_callback_that_died_and_nobody_repeats_it(
    browser, provider, options
):
    with unvalidated_site(flow_for("oauth2", provider.url), **options) as site:
        back = browser.decide(browser.click(site))
        asked = provider.counts["token"]
        begun = time.monotonic()
        first, second = reloaded(browser, back)
        took = time.monotonic() - begun
    assert first.status_code == 500
    assert landed(second)["error"] == "flow_finished"
    assert provider.counts["token"] == asked + 1
    assert took < PATIENCE


def test_a_failure_that_claimed_no_flow_is_not_logged_as_a_callback_that_was_interrupted(
    browser, provider, caplog
):
    options = {"on_failure": HAND_OVER, "app": dying}
    with unvalidated_site(flow_for("oauth2", provider.url), **options) as site:
        assert browser.get(f"{site.callback}?code=a&state=b", **ARRIVAL).status_code == 500
    logged = [record.getMessage() for record in caplog.records if record.name == "scconnect_wsgi"]
    assert [line.partition(":")[0] for line in logged] == ["flow_expired"]


def test_a_callback_that_is_interrupted_is_not_logged_as_one_that_came_twice(
    browser, provider, caplog
):
    with unvalidated_site(flow_for("oauth2", provider.url), store_token=interrupted) as site:
        first, second = reloaded(browser, browser.decide(browser.click(site)))
    assert first.status_code == 500
    [line] = [text for text in caplog.messages if "interrupted" in text]
    assert "came twice" not in line
    assert landed(second)["error_id"] in line
    assert line.endswith(f"See {entry('An interrupted callback')}")


def test_an_error_page_of_the_site_is_logged_with_the_entry_about_it(browser, provider, caplog):
    options = {"store_token": HAND_OVER, "app": answering_500}
    with running_site(flow_for("oauth2", provider.url), **options) as site:
        assert browser.connect(site).status_code == 500
    [line] = [text for text in caplog.messages if "interrupted" in text]
    assert "the page gets storage_failed" in line
    assert line.endswith(f"See {entry('An interrupted callback')}")


class Time:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 0.0
        self.naps = 0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        assert seconds > 0
        self.now += seconds
        self.naps += 1


@pytest.mark.threat(42)
def test_threat_42_waiting_is_bounded_and_those_who_come_later_do_not_wait_again():
    clock = Time()
    outcomes = Outcomes(ReplayGuard(clock), None, sleep=clock.sleep)
    assert outcomes.claim("a flow")
    assert not outcomes.claim("a flow")
    assert outcomes.wait("a flow") is None
    assert PATIENCE <= clock.now < PATIENCE + 1
    assert clock.naps < 200
    waited = clock.now
    assert not outcomes.claim("a flow")
    assert outcomes.wait("a flow") is None
    assert clock.now == waited
    ended = Outcome("/late", "/late")
    outcomes.settle("a flow", ended)  # the first was slower than everybody's patience
    assert outcomes.wait("a flow") == ended


@pytest.mark.slow
@pytest.mark.threat(42)
def test_threat_42_the_memory_is_bounded_whatever_the_site_answers():
    guard = ReplayGuard()
    big = "/" + "x" * (MAX_BYTES - 1)
    tracemalloc.start()
    try:
        for number in range(3 * MEMORY):
            name = f"{number:064}"
            assert guard.first_use(name)
            guard.settle(name, Outcome(big[:-8] + f"{number:08}", "/close.html", ("c",) * 0))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    print(f"{used / 1e6:.1f} MB for {MEMORY} flows, the newest {MAX_OUTCOMES} with outcomes")
    assert used < 20_000_000
    assert not guard.first_use(f"{3 * MEMORY - 1:064}")
    assert guard.outcome(f"{3 * MEMORY - 1:064}") is not None
    # Of flows that ended before, it is still known that they ended; nobody waits for them
    old = f"{3 * MEMORY - MAX_OUTCOMES - 1:064}"
    assert not guard.first_use(old)
    assert guard.outcome(old) is None
    assert not guard.is_running(old)


@pytest.mark.threat(42)
def test_threat_42_an_outcome_that_is_too_long_is_remembered_without_what_the_site_added():
    guard = ReplayGuard()
    assert guard.first_use("a flow")
    guard.settle("a flow", Outcome("/welcome", "/close.html", ("session=" + "x" * MAX_BYTES,)))
    assert guard.outcome("a flow") == Outcome("/close.html", "/close.html")


@pytest.mark.threat(42)
def test_threat_42_another_user_of_the_browser_does_not_hear_how_the_flow_ended(browser, provider):
    signed_in = ["joe"]
    with running_site(
        flow_for("oauth2", provider.url), identify=lambda request: signed_in[-1]
    ) as site:
        back = browser.decide(browser.click(site))
        headers = {**ARRIVAL, "Cookie": cookie_header(browser)}
        signed_in.append("ann")
        assert landed(fetched(back, headers))["error"] == "wrong_user"
        signed_in.append("joe")
        assert landed(fetched(back, headers)) == JOE
        signed_in.append("ann")
        assert landed(fetched(back, headers))["error"] == "wrong_user"
    assert len(site.store.tokens) == 1


@pytest.mark.threat(42)
@pytest.mark.parametrize(
    "body", [iter(()), (1 // zero for zero in [0])], ids=["is empty", "raises"]
)
@pytest.mark.parametrize("is_read", [True, False])
def test_threat_42_an_application_that_never_begins_to_answer_has_failed(body, is_read):
    failures = []
    app = observed(lambda environ, start_response: body, print, lambda: failures.append(1))
    answer: Any = app({}, print)
    if is_read:
        with suppress(ZeroDivisionError):
            list(answer)
    answer.close()
    assert failures


def test_the_id_of_a_failure_that_only_the_second_callback_hears_of_is_logged(
    browser, provider, caplog
):
    def page(environ, start_response):
        start_response("401 Unauthorized", [("Content-Type", "text/plain")])
        return [b"no"]

    flow = flow_for("oauth2", provider.url)
    with running_site(flow, app=page, store_token=HAND_OVER) as site:
        back = browser.decide(browser.click(site))
        first, second = reloaded(browser, back)
    assert first.status_code == 401
    fields = landed(second)
    assert fields["error"] == "storage_failed"
    assert f"(error_id {fields['error_id']})" in caplog.text


# A stranger has seen the callback's address


@pytest.mark.threat(43)
@pytest.mark.parametrize("own", ["none", "a flow of its own", "a flow that ended"])
def test_threat_43_a_captured_state_in_another_browser_does_not_use_the_flow_up(
    protocol, browser, provider, own
):
    with running_site(flow_for(protocol, provider.url)) as site, Browser() as stranger:
        back = browser.decide(browser.click(site))
        if own != "none":
            mine = stranger.decide(stranger.click(site))
            if own == "a flow that ended":
                assert landed(stranger.get(mine, **ARRIVAL)) == JOE
        with nobody_asked(provider):
            for address in (back, back.replace("code=", "code=x"), back + "&error=access_denied"):
                answer = stranger.get(address, **ARRIVAL)
                assert landed(answer)["error"] in ("flow_expired", "flow_mismatch")
        assert landed(browser.get(back, **ARRIVAL)) == JOE


@pytest.mark.threat(43)
def test_threat_43_a_stranger_hears_nothing_while_the_flow_ends_nor_later(protocol):
    sandbox = Sandbox(misbehave=("slow=0.4",))
    with (
        serve(sandbox) as provider,
        running_site(flow_for(protocol, provider.url)) as site,
        Browser() as browser,
        ThreadPoolExecutor(1) as thread,
    ):
        back = browser.decide(browser.click(site))
        first = thread.submit(clicked, browser, back, back)
        while not first.done():
            assert landed(fetched(back, ARRIVAL))["error"] == "flow_expired"
        assert [landed(answer) for answer in first.result()] == [JOE, JOE]
        assert landed(fetched(back, ARRIVAL))["error"] == "flow_expired"
    assert len(site.store.tokens) == 1


@pytest.mark.threat(2)
@pytest.mark.parametrize("value", ["true", "1", "anything"])
def test_threat_02_a_navigation_preload_of_a_service_worker_is_answered(
    protocol, browser, provider, value
):
    preload = {"Service-Worker-Navigation-Preload": value}
    with running_site(flow_for(protocol, provider.url)) as site:
        start = browser.get(site.start, **{**CLICK, **preload, "Referer": f"{site.url}/"})
        assert start.status_code == 303
        back = browser.decide(start.headers["Location"])
        assert landed(browser.get(back, **{**ARRIVAL, **preload})) == JOE


@pytest.mark.threat(42)
def test_threat_42_a_worker_that_preloads_and_fetches_sends_the_callback_twice(protocol, browser):
    """Its navigation preload and its own fetch() leave at nearly the same time."""
    sandbox = Sandbox(misbehave=("slow=0.4",))
    with serve(sandbox) as provider, running_site(flow_for(protocol, provider.url)) as site:
        back = browser.decide(browser.click(site))
        common = {**ARRIVAL, "Cookie": cookie_header(browser)}
        preload = {**common, "Service-Worker-Navigation-Preload": "true"}
        fetch = {**common, "Sec-Fetch-Dest": "empty"}
        with ThreadPoolExecutor(2) as threads:
            answers = list(threads.map(lambda headers: fetched(back, headers), (preload, fetch)))
    assert [landed(answer) for answer in answers] == [JOE, JOE]
    assert sandbox.counts[EXCHANGE[protocol]] == 1
