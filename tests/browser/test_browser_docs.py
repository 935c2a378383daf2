"""Each snippet of docs/browser.md, in a page of a real site or through a real compiler."""

import pathlib
import re
from contextlib import contextmanager

import pytest
from support.flows import flow_for
from support.node import Node
from support.paths import CHECKOUT
from support.site import Store, running_site
from support.windows import closed, log_in, opened, popup_of, press

DOCS = (CHECKOUT / "docs" / "browser.md").read_text("utf-8")
SNIPPET = re.compile(
    r"<!-- snippet: ([a-z-]+) -->\n```([a-z]+)\n(.*?)^```$", re.DOTALL | re.MULTILINE
)
SNIPPETS = {name: text for name, _, text in SNIPPET.findall(DOCS)}
TYPES = (CHECKOUT / "assets" / "sc-connect.d.ts").read_text("utf-8")
SHOW = "function show(text) { document.getElementById('shown').append(text + '\\n'); }"
BUTTONS = "".join(f'<button id="{name}">{name}</button>' for name in ("import", "again", "cancel"))
SCRIPT = '<script src="/sc-connect/sc-connect.js"></script>'
REACT = """
import { StrictMode, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { ConnectButton } from './connect';

declare function show(text: string): void;

function Page() {
  const [count, setCount] = useState(0);
  const drawn = `drawn ${count} times`;
  return <>
    <button id="draw" onClick={() => setCount(count + 1)}>draw again</button>
    <ConnectButton onConnected={(fields) => show(`Connected as ${fields.username}, ${drawn}`)} />
  </>;
}
createRoot(document.getElementById('root')!).render(<StrictMode><Page /></StrictMode>);
"""

pytestmark = pytest.mark.browser


def test_every_snippet_is_run_here():
    source = pathlib.Path(__file__).read_text("utf-8")
    unrun = [name for name in SNIPPETS if f'SNIPPETS["{name}"]' not in source]
    assert unrun == []
    assert DOCS.count("```") == 2 * len(SNIPPETS)


@contextmanager
def page_with(sandbox_process, *, body="", script="", headers=(), files=None):
    """Run a site with one page at every path, and with ``files`` beside it."""
    text = (
        '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>A shop</title>'
        f'<pre id="shown"></pre>{body}'
        + (f"<script>{SHOW}</script>{SCRIPT}<script>{script}</script>" if script else "")
    )

    def app(environ, start_response):
        code = (files or {}).get(environ["PATH_INFO"])
        content_type = (
            "text/html; charset=utf-8" if code is None else "text/javascript; charset=utf-8"
        )
        start_response("200 OK", [("Content-Type", content_type), *headers])
        return [(text if code is None else code).encode()]

    with running_site(
        flow_for("oauth2", sandbox_process.url), app=app, store_token=Store()
    ) as site:
        yield site


def allow(popup):
    log_in(popup)
    press(popup, "#allow")


def shows(page, text):
    page.wait_for_function(
        "text => document.getElementById('shown').textContent.includes(text)", arg=text
    )


def test_a_button_without_a_script(context, sandbox_process):
    with page_with(sandbox_process, body=SNIPPETS["marked"]) as site:
        page = opened(context, site.url)
        popup = popup_of(page, "[data-sc-connect]")
        popup.wait_for_selector("#username")
        assert page.get_attribute("[data-sc-connect]", "aria-busy") == "true"
        allow(popup)
        page.wait_for_url(f"{site.url}/account?username=joe&oauth_token_id=43")
        assert closed(popup)


@pytest.mark.parametrize("javascript", ["marked", "no-javascript"])
def test_the_same_without_javascript(chromium, sandbox_process, javascript):
    body = {"marked": SNIPPETS["marked"], "no-javascript": SNIPPETS["no-javascript"]}[javascript]
    with page_with(sandbox_process, body=body) as site:
        context = chromium.new_context(java_script_enabled=False)
        page = opened(context, site.url)
        page.click("a")
        log_in(page)
        page.click("#allow")
        page.wait_for_url(f"{site.url}/account?username=joe&oauth_token_id=43#")
        context.close()


@pytest.mark.parametrize("answer", ["#allow", "#deny", "closed"])
def test_a_callback(context, sandbox_process, answer):
    body = f"<script>{SHOW}</script>" + SNIPPETS["callback"]

    with page_with(sandbox_process, body=body) as site:
        page = opened(context, site.url)
        popup = popup_of(page)
        if answer == "closed":
            popup.close()
        else:
            log_in(popup)
            press(popup, answer)
        words = {
            "#allow": "Connected as joe",
            "#deny": "Not connected: access_denied",
            "closed": "You closed",
        }
        shows(page, words[answer])


@pytest.mark.parametrize("answer", ["#allow", "#deny"])
def test_a_click_handler_of_the_page(context, sandbox_process, answer):
    with page_with(sandbox_process, body=BUTTONS, script=SNIPPETS["open"]) as site:
        page = opened(context, site.url)
        popup = popup_of(page, "#import")
        log_in(popup)
        press(popup, answer)
        shows(page, "Connected as joe" if answer == "#allow" else "Not connected: access_denied")


def test_a_signal(context, sandbox_process):
    with page_with(sandbox_process, body=BUTTONS, script=SNIPPETS["signal"]) as site:
        page = opened(context, site.url)
        popup = popup_of(page, "#import")
        page.click("#cancel")
        shows(page, "Given up: you cancelled")
        assert closed(popup)
        allow(popup_of(page, "#import"))
        shows(page, "Connected as joe")


@pytest.mark.parametrize("button", ["import", "again"])
def test_the_later_forms(context, sandbox_process, button):
    with page_with(sandbox_process, body=BUTTONS, script=SNIPPETS["later-forms"]) as site:
        page = opened(context, site.url)
        allow(popup_of(page, f"#{button}"))
        shows(page, "Connected as joe")


def test_beside_soundclouds_own_script(context, sandbox_process, node):
    body = f"<script>{SHOW}</script>" + SNIPPETS["sdk"]
    sdk = node.file_of("soundcloud@3.3.2", "sdk.js")
    with page_with(sandbox_process, body=body, files={"/sdk.js": sdk}) as site:
        page = opened(context, site.url)
        assert page.evaluate("[typeof SC.stream, typeof SC.connect]") == ["function", "function"]
        allow(popup_of(page, "#import"))
        shows(page, "Connected as joe")


@pytest.mark.parametrize("answer", ["#allow", "#deny", "closed"])
def test_the_events(context, sandbox_process, answer):
    body = '<button id="sc" data-sc-connect>Connect</button>'
    with page_with(sandbox_process, body=body, script=SNIPPETS["events"]) as site:
        page = opened(context, site.url)
        popup = popup_of(page, "#sc")
        shows(page, "Look for the new window.")
        if answer == "closed":
            popup.close()
        else:
            log_in(popup)
            press(popup, answer)
        words = {
            "#allow": "Connected as joe",
            "#deny": "Not connected: access_denied",
            "closed": "You closed",
        }
        shows(page, words[answer])


@pytest.mark.parametrize("width", [390, 1280])
def test_the_whole_page_on_small_screens(context, sandbox_process, width):
    body = '<a href="#" id="sc-connect">Connect</a>'
    with page_with(sandbox_process, body=body, script=SNIPPETS["whole-page"]) as site:
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(site.url)
        if width == 390:
            page.click("#sc-connect")
            log_in(page)
            page.click("#allow")
            page.wait_for_url(f"{site.url}/")
        else:
            allow(popup_of(page))
        shows(page, "Connected as joe")
        assert len([tab for tab in context.pages if not tab.is_closed()]) == 1


def header(snippet):
    name, _, value = snippet.strip().partition(": ")
    return name, value


def test_a_strict_content_security_policy(context, sandbox_process):
    files = {"/page.js": SHOW + SNIPPETS["events"]}
    with page_with(
        sandbox_process, body=SNIPPETS["csp-page"], headers=[header(SNIPPETS["csp"])], files=files
    ) as site:
        page = opened(context, site.url)  # a violation fails the test: see `context`
        allow(popup_of(page, "#import"))
        shows(page, "Connected as joe")


def test_a_cross_origin_opener_policy(context, sandbox_process):
    with page_with(
        sandbox_process, body=BUTTONS, script=SNIPPETS["open"], headers=[header(SNIPPETS["coop"])]
    ) as site:
        page = opened(context, site.url)
        popup = popup_of(page, "#import")
        log_in(popup)
        assert popup.evaluate("opener") is None
        press(popup, "#allow")
        shows(page, "Connected as joe")


@pytest.mark.parametrize("snippet", ["no-javascript", "libraries"])
def test_a_worker_that_leaves_the_paths_out(context, sandbox_process, snippet):
    body = {"no-javascript": SNIPPETS["no-javascript"], "libraries": SNIPPETS["libraries"]}[snippet]
    claim = "addEventListener('activate', (event) => event.waitUntil(clients.claim()));"
    files = {"/worker.js": claim + SNIPPETS["worker"]}
    with page_with(sandbox_process, body=body, files=files) as site:
        page = opened(context, site.url)
        page.evaluate("void navigator.serviceWorker.register('/worker.js')")
        page.wait_for_function("navigator.serviceWorker.controller !== null")
        page.click("a")
        log_in(page)
        page.click("#allow")
        page.wait_for_url(f"{site.url}/account?username=joe&oauth_token_id=43#")


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    return Node(tmp_path_factory.mktemp("node"))


def test_the_types_and_their_snippet_compile(node):
    types = node.write("sc-connect.d.ts", TYPES)
    assert node.compile(types, node.write("page.ts", SNIPPETS["typescript"])) == ""


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ("SC.Connect.open({ popup: 'no' });", "TS2322"),
        ("SC.Connect.open({ calback: () => {} });", "calback"),
        ("SC.Connect.prepareButton('#sc-connect');", "TS2345"),
        ("SC.Connect.open().then((fields) => fields.username.length);", "TS18048"),
        (
            "document.addEventListener('scconnect:done', (event) => event.detail.toFixed());",
            "TS2349",
        ),
    ],
)
def test_the_types_find_a_mistake(node, wrong, complaint):
    assert complaint in node.compile(
        node.write("sc-connect.d.ts", TYPES), node.write("wrong.ts", wrong)
    )


def test_the_types_name_what_the_script_has(context, sandbox_process):
    with page_with(sandbox_process, body=SCRIPT) as site:
        names = opened(context, site.url).evaluate("Object.keys(SC.Connect)")
    assert sorted(names) == sorted(set(re.findall(r"^  function (\w+)", TYPES, re.MULTILINE)))


def test_a_react_component(context, sandbox_process, node):
    types = node.write("sc-connect.d.ts", TYPES)
    component = node.write("connect.tsx", SNIPPETS["react"])
    page_source = node.write("page.tsx", REACT)
    assert node.compile(types, component, page_source) == ""
    body = f'<div id="root"></div><script>{SHOW}</script>{SCRIPT}<script src="/page.js"></script>'
    with page_with(
        sandbox_process, body=body, files={"/page.js": node.bundle(page_source)}
    ) as site:
        page = opened(context, site.url)
        popup = popup_of(page, "#connect")
        # Drawn again meanwhile: the popup stays open, and the newest callback is called
        page.click("#draw")
        allow(popup)
        shows(page, "Connected as joe, drawn 1 times")
        assert page.inner_text("#shown").count("Connected") == 1
