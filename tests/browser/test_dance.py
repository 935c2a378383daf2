"""The page of the specification in Chromium: the middleware, and a provider in another process."""

from contextlib import contextmanager
from threading import Event
from urllib.parse import unquote_plus

import pytest
from support.flows import flow_for
from support.page import Elements
from support.site import JOE, KEY, Store, running_site
from support.windows import REST, closed, heard, log_in, opened, popup_of, press
from support.world import HEARING, NO_POPUP, SPECIFIED_BUTTON, SPECIFIED_SCRIPT, pairs

from scconnect_wsgi import SCConnect
from scconnect_wsgi.sandbox import serve

pytestmark = pytest.mark.browser

RELAY_KEY = KEY[::-1]
PLAIN_SCRIPT = """
    SC.Connect.prepareButton(document.getElementById('sc-connect'), {
      request_token_endpoint: '/oauth/request_token',
      access_token_endpoint: '/oauth/access_token',
      callback: function (query_obj) { heard.push(query_obj); }
    });
"""


def page_with_the_button(environ, start_response):
    """Be the wrapped application, with one page whose script depends on the path."""
    script = {
        "/": PLAIN_SCRIPT,
        "/specified": SPECIFIED_SCRIPT,
        "/blocked": NO_POPUP + PLAIN_SCRIPT,
    }
    if environ["PATH_INFO"] not in script:  # the icon that browsers ask for
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b""]
    text = (
        f"<!DOCTYPE html><title>A shop</title><link rel=icon href=data:,>{SPECIFIED_BUTTON}"
        f"<script>{HEARING}</script>"
        '<script src="/sc-connect/sc-connect.js"></script>'
        f"<script>{script[environ['PATH_INFO']]}</script>"
    )
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [text.encode()]


@pytest.fixture(params=["oauth1", "oauth2"])
def protocol(request):
    return request.param


@pytest.fixture
def site(protocol, sandbox_process):
    with shop(protocol, sandbox_process.url) as site:
        yield site


@contextmanager
def shop(protocol, provider, **options):
    with running_site(
        flow_for(protocol, provider), app=page_with_the_button, store_token=Store(), **options
    ) as site:
        yield site


def exchanges(sandbox_process):
    counts = sandbox_process.counts()
    return counts.get("token", 0) + counts.get("access_token", 0)


@pytest.mark.parametrize("path", ["/specified", "/"], ids=["jQuery", "plain node"])
def test_the_page_of_the_specification_connects(context, site, sandbox_process, path):
    before = exchanges(sandbox_process)
    page = opened(context, site.url + path)
    popup = popup_of(page)
    log_in(popup)
    assert popup.url.startswith(sandbox_process.url)
    press(popup, "#allow")
    assert heard(page) == [pairs(JOE)]
    assert closed(popup)
    assert page.url == site.url + path
    assert (len(site.store.tokens), exchanges(sandbox_process) - before) == (1, 1)
    assert [cookie["name"] for cookie in context.cookies(site.url)] == ["scconnect-finished"]


def test_a_refusal_reaches_the_page(context, site):
    page = opened(context, f"{site.url}/")
    popup = popup_of(page)
    log_in(popup)
    press(popup, "#deny")
    [fields] = heard(page)
    assert dict(fields)["error"] == "access_denied"
    assert closed(popup)
    assert site.store.tokens == []


@contextmanager
def laptop_behind(protocol, provider, relays):
    """Run a laptop that shares the callback of production, which relays to it or to nobody."""
    deployed = []
    with serve(lambda environ, start_response: deployed[0](environ, start_response)) as server:
        shared = {"callback_url": f"{server.url}/oauth/access_token", "relay_key": RELAY_KEY}
        with shop(protocol, provider, **shared) as laptop:
            production = SCConnect(
                page_with_the_button,
                flow_for(protocol, provider),
                secret_key=KEY,
                store_token=Store(),
                relay_to=[laptop.url] if relays else [],
                relay_key=RELAY_KEY,
            )
            deployed.append(production)
            yield laptop


@pytest.mark.threat(50)
def test_50_a_laptop_connects_through_the_callback_of_production(
    context, protocol, sandbox_process
):
    with laptop_behind(protocol, sandbox_process.url, relays=True) as laptop:
        page = opened(context, f"{laptop.url}/")
        popup = popup_of(page)
        log_in(popup)
        press(popup, "#allow")
        assert heard(page) == [pairs(JOE)]
        assert closed(popup)
    assert len(laptop.store.tokens) == 1


@pytest.mark.threat(50)
def test_50_production_says_why_it_does_not_relay(context, protocol, sandbox_process):
    with laptop_behind(protocol, sandbox_process.url, relays=False) as laptop:
        page = opened(context, f"{laptop.url}/")
        popup = popup_of(page)
        log_in(popup)
        press(popup, "#allow")
        popup.wait_for_url("http://127.0.0.1:*/sc-connect/close.html*")
        popup.wait_for_selector("#parting:text('tell the people who run the site')")
        assert "which is not in the relay_to of this one" in unquote_plus(popup.url)
        page.wait_for_timeout(REST)
        assert not popup.is_closed()
        assert laptop.store.tokens == []


@pytest.mark.threat(24)
def test_24_a_provider_that_severs_the_popup_still_connects(context, protocol, sandbox_process):
    with shop(protocol, f"{sandbox_process.url}/misbehave/coop") as site:
        page = opened(context, f"{site.url}/")
        popup = popup_of(page)
        log_in(popup)
        assert popup.evaluate("opener") is None
        page.wait_for_timeout(300)  # popup.closed reads true by now
        press(popup, "#allow")
        assert heard(page) == [pairs(JOE)]
        assert closed(popup)
    assert len(site.store.tokens) == 1


@pytest.mark.threat(1)
def test_1_a_start_that_another_site_caused_is_asked_about(context, site, sandbox_process):
    def elsewhere(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/html")])
        link = f'<a id="lure" href="{site.start}">Win!</a>'
        return [f"<!DOCTYPE html><link rel=icon href=data:,>{link}".encode()]

    with serve(elsewhere) as other:
        before = sandbox_process.counts()
        # On 127.0.0.1, which is another site to a browser than localhost
        page = opened(context, other.url)
        page.click("#lure")
        page.wait_for_selector("h1:text('Connect your account?')")
        assert (page.url, sandbox_process.counts()) == (site.start, before)
        assert context.cookies(site.url) == []
        tags = [tag for tag, _ in Elements(page.content()).tags]
        assert [tag for tag in tags if tag in ("a", "button", "script")] == ["button", "a"]
        cursor = page.eval_on_selector("button", "button => getComputedStyle(button).cursor")
        assert cursor == "pointer"  # the style sheet applies
        page.click("button")
        log_in(page)
        page.click("#allow")
        page.wait_for_selector("h1:text('You are connected')")
    assert len(site.store.tokens) == 1


@pytest.mark.threat(3)
def test_3_the_page_that_asks_starts_the_flow_without_fetch_metadata(context, sandbox_process):
    """As behind a proxy that drops these headers: only the page's Origin or Referer is left."""

    def dropping(app):
        def application(environ, start_response):
            for name in [name for name in environ if name.startswith("HTTP_SEC_FETCH_")]:
                del environ[name]
            return app(environ, start_response)

        return application

    with shop("oauth2", sandbox_process.url, around=dropping) as site:
        page = opened(context, site.start)
        page.click("button:text('Continue')")
        log_in(page)
        page.click("#allow")
        page.wait_for_selector("h1:text('You are connected')")
    assert len(site.store.tokens) == 1


@pytest.mark.threat(20)
def test_20_a_callback_that_is_gone_back_to_or_loaded_again(context, site, sandbox_process):
    page = context.new_page()
    callbacks = []
    page.on(
        "request",
        lambda request: (
            callbacks.append(request.url) if request.url.startswith(site.callback) else None
        ),
    )
    page.goto(site.start)  # typed into the address bar
    log_in(page)
    page.click("#allow")
    page.wait_for_selector("h1:text('You are connected')")
    before = exchanges(sandbox_process)
    token = list(site.store.tokens)
    page.reload()
    page.wait_for_selector("h1:text('You are connected')")
    page.go_back()
    assert page.url.startswith(sandbox_process.url)
    assert len(callbacks) == 1  # the callback itself is no entry of the history
    page.goto(callbacks[0])  # somebody kept its address all the same
    page.wait_for_selector("h1:text('Already done')")
    assert "error=flow_finished" in page.url
    assert "internal" not in page.inner_text("main").lower()
    assert (site.store.tokens, exchanges(sandbox_process)) == (token, before)


@pytest.mark.threat(42)
def test_42_whoever_clicks_allow_twice_is_connected(context, sandbox_process):
    """Each click sends another code of the same flow, and the browser drops the request before.

    OAuth 2.1 only: in OAuth 1.0a the first callback has used up what is to be allowed.
    """
    callbacks = []
    came_again = Event()
    store = Store()

    def store_token(token, request):
        assert came_again.wait(60)
        return store(token, request)

    def note(request):
        if "/oauth/access_token?" in request.url:
            callbacks.append(request.url)
        if len(callbacks) == 2:
            came_again.set()

    with running_site(
        flow_for("oauth2", sandbox_process.url), app=page_with_the_button, store_token=store_token
    ) as site:
        before = exchanges(sandbox_process)
        page = opened(context, f"{site.url}/")
        popup = popup_of(page)
        log_in(popup)
        popup.on("request", note)
        popup.evaluate("setInterval(() => document.getElementById('allow').click(), 1500)")
        assert heard(page) == [pairs(JOE)]
        assert len(callbacks) > 1
        assert closed(popup)
    assert (len(store.tokens), exchanges(sandbox_process) - before) == (1, 1)


@pytest.mark.threat(25)
def test_25_a_blocked_popup_becomes_a_full_page_flow(context, site):
    page = opened(context, f"{site.url}/blocked")
    page.click("#sc-connect")
    log_in(page)
    page.click("#allow")
    page.wait_for_url(f"{site.url}/blocked")
    assert heard(page) == [pairs(JOE)]
    assert len(context.pages) == 1
    assert len(site.store.tokens) == 1
