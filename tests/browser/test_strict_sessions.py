"""A site whose session cookie is SameSite=Strict, and its sign-in page, in three real browsers."""

from contextlib import contextmanager
from urllib.parse import parse_qs

import pytest
from support.engines.steps import allow
from support.flows import flow_for
from support.site import JOE, Store, running_site

pytestmark = pytest.mark.engines

WORKER = """
addEventListener('install', () => skipWaiting());
addEventListener('activate', (event) => event.waitUntil(clients.claim()));
addEventListener('fetch', (event) => event.respondWith(fetch(event.request)));
"""
LINK = '<a id="link" href="/oauth/request_token?return_to=/done">Connect</a>'
PAGE = f"""<!DOCTYPE html><title>A shop</title>{LINK}
<button id="popup" data-sc-connect="/oauth/request_token">Connect</button>
<script src="/sc-connect/sc-connect.js"></script>
<script>
  var heard = [];
  function hear(event) {{ heard.push(event.detail); }}
  addEventListener('scconnect:done', hear);
  addEventListener('scconnect:failed', hear);
</script>"""
REGISTER = "<script>navigator.serviceWorker.register('/worker.js');</script>"
SIGN_IN = """<!DOCTYPE html><title>Sign in</title>
<form method="post"><button id="sign-in">Sign in as joe</button></form>"""
SESSION = "session=joe; Path=/; HttpOnly; SameSite=Strict"


@contextmanager
def shop(provider, **options):
    def app(environ, start_response):
        path = environ["PATH_INFO"]
        status, headers, text = "200 OK", [("Content-Type", "text/html")], PAGE
        if path == "/signed-in":
            headers.append(("Set-Cookie", SESSION))
        elif path == "/worker":
            text = PAGE + REGISTER
        elif path == "/worker.js":
            headers, text = [("Content-Type", "text/javascript")], WORKER
        elif path == "/login" and environ["REQUEST_METHOD"] == "GET":
            text = SIGN_IN
        elif path == "/login":
            there = parse_qs(environ["QUERY_STRING"])["next"][0]
            status = "303 See Other"
            headers += [("Set-Cookie", SESSION), ("Location", there)]
        start_response(status, headers)
        return [text.encode()]

    with running_site(
        flow_for("oauth2", provider),
        app=app,
        store_token=Store(),
        identify=lambda request: request.cookies.get("session"),
        **options,
    ) as site:
        site.done = f"{site.url}/done?username=joe&oauth_token_id=43#"
        yield site


def heard(page):
    page.wait("heard.length > 0")
    return page.evaluate("heard")


@pytest.mark.threat(14)
@pytest.mark.parametrize("worker", [False, True], ids=["", "behind a worker"])
def test_threat_14_a_strict_session_comes_back_in_the_page(profile, provider, worker):
    with shop(provider) as site:
        page = profile.open(f"{site.url}/signed-in")
        if worker:
            page.goto(f"{site.url}/worker")
            page.wait("navigator.serviceWorker.controller !== null")
        page.click("#link")
        allow(page)
        page.wait_for_url(site.done)
        assert page.evaluate("document.referrer") in ("", f"{site.url}/worker.js")  # WebKit's
        # No page with a code is left in the history
        page.back()
        page.wait("document.readyState === 'complete' && !location.pathname.startsWith('/done')")
        assert "code=" not in page.url


@pytest.mark.threat(14)
def test_threat_14_a_strict_session_comes_back_in_the_popup(profile, provider):
    with shop(provider) as site:
        page = profile.open(f"{site.url}/signed-in")
        popup = profile.popup_of(page.click, "#popup")
        allow(popup)
        popup.wait_closed()
        assert heard(page) == [JOE]


@pytest.mark.threat(14)
def test_threat_14_a_strict_session_comes_back_without_javascript(engine, provider):
    with engine.profile(javascript=False) as profile, shop(provider) as site:
        page = profile.open(f"{site.url}/signed-in")
        page.click("#link")
        allow(page)
        page.wait_for_url(site.done)


@pytest.mark.threat(14)
def test_a_sign_in_leads_there_and_back_in_the_page(profile, provider):
    with shop(provider, sign_in_url="/login") as site:
        page = profile.open(site.url)
        page.click("#link")
        page.click("#sign-in")
        allow(page)
        page.wait_for_url(site.done)


@pytest.mark.threat(14)
def test_a_sign_in_leads_there_and_back_in_the_popup(profile, provider):
    with shop(provider, sign_in_url="/login") as site:
        page = profile.open(site.url)
        popup = profile.popup_of(page.click, "#popup")
        popup.click("#sign-in")
        allow(popup)
        popup.wait_closed()
        assert heard(page) == [JOE]


@pytest.mark.threat(14)
def test_a_page_hears_that_nobody_is_signed_in(profile, provider):
    with shop(provider) as site:
        page = profile.open(site.url)
        page.click("#popup")
        assert [fields["error"] for fields in heard(page)] == ["not_signed_in"]
