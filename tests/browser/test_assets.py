"""The browser files: their contents, and what they do in a real Chromium.

The site and the provider are those of support/world.py.
"""

import json
import re
import string
import struct

import pytest
from support.flows import CODES
from support.page import Elements, contrast
from support.paths import CHECKOUT
from support.site import JOE
from support.windows import REST, closed, heard, opened, popup_of, press
from support.world import (
    NAUGHTY,
    NO_POPUP,
    SPECIFIED_BUTTON,
    SPECIFIED_SCRIPT,
    endpoint,
    pairs,
    prepare,
)

ASSETS = CHECKOUT / "assets"
EXAMPLES = [str(path.relative_to(CHECKOUT)) for path in sorted(CHECKOUT.glob("examples/**/*.py"))]
DRAWINGS = [
    str(path.relative_to(CHECKOUT))
    for folder in ("assets", "scconnect_wsgi")
    for path in sorted((CHECKOUT / folder).rglob("*"))
    if path.suffix in (".svg", ".html") and "<svg" in path.read_text("utf-8")
]


# The files' contents


def png_size(name):
    signature, size = struct.unpack("!8s8x8s8x", (ASSETS / name).read_bytes()[:32])
    assert signature == b"\x89PNG\r\n\x1a\n"
    return struct.unpack("!II", size)


def test_the_button_has_the_size_of_the_specification():
    assert png_size("sc-connect.png") == (242, 31)
    assert png_size("sc-connect@2x.png") == (484, 62)


@pytest.mark.parametrize("name", ["close.html", "page.html"])
def test_a_page_needs_nothing_that_its_policy_forbids(name):
    page = Elements((ASSETS / name).read_text("utf-8"))
    attributes = {attribute for _, attrs in page.tags for attribute in attrs}
    assert page.inline == []
    assert "style" not in {tag for tag, _ in page.tags} | attributes
    assert not [attribute for attribute in attributes if attribute.startswith("on")]


def test_close_html_is_whole_under_any_mount_point():
    tags = Elements((ASSETS / "close.html").read_text("utf-8")).tags
    links = [attrs[key] for _, attrs in tags for key in ("src", "href") if key in attrs]
    translations = json.loads((ASSETS / "page.json").read_text("utf-8"))
    home = ["../"] * (2 + len(translations))  # the button, and a link in English and each of these
    assert sorted(links) == [*home, "close.js", "sc-connect.css"]


def test_page_html_takes_its_fields_and_runs_no_script():
    template = string.Template((ASSETS / "page.html").read_text("utf-8"))
    fields = {
        "answer": "error=E",
        "title": "T",
        "message": "M",
        "assets": "/shop/sc-connect",
        "home": "/shop/",
        "action": "<form></form>",
        "refresh": '<meta http-equiv="refresh" content="0; url=?a=b">',
        "error_id": "<p>1a2b3c4d</p>",
    }
    assert set(re.findall(r"\$(\w+)", template.template)) == set(fields)
    tags = Elements(template.substitute(fields)).tags
    assert "script" not in {tag for tag, _ in tags}
    assert [attrs["href"] for tag, attrs in tags if tag == "link"] == [
        "/shop/sc-connect/sc-connect.css"
    ]
    assert [attrs["href"] for tag, attrs in tags if tag == "a"] == ["/shop/"]


@pytest.mark.parametrize("file", ["README.md", "docs/browser.md", "docs/button.md", *EXAMPLES])
def test_what_a_site_copies_shows_the_drawing_and_not_a_blurred_picture(file):
    text = (CHECKOUT / file).read_text("utf-8")
    assert re.findall(r"(?:src=[\"']?|\]\()[^\s\"')]*sc-[a-z-]*\.png", text) == []


@pytest.mark.parametrize("code", CODES)
def test_every_failure_has_a_sentence_for_the_user_and_one_for_the_developer(code):
    assert len(re.findall(rf"    \['{code}',\s+'", (ASSETS / "close.js").read_text("utf-8"))) == 2


# The same in a browser


browser_test = pytest.mark.browser


@browser_test
def test_the_page_of_the_specification_works_verbatim(context, world):
    page = opened(context, world.page(SPECIFIED_SCRIPT))
    popup = popup_of(page)
    assert heard(page) == [pairs(JOE)]
    assert closed(popup)


@browser_test
@pytest.mark.parametrize("node", ["$('#sc-connect')", "document.getElementById('sc-connect')"])
def test_a_jquery_object_and_a_plain_node_are_accepted(context, world, node):
    callback = "function (fields) { heard.push(fields); }"
    script = f"SC.Connect.prepareButton({node}, {{callback: {callback} }})"
    page = opened(context, world.page(script))
    page.click("#sc-connect")
    assert heard(page) == [pairs(JOE)]


@browser_test
def test_a_page_without_the_button_is_warned_and_goes_on(context, world):
    page = opened(
        context,
        world.page("SC.Connect.prepareButton($('#missing')[0], {}); heard.push({on: 'went'})"),
    )
    assert heard(page) == [[["on", "went"]]]


@browser_test
def test_every_value_arrives_as_it_was_sent(context, world):
    page = opened(context, world.page(prepare(endpoint(NAUGHTY))))
    page.click("#sc-connect")
    assert heard(page) == [pairs(NAUGHTY)]
    assert page.evaluate("({}).polluted === undefined && heard[0].hasOwnProperty('__proto__')")


@browser_test
@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("", []),
        ("a=b%3Dc=d", [["a", "b=c=d"]]),
        ("bare", [["bare", ""]]),
        ("a=1#b=2", [["a", "1"]]),
        ("a=%ff%", [["a", "\ufffd%"]]),
    ],
    ids=["no query", "equals signs", "no equals sign", "a fragment", "broken escapes"],
)
def test_a_query_is_read_as_a_form_is(context, world, query, fields):
    page = opened(context, world.page(prepare(endpoint(query))))
    page.click("#sc-connect")
    assert heard(page) == [fields]


@browser_test
def test_a_refusal_is_delivered_in_the_same_way(context, world):
    fields = {"error": "access_denied", "error_description": "The user said no."}
    page = opened(context, world.page(prepare(endpoint(fields))))
    popup = popup_of(page)
    assert heard(page) == [pairs(fields)]
    assert closed(popup)


@pytest.mark.threat(24)
@browser_test
@pytest.mark.parametrize("wait", [{}, {"wait": 1}], ids=["at once", "after a page of its own"])
@pytest.mark.parametrize("page_coop", [None, "same-origin"], ids=["page open", "page severed"])
@pytest.mark.parametrize(
    "provider_coop", [{}, {"coop": 1}], ids=["provider open", "provider severed"]
)
def test_threat_24_a_cross_origin_opener_policy_stops_nothing(
    context, world, page_coop, provider_coop, wait
):
    page = opened(context, world.page(prepare(endpoint(**provider_coop, **wait)), coop=page_coop))
    popup = popup_of(page)
    if wait:
        popup.wait_for_selector("#allow")
        page.wait_for_timeout(300)  # popup.closed reads true by now
        assert (popup.evaluate("opener") is None) == bool(page_coop or provider_coop)
        press(popup, "#allow")
    assert heard(page) == [pairs(JOE)]
    assert closed(popup)


OFF = "{get() { throw new DOMException('off'); }}"
CUT = {
    "BroadcastChannel": "delete window.BroadcastChannel;",
    "opener": "Object.defineProperty(window, 'opener', {value: null});",
    "localStorage": f"Object.defineProperty(window, 'localStorage', {OFF});",
    "sessionStorage": f"Object.defineProperty(window, 'sessionStorage', {OFF});",
}


@browser_test
@pytest.mark.parametrize(
    "missing",
    [
        ("BroadcastChannel", "opener"),
        ("BroadcastChannel", "localStorage"),
        ("opener", "localStorage"),
        ("sessionStorage", "localStorage"),
    ],
    ids=["only storage events", "only opener", "only channel", "no storage"],
)
def test_each_way_of_delivery_is_enough(context, world, missing):
    context.add_init_script("".join(CUT[name] for name in missing))
    page = opened(context, world.page(prepare(endpoint())))
    page.click("#sc-connect")
    assert heard(page) == [pairs(JOE)]


@pytest.mark.threat(25)
@browser_test
def test_threat_25_a_blocked_popup_becomes_a_full_page_flow(context, world):
    url = world.page(NO_POPUP + prepare(endpoint(NAUGHTY))) + "?item=7#reviews"
    page = opened(context, url)
    page.click("#sc-connect")
    page.wait_for_url(url)
    assert heard(page) == [pairs(NAUGHTY)]
    assert page.evaluate("sessionStorage.length") == 0
    page.reload()
    assert heard(page, 0) == []
    page.go_back()
    assert heard(page, 0) == []


CLICK = "document.querySelector('#sc-connect').click();"
MARKED = f'<a id="sc-connect" href="{endpoint()}" data-sc-connect>Connect</a>'


@pytest.mark.threat(25)
@browser_test
@pytest.mark.parametrize(
    ("script", "body", "click"),
    [
        (prepare(endpoint()), "", CLICK),
        ("", MARKED, CLICK),
        ("", "", "SC.Connect.open();"),
    ],
    ids=["prepared", "marked", "open"],
)
def test_threat_25_the_popup_opens_before_the_click_has_ended(context, world, script, body, click):
    """Later, browsers take it for a popup that nobody asked for, and block it."""
    spy = """
        var calls = 0;
        window.open = function () {
            calls += 1;
            return {closed: false, focus() {}, close() {}};
        };
    """
    page = opened(context, world.page(spy + script, body=body))
    assert page.evaluate(f"() => {{ {click} return calls; }}") == 1


@browser_test
def test_a_full_page_flow_answers_the_button_that_began_it(context, world):
    body = "<a href='#' class='one'>One</a> <a href='#' class='two'>Two</a>"
    buttons = prepare(endpoint("n=1"), ".one", "first") + prepare(endpoint("n=2"), ".two", "second")
    page = opened(
        context, world.page(NO_POPUP + "var first = [], second = [];" + buttons, body=body)
    )
    page.click(".two")
    assert heard(page, name="second") == [[["n", "2"]]]
    assert heard(page, 0, name="first") == []


@pytest.mark.threat(26)
@browser_test
def test_threat_26_a_full_page_flow_returns_to_this_site_only(context, world):
    page = opened(context, world.page(""))
    remember = """page => {
        const flow = JSON.stringify({page, started: Date.now()});
        sessionStorage.setItem('sc-connect:flow', flow);
    }"""
    for elsewhere in (
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "blob:null/x",
        f"{world.site}.evil.example/",
        f"{world.site}0/",
        f"{world.site}@evil.example/",
    ):
        page.evaluate(remember, elsewhere)
        page.goto(f"{world.site}/sc-connect/close.html?username=joe")
        page.wait_for_timeout(50)
        assert page.inner_text("h1") == "You are connected"
    page.evaluate(remember, "/page/0")  # and it would have gone to a page of this site
    page.goto(f"{world.site}/sc-connect/close.html?username=joe")
    page.wait_for_url(f"{world.site}/page/0")


@browser_test
def test_open_returns_a_promise_of_the_same_object(context, world):
    script = """
        function hear(fields) { heard.push(fields); }
        $('#sc-connect')[0].onclick = function () {
          SC.Connect.open({request_token_endpoint: '%s', callback: hear}).then(hear);
        };
    """
    page = opened(context, world.page(script % endpoint("error=access_denied")))
    page.click("#sc-connect")
    assert heard(page, 2) == [[["error", "access_denied"]]] * 2


@browser_test
def test_open_without_a_click_is_blocked_and_still_resolves(context, world):
    script = (
        f"SC.Connect.open({{request_token_endpoint: '{endpoint()}'}})"
        ".then(function (fields) { heard.push(fields); })"
    )
    page = opened(context, world.page(script))
    assert heard(page) == [pairs(JOE)]
    assert len(context.pages) == 1


@browser_test
@pytest.mark.parametrize(("query", "called"), [("a=1", "success"), ("error=flow_expired", "error")])
def test_the_later_forms_of_the_interface(context, world, query, called):
    script = (
        f"SC.Connect.options = {{request_token_endpoint: '{endpoint(query)}', "
        "success: function () { heard.push({called: 'success'}); }, "
        "error: function () { heard.push({called: 'error'}); }};"
        "$('#sc-connect')[0].onclick = function () { SC.Connect.initiate(); };"
    )
    page = opened(context, world.page(script))
    page.click("#sc-connect")
    assert heard(page) == [[["called", called]]]


@browser_test
def test_two_buttons_have_their_own_callbacks(context, world):
    body = "<a href='#' id='one'>One</a> <a href='#' id='two'>Two</a>"
    buttons = prepare(endpoint("n=1", wait=1), "#one", "first") + prepare(
        endpoint("n=2"), "#two", "second"
    )
    page = opened(context, world.page("var first = [], second = [];" + buttons, body=body))
    waiting = popup_of(page, "#one")
    page.click("#two")
    assert heard(page, name="second") == [[["n", "2"]]]
    press(waiting, "#allow")
    assert heard(page, name="first") == [[["n", "1"]]]
    assert heard(page, name="second") == [[["n", "2"]]]


@browser_test
def test_each_tab_hears_only_its_own_flow(context, world):
    tabs = [
        opened(context, world.page(prepare(endpoint(f"n={n}", wait=1, coop=1)))) for n in (0, 1)
    ]
    popups = [popup_of(tab) for tab in tabs]
    for n in (1, 0):
        popups[n].wait_for_selector("#allow")
        press(popups[n], "#allow")
        assert heard(tabs[n]) == [[["n", str(n)]]]
    assert [heard(tab) for tab in tabs] == [[[["n", "0"]]], [[["n", "1"]]]]


@browser_test
def test_a_popup_closed_by_hand_can_be_tried_again(context, world):
    page = opened(context, world.page(prepare(endpoint(wait=1))))
    popup_of(page).close()
    press(popup_of(page), "#allow")
    assert heard(page) == [pairs(JOE)]


@browser_test
def test_a_second_click_focuses_the_popup_that_is_open(context, world):
    page = opened(context, world.page(prepare(endpoint(wait=1))))
    popup = popup_of(page)
    popup.wait_for_selector("#allow")
    assert page.evaluate("sessionStorage.length") == 0  # only the popup's copy has the flow's id
    page.click("#sc-connect")
    page.wait_for_timeout(200)
    assert context.pages == [page, popup]


@browser_test
def test_a_button_prepared_twice_takes_the_later_options(context, world):
    spy = """
        var opens = 0, real = open;
        open = function (u, n, f) { opens += 1; return real(u, n, f); };
    """
    page = opened(context, world.page(spy + prepare(endpoint("n=1")) + prepare(endpoint("n=2"))))
    page.click("#sc-connect")
    assert heard(page) == [[["n", "2"]]]
    assert page.evaluate("opens") == 1


@browser_test
def test_the_popup_is_centred_on_the_window_it_came_from(context, world):
    spy = "var asked, real = open; open = function (u, n, f) { asked = f; return real(u, n, f); };"
    page = opened(context, world.page(spy + prepare(endpoint())))
    page.click("#sc-connect")
    features = dict(part.split("=") for part in page.evaluate("asked").split(","))
    left, top = page.evaluate(
        "[screenX + (outerWidth - 456) / 2, screenY + (outerHeight - 550) / 2]"
    )
    assert (features["width"], features["height"]) == ("456", "550")
    assert abs(int(features["left"]) - left) <= 1
    assert abs(int(features["top"]) - top) <= 1


@browser_test
def test_the_keyboard_works_and_the_page_does_not_jump(context, world):
    body = f"<div style='height: 3000px'></div>{SPECIFIED_BUTTON}"
    page = opened(context, world.page(prepare(endpoint()), body=body))
    page.focus("#sc-connect")
    before = page.evaluate("scrollY")
    page.keyboard.press("Enter")
    assert heard(page) == [pairs(JOE)]
    assert before > 0
    assert (page.evaluate("scrollY"), page.evaluate("location.href.includes('#')")) == (
        before,
        False,
    )


@browser_test
def test_earlier_contents_of_window_sc_stay(context, world):
    before = "<script>window.SC = {Widget: 1, Connect: {extra: 2}}</script>" + SPECIFIED_BUTTON
    page = opened(
        context,
        world.page(
            "heard.push([SC.Widget, SC.Connect.extra, typeof SC.Connect.open])", body=before
        ),
    )
    assert page.evaluate("heard[0]") == [1, 2, "function"]


@pytest.mark.threat(23)
@browser_test
def test_threat_23_only_this_site_and_this_flow_are_listened_to(context, world):
    spy = """
        var flow, real = open;
        open = function (u, n, f) { flow = n.slice(11); return real(u, n, f); };
    """
    page = opened(context, world.page(spy + prepare(endpoint(wait=1))))
    popup_of(page)
    page.evaluate("postMessage({flow: 'another', query: '?from=another+flow'}, location.origin)")
    page.evaluate("postMessage(null, location.origin)")
    page.evaluate("postMessage({flow, query: {no: 'string'}}, location.origin)")
    page.evaluate(
        """provider => new Promise(done => {
            const frame = document.createElement('iframe');
            const message = JSON.stringify({flow, query: '?from=another+site'});
            frame.src = `${provider}/evil?message=${encodeURIComponent(message)}`;
            addEventListener('message', event => { if (event.origin === provider) done(); });
            document.body.append(frame);
        })""",
        world.provider,
    )
    assert heard(page, 0) == []
    page.evaluate("postMessage({flow, query: '?from=here'}, location.origin)")
    assert heard(page) == [[["from", "here"]]]


@browser_test
@pytest.mark.parametrize("file", DRAWINGS)
def test_nothing_of_a_drawing_is_cut_off(context, file):
    page = context.new_page()
    [drawing] = re.findall(r"<svg.*?</svg>", (CHECKOUT / file).read_text("utf-8"), re.DOTALL)
    page.set_content(drawing)
    outside = page.evaluate("""() => {
        const frame = document.querySelector('svg').viewBox.baseVal;
        return [...document.querySelectorAll('svg path, svg rect')].filter((shape) => {
            const { x, y, width, height } = shape.getBBox();
            const part = (value) => Math.round(value * 100) / 100;
            return part(x) < frame.x || part(y) < frame.y
                || part(x + width) > frame.x + frame.width
                || part(y + height) > frame.y + frame.height;
        }).map((shape) => shape.outerHTML);
    }""")
    # The small button's mark is scaled down; getBBox() is before that
    assert [shape for shape in outside if "transform" not in shape] == []


@browser_test
@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("error=provider_error&error_id=1a2b3c4d", "Error 1a2b3c4d"),
        ("error=access_denied&error_id=00000000", "Error 00000000"),
        ("error=provider_error", ""),
        ("error=provider_error&error_id=", ""),
        ("error=provider_error&error_id=1A2B3C4D", ""),
        ("error=provider_error&error_id=1a2b3c4d5", ""),
        ("error=provider_error&error_id=call+555-0100", ""),
        ("error=provider_error&error_id=1a2b3c4d%0A", ""),
        ("error=provider_error&error_id=%0A1a2b3c4d", ""),
        ("error_id=1a2b3c4d", ""),
        ("username=joe&error_id=1a2b3c4d", ""),
    ],
)
def test_the_id_of_a_failure_is_shown_and_nothing_else_of_a_query(context, world, query, shown):
    page = opened(context, f"{world.site}/sc-connect/close.html?{query}")
    page.wait_for_selector("h1:text('onnected')")
    assert page.inner_text("#error-id") == shown


@browser_test
@pytest.mark.threat(58)
@pytest.mark.parametrize(
    ("code", "anchor"),
    [("flow_expired", "flow-expired"), ("access_denied", "access-denied"), ("mine", None)],
)
def test_58_the_id_leads_to_the_entry_of_a_code_of_ours(context, world, code, anchor):
    """It tells nobody where it was: the query is the business of this site."""
    page = opened(context, f"{world.site}/sc-connect/close.html?error={code}&error_id=1a2b3c4d")
    page.wait_for_selector("text=Error 1a2b3c4d")
    links = page.query_selector_all("#error-id a")
    if anchor is None:
        assert links == []
        return
    (link,) = links
    assert link.get_attribute("href").endswith(f"/en/stable/troubleshooting.html#{anchor}")
    assert link.get_attribute("rel") == "noreferrer"
    assert link.get_attribute("target") == "_blank"


OPENER_OF_ANOTHER_SITE = """url => {
    window.heard = [];
    addEventListener('message', event => heard.push({data: JSON.stringify(event.data)}));
    const button = document.createElement('button');
    button.id = 'open';
    button.textContent = 'open';
    button.onclick = () => open(url, 'sc-connect-guessed', 'popup');
    document.body.append(button);
}"""


@pytest.mark.threat(23)
@browser_test
def test_threat_23_a_page_of_another_site_that_opens_the_popup_hears_nothing(context, world):
    page = opened(
        context,
        world.page(
            "new BroadcastChannel('sc-connect:guessed').onmessage = ({data}) => heard.push({data});"
        ),
    )
    other = opened(context, f"{world.provider}/authorize?wait=1")
    other.evaluate(OPENER_OF_ANOTHER_SITE, f"{world.site}/sc-connect/close.html?secret=1")
    popup = popup_of(other, "#open")
    assert heard(page) == [[["data", "?secret=1"]]]  # it was delivered to its own site
    popup.wait_for_selector("#parting:text('another address')")
    assert world.site in popup.inner_text("#parting")
    assert not popup.is_closed()  # nobody would know why
    other.wait_for_timeout(REST)
    other.evaluate("postMessage('the only one', location.origin)")
    assert heard(other) == [[["data", '"the only one"']]]


@browser_test
def test_a_popup_that_cannot_close_says_so_and_delivers_once(context, world):
    context.add_init_script("window.close = function () {};")
    page = opened(context, world.page(prepare(endpoint())))
    popup = popup_of(page)
    assert heard(page) == [pairs(JOE)]
    assert popup.inner_text("main").split("\n\n")[:2] == [
        "You are connected",
        "You can close this window.",
    ]
    popup.reload()
    assert heard(page) == [pairs(JOE)]
    assert popup.evaluate("[sessionStorage.length, localStorage.length, name]") == [0, 0, ""]


@browser_test
def test_close_html_without_an_opener_says_what_happened_and_stays(context, world):
    page = context.new_page()
    sentences = {}
    for code in [*CODES, "__proto__", "of_tomorrow", ""]:
        with page.expect_console_message(lambda message: message.type == "warning") as warning:
            page.goto(
                f"{world.site}/sc-connect/close.html?error={code}&error_description=%25cFor+developers"
            )
        assert [argument.json_value() for argument in warning.value.args][:3] == [
            "sc-connect:",
            code,
            "%cFor developers",
        ]
        # A flow that has finished may have succeeded
        heading = "Already done" if code == "flow_finished" else "Not connected"
        assert page.title() == page.inner_text("h1") == heading
        assert "For developers" not in page.content()
        sentences[code] = page.inner_text("#reason")
    assert {sentences.pop("__proto__"), sentences.pop("of_tomorrow")} == {sentences.pop("")}
    assert len(set(sentences.values())) == len(CODES)


@browser_test
def test_a_tab_opened_by_a_link_of_another_site_is_not_closed(context, world):
    page = opened(context, f"{world.provider}/authorize?wait=1")
    page.evaluate(
        """url => {
            const link = document.createElement('a');
            Object.assign(link, {href: url, target: '_blank', rel: 'opener', id: 'link'});
            link.textContent = 'link';
            document.body.append(link);
        }""",
        f"{world.site}/sc-connect/close.html",
    )
    tab = popup_of(page, "#link")
    tab.wait_for_selector("h1:text('You are connected')")
    page.wait_for_timeout(200)
    assert not tab.is_closed()


HOSTILE = [
    "<script>alert(1)</script>",
    "error=<img src=x onerror=alert(1)>",
    "error=access_denied&error_description=<svg onload=alert(1)>",
    "callback=javascript:alert(1)",
    "x='\"><script src=//evil.example></script>",
    "page=//evil.example&flow=1&id=1",
    "%00%ff&&==&%",
]


@pytest.mark.threat(22)
@browser_test
def test_threat_22_no_query_becomes_markup_or_code(context, world):
    fetched = set()
    context.on("request", lambda request: fetched.add(request.url.partition("?")[0]))
    page = context.new_page()
    for query in HOSTILE:
        page.goto(f"{world.site}/sc-connect/close.html?{query}#<img src=x onerror=alert(1)>")
        page.wait_for_selector("h1:text('onnected')")
        page.wait_for_timeout(50)
        elements = (
            "[...document.querySelectorAll('script, img, iframe, main svg')].map(e => e.localName)"
        )
        assert page.evaluate(elements) == ["script", "svg"]
        assert page.url.startswith(f"{world.site}/sc-connect/close.html?")
    ours = {
        f"{world.site}/sc-connect/{name}" for name in ("close.html", "close.js", "sc-connect.css")
    }
    assert ours <= fetched <= ours | {f"{world.site}/favicon.ico"}


@browser_test
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(context, world, scheme):
    page = context.new_page()
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 320, "height": 568})
    page.goto(f"{world.site}/sc-connect/close.html?error=start_refused")
    page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    style = (
        "(e, [selector, property]) => getComputedStyle(document.querySelector(selector))[property]"
    )
    colour = {
        s: page.eval_on_selector("html", style, [s, "color"]) for s in ("h1", "#reason", "button")
    }
    ground = {
        s: page.eval_on_selector("html", style, [s, "backgroundColor"]) for s in ("main", "button")
    }
    assert contrast(colour["h1"], ground["main"]) >= 4.5
    assert contrast(colour["#reason"], ground["main"]) >= 4.5
    assert contrast(colour["button"], ground["button"]) >= 4.5
    assert page.evaluate("document.documentElement.scrollWidth") == 320
