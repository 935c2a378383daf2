"""docs/troubleshooting.md has an entry for each error, each line of the log and each page of ours.

What there is to be found comes from the source, so an entry cannot be forgotten.
"""

import ast
import pathlib
import re

import pytest
from support.browser import ARRIVAL, CLICK
from support.flows import CODES, flow_for
from support.paths import CHECKOUT
from support.responses import landed
from support.site import running_site

import scconnect_wsgi
from scconnect_wsgi import errors
from scconnect_wsgi.documentation import SITE, entry, page

PAGE = (CHECKOUT / "docs" / "troubleshooting.md").read_text("utf-8")
CLOSE_JS = (CHECKOUT / "assets" / "close.js").read_text("utf-8")
SOURCES = sorted(pathlib.Path(scconnect_wsgi.__file__).parent.rglob("*.py"))
LOUD = {"warning", "error", "exception", "critical", "log"}


def nodes(kind):
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, kind):
                yield node


def called(node):
    """Return the name under which a function or a method is called."""
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def shown(template):
    """Return the first line of a format of the log, as the page shows it."""
    text = re.sub(r"%[sd]", "…", template.partition("\n")[0]).replace("`", "'")
    return re.sub(r"[.…]*…[.…]*", "...", text.replace("...", "…"))


def logged():
    """Return the formats of all lines of the log that are warnings or worse."""
    for node in nodes(ast.Call):
        is_of_a_logger = getattr(getattr(node.func, "value", None), "id", "") == "log"
        if is_of_a_logger and called(node) in LOUD:
            texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
            (text,) = [each for each in texts if isinstance(each, str)]
            yield shown(text)


def codes():
    """Return the codes of the error classes."""
    bodies = [node.body for node in nodes(ast.ClassDef)]
    for node in [statement for body in bodies for statement in body]:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if getattr(target, "id", "") == "code":
                yield node.value.value


def titles():
    """Return the titles of the pages about failures."""
    for node in nodes(ast.Call):
        if called(node) in ("Notice", "failure"):
            texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
            if len(texts) >= 2 and re.match(r"[45]\d\d ", str(texts[0])):
                yield texts[1]


def headings(text=PAGE):
    return re.findall(r"^#+ (.+)$", text, re.MULTILINE)


def section(name):
    """Return the text below a heading of the second level."""
    return PAGE.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def anchors():
    """Return the addresses of the headings, as both GitHub and Sphinx make them."""
    return {re.sub(r"[^\w -]", "", text).lower().replace(" ", "-") for text in headings()}


def test_every_line_of_the_log_is_in_the_table_and_no_other():
    table = PAGE.partition("### In the log")[2].partition("\n## ")[0]
    lines = re.findall(r"^\| (?:WARNING|ERROR) \| `(.+?)` \|", table, re.MULTILINE)
    assert sorted(lines) == sorted(set(logged()))


def test_every_code_has_an_entry_and_no_other():
    entries = re.findall(r"^### (.+)\n\n`(\w+)`[:,]", PAGE, re.MULTILINE)
    assert {code for _, code in entries} == set(codes())
    for heading, code in entries:
        assert entry(code).endswith(f"#{heading.lower().replace(' ', '-')}")


def test_every_code_of_a_flow_is_among_those_of_flows():
    entries = set(re.findall(r"\n\n`(\w+)`:", section("Codes of a flow")))
    later = {"connection_revoked", "refresh_lost"}  # of calls; a worker may still end a flow so
    assert entries == set(CODES) - later
    for_the_page = (CHECKOUT / "docs" / "browser.md").read_text("utf-8")
    table = for_the_page.partition("\n### What went wrong\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) - {"error"} == entries


def test_every_page_about_a_failure_has_an_entry_and_no_other():
    assert set(re.findall(r"^### (.+)$", section("Pages of this package"), re.MULTILINE)) == set(
        titles()
    )


@pytest.mark.parametrize("name", sorted({*codes(), *titles()}))
def test_the_address_of_an_entry_leads_to_it(name):
    address, _, anchor = entry(name).partition("#")
    assert address == page("troubleshooting") == f"{SITE}troubleshooting.html"
    assert anchor in anchors()


def test_every_sentence_of_the_last_page_is_in_the_first_table():
    reasons = re.findall(
        r"^    \['(\w+)', '(.+)'\],$", CLOSE_JS.partition("REASONS")[2].partition(";")[0], re.M
    )
    sentences = dict(reasons)
    assert set(sentences) >= {"access_denied", "start_refused"}
    for code, sentence in sentences.items():
        heading = code.replace("_", " ").capitalize()
        anchor = entry(code).partition("#")[2]
        assert f'| "{sentence}" | [{heading}](#{anchor}) |' in PAGE


def test_what_each_entry_about_a_code_says_of_the_check():
    for name in ("Codes of a flow", "Codes of settings and calls"):
        for text in section(name).split("\n### ")[1:]:
            if "`:" in text or "`, raised" in text:
                assert re.search("\n`scconnect check[ `]", text), text


def test_every_code_of_the_check_that_is_named_exists():
    check = (CHECKOUT / "docs" / "check.md").read_text("utf-8")
    known = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", check))
    said = re.findall(r"`scconnect check[^`]*` (?:then )?says ([^\n]+(?:\n[^\n]+)*)", PAGE)
    named = {word for text in said for word in re.findall(r"`([a-z]+(?:-[a-z]+)+)`", text)}
    assert "callback-cookies" in named  # the sentences are still written so that they are found
    assert named - known == set()


# The addresses, where people meet them


def test_the_line_of_a_failure_has_the_address_of_its_entry(provider, browser, caplog):
    with running_site(flow_for("oauth2", provider.url)) as site:
        fields = landed(browser.get(f"{site.callback}?state=a&code=b", **ARRIVAL))
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert line.endswith(f"(error_id {fields['error_id']}) See {entry(fields['error'])}")
    assert SITE not in str(fields)  # not for the page's callback


@pytest.mark.threat(58)
def test_58_our_own_page_links_to_its_entry_and_tells_it_nothing(provider, browser, caplog):
    with running_site(flow_for("oauth2", provider.url)) as site:
        response = browser.get(site.start, **{**CLICK, "Sec-Fetch-Dest": "image"})
    (link,) = re.findall(r'<a class="entry" ([^>]*)>', response.text)
    assert link == f'href="{entry("Not from here")}" target="_blank" rel="noreferrer"'
    assert f"See {entry('Not from here')}" in caplog.text


@pytest.mark.parametrize("code", sorted(set(codes())))
def test_an_error_ends_its_traceback_with_the_address(code):
    kinds: list = [errors.ConnectError, *errors.ConnectError.__subclasses__()]
    kinds += errors.NotConnected.__subclasses__()
    kind = next(kind for kind in kinds if kind.code == code)
    error = kind("secret_key", "is missing.") if code == "configuration" else kind("No.")
    assert error.documentation == entry(code)
    assert error.__notes__ == [f"See {entry(code)}"]


def test_the_last_page_has_the_same_address():
    (address,) = re.findall(r"const ENTRIES = '(.+)';", CLOSE_JS)
    assert address == entry("")
