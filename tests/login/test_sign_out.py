"""The end of one browser's session."""

import pytest
from support.browser import ARRIVAL, Browser, hidden_fields
from support.flows import flow_for
from support.logins import (
    FORM,
    HERE,
    SCRIPT,
    let_time_pass,
    log_in,
    login_cookies,
    running_login,
    user_at,
)

from scconnect_wsgi.connections import Connections
from scconnect_wsgi.errors import StoreUnavailable
from scconnect_wsgi.stores import MemoryStore

ROOT = "https://app.example"


@pytest.fixture
def flow(provider):
    return flow_for("oauth2", provider.url)


@pytest.fixture
def connections(flow):
    return Connections(flow, MemoryStore())


def sign_out(browser, site, **headers):
    return browser.post(f"{site.url}/sc-connect/sign-out", **headers)


@pytest.mark.parametrize("prefix", ["", "/shop"])
def test_a_form_signs_out_and_leads_to_the_first_page(connections, browser, prefix):
    with running_login(connections, prefix=prefix) as site:
        log_in(browser, site)
        answer = sign_out(browser, site, **FORM, Referer=f"{site.url}/page")
        assert (answer.status_code, answer.headers["Location"]) == (303, f"{prefix}/")
        assert answer.headers["Cache-Control"] == "no-store"
        assert login_cookies(browser) == []
        assert user_at(browser, site) == {}


@pytest.mark.parametrize("of_request", [False, True], ids=["", "a callable"])
def test_the_first_page_is_that_of_base_url(connections, browser, of_request):
    root = f"{ROOT}/shop"
    with running_login(
        connections, base_url=(lambda request: root) if of_request else root
    ) as site:
        answer = sign_out(browser, site, Origin=ROOT)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/shop/")


def test_a_script_signs_out_without_a_page(connections, browser):
    with running_login(connections, assets_path="/files") as site:
        browser.get(browser.decide(browser.click(site)), **ARRIVAL)
        answer = browser.post(f"{site.url}/files/sign-out", **SCRIPT)
        assert (answer.status_code, answer.content) == (204, b"")
        assert user_at(browser, site) == {}


@pytest.mark.parametrize("mode", ["cors", "same-origin", "no-cors"])
def test_a_script_is_one_in_every_mode_of_fetch(connections, browser, mode):
    with running_login(connections) as site:
        log_in(browser, site)
        headers = {**SCRIPT, "Sec-Fetch-Mode": mode, "Referer": f"{site.url}/page"}
        assert sign_out(browser, site, **headers).status_code == 204
        assert login_cookies(browser) == []


def test_a_form_that_a_service_worker_passes_on_is_led_on(connections, browser):
    passed_on = {**HERE, "Sec-Fetch-Dest": "empty", "Accept": "text/html,*/*;q=0.8"}
    with running_login(connections) as site:
        for mode in ("navigate", "same-origin"):  # Chromium and WebKit; Firefox
            headers = {**passed_on, "Sec-Fetch-Mode": mode, "Referer": f"{site.url}/page"}
            assert sign_out(browser, site, **headers).status_code == 303


def test_turbo_and_boosted_forms_are_led_on(connections, browser):
    with running_login(connections) as site:
        for headers in ({"Accept": "text/html"}, {"HX-Boosted": "true"}):
            assert sign_out(browser, site, **SCRIPT, **headers).status_code == 303


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_nothing_but_post_changes_anything(connections, browser, method):
    with running_login(connections) as site:
        log_in(browser, site)
        answer = browser.session.request(
            method, f"{site.url}/sc-connect/sign-out", headers=FORM, timeout=10
        )
        assert answer.status_code == (200 if method in ("GET", "HEAD") else 405)
        assert "Set-Cookie" not in answer.headers
        assert user_at(browser, site)["username"] == "joe"


def test_the_page_has_a_button_that_signs_out(connections, browser):
    with running_login(connections) as site:
        log_in(browser, site)
        page = browser.get(f"{site.url}/sc-connect/sign-out")
        assert '<form method="post">' in page.text
        assert hidden_fields(page.text) == {}
        sign_out(browser, site, **FORM, Origin=site.url)
        assert user_at(browser, site) == {}


@pytest.mark.parametrize(
    ("headers", "works"),
    [
        (HERE, True),
        ({"Origin": ROOT}, True),
        ({"Origin": f"{ROOT}:443"}, True),
        ({"Referer": f"{ROOT}/page"}, True),
        ({**FORM, "Origin": ROOT}, True),
        ({**SCRIPT, "Origin": ROOT}, True),
        ({}, False),
        ({"Origin": "null"}, False),
        ({**FORM, "Origin": "null"}, False),
        ({**SCRIPT, "Origin": "null"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "http://app.example"}, False),
        ({"Origin": ROOT, "Referer": "https://evil.example/"}, False),
        ({**FORM, "Sec-Fetch-Site": "cross-site"}, False),
        ({**FORM, "Sec-Fetch-Site": "cross-site", "Origin": ROOT}, False),
        ({**FORM, "Sec-Fetch-Site": "same-site", "Origin": ROOT}, False),
        ({**FORM, "Sec-Fetch-Site": "none"}, False),
        # A form of another site, behind a service worker of this one
        ({**HERE, "Sec-Fetch-Mode": "same-origin", "Sec-Fetch-Dest": "empty"}, False),
        (
            {
                **HERE,
                "Sec-Fetch-Mode": "same-origin",
                "Sec-Fetch-Dest": "empty",
                "Referer": f"{ROOT}/page",
            },
            True,
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("of_request", [False, True], ids=["", "a callable"])
def test_only_a_page_of_the_site_signs_out(connections, browser, headers, works, of_request):
    base_url = (lambda request: ROOT) if of_request else ROOT
    headers = headers or {"Accept": "*/*"}
    with running_login(connections, base_url=base_url) as site:
        answer = sign_out(browser, site, **headers)
    assert answer.status_code in ((204, 303) if works else (403,))
    assert ("Set-Cookie" in answer.headers) == works


def test_a_script_of_another_site_hears_it_as_json(connections, browser):
    with running_login(connections, base_url=ROOT) as site:
        answer = sign_out(browser, site, **{**SCRIPT, "Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert answer.json()["error_description"].startswith(f"Only a page of {ROOT}")


def test_without_a_known_address_nobody_signs_out(connections, browser):
    def forwarded(inner):
        return lambda environ, start: inner({**environ, "HTTP_X_FORWARDED_FOR": "1.2.3.4"}, start)

    with running_login(connections, around=forwarded) as site:
        answer = sign_out(browser, site, **HERE)
    assert answer.status_code == 403
    assert "base_url is not set" in answer.text


def test_other_browsers_stay_logged_in(connections, browser, flow):
    with running_login(connections) as site, Browser() as other:
        log_in(browser, site)
        log_in(other, site)
        sign_out(browser, site, **HERE)
        let_time_pass(other, flow, 61)
        assert user_at(other, site)["username"] == "joe"


def test_a_copy_of_the_cookie_is_out_within_a_minute(connections, browser, flow):
    """Such as one that an earlier response brings, which arrives after the sign-out."""
    with running_login(connections) as site, Browser() as copy:
        log_in(browser, site)
        (cookie,) = login_cookies(browser)
        copy.session.cookies.set(cookie.name, cookie.value, domain="localhost.local", path="/")
        sign_out(browser, site, **HERE)
        assert user_at(copy, site)["username"] == "joe"
        let_time_pass(copy, flow, 61)
        assert user_at(copy, site) == {}
        log_in(browser, site)
        let_time_pass(browser, flow, 61)
        assert user_at(browser, site)["username"] == "joe"


def test_a_stranger_may_sign_out_as_often_as_they_like(connections, browser):
    with running_login(connections, require=True) as site:
        for _ in range(2):
            assert sign_out(browser, site, **FORM, Origin=site.url).status_code == 303


@pytest.mark.parametrize("headers", [FORM, SCRIPT], ids=["form", "script"])
def test_a_user_can_sign_out_of_a_browser_while_the_store_is_down(flow, browser, headers, caplog):
    class Down(MemoryStore):
        is_down = False

        def claim(self, name, seconds):
            if self.is_down:
                raise StoreUnavailable("The database cannot be reached.")
            return super().claim(name, seconds)

    store = Down()
    with running_login(Connections(flow, store)) as site:
        log_in(browser, site)
        store.is_down = True
        answer = sign_out(browser, site, **headers)
        assert answer.status_code in (204, 303)
        assert "copies of the cookie still work" in caplog.text
        assert user_at(browser, site) == {}
