"""Who may start a flow, and what a request for the start cannot change.

Lines 1 to 6 and 33 of the list of threats.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from support.browser import ARRIVAL, CLICK
from support.flows import flow_for, nobody_asked
from support.responses import landed, query
from support.site import KEY, Store, page_of_the_site, running_site

from scconnect_wsgi import SCConnect
from scconnect_wsgi.documentation import entry
from scconnect_wsgi.sandbox import Sandbox, serve

PROTOCOLS = ("oauth1", "oauth2")
OLD = {"User-Agent": "a browser without Fetch Metadata"}
AHEAD = [
    {"Sec-Purpose": "prefetch"},
    {"Sec-Purpose": "prefetch;prerender"},
    {"Sec-Purpose": "Prefetch;anonymous-client-ip"},
    {"Purpose": "prefetch"},
    {"Purpose": "prerender"},
    {"X-Moz": "prefetch"},
    {"X-Purpose": "preview"},
]
LIES = [
    {"Host": "evil.example"},
    {"X-Forwarded-Host": "evil.example"},
    {"X_Forwarded_Host": "evil.example"},
    {"x-forwarded-host": "evil.example", "x-forwarded-proto": "http", "X-Forwarded-Port": "1"},
    {"X-Forwarded-Proto": "javascript"},
    {"X-Forwarded-Prefix": "//evil.example", "X-Script-Name": "/evil"},
    {"Forwarded": "host=evil.example;proto=http"},
    {
        "X-Original-Host": "evil.example",
        "X-Host": "evil.example",
        "X-Original-URL": "/evil",
        "X-Rewrite-URL": "/evil",
    },
]
# What proxies add to the requests that they pass on
PROXIED = [
    *LIES[1:-1],
    {"X-Forwarded-For": "203.0.113.7"},
    {"X-FORWARDED-FOR": ""},
    {"x-forwarded-scheme": "https"},
    {"X-Forwarded-Server": "proxy"},
    {"X-Forwarded-Ssl": "on"},
    {"Forwarded": "for=203.0.113.7"},
    {"forwarded": "for=_hidden"},
    {"Via": "1.1 proxy (Apache)"},
    {"via": "2.0 caddy"},
    {"X-Real-IP": "203.0.113.7"},
]


def named(values):
    return [" ".join(f"{name}: {value}" for name, value in fields.items()) for fields in values]


@pytest.fixture(scope="module", params=PROTOCOLS)
def site(request, provider):
    with running_site(flow_for(request.param, provider.url)) as site:
        yield site


def assert_nothing_began(answer, status):
    assert answer.status_code == status, answer.text
    assert "Set-Cookie" not in answer.headers
    assert "Location" not in answer.headers


def assert_asks(answer):
    """Check that this is the page with one button, which posts to the page's own address."""
    assert_nothing_began(answer, 200)
    assert answer.text.count("<button") == answer.text.count("<form") == 1
    assert '<form method="post">' in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.threat(1)
@pytest.mark.parametrize("where", ["cross-site", "same-site", "a word nobody knows", ""])
def test_threat_01_a_start_that_another_site_caused_starts_nothing_and_asks(
    site, provider, browser, where
):
    with nobody_asked(provider):
        assert_asks(browser.get(site.start, **{**CLICK, "Sec-Fetch-Site": where}))
        assert_asks(browser.post(site.start, {}, **{**CLICK, "Sec-Fetch-Site": where}))


@pytest.mark.threat(1)
def test_threat_01_the_button_of_the_page_starts_the_flow_from_our_own_origin(site, browser):
    assert_asks(browser.get(site.start, **ARRIVAL))
    answer = browser.post(site.start, {}, **CLICK)
    assert answer.status_code == 303
    back = browser.decide(answer.headers["Location"])
    assert landed(browser.get(back, **ARRIVAL)) == {"username": "joe", "oauth_token_id": "43"}


@pytest.mark.threat(2)
@pytest.mark.parametrize(
    "dest", ["iframe", "frame", "image", "script", "style", "embed", "object", "worker", ""]
)
def test_threat_02_only_a_document_is_a_start(site, provider, browser, dest):
    with nobody_asked(provider):
        assert_nothing_began(browser.get(site.start, **{**CLICK, "Sec-Fetch-Dest": dest}), 403)


@pytest.mark.threat(2)
@pytest.mark.parametrize(
    "mode", ["cors", "no-cors", "same-origin", "websocket", "nested-navigate", ""]
)
def test_threat_02_only_a_navigation_is_a_start(site, provider, browser, mode):
    with nobody_asked(provider):
        assert_nothing_began(browser.get(site.start, **{**CLICK, "Sec-Fetch-Mode": mode}), 403)


@pytest.mark.threat(2)
@pytest.mark.parametrize("where", ["same-origin", "none"], ids=["a click", "a typed address"])
def test_threat_02_clicks_and_typed_addresses_work(site, provider, browser, where):
    answer = browser.get(site.start, **{**CLICK, "Sec-Fetch-Site": where})
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith(provider.url)
    assert query(answer.headers["Location"])["display"] == "popup"


# What the engines send behind a service worker that passes requests on, measured in November 2026.
CHROMIUM = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "empty"}
FIREFOX = {"Sec-Fetch-Mode": "same-origin", "Sec-Fetch-Dest": "empty"}
PRELOAD = {**CLICK, "Service-Worker-Navigation-Preload": "true"}
SAME = {"Sec-Fetch-Site": "same-origin"}
CROSS = {"Sec-Fetch-Site": "cross-site"}
EVIL = "http://evil.example"
OWN_CLICKS = {
    "Chromium and WebKit, a link": {**CHROMIUM, **SAME, "Referer": "{0}/page"},
    "Chromium and WebKit, a form": {**CHROMIUM, **SAME, "Referer": "{0}/page", "Origin": "{0}"},
    "Firefox, a link": {**FIREFOX, **SAME, "Referer": "{0}/page"},
    "Firefox, a form": {**FIREFOX, **SAME, "Referer": "{0}/page", "Origin": "{0}"},
    "a preload": {**PRELOAD, "Referer": "{0}/page"},
    "the page with the button": {**FIREFOX, **SAME, "Referer": "{0}/oauth/request_token"},
    "a page about workers": {**CHROMIUM, **SAME, "Referer": "{0}/worker"},
}
OTHER_CLICKS = {
    "Chromium, a link": {**CHROMIUM, **CROSS, "Referer": EVIL},
    "Chromium, after a redirect": {**CHROMIUM, **CROSS, "Referer": "{0}/page"},
    "Chromium, a form": {**CHROMIUM, **CROSS, "Referer": EVIL, "Origin": EVIL},
    "WebKit, a link": {**CHROMIUM, **SAME, "Referer": EVIL},
    "WebKit, a form": {**CHROMIUM, **SAME, "Referer": EVIL, "Origin": EVIL},
    "WebKit, a link without a Referer": {**CHROMIUM, **SAME, "Referer": "{0}/sw.js"},
    "WebKit, the same, a module": {**CHROMIUM, **SAME, "Referer": "{0}/static/app.mjs?v=2"},
    "WebKit, the same, without a suffix": {**CHROMIUM, **SAME, "Referer": "{0}/service-worker"},
    "WebKit, a form without a Referer": {
        **CHROMIUM,
        **SAME,
        "Referer": "{0}/worker-script",
        "Origin": "null",
    },
    "WebKit, a link that the worker left to it": {**CLICK, "Referer": EVIL},
    "the same, of another loopback host": {**CLICK, "Referer": "http://127.0.0.1:9/"},
    "Firefox, a link": {**FIREFOX, **SAME, "Referer": EVIL},
    "Firefox, a form": {**FIREFOX, **SAME, "Referer": EVIL, "Origin": "{0}"},
    "Firefox, a form without a Referer": {**FIREFOX, **SAME, "Origin": "{0}"},
    "Firefox, a preload": {**PRELOAD, "Referer": EVIL},
    "Firefox, a preload without a Referer": PRELOAD,
    "a typed address": {**CHROMIUM, "Sec-Fetch-Site": "none"},
    "an own page without a Referer": {**CHROMIUM, **SAME},
    "a host that begins like ours": {**CHROMIUM, **SAME, "Referer": "{0}.evil.example/"},
}


def filled(headers, site):
    return {name: value.format(site.url) for name, value in headers.items()}


@pytest.mark.threat(2)
@pytest.mark.parametrize("click", OWN_CLICKS.values(), ids=OWN_CLICKS)
def test_threat_02_an_own_click_behind_a_worker_starts_a_flow(site, browser, click):
    assert browser.get(site.start, **filled(click, site)).status_code == 303


@pytest.mark.threat(2)
@pytest.mark.parametrize("click", OTHER_CLICKS.values(), ids=OTHER_CLICKS)
def test_threat_02_any_other_click_behind_a_worker_asks(site, provider, browser, click):
    with nobody_asked(provider):
        assert_asks(browser.get(site.start, **filled(click, site)))


@pytest.mark.threat(2)
@pytest.mark.parametrize("where", ["cross-site", "same-site"])
@pytest.mark.parametrize("mode", ["cors", "no-cors"])
def test_threat_02_a_script_of_another_origin_starts_nothing(site, provider, browser, where, mode):
    fetch = {"Sec-Fetch-Site": where, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": "empty"}
    with nobody_asked(provider):
        answer = browser.get(site.start, **fetch, Referer=f"{site.url}/")
        assert_nothing_began(answer, 403)
        assert "HX-Redirect" not in answer.headers


FETCH = {**SAME, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
FETCHES = {
    "htmx": {**FETCH, "HX-Request": "true"},
    "Turbo": {**FETCH, "X-Turbo-Request-Id": "1", "X-Sec-Purpose": "prefetch"},
    "another library": FETCH,
    "htmx in an old browser": {**OLD, "HX-Request": "true", "Referer": "{0}/page"},
    "Turbo in an old browser": {**OLD, "X-Turbo-Request-Id": "1", "Referer": "{0}/page"},
}


@pytest.mark.threat(4)
@pytest.mark.parametrize("fetch", FETCHES.values(), ids=FETCHES)
def test_threat_04_a_library_that_fetches_the_start_is_led_to_the_window(
    site, provider, browser, fetch
):
    start = f"{site.start}?return_to=/account%3Ftab%3D2&x=1"
    own = "/oauth/request_token?return_to=%2Faccount%3Ftab%3D2"
    with nobody_asked(provider):
        answer = browser.get(start, **filled(fetch, site))
        assert_asks(answer)
        assert '<meta name="turbo-visit-control" content="reload">' in answer.text
        assert answer.headers["HX-Redirect"] == own
        answer = browser.post(start, {}, **filled(fetch, site))
        assert (answer.status_code, answer.headers["Location"]) == (303, own)
        assert "Set-Cookie" not in answer.headers


@pytest.mark.threat(4)
@pytest.mark.parametrize("ahead", AHEAD, ids=named(AHEAD))
def test_threat_04_a_link_element_that_looks_ahead_gets_nothing_and_no_error(
    site, provider, browser, ahead
):
    element = {**SAME, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "empty"}
    with nobody_asked(provider):
        for url in (site.start, site.callback):
            answer = browser.get(url, **{**element, **ahead})
            assert_nothing_began(answer, 204)
            assert answer.content == b""
            assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.threat(3)
@pytest.mark.parametrize("name", ["Origin", "Referer"])
def test_threat_03_without_fetch_metadata_our_own_origin_or_page_passes(site, browser, name):
    own = site.url if name == "Origin" else f"{site.url}/account?tab=2"
    assert browser.get(site.start, **{**OLD, name: own}).status_code == 303


FOREIGN = [
    "https://evil.example",
    "{0}.evil.example",
    "{0}@evil.example",
    "http://evil.example/{0}",
    "null",
    "{0}0",
    "//{1}",
    "http://localhost",
    "http://[",
    "http://{1}:port",
]


@pytest.mark.threat(3)
@pytest.mark.parametrize("name", ["Origin", "Referer"])
@pytest.mark.parametrize("foreign", FOREIGN)
def test_threat_03_without_fetch_metadata_a_foreign_origin_or_page_asks(
    site, provider, browser, name, foreign
):
    with nobody_asked(provider):
        value = foreign.format(site.url, urlsplit(site.url).netloc)
        assert_asks(browser.get(site.start, **{**OLD, name: value}))


EMPTY = {**CLICK, "Sec-Fetch-Dest": "empty"}  # as service workers send it
NAMELESS = "https://app.example"  # the base_url; the requests go to a loopback address, {0}
ELSEWHERE = {
    "www against none": (
        {**CLICK, "Referer": "https://www.app.example/"},
        "https://www.app.example",
    ),
    "http against https": ({**CLICK, "Referer": "http://app.example/"}, "http://app.example"),
    "a development server in front": (
        {**CLICK, "Referer": "http://localhost:5173/account?tab=2"},
        "http://localhost:5173",
    ),
    "another port": ({**CLICK, "Referer": "https://app.example:8443/"}, "https://app.example:8443"),
    "a form": ({**CLICK, "Origin": "https://www.app.example"}, "https://www.app.example"),
    "a form of an old browser": ({**OLD, "Origin": "http://{0}"}, "http://{0}"),
    "an old browser": ({**OLD, "Referer": "http://{0}/page"}, "http://{0}"),
    "an old browser, over TLS": ({**OLD, "Referer": "https://{0}/page"}, "https://{0}"),
    "a service worker": ({**EMPTY, "Referer": "http://{0}/page"}, "http://{0}"),
}


@pytest.mark.parametrize(("headers", "page"), ELSEWHERE.values(), ids=ELSEWHERE)
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_page_of_another_origin_than_base_url_is_told_before_the_provider_is_asked(
    provider, browser, caplog, headers, page, method
):
    flow = flow_for("oauth2", provider.url)
    with running_site(flow, base_url=NAMELESS) as site, nobody_asked(provider):
        asked = urlsplit(site.url).netloc
        headers = {name: value.format(asked) for name, value in headers.items()}
        answer = getattr(browser, method)(site.start, **headers)
    assert_nothing_began(answer, 403)
    assert "<form" not in answer.text
    for text in (answer.text, caplog.text):
        assert page.format(asked) in text
        assert NAMELESS in text
    assert f'href="{NAMELESS}/"' in answer.text
    content = unescape(re.search(r'name="sc-connect" content="([^"]*)"', answer.text)[1])
    fields, _, advice = content.partition("#")
    assert advice == f"See {entry('This page has another address')}"
    told = dict(parse_qsl(fields))
    assert told["error"] == "start_refused"
    assert NAMELESS in told["error_description"]


NOT_ELSEWHERE = {
    "no Referer": (CLICK, 303),
    "an Origin without a name": ({**CLICK, "Origin": "null"}, 200),
    "the site's own": ({**CLICK, "Referer": f"{NAMELESS}/account"}, 303),
    "its default port": ({**CLICK, "Referer": f"{NAMELESS}:443/account"}, 303),
    "no address": ({**CLICK, "Referer": "http://["}, 200),
    "unreadable": ({**CLICK, "Referer": "http://b\xfccher.example/"}, 200),
    "another site": ({**ARRIVAL, "Referer": "https://evil.example/"}, 200),
    "another site that was sent on": ({**ARRIVAL, "Referer": "http://{0}/"}, 200),
    "a sibling": (
        {**ARRIVAL, "Sec-Fetch-Site": "same-site", "Referer": "https://www.app.example/"},
        200,
    ),
    "another site, an old browser": ({**OLD, "Referer": "https://evil.example/"}, 200),
}


@pytest.mark.threat(1)
@pytest.mark.parametrize(("headers", "status"), NOT_ELSEWHERE.values(), ids=NOT_ELSEWHERE)
def test_threat_01_another_site_is_told_from_a_page_at_another_address(
    provider, browser, caplog, headers, status
):
    with running_site(flow_for("oauth2", provider.url), base_url=NAMELESS) as site:
        asked = urlsplit(site.url).netloc
        headers = {name: value.format(asked) for name, value in headers.items()}
        answer = browser.get(site.start, **headers)
    assert answer.status_code == status, answer.text
    assert "another address" not in answer.text
    assert "another address" not in caplog.text


def test_another_site_that_a_service_worker_makes_look_like_our_own_is_not_named(provider, browser):
    """Firefox calls another site's link same-origin then."""
    with running_site(flow_for("oauth2", provider.url), base_url=NAMELESS) as site:
        answer = browser.get(site.start, **{**EMPTY, "Referer": "https://evil.example/"})
    assert "evil.example" not in answer.text
    assert "Location" not in answer.headers


@pytest.mark.parametrize("headers", [CLICK, OLD], ids=["", "an old browser"])
def test_a_page_behind_a_proxy_that_does_not_show_is_told_where_the_reason_is(
    site, provider, browser, caplog, headers
):
    """nginx passes a request on with the Host of its upstream, and says nothing of itself."""
    for name in ("Referer", "Origin"):  # a click, and the button of the page that asks
        with nobody_asked(provider):
            answer = browser.post(site.start, **{**headers, name: "https://app.example"})
        assert_asks(answer)
        assert "log" in answer.text
    lines = [text for text in caplog.messages if "set base_url to https://app.example" in text]
    assert len(lines) == 2


@pytest.mark.threat(1)
def test_threat_01_a_site_that_the_browser_calls_another_is_not_logged_as_a_page_of_ours(
    site, provider, browser, caplog
):
    with nobody_asked(provider):
        answer = browser.get(site.start, **{**ARRIVAL, "Referer": "https://evil.example/"})
    assert_asks(answer)
    assert "log" not in answer.text
    assert "evil.example" not in caplog.text


@pytest.mark.threat(3)
def test_threat_03_without_any_header_the_page_asks(site, provider, browser):
    with nobody_asked(provider):
        assert_asks(browser.get(site.start, **OLD))


@pytest.mark.threat(3)
def test_threat_03_a_foreign_origin_is_believed_before_an_own_referer(site, provider, browser):
    with nobody_asked(provider):
        assert_asks(
            browser.get(
                site.start, **{**OLD, "Origin": "https://evil.example", "Referer": site.url + "/"}
            )
        )


@pytest.mark.threat(3)
@pytest.mark.parametrize("referer", ["https://evil.example/", "http://[", "null"])
def test_threat_03_a_foreign_referer_is_believed_before_an_own_origin(
    site, provider, browser, referer
):
    """Firefox replaces the Origin of another site's form behind a service worker."""
    with nobody_asked(provider):
        assert_asks(browser.get(site.start, **{**OLD, "Origin": site.url, "Referer": referer}))


@pytest.mark.threat(3)
def test_threat_03_fetch_metadata_is_believed_before_origin_and_referer(site, provider, browser):
    with nobody_asked(provider):
        assert_asks(
            browser.get(site.start, **{**ARRIVAL, "Origin": site.url, "Referer": site.url + "/"})
        )


@pytest.mark.threat(4)
@pytest.mark.parametrize("ahead", AHEAD, ids=named(AHEAD))
def test_threat_04_a_look_ahead_at_the_start_begins_nothing(site, provider, browser, ahead):
    with nobody_asked(provider):
        assert_nothing_began(browser.get(site.start, **{**CLICK, **ahead}), 403)


@pytest.mark.threat(4)
@pytest.mark.parametrize("ahead", AHEAD, ids=named(AHEAD))
def test_threat_04_a_look_ahead_at_the_callback_uses_nothing_up(site, provider, browser, ahead):
    back = browser.decide(browser.click(site))
    with nobody_asked(provider):
        assert_nothing_began(browser.get(back, **{**ARRIVAL, **ahead}), 403)
    assert landed(browser.get(back, **ARRIVAL))["username"] == "joe"


@pytest.mark.threat(4)
def test_threat_04_head_has_no_effect_on_start_and_callback(site, provider, browser):
    back = browser.decide(browser.click(site))
    with nobody_asked(provider):
        for url in (site.start, back):
            answer = browser.session.head(url, headers=CLICK, allow_redirects=False, timeout=30)
            assert_nothing_began(answer, 200)
            assert answer.content == b""
    assert landed(browser.get(back, **ARRIVAL))["username"] == "joe"


@pytest.mark.threat(4)
def test_threat_04_methods_that_browsers_do_not_click_with_are_refused(site, provider, browser):
    with nobody_asked(provider):
        for url, methods in ((site.start, "GET, HEAD, POST"), (site.callback, "GET, HEAD")):
            answer = browser.session.request(
                "DELETE", url, headers=CLICK, allow_redirects=False, timeout=30
            )
            assert_nothing_began(answer, 405)
            assert answer.headers["Allow"] == methods
        assert_nothing_began(browser.post(site.callback, {"state": "x"}), 405)


@pytest.mark.threat(5)
@pytest.mark.parametrize("where", ["cross-site", "same-site", "same-origin", "none"])
def test_threat_05_callback_and_close_page_are_reached_from_the_provider(site, browser, where):
    arrival = {**ARRIVAL, "Sec-Fetch-Site": where}
    answer = browser.get(browser.decide(browser.click(site)), **arrival)
    assert landed(answer)["username"] == "joe"
    page = browser.get(urljoin(site.url, answer.headers["Location"]), **arrival)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.threat(6)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("lie", LIES, ids=named(LIES))
def test_threat_06_no_header_alters_the_callback_url(browser, protocol, lie):
    root = "https://app.example/shop"
    with (
        serve(Sandbox(redirect_uris=[root + "/oauth/access_token"])) as server,
        running_site(flow_for(protocol, server.url), base_url=root) as site,
    ):
        answer = browser.get(site.start, **{**CLICK, **lie})
        assert answer.status_code == 303
        assert browser.decide(answer.headers["Location"]).startswith(root + "/oauth/access_token?")


@pytest.mark.threat(6)
@pytest.mark.parametrize("lie", LIES[-1:], ids=named(LIES[-1:]))
def test_threat_06_on_a_loopback_host_no_other_header_is_believed(site, browser, lie):
    answer = browser.get(site.start, **{**CLICK, **lie})
    assert browser.decide(answer.headers["Location"]).startswith(site.callback + "?")


@pytest.mark.threat(6)
@pytest.mark.parametrize("header", PROXIED, ids=named(PROXIED))
@pytest.mark.parametrize("where", ["start", "callback"])
def test_threat_06_behind_a_proxy_not_even_a_loopback_host_is_believed(
    site, provider, browser, header, where
):
    """The proxy of a site may send ``Host: 127.0.0.1:5008``, and users have another address."""
    with nobody_asked(provider):
        fields = landed(browser.get(getattr(site, where), **{**CLICK, **header}))
    assert fields["error"] == "start_refused"
    assert fields["error_description"].startswith("base_url is not set, and a proxy ")
    assert 'base_url="https://app.example"' in fields["error_description"]


@pytest.mark.parametrize("header", PROXIED, ids=named(PROXIED))
def test_a_base_url_is_what_counts_behind_a_proxy(site, provider, browser, header):
    flow = flow_for("oauth2", provider.url)
    with running_site(flow, base_url="http://localhost:9/shop") as site:
        answer = browser.get(site.start, **{**CLICK, **header})
    assert query(answer.headers["Location"])["redirect_uri"] == (
        "http://localhost:9/shop/oauth/access_token"
    )


@pytest.mark.threat(6)
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "evil@localhost",
        "localhost:8000@evil",
        "127.0.0.1.evil",
        "127.0.0.2",
        "localhost:80:80",
        "localhost/",
        "localhost:",
        "localhost:٨٠",
        "",
        "[::2]",
        "localhost evil",
        "localhost\n",
    ],
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_threat_06_without_base_url_only_a_loopback_host_is_believed(provider, protocol, host):
    with nobody_asked(provider):
        status, headers, _ = ask(provider, protocol, HTTP_HOST=host.encode().decode("latin-1"))
    assert status.startswith("303")
    assert headers["Location"].startswith("/sc-connect/close.html?error=start_refused&")


def ask(provider, protocol, base_url=None, **environ):
    """Send a request for the start with an environ that no client could cause."""
    app: Any = validator(
        SCConnect(
            page_of_the_site,
            flow_for(protocol, provider.url),
            secret_key=KEY,
            store_token=Store(),
            base_url=base_url,
        )
    )
    setup_testing_defaults(environ)
    environ |= {
        "PATH_INFO": "/oauth/request_token",
        "HTTP_SEC_FETCH_SITE": "none",
        "QUERY_STRING": "",
    }
    seen = []
    answer = app(
        environ,
        lambda status, headers, exc_info=None: seen.append((status, dict(headers))) or bytes,
    )
    body = b"".join(answer)
    answer.close()
    return *seen[-1], body


def assert_clean(*texts):
    for text in texts:
        assert not any(ord(character) < 32 or ord(character) == 127 for character in text), text


@pytest.mark.threat(33)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "script_name", ["/a\r\nSet-Cookie: x=1", "/a\x00b", "/\x7f", "/\xff\xfe", "/a\\b", "/a//b"]
)
def test_threat_33_control_characters_in_the_mount_stay_out_of_headers(
    provider, protocol, script_name
):
    status, headers, _ = ask(
        provider, protocol, HTTP_HOST="localhost:8000", SCRIPT_NAME=script_name
    )
    assert status.startswith("303")
    assert headers["Location"].startswith(provider.url)
    assert_clean(*headers, *headers.values())


@pytest.mark.threat(33)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_threat_33_a_base_url_with_a_line_break_is_refused(provider, protocol, caplog):
    with nobody_asked(provider):
        _, headers, _ = ask(provider, protocol, lambda request: "https://app.example\r\nX-Evil: 1")
    assert query(headers["Location"])["error"] == "start_refused"
    assert_clean(headers["Location"], *(record.getMessage() for record in caplog.records))


@pytest.mark.threat(33)
@pytest.mark.parametrize("part", ["oauth_token", "oauth_token_secret"])
def test_threat_33_a_request_token_with_a_line_break_never_reaches_a_header(browser, caplog, part):
    def provider(environ, start_response):
        fields = {
            "oauth_token": "token",
            "oauth_token_secret": "secret",
            part: "a%0D%0AX-Evil:%201",
        }
        body = (
            "&".join(f"{name}={value}" for name, value in fields.items())
            + "&oauth_callback_confirmed=true"
        )
        start_response(
            "200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
        )
        return [body.encode()]

    with serve(provider) as server, running_site(flow_for("oauth1", server.url)) as site:
        answer = browser.get(site.start)
    assert landed(answer)["error"] == "provider_error"
    assert "X-Evil" not in answer.headers
    assert_clean(*(record.getMessage() for record in caplog.records))
