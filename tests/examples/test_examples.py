"""The example of each framework, run as a reader would run it."""

import importlib
import os
import re
import subprocess
import sys
from urllib.parse import urlsplit

import itsdangerous
import pytest
import requests
from support.browser import ARRIVAL, Browser
from support.commands import environment, running
from support.frameworks import ALL
from support.paths import CHECKOUT, TESTS
from support.ports import free_port
from support.responses import landed, query
from support.site import KEY, Site
from support.windows import decide, opened, popup_of

pytestmark = [pytest.mark.frameworks, pytest.mark.slow]

EXAMPLES = CHECKOUT / "examples"

# The plain example is the README's, and run by test_demo.
each_framework = pytest.mark.parametrize("framework", ALL.split()[1:])


@pytest.fixture
def example(framework, tmp_path):
    with running(tmp_path, EXAMPLES / framework / "app.py", free_port(), until="Open") as example:
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
        assert all(
            cookie.has_nonstandard_attr(name)
            for cookie in mine
            for name in ("HttpOnly", "SameSite")
        )


@pytest.mark.browser
@each_framework
def test_in_a_browser_the_page_says_who_is_logged_in(example, context):
    page = opened(context, example.url)
    decide(popup_of(page))
    page.wait_for_selector("p:text('Logged in: joe')")


@each_framework
def test_a_refusal_logs_nobody_in(example):
    with Browser() as joe:
        assert landed(joe.connect(example, "deny"))["error"] == "access_denied"
        assert "Logged in: nobody<" in joe.get(example.url).text


@each_framework
def test_a_made_up_session_logs_nobody_in(example):
    with Browser() as mallory:
        for name in ("session", "sessionid", "user"):
            mallory.session.cookies.set(name, "joe")
        assert "Logged in: nobody<" in mallory.get(example.url).text


def sandbox_of(example):
    """Return the address of an example's own sandbox."""
    with Browser() as anybody:
        parts = urlsplit(anybody.click(example))
    return f"{parts.scheme}://{parts.netloc}"


def misbehave(example, *names):
    """Give the sandbox of an example these faults from now on."""
    answer = requests.post(
        f"{sandbox_of(example)}/sandbox/misbehave", data={"name": names}, timeout=10
    )
    assert answer.status_code == 204, answer.text


def logged_in(browser, example, user):
    browser.get(browser.decide(browser.click(example), user=user), **ARRIVAL)
    return browser.get(example.url).text


def sessions(browser):
    """Return the cookies of the site's own session."""
    return {
        cookie.name: cookie.value
        for cookie in browser.session.cookies
        if not cookie.name.startswith("sandbox")
    }


@pytest.mark.threat(48)
@each_framework
def test_threat_48_two_accounts_of_one_display_name_are_two_users(example):
    misbehave(example, "username=joe")
    with Browser() as joe, Browser() as ann, Browser() as joe_elsewhere:
        pages = [
            logged_in(browser, example, user) for browser, user in ((joe, "joe"), (ann, "ann"))
        ]
        assert ["Logged in: joe<" in page for page in pages] == [True, True]
        assert pages[0] != pages[1]
        assert pages[0] == logged_in(joe_elsewhere, example, "joe")


@pytest.mark.threat(48)
@each_framework
@pytest.mark.parametrize(
    "how",
    ["urn=", "urn=None", "urn=soundcloud:users:", "urn=soundcloud:users:None", "unauthorized"],
)
def test_threat_48_an_account_without_a_urn_logs_nobody_in(example, how):
    misbehave(example, how)
    with Browser() as joe:
        answer = joe.connect(example)
        assert query(answer.headers["Location"])["error"] == "provider_error"
        assert "Logged in: nobody<" in joe.get(example.url).text


def a_planted_session_is_not_the_one_after(example):
    with Browser() as mallory, Browser() as joe:
        logged_in(mallory, example, "ann")
        planted = sessions(mallory)
        for name, value in planted.items():
            joe.session.cookies.set(name, value, domain="localhost.local", path="/")
        page = logged_in(joe, example, "joe")
        after = sessions(joe)
        assert after.keys() == planted.keys()
        assert [name for name in after if after[name] == planted[name]] == []
        assert "Logged in: joe<" in page
        assert "Logged in: joe<" not in mallory.get(example.url).text


@each_framework
def test_a_session_planted_before_the_login_is_not_the_one_after(example):
    a_planted_session_is_not_the_one_after(example)


@pytest.mark.parametrize("framework", ["django"])
def test_a_session_key_planted_before_the_login_opens_nothing_after_it(framework, tmp_path):
    """Sessions in files, as in a database: the cookie is a key, which an attacker may plant."""
    text = text_of(framework).replace("backends.signed_cookies", "backends.file")
    (tmp_path / "app.py").write_text(
        text.replace("MIDDLEWARE", f"SESSION_FILE_PATH = {str(tmp_path)!r}\nMIDDLEWARE")
    )
    with running(tmp_path, tmp_path / "app.py", free_port(), until="Open") as started:
        a_planted_session_is_not_the_one_after(Site(started.url, None))


def flask_session(cookie=None):
    """Return a session cookie that holds one thing, or what a given one holds."""
    app = importlib.import_module("flask").Flask("app")
    app.secret_key = KEY
    serializer = app.session_interface.get_signing_serializer(app)
    return serializer.loads(cookie) if cookie else serializer.dumps({"basket": "mallory's"})


def pyramid_session(cookie=None):
    request = importlib.import_module("pyramid.request").Request.blank("/")
    response = importlib.import_module("pyramid.response").Response()
    factory = importlib.import_module("pyramid.session").SignedCookieSessionFactory(KEY)
    if cookie:
        request.cookies["session"] = cookie
        return dict(factory(request))
    factory(request)["basket"] = "mallory's"
    request._process_response_callbacks(response)
    return response.headers["Set-Cookie"].partition(";")[0].removeprefix("session=")


@pytest.mark.parametrize("framework", ["flask", "pyramid"])
def test_nothing_of_the_session_before_the_login_is_left(framework, tmp_path):
    made = {"flask": flask_session, "pyramid": pyramid_session}[framework]
    env = environment(SCCONNECT_SECRET_KEY=KEY)
    script = EXAMPLES / framework / "app.py"
    with running(tmp_path, script, free_port(), until="Open", env=env) as started, Browser() as joe:
        joe.session.cookies.set("session", made(), domain="localhost.local", path="/")
        logged_in(joe, Site(started.url, None), "joe")
        kept = made(sessions(joe)["session"])
        assert "basket" not in kept
        assert kept["urn"] == "soundcloud:users:743372812"


@each_framework
def test_on_https_every_cookie_is_secure(framework):
    code = """
import app
from scconnect_wsgi.sandbox._browser import Browser, decide
from support.browser import ARRIVAL, CLICK
from urllib.parse import urlsplit
browser = Browser(app.application, app.BASE_URL)
away = browser.get("/oauth/request_token", CLICK).headers["Location"]
back = urlsplit(decide(app.SANDBOX, app.PROVIDER.api_url, away, "joe", "allow"))
for cookie in browser.get(back.path, ARRIVAL, back.query).headers.getall("Set-Cookie"):
    print(cookie)
"""
    env = environment(SCCONNECT_BASE_URL="https://localhost:8443", PYTHONDONTWRITEBYTECODE="1")
    env["PYTHONPATH"] += os.pathsep + str(TESTS)
    options = {
        "capture_output": True,
        "text": True,
        "timeout": 30,
        "cwd": EXAMPLES / framework,
        "env": env,
    }
    done = subprocess.run([sys.executable, "-c", code], **options)
    assert done.returncode == 0, done.stderr
    cookies = [line.lower() for line in done.stdout.splitlines()]
    assert len(cookies) == 3  # the session's, and two of the flow's
    assert [
        cookie for cookie in cookies if "; secure" not in cookie or "; httponly" not in cookie
    ] == []


@pytest.mark.parametrize("framework", ["bottle", "falcon"])
@pytest.mark.parametrize(("age", "who"), [(13, "joe"), (15, "nobody")], ids=["13 days", "15 days"])
def test_a_login_that_is_two_weeks_old_has_ended(framework, tmp_path, age, who):
    class Past(itsdangerous.TimestampSigner):
        def get_timestamp(self):
            return super().get_timestamp() - age * 24 * 3600

    signed = itsdangerous.URLSafeTimedSerializer(KEY, salt="user", signer=Past).dumps(
        ["soundcloud:users:1", "joe"]
    )
    env = environment(SCCONNECT_SECRET_KEY=KEY)
    script = EXAMPLES / framework / "app.py"
    with running(tmp_path, script, free_port(), until="Open", env=env) as started, Browser() as joe:
        joe.session.cookies.set("user", signed)
        assert f"Logged in: {who}<" in joe.get(started.url).text


@each_framework
def test_an_example_takes_its_credentials_from_the_environment(framework):
    settings = {
        "SCCONNECT_CLIENT_ID": "an-id",
        "SCCONNECT_CLIENT_SECRET": "a-secret",
        "SCCONNECT_SECRET_KEY": KEY,
    }
    code = "import app; print(app.SECRET_KEY, app.flow.begin('http://localhost:8000/oauth/access_token').authorize_url)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=EXAMPLES / framework,
        env=environment(**settings, PYTHONDONTWRITEBYTECODE="1"),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{KEY} https://secure.soundcloud.com/authorize?")
    assert query(done.stdout.split()[-1])["client_id"] == "an-id"


def test_the_examples_differ_only_in_their_frameworks_lines():
    first, *others = (common_lines(framework) for framework in ALL.split()[1:])
    assert len(first) > 30
    assert others == [first] * len(others)


def text_of(framework):
    return (EXAMPLES / framework / "app.py").read_text("utf-8")


def common_lines(framework):
    """Return the lines that are not the framework's.

    The framework's own are its imports, and those between answer() and the flow.
    """
    text = re.sub(framework, "FRAMEWORK", text_of(framework), flags=re.IGNORECASE)
    head, _, rest = text.partition('"SoundCloud did not say who you are."}\n')
    imports, _, constants = head.partition("from scconnect_wsgi import")
    standard = imports.partition("\nfrom html import escape\n")[0]
    return f"{standard}{constants}{rest[rest.index('flow = OAuth2(') :]}".splitlines()
