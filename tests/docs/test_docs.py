"""docs/tokens.md, workers.md and stores.md run as one program, with a user who connects."""

import ast
import pathlib
import re
from dataclasses import replace
from typing import Any

import pytest
import webob
from support.browser import ARRIVAL, Browser
from support.documentation import DOCS, anchors
from support.flows import CLIENT
from support.paths import CHECKOUT
from support.responses import landed
from support.site import KEY, page_of_the_site
from support.stores import connection as stored

from scconnect_wsgi import errors
from scconnect_wsgi.sandbox import Sandbox, serve

TOKENS = (DOCS / "tokens.md").read_text("utf-8")
PAGES = {name: (DOCS / name).read_text("utf-8") for name in ("workers.md", "stores.md")}
PAGES["tokens.md"] = TOKENS


def blocks(language, text=TOKENS):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


class Late:
    """A WSGI application that is set later, since its address must be known first."""

    app: Any

    def __call__(self, environ, start_response):
        return self.app(environ, start_response)


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """The reader of the three pages, who runs their snippets in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    sandbox = Sandbox()
    site = Late()
    with serve(sandbox) as provider, serve(site) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        names = {
            "CLIENT_ID": CLIENT[0],
            "CLIENT_SECRET": CLIENT[1],
            "SECRET_KEY": KEY,
            "BASE_URL": url,
            "PROVIDER": sandbox.oauth2_provider(provider.url),
            "application": page_of_the_site,
            "identify": lambda request: request.cookies.get("user"),
            "messages": [],
            "ENCRYPTION_KEYS": ["a key that is as long as keys have to be"],
        }
        yield Reader(names, sandbox, site, url)


class Reader:
    def __init__(self, names, sandbox, site, url):
        self.names = names
        self.sandbox = sandbox
        self.site = site
        self.url = url
        self.start = f"{url}/oauth/request_token"
        self.left = {page: blocks("python", text) for page, text in PAGES.items()}

    def run(self, opening, page="tokens.md"):
        """Run the next snippet of a page, which begins with these words."""
        snippet = self.left[page].pop(0)
        assert snippet.startswith(opening)
        exec(compile(snippet, f"docs/{page}", "exec"), self.names)

    def connect(self):
        self.site.app = self.names["application"]
        with Browser() as browser:
            browser.session.cookies.set("user", "joe", domain="localhost.local")
            return landed(browser.get(browser.decide(browser.click(self)), **ARRIVAL))


def test_the_snippets_do_what_the_text_says(reader):
    names = reader.names
    reader.run("from scconnect_wsgi import OAuth2\n")
    fields = reader.connect()
    assert set(fields) == {"oauth_token_id", "username"}
    names |= fields

    reader.run("with connections.session(oauth_token_id")
    assert (names["account"].name, len(names["first"]), len(names["titles"])) == (
        "Joe Sample",
        2,
        5,
    )

    for name in ("night-bus.flac", "cover.png"):
        pathlib.Path(name).write_bytes(b"fLaC")
    reader.run("def progress(")
    assert names["track"]["title"] == "Night Bus"
    assert not names["track"]["downloadable"]

    left = reader.left["tokens.md"]
    left.insert(1, left[0])  # twice: what it prints when all is well, and when not
    reader.run("from scconnect_wsgi.errors import")
    assert names["name"] == "Joe Sample"

    reader.sandbox.revoke()
    left.insert(0, left.pop(1))  # the hook comes first, to hear of it
    reader.run("def on_lost(")
    reader.run("from scconnect_wsgi.errors import")
    assert names["name"] == "Please connect again (connection_revoked)."
    assert names["messages"] == ["joe: joe must be connected again (connection_revoked)."]

    assert reader.connect() == fields
    ended = replace(names["store"].load(names["oauth_token_id"]), ended="connection_revoked")
    names["store"].save(ended)
    reader.run("connection = connections.revive(")
    assert names["connections"].of_user("joe") == [names["connection"]]
    reader.run("worker = Connections(flow, store)", "workers.md")
    assert names["tracks"] == {"joe": 6}  # the one that was uploaded is among them
    reader.run("accounts = [")
    assert names["accounts"] == [("joe", "connected")]
    reader.run("for connection in connections.of_user")
    assert names["connections"].of_user("joe") == []
    assert reader.sandbox.counts["sign_out"] == 1

    reader.run("def logged_in(")
    with Browser() as browser:
        departure = names["flow"].begin(f"{reader.url}/oauth/access_token")
        back = dict(webob.Request.blank(browser.decide(departure.authorize_url)).GET)
        token = names["flow"].finish(f"{reader.url}/oauth/access_token", back, departure.pending)
    environ = {
        "scconnect.token": token,
        "scconnect.callback_url": f"{reader.url}/oauth/access_token",
    }
    assert (
        names["logged_in"](environ)
        == f"{names['flow'].provider.api_url}#soundcloud:users:743372812"
    )

    reader.run("import sqlalchemy", "stores.md")
    assert names["in_your_database"].of_user("joe") == []
    names["engine"].dispose()

    # Asks no server before its first call
    reader.run("from scconnect_wsgi.stores.redis import RedisStore", "stores.md")
    reader.run("from scconnect_wsgi.encryption import Encryption", "stores.md")
    assert names["encrypted"].save(stored()).token == names["encrypted"].load("one").token

    reader.run("from scconnect_wsgi.stores import Store", "stores.md")
    assert set(map(len, reader.left.values())) == {0}


@pytest.mark.browser
def test_the_page_shows_who_is_connected_and_disconnects(reader, context):
    reader.run("from scconnect_wsgi import OAuth2\n")
    (snippet,) = blocks("html")
    page = f'<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,">{snippet}'.encode()

    def application(environ, start_response):
        if environ["PATH_INFO"] != "/":
            return reader.names["application"](environ, start_response)
        start_response(
            "200 OK", [("Content-Type", "text/html"), ("Content-Length", str(len(page)))]
        )
        return [page]

    reader.connect()
    reader.site.app = application
    context.add_cookies([{"name": "user", "value": "joe", "url": reader.url}])
    tab = context.new_page()
    tab.goto(reader.url)
    tab.wait_for_selector("p:text('Connected as joe')")
    tab.evaluate("async () => disconnect((await shown).oauth_token_id)")
    tab.wait_for_selector("p:text('Not connected')")
    assert reader.names["connections"].of_user("joe") == []


def test_every_error_of_a_call_is_in_the_table():
    codes = set(re.findall(r"^\| `(\w+)` \| `\w+` \| [A-Z]", TOKENS, re.MULTILINE))
    kinds: list[type[errors.ConnectError]] = [
        errors.NotConnected,
        *errors.NotConnected.__subclasses__(),
    ]
    assert {kind.code for kind in kinds} <= codes
    for name in re.findall(r"^\| `\w+` \| `(\w+)` \|", TOKENS, re.MULTILINE):
        assert issubclass(getattr(errors, name), errors.ConnectError)


def test_every_snippet_is_run():
    every = "".join(PAGES.values())
    languages = set(re.findall(r"^```(\w+)$", every, re.MULTILINE))
    assert languages == {"python", "html", "py"}  # examples/test_frameworks.py runs `py`: Flask
    for snippet in blocks("python", every):
        ast.parse(snippet)


def test_every_link_leads_to_a_heading_or_a_file():
    for path in [*CHECKOUT.glob("*.md"), *DOCS.glob("*.md")]:
        for file, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", path.read_text("utf-8")):
            target = path.parent / file if file else path
            assert target.exists(), f"{path.name}: {file}"
            assert not anchor or anchor in anchors(target.read_text("utf-8")), anchor


def test_every_section_is_in_the_table_of_contents():
    linked = set(re.findall(r"\(#([^)]+)\)", TOKENS.partition("\n## ")[0]))
    sections = re.findall(r"^## .+$", TOKENS, re.MULTILINE)
    assert anchors("\n".join(sections)) <= linked
