"""The example of each framework, run as its reader runs it."""

import pathlib
import re
import socket
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from frameworks import ALL, SITES
from helpers import KEY, Browser, Site, landed, opened, popup_of, query
from test_demo import environment, running

pytestmark = pytest.mark.slow

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"

# The plain example is the README's, and run by test_demo.
each_framework = pytest.mark.parametrize("framework", [name for name in SITES if name != "plain"])


@pytest.fixture
def example(framework, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with running(tmp_path, EXAMPLES / framework / "app.py", port, until="Open") as example:
        yield Site(example.url, None)
        output, errors = example.stop()
    assert (example.process.returncode, output) == (0, "")
    for word in ("Traceback", "code=", "sandbox-secret"):
        assert word not in errors


@each_framework
def test_an_example_logs_its_visitor_in(example):
    with Browser() as joe, Browser() as stranger:
        assert "Logged in: nobody<" in joe.get(example.url).text
        answer = joe.connect(example)
        assert urlsplit(answer.headers["Location"]).path == "/sc-connect/close.html"
        assert query(answer.headers["Location"]) == {"username": "joe"}
        assert "Logged in: joe<" in joe.get(example.url).text
        assert "Logged in: nobody<" in stranger.get(example.url).text
        mine = [cookie for cookie in joe.session.cookies if not cookie.name.startswith("sandbox")]
        assert all(cookie.has_nonstandard_attr(name) for cookie in mine for name in ("HttpOnly", "SameSite"))


@pytest.mark.browser
@each_framework
def test_in_a_browser_the_page_says_who_is_logged_in(example, context):
    page = opened(context, example.url)
    popup = popup_of(page)
    popup.fill("#username", "joe")
    popup.fill("#password", "joe")
    popup.click("#login")
    popup.wait_for_selector("#allow")
    popup.eval_on_selector("#allow", "button => setTimeout(() => button.click())")
    page.wait_for_selector("p:text('Logged in: joe')")


@each_framework
def test_a_refusal_logs_nobody_in(example):
    with Browser() as joe:
        assert landed(joe.connect(example, "deny"))["error"] == "access_denied"
        assert "Logged in: nobody<" in joe.get(example.url).text


@each_framework
def test_a_made_up_session_is_nobodys(example):
    with Browser() as mallory:
        for name in ("session", "sessionid", "user"):
            mallory.session.cookies.set(name, "joe")
        assert "Logged in: nobody<" in mallory.get(example.url).text


@each_framework
def test_an_example_takes_its_credentials_from_the_environment(framework):
    settings = {"SCCONNECT_CLIENT_ID": "an-id", "SCCONNECT_CLIENT_SECRET": "a-secret", "SCCONNECT_SECRET_KEY": KEY}
    code = "import app; print(app.SECRET_KEY, app.flow.begin('http://localhost:8000/oauth/access_token').authorize_url)"
    options = {"capture_output": True, "text": True, "timeout": 30}
    command, folder = [sys.executable, "-c", code], EXAMPLES / framework
    done = subprocess.run(command, cwd=folder, env=environment(**settings, PYTHONDONTWRITEBYTECODE="1"), **options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{KEY} https://secure.soundcloud.com/authorize?")
    assert query(done.stdout.split()[-1])["client_id"] == "an-id"


@each_framework
def test_an_example_is_short(framework):
    assert len(text_of(framework).splitlines()) < 60


def test_the_examples_differ_in_their_frameworks_lines_alone():
    first, *others = (common_lines(framework) for framework in ALL.split()[1:])
    assert len(first) > 30
    assert others == [first] * len(others)


def text_of(framework):
    return (EXAMPLES / framework / "app.py").read_text("utf-8")


def common_lines(framework):
    """What is not the framework's: its imports, and what is between username() and the flow."""
    text = re.sub(framework, "FRAMEWORK", text_of(framework), flags=re.IGNORECASE)
    head, _, rest = text.partition('.json()["username"]\n')
    imports, _, constants = head.partition("from scconnect_wsgi import")
    standard = imports.partition("\nfrom html import escape\n")[0]
    return f"{standard}{constants}{rest[rest.index('flow = OAuth2(') :]}".splitlines()
