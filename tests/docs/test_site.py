"""The documentation site as Sphinx builds it: its links, its reference, and its pages in a browser.

tox.ini's environment `docs` builds it before. Without DOCS_HTML this module builds it itself.
"""

from __future__ import annotations

import functools
import html
import http.server
import importlib
import os
import pathlib
import re
import subprocess
import sys
import threading
import zipfile
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from support.flows import CODES
from support.paths import CHECKOUT

from scconnect_wsgi.documentation import SITE, entry

pytestmark = pytest.mark.site

DOCS = CHECKOUT / "docs"
PAGES = sorted(path.stem for path in DOCS.glob("*.md"))
# Modules to import from. A module without __all__ shows its own classes and functions.
PUBLIC = [
    "scconnect_wsgi",
    "scconnect_wsgi.account",
    "scconnect_wsgi.config",
    "scconnect_wsgi.connections",
    "scconnect_wsgi.django",
    "scconnect_wsgi.encryption",
    "scconnect_wsgi.errors",
    "scconnect_wsgi.events",
    "scconnect_wsgi.sandbox",
    "scconnect_wsgi.stores",
    "scconnect_wsgi.stores.redis",
    "scconnect_wsgi.stores.sql",
    "scconnect_wsgi.testing",
]
FOR_OTHER_ROOMS = {
    "scconnect_wsgi.config": {
        "Settings",
        "build",
        "from_environ",
        "from_section",
        "sandbox_environment",
        "sandbox_options",
        "sections_used",
    },
    "scconnect_wsgi.encryption": {"Sealer", "is_sealed"},
    "scconnect_wsgi.errors": {"new_error_id"},
    "scconnect_wsgi.events": {"Events", "Failure", "FlowEvents"},
    "scconnect_wsgi.sandbox": {"CommandNotStartedError", "StateFileError", "run_command"},
    "scconnect_wsgi.stores": {
        "KEY_LENGTH",
        "OutcomeCodec",
        "STORED_FIELDS",
        "TokenCodec",
        "is_storable",
        "missing_extra",
        "read_all",
        "read_connection",
        "storable",
        "write_connection",
    },
}


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The folder of the built site."""
    folder = os.environ.get("DOCS_HTML")
    if folder is None:
        folder = str(tmp_path_factory.mktemp("site") / "html")
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(DOCS), folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    return pathlib.Path(folder)


class Page(HTMLParser):
    """The links and the anchors of a built page."""

    def __init__(self, path):
        super().__init__()
        self.links = set()
        self.anchors = {""}
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors.add(given.get("id", ""))
        for name in ("href", "src"):
            if given.get(name):
                self.links.add(given[name])


def test_every_link_leads_to_a_file_and_its_anchor(built):
    pages = {path.relative_to(built).as_posix(): Page(path) for path in built.rglob("*.html")}
    lost = []
    for name, page in pages.items():
        for link in page.links:
            where = urlsplit(urljoin(f"site:///{name}", link))
            if where.scheme != "site":
                continue
            target = unquote(where.path.lstrip("/")) or name
            known = pages[target].anchors if target in pages else {""}
            is_there = (built / target).is_file()
            if not is_there or (where.fragment and unquote(where.fragment) not in known):
                lost.append(f"{name}: {link}")
    assert lost == []


def test_a_file_of_the_examples_is_shown_with_its_download(built):
    page = built / "examples" / "login" / "flask" / "app.py.html"
    text = html.unescape(re.sub("<[^>]+>", "", page.read_text("utf-8")))
    source = (CHECKOUT / "examples" / "login" / "flask" / "app.py").read_text("utf-8")
    assert source.splitlines()[-1] in text
    (copy,) = [link for link in Page(page).links if "_downloads" in link]
    assert (page.parent / copy).read_text("utf-8") == source
    assert "examples/login/flask/app.py.html" in Page(built / "use-cases.html").links


def test_a_whole_example_is_shown_and_can_be_downloaded(built, tmp_path):
    example = CHECKOUT / "examples" / "optional" / "flask"
    source = [path for path in example.rglob("*.*") if not {"__pycache__"} & set(path.parts)]
    names = {path.relative_to(example).as_posix() for path in source}
    page = built / "examples" / "optional" / "flask" / "wsgi.py.html"
    assert {f"{name}.html" for name in names - {"wsgi.py"}} <= Page(page).links
    assert "../flask.zip" in Page(page).links
    with zipfile.ZipFile(page.parent.parent / "flask.zip") as archive:
        assert set(archive.namelist()) == {f"flask/{name}" for name in names}
        archive.extractall(tmp_path)
    assert {name: (tmp_path / "flask" / name).read_bytes() for name in names} == {
        path.relative_to(example).as_posix(): path.read_bytes() for path in source
    }


def public_names(module):
    """Return the names of a module that a site may import."""
    names = getattr(module, "__all__", None)
    if names is None:
        own = {name: value for name, value in vars(module).items() if not name.startswith("_")}
        names = [
            name
            for name, value in own.items()
            if getattr(value, "__module__", None) == module.__name__ and callable(value)
        ]
    return set(names) - FOR_OTHER_ROOMS.get(module.__name__, set())


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_in_the_reference(built, module):
    names = public_names(importlib.import_module(module))
    anchors = Page(built / "api.html").anchors
    assert names
    assert {name for name in names if f"{module}.{name}" not in anchors} == set()


def test_nothing_of_the_inside_is_in_the_reference(built):
    page = (built / "api.html").read_text("utf-8")
    shown = re.findall(r'<dt class="sig[^>]* id="([^"]+)"', page)
    assert len(shown) > 50
    assert [name for name in shown if "._" in name] == []


def test_the_address_of_a_failure_leads_to_its_entry(built):
    anchors = Page(built / "troubleshooting.html").anchors
    for code in CODES:
        where = urlsplit(entry(code))
        assert where.path.endswith("/troubleshooting.html")
        assert where.fragment in anchors


def test_every_address_of_the_site_that_is_published_is_there(built):
    sources = [CHECKOUT / "README.md", CHECKOUT / "SECURITY.md", CHECKOUT / "pyproject.toml"]
    sources += [*DOCS.glob("*.md"), *(CHECKOUT / "examples").rglob("*.py")]
    addresses = set()
    for source in sources:
        found = re.findall(rf"{re.escape(SITE)}([\w/.-]*)(#[\w-]+)?", source.read_text("utf-8"))
        addresses |= {(path or "index.html", anchor) for path, anchor in found}
    assert len(addresses) > 20
    pages = {path.name: Page(path).anchors for path in built.glob("*.html")}
    for path, anchor in addresses:
        assert (built / path).is_file(), path
        assert anchor[1:] in pages.get(path, {""}), path + anchor


def test_language_models_find_every_page(built):
    index = (built / "llms.txt").read_text("utf-8")
    for name in PAGES:
        assert f"({SITE}_sources/{name}.md.txt)" in index
        assert (built / "_sources" / f"{name}.md.txt").is_file()
    assert "Connections(flow" in (built / "llms-full.txt").read_text("utf-8")


@pytest.fixture(scope="module")
def site(built):
    """The address of the built site."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=built)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_a_phone_and_asks_no_other_host(chromium, site, scheme):
    context = chromium.new_context(
        viewport={"width": 375, "height": 700}, color_scheme=scheme, is_mobile=True
    )
    page = context.new_page()
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.extend(foreign(request.url, site)))
    for name in PAGES:
        page.goto(f"{site}/{name}.html")
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert (name, wide, complaints) == (name, 0, [])
    context.close()


def foreign(url, site):
    """Return the address in a list if it is not one of the site."""
    return [] if url.startswith((f"{site}/", "data:")) else [url]


def test_the_search_finds_a_code(chromium, site):
    page = chromium.new_page()
    page.goto(f"{site}/index.html")
    page.fill("input[name=q]", "flow_expired")
    page.press("input[name=q]", "Enter")
    page.wait_for_selector("#search-results li a")
    found = page.locator("#search-results li a").evaluate_all("all => all.map(a => a.href)")
    assert any(urlsplit(url).path == "/relay.html" for url in found)
    page.locator("#search-results li a").first.click()
    page.wait_for_selector("mark, .highlighted, article h1")
    page.close()


def test_a_diagram_follows_the_toggle_of_the_page(chromium, site):
    page = chromium.new_page(color_scheme="light", viewport={"width": 1400, "height": 900})
    page.goto(f"{site}/architecture.html")
    corners = {}
    picture = page.locator("article img[src$='flow.svg']")
    for theme in ("light", "dark"):
        page.evaluate("theme => { document.body.dataset.theme = theme }", theme)
        corners[theme] = picture.screenshot()
    assert corners["light"] != corners["dark"]
    assert picture.evaluate("image => getComputedStyle(image).colorScheme") == "dark"
    page.close()


def test_a_page_of_code_has_a_button_to_copy(chromium, site):
    page = chromium.new_page()
    page.goto(f"{site}/quickstart.html")
    assert page.locator("div.highlight button.copybtn").count() >= 4
    page.close()
