"""The pages of a flow in the user's language, and the button of another provider, in Chromium."""

import gzip
import json
import re

import pytest
from support.flows import CODES, flow_for
from support.paths import CHECKOUT
from support.site import running_site
from support.windows import opened

from scconnect_wsgi.middleware import asset_folder

pytestmark = [pytest.mark.browser, pytest.mark.slow]

DOCS = (CHECKOUT / "docs" / "button.md").read_text("utf-8")
CONNECTED = {
    "en": "You are connected",
    "de": "Ihr Konto ist verbunden",
    "fr": "Votre compte est connecté",
    "es": "Tu cuenta está conectada",
    "pt": "Sua conta está conectada",
    "ja": "接続しました",
}
MARK = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0h9v9z"/></svg>'


def texts_of_close_page():
    text = (asset_folder() / "close.html").read_text("utf-8")
    return json.loads(re.search("data-texts='([^']*)'", text)[1])


def page_of_the_button(environ, start_response):
    """Serve the snippet of docs/button.md, and the mark that it names."""
    is_mark = environ["PATH_INFO"] == "/static/example.svg"
    snippet = re.search(r"snippet: other-provider -->\n```html\n(.*?)```", DOCS, re.DOTALL)[1]
    body = MARK if is_mark else f'<!DOCTYPE html><link rel="icon" href="data:,">{snippet}'
    kind = "image/svg+xml" if is_mark else "text/html; charset=utf-8"
    data = body.encode()
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(data)))])
    return [data]


@pytest.fixture(scope="module")
def site():
    texts = {"nl-BE": {"You are connected": "'t Is gelukt"}, "he": {"You are connected": "מחובר"}}
    flow = flow_for("oauth2", "http://127.0.0.1:9")
    with running_site(flow, app=page_of_the_button, texts=texts) as site:
        yield site


def test_without_a_script_there_is_one_way_back_in_each_language(chromium, site):
    context = chromium.new_context(java_script_enabled=False)
    page = opened(context, f"{site.url}/sc-connect/close.html?username=joe")
    links = page.locator("a:visible")
    assert links.count() == len(CONNECTED)
    for language in CONNECTED:
        line = page.locator(f"p[lang={language}]")
        assert line.is_visible()
        assert line.locator("a").evaluate("link => link.href") == f"{site.url}/"
    page.close()
    context.close()


@pytest.fixture
def speaking(chromium):
    """Open an address in a browser whose user speaks a language."""
    contexts = []

    def open_page(url, language):
        contexts.append(chromium.new_context(locale=language))
        return opened(contexts[-1], url)

    yield open_page
    for context in contexts:
        context.close()


def lines(page):
    return [line for line in page.inner_text("main").splitlines() if line.strip()]


@pytest.mark.parametrize("language", CONNECTED)
def test_the_last_page_speaks_the_users_language(site, speaking, language):
    region = {"pt": "pt-BR", "de": "de-AT"}.get(language, language)
    page = speaking(f"{site.url}/sc-connect/close.html?username=joe", region)
    assert page.inner_text("h1") == CONNECTED[language]
    assert page.title() == CONNECTED[language]
    assert page.evaluate("document.documentElement.lang") == language
    translated = texts_of_close_page().get(language)
    for code in [*CODES, "unheard_of"]:
        page.goto(f"{site.url}/sc-connect/close.html?error={code}&error_id=0123abcd")
        if translated:
            known = {text.replace("{id}", "0123abcd") for text in translated.values()}
            assert set(lines(page)) <= known, code
        assert len(lines(page)) == 5


@pytest.mark.parametrize(
    ("languages", "expected"),
    [
        (["tlh", "fr-CA", "en"], "fr"),
        (["en-GB", "de"], "en"),
        (["nl-BE", "de"], "nl-be"),
        (["nl", "de"], "de"),
        (["", "x", "__proto__", "constructor"], "en"),
        (["he-IL", "en"], "he"),
    ],
    ids=str,
)
def test_the_first_language_that_there_is_counts(site, speaking, languages, expected):
    page = speaking(f"{site.url}/sc-connect/close.html", "en-US")
    page.context.add_init_script(
        f"Object.defineProperty(navigator, 'languages', {{get: () => {json.dumps(languages)}}})"
    )
    page.reload()
    assert page.evaluate("document.documentElement.lang") == expected
    own = {**CONNECTED, "nl-be": "'t Is gelukt", "he": "מחובר"}
    assert page.inner_text("h1") == own[expected]
    assert page.evaluate("getComputedStyle(document.documentElement).direction") == (
        "rtl" if expected == "he" else "ltr"
    )


def test_the_middlewares_pages_speak_it_too(site, speaking):
    page = speaking(f"{site.url}/sc-connect/nothing", "ja-JP")
    assert page.inner_text("h1") == "見つかりません"
    assert page.evaluate("document.documentElement.lang") == "ja"


def test_the_button_of_another_provider_has_its_mark_and_colours(site, speaking):
    page = speaking(f"{site.url}/", "en-US")
    style = page.evaluate(
        """() => {
            const button = document.querySelector('.example');
            const mark = getComputedStyle(button, '::before');
            const own = getComputedStyle(button);
            return {
              plate: own.backgroundColor, cells: own.backgroundImage,
              mask: mark.maskImage, size: mark.maskSize,
            };
        }"""
    )
    assert style["plate"] == "rgb(29, 78, 216)"
    assert "rgb(37, 99, 235)" in style["cells"]
    assert style["mask"] == f'url("{site.url}/static/example.svg")'
    assert style["size"] == "contain"
    colour = "getComputedStyle(document.querySelector('.example')).backgroundColor"
    for look in ("sc-light", "sc-dark", "sc-small", "sc-disconnect"):
        page.evaluate(f"document.querySelector('.example').classList.add('{look}')")
        plate = page.evaluate(colour)
        assert plate == "rgb(29, 78, 216)", look
    page.emulate_media(forced_colors="active")
    assert page.evaluate(colour) != "rgb(29, 78, 216)"


def test_the_docs_name_every_property_that_a_page_may_set():
    sheet = (asset_folder() / "button.css").read_text("utf-8")
    rule = re.search(r"^:where\(\.sc-connect-button\) \{(.*?)^\}", sheet, re.DOTALL | re.MULTILINE)
    rows = re.findall(r"^\| (`--sc-.*?) \|", DOCS, re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}
    assert documented == set(re.findall(r"^  (--sc-[\w-]+):", rule[1], re.MULTILINE))


def test_the_script_of_every_page_stays_small():
    script = (asset_folder() / "sc-connect.js").read_bytes()
    served = re.sub(rb"^ +//.*\n", b"", script, flags=re.MULTILINE)
    assert len(gzip.compress(served, 9)) <= 5 * 1024
