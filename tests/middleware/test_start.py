"""Who may start a flow, and what a request for the start cannot change.

Lines 1 to 6 and 33 of the list of threats.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin, urlsplit
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from support.browser import ARRIVAL, CLICK
from support.flows import flow_for, nobody_asked
from support.responses import landed, query
from support.site import KEY, Store, page_of_the_site, running_site

from scconnect_wsgi import SCConnect
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
    "dest", ["iframe", "frame", "image", "script", "empty", "embed", "object", "worker", ""]
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
    "https://{1}",
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
@pytest.mark.parametrize("lie", [lie for lie in LIES if "Host" not in lie], ids=named(LIES[1:]))
def test_threat_06_on_a_loopback_host_no_other_header_is_believed(site, browser, lie):
    answer = browser.get(site.start, **{**CLICK, **lie})
    assert browser.decide(answer.headers["Location"]).startswith(site.callback + "?")


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
