"""The button behind a service worker of the site, in three real browsers."""

from contextlib import contextmanager

import pytest
from support.engines.steps import allow
from support.flows import flow_for
from support.node import Node
from support.site import JOE, Store, running_site
from support.world import serving

pytestmark = pytest.mark.engines

AT_ONCE = """
addEventListener('install', () => skipWaiting());
addEventListener('activate', (event) => event.waitUntil(clients.claim()));
"""
PRELOAD = """
addEventListener('activate', (event) => event.waitUntil(registration.navigationPreload.enable()));
"""
PASSING = "addEventListener('fetch', (event) => event.respondWith(fetch(event.request)));"
PRELOADED = """
const answer = async (event) => (await event.preloadResponse) || fetch(event.request);
addEventListener('fetch', (event) => event.respondWith(answer(event)));
"""
WORKBOX = """
import {{ {0} }} from 'workbox-strategies';
const strategy = new {0}();
addEventListener('fetch', (event) => {{
  if (event.request.method !== 'GET') return;  // as Workbox's routes do
  event.respondWith(strategy.handle({{ event, request: event.request }}));
}});
"""
HAND_WRITTEN = {
    "passing on": PASSING,
    "preloading": PRELOAD + PRELOADED,
}
STRATEGIES = ["NetworkFirst", "NetworkOnly", "StaleWhileRevalidate"]
PAGE = """<!DOCTYPE html><title>A shop</title>
<a id="link" href="/oauth/request_token?return_to=/done">Connect</a>
<form method="post" action="/oauth/request_token?return_to=/done">
  <button id="form">Connect</button>
</form>
<button id="popup" data-sc-connect="/oauth/request_token">Connect</button>
<script src="/sc-connect/sc-connect.js"></script>
<script>
  var heard = [];
  addEventListener('scconnect:done', function (event) { heard.push(event.detail); });
  navigator.serviceWorker.register('/shop-worker.js');
</script>"""
EVIL = """<!DOCTYPE html><title>Another site</title>
<a id="link" referrerpolicy="%(policy)s" href="%(start)s">Win</a>
<form method="post" action="%(start)s"><button id="form">Win</button></form>"""


@pytest.fixture(scope="session")
def bundles(tmp_path_factory):
    """The real strategies of Workbox, each as a script."""
    node = Node(tmp_path_factory.mktemp("workbox"))
    return {
        name: node.bundle(node.write(f"{name}.js", WORKBOX.format(name))) for name in STRATEGIES
    }


@pytest.fixture(
    params=[
        *HAND_WRITTEN,
        *(pytest.param(name, marks=pytest.mark.one_engine) for name in STRATEGIES),
    ]
)
def worker(request):
    if request.param in HAND_WRITTEN:
        return HAND_WRITTEN[request.param]
    return request.getfixturevalue("bundles")[request.param]


@contextmanager
def shop(provider, worker, headers=(), **options):
    files = {
        "/": ("text/html", PAGE, headers),
        "/done": ("text/html", "<!DOCTYPE html><title>Done</title><p id=done>", ()),
        "/shop-worker.js": ("text/javascript", AT_ONCE + worker, ()),
    }

    def app(environ, start_response):
        content_type, text, more = files.get(environ["PATH_INFO"], ("text/plain", "", ()))
        start_response("200 OK", [("Content-Type", f"{content_type}; charset=utf-8"), *more])
        return [text.encode()]

    with running_site(
        flow_for("oauth2", provider), app=app, store_token=Store(), **options
    ) as site:
        yield site


@contextmanager
def another_site(site, policy):
    text = EVIL % {"policy": policy, "start": f"{site.start}?return_to=/done"}

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/html"), ("Referrer-Policy", policy)])
        return [text.encode()]

    with serving(app) as port:
        yield f"http://127.0.0.1:{port}/"


def open_behind_worker(profile, site):
    page = profile.open(site.url)
    page.wait("navigator.serviceWorker.controller !== null")
    page.reload()
    page.wait("navigator.serviceWorker.controller !== null")
    return page


def wait_for_question(page):
    """Wait for the page with the button, and for its style: the button moves when that arrives."""
    page.wait("document.title === 'Connect your account?' && document.readyState === 'complete'")


def finish(page, site):
    allow(page)
    page.wait_for_url(f"{site.url}/done?username=joe&oauth_token_id=43#")


@pytest.mark.threat(2)
def test_threat_02_a_click_behind_a_worker_connects_each_time(profile, provider, worker):
    with shop(provider, worker) as site:
        page = open_behind_worker(profile, site)
        for count, button in enumerate(["#link", "#form", "#link"], start=1):
            page.goto(site.url)
            page.click(button)
            finish(page, site)
            assert len(site.store.tokens) == count


@pytest.mark.threat(2)
def test_threat_02_the_popup_behind_a_worker_connects(profile, provider, worker):
    with shop(provider, worker) as site:
        page = open_behind_worker(profile, site)
        popup = profile.popup_of(page.click, "#popup")
        allow(popup)
        popup.wait_closed()
        page.wait("heard.length > 0")
        assert page.evaluate("heard") == [JOE]


@pytest.mark.threat(2)
@pytest.mark.parametrize("policy", ["unsafe-url", "no-referrer"])
def test_threat_02_another_site_asks_behind_a_worker(profile, provider, worker, policy):
    with shop(provider, worker) as site, another_site(site, policy) as evil:
        page = open_behind_worker(profile, site)
        for button in ("#link", "#form", "#link"):  # WebKit's first link passes the worker by
            page.goto(evil)
            page.click(button)
            wait_for_question(page)
        page.click("form button")
        finish(page, site)
        assert len(site.store.tokens) == 1


@pytest.mark.threat(2)
@pytest.mark.parametrize("button", ["#link", "#form"])
def test_threat_02_a_page_without_a_referrer_asks_behind_a_worker(profile, provider, button):
    policy = [("Referrer-Policy", "no-referrer")]
    with shop(provider, PASSING, policy) as site:
        page = open_behind_worker(profile, site)
        page.click(button)
        wait_for_question(page)
        page.click("form button")
        finish(page, site)
