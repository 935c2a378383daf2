"""The snippets of docs/operations.md run, and do what the text says."""

import contextlib
import io
import json
import logging
import re
import shutil
import sqlite3
import stat
import subprocess
from dataclasses import replace

import pytest
from support.browser import Browser
from support.documentation import snippet, snippets
from support.flows import flow_for
from support.paths import CHECKOUT
from support.responses import landed
from support.site import KEY, Site, page_of_the_site, running_site

from scconnect_wsgi.connections import Connections
from scconnect_wsgi.encryption import Encryption
from scconnect_wsgi.errors import KeyRemoved
from scconnect_wsgi.sandbox import serve
from scconnect_wsgi.stores.sql import SQLStore

OLD, NEW = "an old key that is as long as it must be", "the new key that is as long as it must be"
PAGE = (CHECKOUT / "docs" / "operations.md").read_text("utf-8")


def run(word, **names):
    exec(compile(snippet("operations.md", "python", word), "docs/operations.md", "exec"), names)
    return names


@pytest.fixture
def connect(provider, browser):
    """Connect joe at a store, and return the names that the snippets use."""

    def connect(store, user="joe", **options):
        flow = flow_for("oauth2", provider.url)
        connections = Connections(flow, store, identify=lambda request: user, **options)
        with serve(connections.wrap(page_of_the_site, secret_key=KEY)) as server:
            fields = landed(browser.connect(Site(server.url.replace("127.0.0.1", "localhost"))))
        return {"connections": connections, "store": store, "flow": flow, **fields}

    return connect


@pytest.fixture
def logger():
    """Let the snippet change the logger, and put it back."""
    logger = logging.getLogger("scconnect_wsgi")
    before = logger.level, logger.handlers[:], logger.propagate
    yield logger
    logger.level, logger.handlers, logger.propagate = before


def test_every_snippet_is_run():
    assert len(snippets("operations.md", "python")) == 4


def test_each_record_is_a_line_of_json_that_has_the_id(provider, logger):
    output = io.StringIO()
    with contextlib.redirect_stderr(output):
        run("dictConfig")

    def store_token(token, request):
        raise LookupError("two\nlines")

    with (
        running_site(flow_for("oauth2", provider.url), store_token=store_token) as site,
        Browser() as browser,
    ):
        fields = landed(browser.connect(site))
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    lines = [line for line in lines if line["logger"] == "scconnect_wsgi"]  # without the sandbox
    assert [line["level"] for line in lines] == ["INFO", "ERROR", "ERROR", "WARNING"]
    assert [line["error_id"] for line in lines] == [None, *[fields["error_id"]] * 3]
    assert "Traceback" in lines[1]["message"]
    assert lines[3]["message"].startswith("storage_failed: ")


def test_the_hook_prints_an_event(connect, provider, capsys):
    given = {"flow": None, "store": None, "identify": None}
    names = run("def count(", **given, Connections=lambda *_, on_event, **__: on_event)
    connect(SQLStore("sqlite://"), on_event=names["count"])
    out = capsys.readouterr().out
    assert re.search(r"^flow_started\s+[\d.]+\nconnected\s+[\d.]+$", out, re.MULTILINE)


def test_tokens_are_written_again_with_the_newest_key(connect, tmp_path):
    url = f"sqlite:///{tmp_path}/connections.sqlite3"
    names = connect(SQLStore(url, encryption=Encryption(OLD)))
    id = names["oauth_token_id"]
    token = names["store"].load(id).token
    with pytest.raises(KeyRemoved):
        SQLStore(url, encryption=Encryption(NEW)).load(id)

    both = SQLStore(url, encryption=Encryption([OLD, NEW]))
    other = both.save(
        replace(both.load(id), id="of another API", api_url="https://api.example", version=0)
    )
    run("while page := store.all", store=both)
    new = SQLStore(url, encryption=Encryption(NEW))
    assert new.load(id).token == token
    assert new.load(other.id).token == token


def test_after_a_restore_those_that_were_refreshed_since_end(connect, capsys):
    store = SQLStore("sqlite://")
    names = connect(store)
    id = names["oauth_token_id"]
    backup = store.load(id)
    store.save(replace(backup, token=replace(backup.token, expires_at=1)))
    with names["connections"].session(id, user="joe") as session:
        session.me()  # refreshes the token, after the backup was made

    store.delete(id)
    store.save(replace(backup, version=0))
    with names["connections"].session(id, user="joe") as session:
        session.me()  # the access token in the backup has not expired
    given = {"connections": names["connections"], "store": store}
    assert run("working = 0", **given)["working"] == 0
    assert capsys.readouterr().out == "joe connection_revoked\n"
    assert connect(store)["oauth_token_id"] == id  # the same one, after another click
    assert run("working = 0", **given)["working"] == 1


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="needs the program sqlite3")
def test_a_running_site_s_sqlite_file_is_copied_whole_and_for_its_owner_only(connect, tmp_path):
    names = connect(SQLStore(f"sqlite:///{tmp_path}/connections.sqlite3"))
    (command,) = re.findall(r"^    (umask .*\.backup.*)$", PAGE, re.MULTILINE)
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    copy = tmp_path / "copy.sqlite3"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert SQLStore(f"sqlite:///{copy}").load(names["oauth_token_id"]).user == "joe"


def test_a_copy_can_be_emptied(connect, tmp_path):
    store = SQLStore(f"sqlite:///{tmp_path}/connections.sqlite3")
    connect(store)
    (statements,) = snippets("operations.md", "sql")
    with contextlib.closing(sqlite3.connect(tmp_path / "connections.sqlite3")) as database:
        database.executescript(statements)
    assert store.of_user("joe") == []


def test_the_queries_name_what_the_example_counts():
    example = (CHECKOUT / "examples" / "metrics" / "app.py").read_text("utf-8")
    named = set(re.findall(r"\brate\((\w+?)(?:_total|_bucket)\{", PAGE))
    counted = set(re.findall(r'"(scconnect_\w+)"', example))
    assert named == counted
