"""The button in three real browsers: the middleware, and a provider in another process.

Each test is a row of the table that the run ends with, each engine a column. The popup blockers are
on.
"""

import importlib
import os
from contextlib import contextmanager
from importlib.metadata import files
from urllib.parse import parse_qsl, urlsplit

import pytest
from support.engines.table import VERSIONS
from support.flows import flow_for
from support.site import JOE, Store, running_site
from support.world import NAUGHTY, NO_POPUP, SPECIFIED_BUTTON, SPECIFIED_SCRIPT

pytestmark = pytest.mark.engines

# tools/bootstrap.sh leaves out what a developer's machine does not have.
ENGINES = os.environ.get("TESTS_ENGINES", "chromium firefox webkit").split()
BUTTON = '<a href="#" id="sc-connect">Connect with SoundCloud</a>'
COOP = ("Cross-Origin-Opener-Policy", "same-origin")
STRICT = (
    "Content-Security-Policy",
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'",
)
# The page keeps its own errors, as each driver reports others.
EARS = """
var heard = [], complaints = [];
function complain(type, field) {
  addEventListener(type, function (event) { complaints.push(String(event[field])); });
}
complain('error', 'message');
complain('unhandledrejection', 'reason');
complain('securitypolicyviolation', 'violatedDirective');
"""


def prepare(selector="#sc-connect", into="heard", endpoint="/oauth/request_token"):
    """Return a script that prepares a button, whose callback appends what it gets to a list."""
    return f"""
        SC.Connect.prepareButton(document.querySelector('{selector}'), {{
          request_token_endpoint: '{endpoint}',
          access_token_endpoint: '/oauth/access_token',
          callback: function (fields) {{ {into}.push(fields); }}
        }});
    """


def jquery():
    """Return the real jQuery. Its package is not imported, which would need setuptools."""
    [script] = [file for file in files("XStatic-jQuery") if file.name == "jquery.min.js"]
    return script.read_binary()


class Shop:
    """The wrapped application: one page at /page, with scripts in files for a strict policy."""

    def __init__(self, *, body=BUTTON, before="", script="", inline="", prefix="", headers=()):
        sources = [
            "/jquery.js",
            f"{prefix}/before.js",
            f"{prefix}/sc-connect/sc-connect.js",
            f"{prefix}/script.js",
        ]
        tags = "".join(f'<script src="{source}"></script>' for source in sources)
        no_script = "<noscript><p id=off></p></noscript>"
        page = f"<!DOCTYPE html><title>A shop</title>{body}{no_script}{tags}{inline}"
        self.files = {
            "/page": ("text/html", page.encode(), list(headers)),
            "/before.js": ("text/javascript", (EARS + before).encode(), []),
            "/script.js": ("text/javascript", script.encode(), []),
            "/jquery.js": ("text/javascript", jquery(), []),
        }

    def __call__(self, environ, start_response):
        kind, body, headers = self.files.get(environ["PATH_INFO"], ("text/plain", b"nothing", []))
        status = "200 OK" if environ["PATH_INFO"] in self.files else "404 Not Found"
        length = ("Content-Length", str(len(body)))
        start_response(status, [("Content-Type", f"{kind}; charset=utf-8"), length, *headers])
        return [body]


class Numbering(Store):
    """Tell each page the number of its connection, and remember the provider's answers."""

    def __init__(self):
        super().__init__()
        self.answers = []

    def __call__(self, token, request):
        self.answers.append(request.query_string)
        super().__call__(token, request)
        return {"n": len(self.tokens)}


@contextmanager
def shop(provider, *, protocol="oauth2", store=None, prefix="", **page):
    """Run a site whose pages are those of ``Shop(**page)``."""
    page.setdefault("script", prepare(endpoint=f"{prefix}/oauth/request_token"))
    app = Shop(prefix=prefix, **page)
    with running_site(
        flow_for(protocol, provider), app=app, prefix=prefix, store_token=store or Store()
    ) as site:
        site.page = f"{site.url}/page"
        yield site


@pytest.fixture(scope="session", params=ENGINES)
def engine(request):
    with importlib.import_module(f"support.engines.{request.param}").running() as engine:
        request.config.stash[VERSIONS][engine.name] = engine.version
        yield engine


@pytest.fixture
def profile(engine):
    with engine.profile() as profile:
        yield profile


@pytest.fixture
def provider(sandbox_process):
    return sandbox_process.url


def log_in(window):
    """Log in at the provider, up to the question whether to allow."""
    # The page moves the focus there, and should not do so while we type
    window.wait_for("#username:focus")
    window.fill("#username", "joe")
    window.fill("#password", "joe")
    window.click("#login")
    window.wait_for("#allow")


def connect(profile, page, button="#sc-connect", choice="#allow"):
    """Press the button, log in, decide, and wait until the popup is gone."""
    popup = profile.popup_of(page.click, button)
    log_in(popup)
    popup.click_away(choice)
    popup.wait_closed()


def heard(page, count=1, name="heard"):
    """Wait for ``count`` calls of the page's callback, and return what it was called with.

    A little longer is waited for a call too many.
    """
    page.wait(f"typeof {name} !== 'undefined' && {name}.length >= {count}")
    page.evaluate("void setTimeout(function () { window.later = true; }, 400)")
    page.wait("window.later")
    assert page.evaluate("complaints") == []
    return [
        dict(pairs)
        for pairs in page.evaluate(f"{name}.map(function (f) {{ return Object.entries(f); }})")
    ]


@pytest.mark.parametrize("protocol", ["oauth2", "oauth1"])
def test_the_page_of_the_specification_verbatim_with_jquery(profile, provider, protocol):
    inline = f"<script>{SPECIFIED_SCRIPT}</script>"
    with shop(provider, protocol=protocol, body=SPECIFIED_BUTTON, script="", inline=inline) as site:
        page = profile.open(site.page)
        assert page.evaluate("typeof jQuery.fn.jquery") == "string"
        connect(profile, page)
        assert heard(page) == [JOE]
        assert (page.url, len(site.store.tokens)) == (site.page, 1)


def test_every_value_arrives_as_the_site_gave_it(profile, provider):
    with shop(provider, store=Store(NAUGHTY)) as site:
        page = profile.open(site.page)
        connect(profile, page)
        assert heard(page) == [NAUGHTY]
        assert page.evaluate("({}).polluted === undefined && heard[0].hasOwnProperty('__proto__')")


def test_a_refusal_reaches_the_page(profile, provider):
    with shop(provider) as site:
        page = profile.open(site.page)
        connect(profile, page, choice="#deny")
        [fields] = heard(page)
        assert (fields["error"], site.store.tokens) == ("access_denied", [])


@pytest.mark.parametrize("where", ["provider", "site", "both"])
def test_a_cross_origin_opener_policy_stops_nothing(profile, provider, where):
    root = provider if where == "site" else f"{provider}/misbehave/coop"
    with shop(root, headers=[] if where == "provider" else [COOP]) as site:
        page = profile.open(site.page)
        popup = profile.popup_of(page.click, "#sc-connect")
        log_in(popup)
        assert popup.evaluate("opener === null")  # cut off indeed
        popup.click_away("#allow")
        popup.wait_closed()
        assert heard(page) == [JOE]


def back_home(profile, page, address):
    """Finish a flow in the whole window, which ends where it began."""
    log_in(page)
    page.click("#allow")
    page.wait_for_url(address)
    assert heard(page) == [JOE]
    assert profile.handles() == [page.handle]


def never_again(page, address):
    page.reload()
    assert heard(page, 0) == []
    for _ in range(6):  # through the provider's pages, back to where the button was pressed
        before = page.evaluate("history.state || (history.replaceState('seen', ''), null)")
        page.back()
        page.wait("document.readyState === 'complete' && history.state !== 'seen'")
        if page.url == address and before is None:
            break
    assert page.url == address
    assert heard(page, 0) == []


def test_a_blocked_popup_becomes_a_full_page_flow(profile, provider):
    with shop(provider, before=NO_POPUP) as site:
        address = f"{site.page}?item=7&colour=red#reviews"
        page = profile.open(address)
        page.click("#sc-connect")
        back_home(profile, page, address)
        never_again(page, address)
        assert len(site.store.tokens) == 1


def test_a_popup_without_a_click_is_blocked_by_the_browser(profile, provider):
    script = "SC.Connect.open({callback: function (fields) { heard.push(fields); }});"
    with shop(provider, script=script) as site:
        page = profile.open(site.page)
        log_in(page)
        page.click("#allow")
        page.wait_for_url(site.page)
        assert heard(page) == [JOE]
        assert len(profile.handles()) == 1


def test_a_plain_link_connects_without_javascript(engine, provider):
    link = (
        '<a id="sc-connect" href="/oauth/request_token?return_to=/page">Connect with SoundCloud</a>'
    )
    with engine.profile(javascript=False) as profile, shop(provider, body=link) as site:
        page = profile.open(site.page)
        assert page.has("#off")  # what a browser with JavaScript never shows
        page.click("#sc-connect")
        log_in(page)
        page.click("#allow")
        page.wait_for("#off")
        address = urlsplit(page.url)
        assert (f"http://{address.netloc}{address.path}", dict(parse_qsl(address.query))) == (
            site.page,
            JOE,
        )
        assert (len(site.store.tokens), len(profile.handles())) == (1, 1)


def test_a_strict_content_security_policy_is_enough(profile, provider):
    with shop(provider, headers=[STRICT]) as site:
        page = profile.open(site.page)
        connect(profile, page)
        assert heard(page) == [JOE]


def test_two_buttons_have_their_own_callbacks(profile, provider):
    body = "<a href='#' id='one'>One</a> <a href='#' id='two'>Two</a>"
    script = f"var first = [], second = []; {prepare('#one', 'first')} {prepare('#two', 'second')}"
    with shop(provider, body=body, script=script, store=Numbering()) as site:
        page = profile.open(site.page)
        one = profile.popup_of(page.click, "#one")
        log_in(one)
        two = profile.popup_of(page.click, "#two")
        two.click_away("#allow")
        assert (heard(page, name="second"), heard(page, 0, name="first")) == ([{"n": "1"}], [])
        one.click_away("#allow")
        assert (heard(page, name="first"), heard(page, name="second")) == (
            [{"n": "2"}],
            [{"n": "1"}],
        )


def test_two_tabs_at_once_finish_in_the_reverse_order(profile, provider):
    with shop(provider, store=Numbering()) as site:
        one = profile.open(site.page)
        two = profile.open(site.page)
        first = profile.popup_of(one.click, "#sc-connect")
        log_in(first)
        second = profile.popup_of(two.click, "#sc-connect")
        second.click_away("#allow")
        assert (heard(two), heard(one, 0)) == ([{"n": "1"}], [])
        first.click_away("#allow")
        assert (heard(one), heard(two)) == ([{"n": "2"}], [{"n": "1"}])


def test_a_popup_closed_by_hand_can_be_tried_again(profile, provider):
    with shop(provider) as site:
        page = profile.open(site.page)
        popup = profile.popup_of(page.click, "#sc-connect")
        popup.wait_for("#login")
        popup.close()
        popup.wait_closed()
        connect(profile, page)
        assert heard(page)[-1] == JOE
        assert len(site.store.tokens) == 1


def test_a_callback_that_is_opened_again_ends_on_a_friendly_page(
    profile, provider, sandbox_process
):
    with shop(provider, store=Numbering()) as site:
        page = profile.open(site.page)
        connect(profile, page)
        assert heard(page) == [{"n": "1"}]
        exchanges = sandbox_process.counts()["token"]
        [answer] = site.store.answers
        again = profile.open(f"{site.callback}?{answer}")  # somebody kept its address
        for _ in range(2):
            again.wait("document.querySelector('h1').textContent === 'Already done'")
            assert "error=flow_finished" in again.url
            again.reload()
        assert not again.closed
        assert heard(page) == [{"n": "1"}]
        assert (len(site.store.tokens), sandbox_process.counts()["token"]) == (1, exchanges)


def test_a_site_below_a_prefix_connects(profile, provider):
    with shop(provider, prefix="/shop") as site:
        page = profile.open(site.page)
        connect(profile, page)
        assert heard(page) == [JOE]


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_the_keyboard_is_enough(profile, provider, key):
    button = '<button type="button" id="sc-connect">Connect with SoundCloud</button>'
    with shop(provider, body=BUTTON if key == "Enter" else button) as site:
        page = profile.open(site.page)
        page.press("Tab")
        page.wait("document.activeElement.id === 'sc-connect'")
        popup = profile.popup_of(page.press, key)
        popup.wait_for("#login")
        popup.wait("document.activeElement.id === 'username'")
        popup.type("joe")
        popup.press("Tab")
        popup.type("joe")
        popup.press("Tab")
        popup.press(key)
        popup.wait_for("#allow")
        for _ in range(5):
            if popup.evaluate("document.activeElement.id") == "allow":
                break
            popup.press("Tab")
        popup.press_away(key)
        popup.wait_closed()
        assert heard(page) == [JOE]


def test_an_answer_that_arrives_in_three_ways_is_told_once(profile, provider):
    ways = """
    var ways = [], Channel = window.BroadcastChannel;
    addEventListener('message', function () { ways.push('opener'); });
    addEventListener('storage', function (event) { if (event.newValue) ways.push('storage'); });
    window.BroadcastChannel = function (name) {
      const channel = new Channel(name);
      channel.addEventListener('message', function () { ways.push('channel'); });
      return channel;
    };
    """
    with shop(provider, before=ways) as site:
        page = profile.open(site.page)
        connect(profile, page)
        assert heard(page) == [JOE]
        assert len(set(page.evaluate("ways"))) >= 2  # or this test would be about nothing


def test_markup_from_elsewhere_runs_no_script_and_opens_no_other_site(profile, provider):
    image = "<img name='currentScript' src='http://127.0.0.1:9//127.0.0.1:9/a/b'>"
    link = "<a href='#' id='{}' data-sc-connect='{}'>Connect</a> "
    body = (
        image
        + link.format("script", "javascript:void((opener||window).ran=1)")
        + link.format("sc-connect", "")
    )
    listen = "addEventListener('scconnect:done', function (event) { heard.push(event.detail); });"
    with shop(provider, body=body, script=listen) as site:
        page = profile.open(site.page)
        page.click("#script")
        page.evaluate("void setTimeout(function () { window.looked = true; }, 400)")
        page.wait("window.looked")
        assert page.evaluate("typeof ran") == "undefined"
        assert (profile.handles(), page.url) == ([page.handle], f"{site.page}")
        connect(profile, page)
        assert heard(page) == [JOE]
