"""What the button can do beyond the specification, in a real Chromium.

Attributes, events, signals, and where a flow ends.
"""

import html
import re
from urllib.parse import quote

import pytest
from support.flows import CODES
from support.site import JOE
from support.windows import closed, heard, opened, popup_of, press
from support.world import ASSETS, NO_POPUP, endpoint, pairs, prepare

from scconnect_wsgi.documentation import entry

pytestmark = pytest.mark.browser

CLOSE_JS = (ASSETS / "close.js").read_text("utf-8")
LISTEN = """
for (const name of ['start', 'done', 'failed', 'closed']) {
  addEventListener('scconnect:' + name, (event) => {
    heard.push({name, id: event.target.id, detail: JSON.stringify(event.detail)});
  });
}
"""
# The script checks every half a second whether a popup was closed; with this, only in look().
CHECKED_BY_HAND = """
var checks = [];
window.setInterval = function (check, pause, flow) { return checks.push({check, flow}); };
window.clearInterval = function (number) { checks[number - 1] = null; };
"""
CHECKS = 4  # one more than the script makes before it says that a popup was closed


def look(page, times=CHECKS):
    """Let the script see that its popups are closed, once they are."""
    page.bring_to_front()
    page.wait_for_function("checks.every(it => !it || it.flow.popup.closed)")
    for _ in range(times):
        page.evaluate("checks.forEach(it => it && it.check(it.flow))")


def marked(start, more="", element="a"):
    """Return the markup of a button which needs no script."""
    where = f'href="{start}" data-sc-connect' if element == "a" else f'data-sc-connect="{start}"'
    text = f'<{element} id="sc-connect" {where} {more}>Connect with SoundCloud</{element}>'
    return text.replace("&", "&amp;")


def returning(place, fields=JOE, **habits):
    """Return the start of a flow that ends at a page of the site."""
    return f"{endpoint(fields, **habits)}&return_to={place}"


def busy(page):
    return page.get_attribute("#sc-connect", "aria-busy") == "true"


def allow(popup):
    popup.wait_for_selector("#allow")
    press(popup, "#allow")


def names(events):
    return [dict(event)["name"] for event in events]


@pytest.mark.parametrize("element", ["a", "button", "span"])
@pytest.mark.parametrize("key", ["click", "Enter", " "])
def test_a_marked_element_needs_no_script(context, world, element, key):
    page = opened(context, world.page(LISTEN, body=marked(endpoint(), element=element)))
    if key == "click":
        page.click("#sc-connect")
    else:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "sc-connect"
        page.keyboard.press(key)
    events = [dict(event) for event in heard(page, 2)]
    assert [event["name"] for event in events] == ["start", "done"]
    assert {event["id"] for event in events} == {"sc-connect"}
    assert events[1]["detail"] == '{"username":"joe","oauth_token_id":"43"}'
    assert page.eval_on_selector(
        "#sc-connect", "b => b.localName === 'button' || b.role === 'button'"
    )


def test_a_marked_button_that_comes_later_works_too(context, world):
    page = opened(context, world.page(LISTEN, body="<main></main>"))
    page.evaluate(
        "html => { document.querySelector('main').innerHTML = html; }", marked(endpoint())
    )
    page.focus("#sc-connect")
    page.keyboard.press(" ")
    assert names(heard(page, 2)) == ["start", "done"]


@pytest.mark.parametrize("how", ["popup", "blocked", "data-sc-popup=false"])
@pytest.mark.parametrize("fields", [JOE, {"error": "access_denied"}], ids=["allowed", "denied"])
def test_a_link_that_says_where_it_ends_leads_there(context, world, how, fields):
    # The site of these tests ignores return_to: what the server does with it is in
    # test_return_to.py.
    body = marked(
        returning("/page/0%3Ftab%3D2", fields), "data-sc-popup=false" if "=" in how else ""
    )
    page = opened(context, world.page(NO_POPUP if how == "blocked" else "", body=body))
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.click("#sc-connect")
    if how == "popup":
        page.wait_for_url(
            f"{world.site}/page/0?tab=2&" + "&".join(f"{k}={v}" for k, v in fields.items())
        )
        assert not [url for url in asked if "request_token" in url]
    else:
        page.wait_for_url("**/close.html*")
        assert (
            "return_to=%2Fpage%2F0%3Ftab%3D2" in asked[0]
            or "return_to=/page/0%3Ftab%3D2" in asked[0]
        )
    assert len(context.pages) == 1 or closed(context.pages[1])


def test_a_link_in_a_drawing_may_be_written_as_svg_1_wrote_it(context, world):
    start = html.escape(returning("/page/0"))
    link = f'<svg><a id="sc-connect" xlink:href="{start}" data-sc-connect>'
    page = opened(context, world.page("", body=f"{link}<text y=20>Go</text></a></svg>"))
    page.click("#sc-connect")
    page.wait_for_url(f"{world.site}/page/0?username=joe&oauth_token_id=43")


def test_a_listener_that_says_so_keeps_the_page(context, world):
    stay = """
        addEventListener('scconnect:done', (event) => {
          event.preventDefault();
          heard.push(event.detail);
        });
    """
    url = world.page(stay, body=marked(returning("/page/0")))
    page = opened(context, url)
    page.click("#sc-connect")
    assert heard(page) == [pairs(JOE)]
    assert page.url == url


@pytest.mark.threat(26)
@pytest.mark.parametrize(
    "place",
    ["//evil.example", "/\\evil.example", "https://evil.example/", "javascript:heard.push(1)"],
)
def test_threat_26_a_marked_link_leads_nowhere_else(context, world, place):
    url = world.page(LISTEN, body=marked(returning(place)))
    page = opened(context, url)
    page.click("#sc-connect")
    assert names(heard(page, 2)) == ["start", "done"]
    assert page.url == url


def test_a_listener_may_keep_a_flow_from_starting(context, world):
    veto = """
        addEventListener('scconnect:start', (event) => {
          event.preventDefault();
          heard.push({});
        });
    """
    spy = "open = function () { heard.push({opened: 'yes'}); return {closed: true}; };"
    page = opened(context, world.page(veto + spy, body=marked(endpoint())))
    page.click("#sc-connect")
    assert heard(page) == [[]]


def test_the_button_is_busy_while_its_popup_is_open(context, world):
    page = opened(context, world.page(prepare(endpoint(wait=1))))
    assert not busy(page)
    popup = popup_of(page)
    popup.wait_for_selector("#allow")
    assert busy(page)
    press(popup, "#allow")
    assert heard(page) == [pairs(JOE)]
    assert not busy(page)


def with_closed(start):
    return prepare(start).replace(
        "callback:", "closed: function () { heard.push({closed: 'yes'}); }, callback:"
    )


def test_a_popup_closed_by_hand_is_told_once_and_frees_the_button(context, world):
    page = opened(context, world.page(CHECKED_BY_HAND + LISTEN + with_closed(endpoint(wait=1))))
    popup_of(page).close()
    look(page)
    assert [dict(event).get("name", "callback") for event in heard(page, 3)] == [
        "start",
        "closed",
        "callback",
    ]
    assert not busy(page)
    look(page)
    assert len(heard(page, 3)) == 3


FOCUS = "var focused = true; Document.prototype.hasFocus = function () { return focused; };"


@pytest.mark.threat(24)
def test_threat_24_a_popup_counts_as_closed_at_the_third_look_of_a_page_that_has_the_focus(
    context, world
):
    page = opened(context, world.page(CHECKED_BY_HAND + FOCUS + with_closed(endpoint(wait=1))))
    popup_of(page).close()
    look(page, 2)
    assert heard(page, 0) == []
    page.evaluate("focused = false")
    look(page)  # the user is in another window: perhaps in the popup, if it was severed
    assert heard(page, 0) == []
    page.evaluate("focused = true")
    look(page, 2)
    assert heard(page, 0) == []
    look(page, 1)
    assert heard(page) == [[["closed", "yes"]]]


@pytest.mark.threat(24)
def test_threat_24_an_answer_after_that_still_arrives(context, world):
    page = opened(context, world.page(CHECKED_BY_HAND + with_closed(endpoint(wait=1, coop=1))))
    popup = popup_of(page)
    popup.wait_for_selector("#allow")
    look(page)  # it was severed, and so seems closed
    assert heard(page) == [[["closed", "yes"]]]
    press(popup, "#allow")
    assert heard(page, 2) == [[["closed", "yes"]], pairs(JOE)]


def test_a_signal_undoes_the_preparation_and_ends_its_flow(context, world):
    script = f"var stop = new AbortController(); {LISTEN}" + prepare(endpoint(wait=1)).replace(
        "callback:", "signal: stop.signal, callback:"
    )
    page = opened(context, world.page(script))
    popup = popup_of(page)
    page.evaluate("stop.abort()")
    assert closed(popup)
    assert not busy(page)
    page.click("#sc-connect")
    page.wait_for_timeout(200)
    assert (context.pages, names(heard(page))) == ([page], ["start"])
    page.evaluate(prepare(endpoint(wait=1)))  # as a framework does that mounts twice
    allow(popup_of(page))
    assert pairs(JOE) in heard(page, 4)


def test_a_signal_rejects_the_promise_of_open(context, world):
    script = (
        "var stop = new AbortController(); $('#sc-connect')[0].onclick = function () { "
        f"SC.Connect.open({{request_token_endpoint: '{endpoint(wait=1)}', signal: stop.signal}})"
        ".catch(function (reason) { heard.push({name: reason.name}); }); };"
    )
    page = opened(context, world.page(script))
    popup = popup_of(page)
    page.evaluate("stop.abort()")
    assert heard(page) == [[["name", "AbortError"]]]
    assert closed(popup)
    page.click("#sc-connect")  # aborted before it began
    assert heard(page, 2) == [[["name", "AbortError"]]] * 2
    assert len(context.pages) == 1


def test_a_second_open_focuses_the_popup_and_shares_its_promise(context, world):
    script = (
        "$('#sc-connect')[0].onclick = function () { "
        f"SC.Connect.open({{request_token_endpoint: '{endpoint(wait=1)}'}})"
        ".then(function (fields) { heard.push(fields); }); };"
    )
    page = opened(context, world.page(script))
    popup = popup_of(page)
    popup.wait_for_selector("#allow")
    page.click("#sc-connect")
    page.wait_for_timeout(200)
    assert context.pages == [page, popup]
    press(popup, "#allow")
    assert heard(page, 2) == [pairs(JOE)] * 2


def test_a_full_page_flow_tells_the_options_of_a_page_of_2010(context, world):
    script = (
        f"SC.Connect.options = {{request_token_endpoint: '{endpoint()}', popup: false, "
        "callback: function (fields) { heard.push(fields); }};"
        "$('#sc-connect')[0].onclick = function () { SC.Connect.initiate(); };"
    )
    url = world.page(script)
    page = opened(context, url)
    page.click("#sc-connect")
    page.wait_for_url(url)
    assert heard(page) == [pairs(JOE)]
    assert len(context.pages) == 1
    page.reload()
    assert heard(page, 0) == []


@pytest.mark.parametrize("when", ["defer", "type=module"])
def test_a_page_that_listens_late_is_told_of_a_full_page_flow(context, world, when):
    """Deferred scripts and modules run when the document has been read, and are in time."""
    code = f"data:text/javascript,{quote(LISTEN)}"
    body = marked(endpoint(), "data-sc-popup=false") + f'<script {when} src="{code}"></script>'
    url = world.page("", body=body)
    page = opened(context, url)
    page.click("#sc-connect")
    page.wait_for_url(url)
    assert names(heard(page)) == ["done"]


def test_an_in_app_browser_that_has_one_window_comes_home(context, world):
    one = "window.open = function () { return window; };"
    url = world.page(one + prepare(endpoint()))
    page = opened(context, url)
    page.click("#sc-connect")
    page.wait_for_url(url)
    assert heard(page) == [pairs(JOE)]


@pytest.mark.parametrize("window", ["popup", "severed", "page"])
@pytest.mark.parametrize("code", [*CODES, "of_tomorrow", "__proto__"])
def test_the_page_is_told_of_a_failure_and_its_likely_cause_in_its_console(
    context, world, code, window
):
    start = endpoint(
        {"error": code, "error_description": "What # happened."},
        **({"coop": 1} if window == "severed" else {}),
    )
    page = opened(context, world.page((NO_POPUP if window == "page" else "") + prepare(start)))
    url = page.url
    with page.expect_console_message(
        lambda message: message.type == "warning" and message.location["url"].endswith("connect.js")
    ) as warning:
        page.click("#sc-connect")
    *said, advice = [argument.json_value() for argument in warning.value.args]
    assert said == ["sc-connect:", code, "What # happened."]
    known = re.search(rf"const ADVICE = new Map.*?\['{code}',\s+'(.{{20}})", CLOSE_JS, re.DOTALL)
    assert advice.startswith(known[1] if known else "This is not a code of scconnect_wsgi")
    assert advice.endswith(f" See {entry(code)}") == (code in CODES)
    assert heard(page) == [[["error", code], ["error_description", "What # happened."]]]
    assert page.url == url


def test_a_script_of_an_earlier_version_reads_the_fields_as_they_are(context, world):
    """A page may be older than the close.js of its popup, and know of no advice."""
    listen = """
        addEventListener('message', ({data}) => {
          heard.push(Object.fromEntries(new URLSearchParams(data.query)));
        });
    """
    fields = {"error": "access_denied", "error_id": "0123abcd"}
    page = opened(context, world.page(listen, body=marked(endpoint(fields))))
    page.click("#sc-connect")
    assert heard(page)[0][:2] == pairs(fields)


def test_a_popup_that_was_given_up_says_nothing_after_the_answer_of_the_next(context, world):
    page = opened(context, world.page(CHECKED_BY_HAND + LISTEN, body=marked(endpoint(wait=1))))
    popup_of(page).close()
    allow(popup_of(page))
    assert names(heard(page, 3)) == ["start", "start", "done"]
    look(page)
    assert len(heard(page, 3)) == 3


def test_a_button_that_is_drawn_anew_meanwhile_is_free_and_the_page_hears_the_answer(
    context, world
):
    page = opened(context, world.page(LISTEN, body=f"<main>{marked(endpoint(wait=1))}</main>"))
    popup = popup_of(page)
    page.evaluate(
        "document.querySelector('main').innerHTML = document.querySelector('main').innerHTML"
    )
    allow(popup)
    assert names(heard(page, 2)) == ["start", "done"]
    assert not busy(page)


def test_a_preparation_that_was_undone_ends_without_an_error(context, world):
    page = opened(context, world.page(LISTEN, body=marked(endpoint(wait=1))))
    popup = popup_of(page)
    page.evaluate(
        "const stop = new AbortController();"
        "SC.Connect.prepareButton($('#sc-connect')[0], {signal: stop.signal}); stop.abort();"
    )
    allow(popup)
    assert closed(popup)
    assert names(heard(page)) == ["start"]  # and `context` saw no error


def test_an_open_takes_no_answer_of_another_start(context, world):
    first = endpoint("who=first")
    second = endpoint("who=second")
    script = """
        for (const [id, start] of [['one', '%s'], ['two', '%s']]) {
          document.getElementById(id).onclick = function () {
            SC.Connect.open({
              request_token_endpoint: start,
              popup: id === 'two',
              callback: function (fields) { heard.push(fields); },
            });
          };
        }
    """
    body = "<button id='one'>One</button><button id='two'>Two</button>"
    url = world.page(script % (first, second), body=body)
    page = opened(context, url)
    # Expected before the click: the window stays at close.html only for a moment
    with page.expect_event("framenavigated", lambda frame: "close.html" in frame.url):
        page.click("#one")
    page.wait_for_url(url)
    page.click("#two")
    assert heard(page) == [[["who", "second"]]]
    page.click("#one")  # the flow that the page had left for
    assert heard(page, 2) == [[["who", "second"]], [["who", "first"]]]


# Markup from elsewhere: sanitizers keep data attributes, ids and names

ELSEWHERE = {
    "javascript": "javascript:void((opener||window).ran=1)",
    "javascript in disguise": " \tJava\nScript:void((opener||window).ran=1)",
    "data": "data:text/html,<script>opener.ran=1</script>",
    "blob": "BLOB",
    "about": "about:blank",
    "another scheme": "ftp://localhost/",
    "another host": "PROVIDER/authorize",
    "no scheme": "//HOST/authorize",
    "backslashes": "/\\HOST/authorize",
    "tab and newline": "/\t/\nHOST/authorize",
    "another port": "http://localhost:9/oauth/request_token",
    "a user before the host": "http://localhost@HOST/authorize",
    "an address that begins like ours": "SITE@HOST/authorize",
    "no address": "http://",
}
WAYS = """
async (address) => {
  const heard = [];
  for (const name of ['start', 'done', 'failed', 'closed']) {
    addEventListener('scconnect:' + name, () => heard.push(name));
  }
  const popup = document.documentElement.className !== 'page';
  const press = (attributes, options) => {
    const button = document.createElement('a');
    for (const [name, value] of Object.entries(attributes)) button.setAttribute(name, value);
    document.body.append(button);
    SC.Connect.prepareButton(button, { popup, closed: () => heard.push('closed'), ...options });
    button.click();
  };
  const refused = (promise) => Promise.race([promise, new Promise((go) => setTimeout(go, 200))])
    .then(() => heard.push('not refused'), (error) => heard.push(error.name));
  press({ 'data-sc-connect': address });
  press({ 'data-sc-connect': '', href: address });
  const more = address.includes('?') ? '&' : '?';
  press({ 'data-sc-connect': '', href: `${address}${more}return_to=/page/0` });
  press({ href: '#' }, { request_token_endpoint: address });
  await refused(SC.Connect.open({ popup, request_token_endpoint: address }));
  SC.Connect.options = { popup, request_token_endpoint: address };
  await refused(SC.Connect.initiate());
  return heard;
}
"""


@pytest.mark.threat(26)
@pytest.mark.parametrize("window", ["popup", "page"])
@pytest.mark.parametrize("address", ELSEWHERE.values(), ids=ELSEWHERE)
def test_threat_26_a_flow_starts_at_an_address_of_this_site_or_not_at_all(
    context, world, address, window
):
    url = world.page(f"document.documentElement.className = '{window}'")
    page = opened(context, url)
    errors = []
    asked = []
    windows = []
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    context.on("request", lambda request: asked.append(request.url))
    context.on("page", lambda window: windows.append(window))
    host = world.provider.removeprefix("http://")
    for name, value in {"SITE": world.site, "PROVIDER": world.provider, "HOST": host}.items():
        address = address.replace(name, value)
    if address == "BLOB":
        code = (
            "URL.createObjectURL(new Blob(['<script>opener.ran=1</script>'], {type: 'text/html'}))"
        )
        address = page.evaluate(code)
    told = page.evaluate(WAYS, address)
    page.wait_for_timeout(150)
    assert page.evaluate("window.ran") is None
    assert (windows, asked, page.url) == ([], [], url)
    assert told == ["TypeError", "TypeError"]
    assert len([text for text in errors if "is not an http or https address of" in text]) == 4
    assert page.evaluate("sessionStorage.length") == 0


@pytest.mark.threat(26)
@pytest.mark.parametrize("key", ["click", "Enter"])
@pytest.mark.parametrize("where", ["data-sc-connect", "href"])
def test_threat_26_a_marked_element_runs_no_script(context, world, where, key):
    attributes = {
        "href": "#",
        "data-sc-connect": "",
        where: "javascript:void((opener||window).ran=1)",
    }
    body = '<a id="sc-connect" {}>Go</a>'.format(
        " ".join(f'{name}="{value}"' for name, value in attributes.items())
    )
    page = opened(context, world.page("", body=body))
    errors = []
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.focus("#sc-connect")
    page.click("#sc-connect") if key == "click" else page.keyboard.press(key)
    page.wait_for_timeout(150)
    assert (page.evaluate("window.ran"), context.pages) == (None, [page])
    assert len([text for text in errors if "javascript:" in text]) == 1


@pytest.mark.threat(26)
def test_threat_26_a_base_of_another_site_starts_nothing_there(context, world):
    page = opened(
        context,
        world.page(LISTEN, body="<button id='sc-connect' data-sc-connect='start'>Go</button>"),
    )
    page.evaluate(
        """url => {
            const base = document.createElement('base');
            base.href = url;
            document.head.append(base);
        }""",
        world.provider,
    )
    with page.expect_console_message(lambda message: message.type == "error") as error:
        page.click("#sc-connect")
    assert "<base>" in error.value.text
    assert (heard(page, 0), context.pages) == ([], [page])


SHADOWED = {
    "the script": "<img name=currentScript src='//HOST/a/b'>",
    "the script, its path another host": (
        "<img name=currentScript src='http://localhost:9//HOST/a/b'>"
    ),
    "the script by two": "<img name=currentScript><img name=currentScript>",
    "the script by a form": (
        "<form name=currentScript><input name=src value='http://localhost:9//HOST/a/b'></form>"
    ),
    "the script by an object": "<object id=currentScript></object>",
    "the script by an embed": "<embed name=currentScript>",
    "the methods": "".join(
        f"<img name={name}>" for name in ("querySelectorAll", "hasFocus", "dispatchEvent")
    ),
    "the properties": "".join(f"<img name={name}>" for name in ("readyState", "baseURI")),
    "the script by an address": "<img src='//HOST/a/sc-connect.js'><a href='/a/sc-connect.js'>",
    "what a window has": "".join(
        f"<a id={name}></a><iframe name={name}></iframe>"
        for name in (
            *("open", "addEventListener", "crypto", "location", "sessionStorage", "Document"),
            *("BroadcastChannel", "MutationObserver", "URL", "origin", "screenX", "setInterval"),
        )
    ),
    "what an element has": (
        "<form><input name=shadowRoot><input name=nodeType><input name=matches></form>"
    ),
    "SC": "<a id=SC href='javascript:void(0)'></a>",
    "SC.Connect": "<a id=SC></a><a id=SC name=Connect></a>",
    "SC.Connect.prepareButton": (
        "<form id=SC></form><form id=SC name=Connect><input name=prepareButton></form>"
    ),
    "what a marked form has": (
        "<form data-sc-connect><input name=matches><input name=addEventListener></form>"
    ),
}


@pytest.mark.threat(26)
@pytest.mark.parametrize("markup", SHADOWED.values(), ids=SHADOWED)
def test_threat_26_no_name_in_the_markup_stands_in_for_what_the_script_uses(context, world, markup):
    host = world.provider.removeprefix("http://")
    body = (
        markup.replace("HOST", host)
        + "<a id='sc-connect' href='#' data-sc-connect>Connect with SoundCloud</a>"
    )
    page = opened(context, world.page(LISTEN, body=body))
    asked = []
    context.on("request", lambda request: asked.append(request.url))
    page.click("#sc-connect")
    assert names(heard(page, 2)) == ["start", "done"]
    assert asked[0] == f"{world.site}/oauth/request_token"
    assert (
        page.evaluate(
            "Object.getPrototypeOf(SC.Connect) === Object.prototype && typeof SC.Connect.open"
        )
        == "function"
    )


LINKS = {
    "SVG": "<svg><a id=sc-connect {}><text y=20>Go</text></a></svg>",
    "MathML": "<math><mtext id=sc-connect {}>Go</mtext></math>",
    "area": (
        "<map name=map><area id=sc-connect shape=default {}></map>"
        "<img usemap=#map width=90 height=90 src='/sc-connect/sc-connect.png'>"
    ),
    "a button of a form": "<form><button id=sc-connect {}>Go</button></form>",
    "a part of a link": "<a href='CODE'><span id=sc-connect {}>Go</span></a>",
}


@pytest.mark.threat(26)
@pytest.mark.parametrize("where", ["href", "xlink:href", "action", "formaction"])
@pytest.mark.parametrize("link", LINKS)
def test_threat_26_a_marked_element_of_any_kind_runs_no_script(context, world, link, where):
    code = "javascript:void((opener||window).ran=1)"
    body = LINKS[link].format(f"data-sc-connect {where}='{code}'").replace("CODE", code)
    page = opened(context, world.page("", body=body))
    page.evaluate(
        "document.getElementById('sc-connect').dispatchEvent(new MouseEvent('click', "
        "{bubbles: true, cancelable: true}))"
    )
    page.wait_for_timeout(150)
    assert page.evaluate("window.ran") is None
    assert page.url.startswith(world.site)


@pytest.mark.parametrize("wrong", ["'#sc-connect'", "{}", "[]", "document", "[['a']]", "null"])
def test_what_is_no_element_is_said_to_be_no_button(context, world, wrong):
    page = opened(context, world.page(""))
    with page.expect_console_message(lambda message: message.type == "warning") as warning:
        page.evaluate(f"SC.Connect.prepareButton({wrong})")
    assert "no such button" in warning.value.text


@pytest.mark.parametrize("known", [False, True])
def test_a_script_that_cannot_tell_where_it_comes_from_says_so_once(context, world, known):
    """As in a bundle, on a page that names the start nowhere."""
    code = (ASSETS / "sc-connect.js").read_text("utf-8")
    page = context.new_page()
    page.goto(f"{world.provider}/authorize?wait=1")  # a page without any script
    page.evaluate(
        "code => { const script = document.createElement('script'); "
        "script.textContent = code; document.head.append(script); }",
        code,
    )
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.evaluate("window.open = () => ({closed: false, focus() {}, close() {}})")
    if known:
        page.evaluate("SC.Connect.options = {request_token_endpoint: '/other'}")
    page.evaluate("void SC.Connect.open()")
    page.evaluate("void SC.Connect.open()")
    warnings = [text for text in said if "request_token_endpoint" in text]
    assert len(warnings) == (0 if known else 1)


def test_a_base_of_another_site_does_not_move_the_default_start(context, world):
    page = opened(context, world.page(LISTEN, body="<a id='sc-connect' data-sc-connect>Go</a>"))
    page.evaluate(
        "document.head.append(Object.assign(document.createElement('base'), "
        "{href: 'https://cdn.example/'}))"
    )
    page.click("#sc-connect")
    assert names(heard(page, 2)) == ["start", "done"]


def test_a_full_page_flow_answers_a_marked_button_in_a_shadow_root(context, world):
    link = f'<a href="{endpoint()}" data-sc-connect style="display: block">Connect</a>'
    attach = f"document.getElementById('host').attachShadow({{mode: 'open'}}).innerHTML = `{link}`;"
    script = LISTEN + attach.replace("&", "&amp;")
    url = world.page(NO_POPUP + script, body="<div id='host'></div>")
    page = opened(context, url)
    page.click("#host")
    page.wait_for_url(url)
    assert names(heard(page)) == ["done"]


def test_a_page_in_a_srcdoc_frame_has_the_origin_of_its_parent(context, world):
    script = '<script src="/sc-connect/sc-connect.js"></script>'
    inner = f"{script}<script>var heard = []; {LISTEN}</script>{marked(endpoint())}"
    page = opened(context, world.page("", body="<iframe></iframe>"))
    page.evaluate("html => { document.querySelector('iframe').srcdoc = html; }", inner)
    frame = page.frame_locator("iframe")
    frame.locator("#sc-connect").click()
    page.wait_for_function("frames[0].heard.length === 2")
    assert page.evaluate("frames[0].heard.map(event => event.name)") == ["start", "done"]
