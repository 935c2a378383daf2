"""The button in three real browsers: the middleware, and a provider in another process.

Each test is a row of the table that the run ends with, each engine a column. The popup blockers are
on.
"""

from contextlib import contextmanager
from importlib.metadata import files
from urllib.parse import parse_qsl, urlsplit

import pytest
from support.engines.steps import log_in
from support.flows import flow_for
from support.site import JOE, Store, running_site
from support.windows import REST
from support.world import NAUGHTY, NO_POPUP, SPECIFIED_BUTTON, SPECIFIED_SCRIPT

from scconnect_wsgi.documentation import entry
from scconnect_wsgi.middleware import asset_folder
from scconnect_wsgi.sandbox import Sandbox, serve

pytestmark = pytest.mark.engines

BUTTON = '<a href="#" id="sc-connect">Connect with SoundCloud</a>'
COOP = ("Cross-Origin-Opener-Policy", "same-origin")
OURS = '<script src="PREFIX/sc-connect/sc-connect.js"></script>'
LISTEN = "addEventListener('scconnect:done', function (event) { heard.push(event.detail); });"
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


def once(*parameters):
    """Return parameters of a test that one engine is enough for, beside those for all."""
    return pytest.param(*parameters, marks=pytest.mark.one_engine)


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

    def __init__(
        self, *, body=BUTTON, before="", script="", inline="", prefix="", headers=(), loading=OURS
    ):
        tags = (
            f'<script src="/jquery.js"></script><script src="{prefix}/before.js"></script>'
            + loading.replace("PREFIX", prefix)
            + f'<script src="{prefix}/script.js"></script>'
        )
        no_script = "<noscript><p id=off></p></noscript>"
        page = f"<!DOCTYPE html><title>A shop</title>{body}{no_script}{tags}{inline}"
        self.files = {
            "/page": ("text/html", page.encode(), list(headers)),
            "/before.js": ("text/javascript", (EARS + before).encode(), []),
            "/script.js": ("text/javascript", script.encode(), []),
            "/jquery.js": ("text/javascript", jquery(), []),
            # As a bundler copies it, under the name of the bundle
            "/static/js/bundle.js": (
                "text/javascript",
                (asset_folder() / "sc-connect.js").read_bytes(),
                [],
            ),
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


def connect(profile, page, button="#sc-connect", choice="#allow"):
    """Press the button, log in, decide, and wait until the popup is gone."""
    popup = profile.popup_of(page.click, button)
    log_in(popup)
    popup.click_away(choice)
    popup.wait_closed()


def heard(page, count=1, name="heard"):
    """Wait for ``count`` calls of the page's callback, and return what it was called with.

    A little longer is waited for a call too many: twice as long as in Chromium's own tests.
    """
    page.wait(f"typeof {name} !== 'undefined' && {name}.length >= {count}")
    page.evaluate(f"void setTimeout(function () {{ window.later = true; }}, {2 * REST})")
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


@pytest.mark.parametrize("where", ["provider", "site", once("both")])
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
    with shop(provider, body=body, script=LISTEN) as site:
        page = profile.open(site.page)
        page.click("#script")
        page.evaluate("void setTimeout(function () { window.looked = true; }, 400)")
        page.wait("window.looked")
        assert page.evaluate("typeof ran") == "undefined"
        assert (profile.handles(), page.url) == ([page.handle], f"{site.page}")
        connect(profile, page)
        assert heard(page) == [JOE]


# As SoundCloud's own scripts do: 3.x assigns the whole of window.SC, 1.x and 2.x a copy of what was
# there and of their own. A module namespace cannot be extended.
THEIRS = "initialize: function () { return 'theirs'; }"
LIBRARIES = {
    "sdk.js 3": f"(function () {{ this.SC = {{{THEIRS}}}; }}).call(window);",
    "sdk.js 2": f"""
        window.SC = window.SC || {{}};
        window.SC = Object.assign({{}}, SC, {{{THEIRS}}});
    """,
    "var": f"var SC = {{{THEIRS}}};",
    "const": f"const SC = {{{THEIRS}}};",
    "function": "function SC() {} SC.initialize = function () { return 'theirs'; };",
    "frozen": f"window.SC = Object.freeze({{{THEIRS}}});",
    "defineProperty": f"Object.defineProperty(window, 'SC', {{value: {{{THEIRS}}}}});",
}


# What an engine can do its own way is the kind of the name. The order alone changes nothing there.
@pytest.mark.parametrize(
    ("library", "order"),
    [
        *((name, "after") for name in LIBRARIES),
        ("sdk.js 3", "before"),
        *(once(name, "before") for name in LIBRARIES if name != "sdk.js 3"),
    ],
)
def test_another_script_that_has_an_sc(profile, provider, library, order):
    other = f"<script>{LIBRARIES[library]}</script>"
    loading = other + OURS if order == "before" else OURS + other
    with shop(provider, loading=loading) as site:
        page = profile.open(site.page)
        assert page.evaluate("[SC.initialize(), typeof SC.Connect.open]") == ["theirs", "function"]
        connect(profile, page)
        assert heard(page) == [JOE]


def test_another_script_that_has_an_sc_and_is_loaded_late(profile, provider):
    late = """
    SC.Connect.options = {marker: 1};
    addEventListener('load', function () {
      setTimeout(function () {
        var script = document.createElement('script');
        script.textContent = 'SC = {initialize: function () {}};';
        document.head.append(script);
        window.late = [typeof SC.initialize, typeof SC.Connect.open, SC.Connect.options.marker];
      });
    });
    """
    with shop(provider, script=late + prepare()) as site:
        page = profile.open(site.page)
        page.wait("window.late")
        assert page.evaluate("late") == ["function", "function", 1]
        connect(profile, page)
        assert heard(page) == [JOE]


# The loader of the last one changes the type of a script, and evaluates its text later
LOADINGS = {
    "a module": '<script type="module" src="PREFIX/sc-connect/sc-connect.js"></script>',
    "import()": "<script>import('PREFIX/sc-connect/sc-connect.js');</script>",
    "a script element of a script": """<script>
        var added = document.createElement('script');
        added.src = 'PREFIX/sc-connect/sc-connect.js';
        document.head.append(added);
        added.remove();
        </script>""",
    "a script after one that keeps stack traces as lists": """
        <script>Error.prepareStackTrace = function (error, frames) { return frames; };</script>
        <script src="PREFIX/sc-connect/sc-connect.js"></script>""",
    "a bundle beside button.css": """
        <link rel="stylesheet" href="PREFIX/sc-connect/button.css">
        <script src="PREFIX/static/js/bundle.js"></script>""",
    "a bundle and options": """
        <script src="PREFIX/static/js/bundle.js"></script>
        <script>
        SC.Connect.options = {request_token_endpoint: 'PREFIX/oauth/request_token'};
        </script>
        """,
    "a bundle and options beside a copy of button.css": """
        <link rel="stylesheet" href="PREFIX/static/sc-connect/button.css">
        <script src="PREFIX/static/js/bundle.js"></script>
        <script>
        SC.Connect.options = {request_token_endpoint: 'PREFIX/oauth/request_token'};
        </script>
        """,
    "Rocket Loader": """
        <script type="1f-text/javascript" src="PREFIX/sc-connect/sc-connect.js"></script>
        <script>
        addEventListener('DOMContentLoaded', function () {
          fetch(document.querySelector('script[type^="1f-"]').src)
            .then(function (answer) { return answer.text(); })
            .then(function (text) { (0, eval)(text); });
        });
        </script>""",
}


LOADED_ALIKE = (  # by what other rows load by, or told by what only Chromium has
    "a script after one that keeps stack traces as lists",
    "a bundle beside button.css",
    "a bundle and options beside a copy of button.css",
)


@pytest.mark.parametrize(
    "loading", [once(name) if name in LOADED_ALIKE else name for name in LOADINGS]
)
def test_a_script_below_a_prefix_that_is_loaded_as(profile, provider, loading):
    misleading = "<img name=currentScript src='http://127.0.0.1:9//127.0.0.1:9/sc-connect.js'>"
    body = f"{misleading}<a href='#' id='sc-connect' data-sc-connect>Connect</a>"
    with shop(
        provider, prefix="/shop", body=body, loading=LOADINGS[loading], script=LISTEN
    ) as site:
        page = profile.open(site.page)
        page.wait_for("#sc-connect[role=button]")
        connect(profile, page)
        assert heard(page) == [JOE]


HOST = """<div id="host"></div><script>
var root = document.getElementById('host').attachShadow({mode: 'MODE'});
root.innerHTML = '<ELEMENT href="#" id="inner" style="display: block" MARK>Connect</ELEMENT>';
function inner() { return root.getElementById('inner'); }
</script>"""
HOST_LATER = """<div id="host"></div><script>
addEventListener('load', function () { setTimeout(function () {
  var root = document.getElementById('host').attachShadow({mode: 'open'});
  root.innerHTML = '<a href="#" style="display: block" data-sc-connect>Connect</a>';
}); });
</script>"""
PREPARE_INNER = "SC.Connect.prepareButton(inner(), {});"


def host(mode, *, element="a", mark=""):
    return HOST.replace("MODE", mode).replace("ELEMENT", element).replace("MARK", mark)


SHADOWS = {
    "marked, open": (host("open", mark="data-sc-connect"), ""),
    "marked, open, a span": (host("open", element="span", mark="data-sc-connect"), ""),
    "marked, open, attached later": (HOST_LATER, ""),
    "prepared, open": (host("open"), PREPARE_INNER),
    "prepared, closed": (host("closed"), PREPARE_INNER),
}


@pytest.mark.parametrize(
    ("shadow", "action"),
    [
        *((name, "click") for name in SHADOWS),
        ("prepared, closed", "Enter"),
        *(once(name, "Enter") for name in SHADOWS if name != "prepared, closed"),
    ],
)
def test_a_button_in_a_shadow_root(profile, provider, shadow, action):
    body, script = SHADOWS[shadow]
    with shop(provider, body=body, script=LISTEN + script) as site:
        page = profile.open(site.page)
        if "later" in shadow:
            page.wait("document.getElementById('host').shadowRoot !== null")
        if action == "click":
            connect(profile, page, "#host")
        else:
            page.press("Tab")
            page.wait("document.activeElement.id === 'host'")
            popup = profile.popup_of(page.press, "Enter")
            log_in(popup)
            popup.click_away("#allow")
            popup.wait_closed()
        assert heard(page) == [JOE]


@pytest.mark.parametrize(
    ("link", "key"),
    [
        ("href='#'", "click"),
        ("xlink:href='#'", "Enter"),
        ("", "click"),
        ("", "Enter"),
        ("", "Space"),
        once("href='#'", "Enter"),
        once("href='#'", "Space"),
        once("xlink:href='#'", "click"),
        once("xlink:href='#'", "Space"),
    ],
)
def test_a_link_in_a_drawing(profile, provider, link, key):
    body = f"""<svg width="90" height="30"><a id="sc-connect" {link} data-sc-connect>
        <rect width="90" height="30"/></a></svg>"""
    with shop(provider, body=body, script=LISTEN) as site:
        page = profile.open(site.page)
        if key == "click":
            popup = profile.popup_of(page.click, "svg")
        else:
            page.press("Tab")
            page.wait("document.activeElement.id === 'sc-connect'")
            popup = profile.popup_of(page.press, key)
        log_in(popup)
        popup.click_away("#allow")
        popup.wait_closed()
        assert heard(page) == [JOE]
        assert len(profile.handles()) == 1


@contextmanager
def two_names(provider, *, protocol="oauth2", headers=()):
    """Run a site whose page is at 127.0.0.1, and its base_url at localhost."""
    with running_site(
        flow_for(protocol, provider),
        app=Shop(script=prepare() + CONSOLE, headers=list(headers)),
        store_token=Store(),
        base_url=lambda request: f"http://localhost:{request.host_port}",
    ) as site:
        site.page = f"{site.url.replace('localhost', '127.0.0.1')}/page"
        yield site


CONSOLE = """
var said = [], warn = console.warn;
console.warn = function () {
  said.push([].join.call(arguments, ' '));
  warn.apply(this, arguments);
};
"""


def test_a_page_at_another_address_than_base_url_is_told_at_the_start(profile, provider, caplog):
    with two_names(provider) as site:
        page = profile.open(site.page)
        popup = profile.popup_of(page.click, "#sc-connect")
        popup.wait("document.querySelector('h1').textContent === 'This page has another address'")
        both = (site.page.removesuffix("/page"), site.url)
        text = popup.evaluate("document.querySelector('main').textContent")
        assert [address in text for address in both] == [True, True]
        [fields] = heard(page)
        assert fields["error"] == "start_refused"
        [said] = page.evaluate("said")
        assert [address in said for address in both] == [True, True]
        assert said.endswith(f" See {entry('This page has another address')}")
        assert [address in caplog.text for address in both] == [True, True]
        assert not popup.closed


def test_a_popup_that_ends_at_another_address_than_the_page_says_so(profile, provider):
    # With this policy no Referer tells the server where the page is
    with two_names(provider, headers=[("Referrer-Policy", "no-referrer")]) as site:
        page = profile.open(site.page)
        popup = profile.popup_of(page.click, "#sc-connect")
        log_in(popup)
        popup.click("#allow")
        popup.wait("document.querySelector('#parting').textContent.includes('another address')")
        assert site.url in popup.evaluate("document.querySelector('#parting').textContent")
        popup.wait("document.readyState === 'complete'")
        assert not popup.closed
        assert heard(page, 0) == []


def test_a_popup_closes_although_its_page_has_been_left_for_another_site(profile, provider):
    with shop(provider) as site:
        page = profile.open(site.page)
        popup = profile.popup_of(page.click, "#sc-connect")
        log_in(popup)
        page.goto(provider)
        popup.click_away("#allow")
        popup.wait_closed()
        assert len(site.store.tokens) == 1


class AddingAFragment:
    """A provider that adds a fragment to the address that it sends people back to."""

    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        def start(status, headers, *more):
            back = [
                (name, f"{value}#_=_" if "/oauth/access_token?" in value else value)
                for name, value in headers
            ]
            return start_response(status, back, *more)

        return self.app(environ, start)


@pytest.mark.parametrize("end", ["return_to", "the page"])
def test_a_fragment_of_the_provider_does_not_stick_to_the_page(profile, end):
    link = '<a id="sc-connect" href="/oauth/request_token?return_to=/page">Connect</a>'
    options = {"body": link, "script": ""} if end == "return_to" else {"before": NO_POPUP}
    with serve(AddingAFragment(Sandbox())) as provider, shop(provider.url, **options) as site:
        page = profile.open(site.page)
        page.click("#sc-connect")
        log_in(page)
        page.click("#allow")
        page.wait("location.pathname === '/page' && document.readyState === 'complete'")
        assert page.evaluate("[location.hash, location.href.includes('_=_')]") == ["", False]
