"""The examples of the three use cases: their own tests, and each one served as its reader does."""

import re
import runpy
import shutil
import subprocess
import sys
from contextlib import contextmanager
from html import unescape
from urllib.parse import urljoin

import pytest
import webob
from support.browser import ARRIVAL, Browser
from support.commands import environment
from support.flows import CLIENT
from support.paths import CHECKOUT
from support.ports import free_port, wait_for
from support.responses import landed
from support.site import KEY, Site
from support.windows import decide, opened, popup_of

from scconnect_wsgi.sandbox import serve

pytestmark = [pytest.mark.frameworks, pytest.mark.slow]

EXAMPLES = CHECKOUT / "examples"
LOGINS = ("plain", "flask", "bottle", "falcon")
SMALL = ["optional/bottle", "mandatory/plain", *(f"login/{name}" for name in LOGINS)]
each_login = pytest.mark.parametrize("framework", LOGINS)


def run_tests(folder, *words):
    warnings = ["-W", "error", "-W", "ignore:'cgi':DeprecationWarning"]  # WebOb 1.8 imports it
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *warnings, *words],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tests_of_the_flask_site_pass(tmp_path):
    run_tests(shutil.copytree(EXAMPLES / "optional" / "flask", tmp_path / "site"))


def test_the_tests_of_the_small_examples_pass(tmp_path):
    for folder in SMALL:
        shutil.copytree(EXAMPLES / folder, tmp_path / folder)
    run_tests(tmp_path, "--import-mode=importlib", *SMALL)


def settings(provider):
    """Return what `scconnect sandbox --` tells a site, and the site's own key."""
    return {
        "SCCONNECT_CLIENT_ID": CLIENT[0],
        "SCCONNECT_CLIENT_SECRET": CLIENT[1],
        "SCCONNECT_AUTHORIZE_URL": f"{provider}/authorize",
        "SCCONNECT_TOKEN_URL": f"{provider}/oauth/token",
        "SCCONNECT_API_URL": provider,
        "SCCONNECT_SECRET_KEY": KEY,
    }


@contextmanager
def served(folder, tmp_path, provider):
    """Start an example by the server that it names, until the block ends."""
    copy = shutil.copytree(EXAMPLES / folder, tmp_path / "site")
    port = free_port("localhost")
    env = environment(**settings(provider))
    if folder == "optional/flask":
        done = subprocess.run(
            [sys.executable, "-m", "flask", "init-db"], cwd=copy, env=env, timeout=60
        )
        assert done.returncode == 0
        words = ["flask", "run", "--port", str(port)]
    else:
        words = ["waitress", "--listen", f"localhost:{port}", "app:application"]
    log = tmp_path / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-m", *words], cwd=copy, env=env, stdout=output, stderr=output
        ) as process,
    ):
        try:
            wait_for(port, process, log)
            yield Site(f"http://localhost:{port}", None)
        finally:
            process.terminate()
            process.wait(30)
    text = log.read_text()
    assert [word for word in ("Traceback", CLIENT[1], KEY) if word in text] == [], text


@pytest.fixture
def site(framework, folder, tmp_path, sandbox_process):
    with served(folder, tmp_path, sandbox_process.url) as site:
        yield site


def submit(browser, page, **fields):
    """Fill in the first form of a page, and return the page that it leads to."""
    form = re.search(r"<main>.*?</main>", page.text, re.DOTALL)
    text = form[0] if form else page.text
    hidden = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', text))
    action = re.search(r'<form[^>]*action="([^"]*)"', text)
    url = urljoin(page.url, unescape(action[1])) if action else page.url
    answer = browser.post(url, {**hidden, **fields})
    return browser.get(urljoin(url, answer.headers["Location"]))


def connect(browser, page):
    """Follow the button's link, log in and allow, and return the page that it leads back to."""
    link = re.search(r'href="([^"]*/oauth/request_token[^"]*)"', page.text)[1]
    start = browser.get(urljoin(page.url, unescape(link)))
    assert start.status_code == 303, start.text
    back = browser.get(browser.decide(start.headers["Location"]), **ARRIVAL)
    home = urljoin(page.url, back.headers["Location"])
    answer = browser.get(home)
    while answer.is_redirect:
        answer = browser.get(urljoin(home, answer.headers["Location"]))
    return answer


@pytest.mark.parametrize(("framework", "folder"), [("flask", "optional/flask")])
def test_a_user_of_a_flask_site_connects_and_disconnects(site):
    with Browser() as pat:
        signed_up = submit(
            pat, pat.get(f"{site.url}/sign-up"), name="pat", password="a long password"
        )
        connected = connect(pat, signed_up)
        assert "Your SoundCloud account is connected" in connected.text
        assert "Joe Sample" in connected.text
        assert "Joe Sample" not in submit(pat, connected).text


@pytest.mark.parametrize(("framework", "folder"), [("bottle", "optional/bottle")])
def test_a_user_of_a_bottle_site_connects_and_disconnects(site):
    with Browser() as pat:
        connected = connect(pat, submit(pat, pat.get(site.url), name="pat"))
        assert "Connected as joe" in connected.text
        id = re.search(r'name="id" value="([^"]*)"', connected.text)[1]
        assert "Connected as" not in submit(pat, connected, id=id).text


@pytest.mark.parametrize(("framework", "folder"), [("plain", "mandatory/plain")])
def test_a_sign_up_ends_with_a_connected_account(site):
    with Browser() as pat:
        last_step = submit(pat, pat.get(site.url), name="pat")
        assert "one step is left" in last_step.text
        assert "You are Joe Sample on SoundCloud" in connect(pat, last_step).text


@pytest.mark.parametrize(("framework", "folder"), [(name, f"login/{name}") for name in LOGINS])
def test_a_user_logs_in_and_out(site):
    with Browser() as joe, Browser() as stranger:
        page = connect(joe, joe.get(site.url))
        assert "Logged in as joe" in page.text
        assert "Nobody is logged in" in stranger.get(site.url).text
        assert "Nobody is logged in" in submit(joe, page).text


@pytest.mark.parametrize(("framework", "folder"), [("plain", "readme")])
def test_the_site_of_the_readme_greets_its_users_only(site):
    with Browser() as joe, Browser() as stranger:
        tracks = connect(joe, joe.get(site.url)).text
        assert tracks.startswith("Hello, Joe Sample!\n")
        assert "Night Bus (demo)" in tracks
        assert stranger.get(site.url).status_code == 401
        assert landed(stranger.connect(site, "deny"))["error"] == "access_denied"


def test_the_site_of_the_readme_says_that_a_permission_was_taken_back(provider, tmp_path):
    with served("readme", tmp_path, provider.url) as site, Browser() as joe:
        assert "Night Bus (demo)" in connect(joe, joe.get(site.url)).text
        provider.sandbox.revoke("joe")
        assert "log in again" in joe.get(site.url).text


@pytest.mark.parametrize(
    ("framework", "folder", "path"),
    [("bottle", "optional/bottle", "/sign-in"), ("plain", "mandatory/plain", "/sign-up")],
)
def test_on_https_the_sites_own_cookie_is_secure(framework, folder, path, monkeypatch, tmp_path):
    base_url = {"SCCONNECT_BASE_URL": "https://app.example"}
    with loaded(folder, settings("https://api.example") | base_url, monkeypatch, tmp_path) as site:
        answer = webob.Request.blank(path, POST={"name": "pat"}).get_response(site)
        attributes = answer.headers["Set-Cookie"].lower()
        for attribute in ("; secure", "; httponly", "; samesite=lax"):
            assert attribute in attributes


@pytest.mark.parametrize("folder", [*SMALL, "readme"])
def test_the_key_may_be_in_a_file(folder, monkeypatch, tmp_path):
    variables = settings("https://api.example")
    (tmp_path / "key").write_text(f"{variables.pop('SCCONNECT_SECRET_KEY')}\n")
    variables["SCCONNECT_SECRET_KEY_FILE"] = str(tmp_path / "key")
    with loaded(folder, variables, monkeypatch, tmp_path) as site:
        expected = 401 if folder == "readme" else 200  # README's site asks strangers to log in
        assert webob.Request.blank("/").get_response(site).status_code == expected


@pytest.mark.parametrize("folder", SMALL)
def test_below_a_prefix_the_addresses_of_a_page_begin_with_it(folder, monkeypatch, tmp_path):
    with loaded(folder, settings("https://api.example"), monkeypatch, tmp_path) as site:
        answer = webob.Request.blank("/", base_url="http://localhost/shop").get_response(site)
        addresses = re.findall(r'(?:href|src|action)="([^"]*)"', answer.text)
        assert len(addresses) >= 3
        assert [address for address in addresses if not address.startswith("/shop/")] == []


def test_the_logins_differ_only_in_their_frameworks_lines():
    first, *others = map(common_lines, LOGINS)
    assert len(first) > 25
    assert others == [first] * len(others)


def common_lines(framework):
    """Return the lines of a login but for the first, the framework's import, and what follows the
    page up to the store.
    """
    text = (EXAMPLES / "login" / framework / "app.py").read_text("utf-8")
    head, _, rest = text.partition("username))\n")
    lines = f"{head}{rest[rest.index('store = ') :]}".splitlines()[1:]
    own = (framework, "pip install")
    return [line for line in lines if line and not any(word in line.lower() for word in own)]


def test_no_example_has_code_of_the_sandbox():
    for folder in ("optional", "mandatory", "login", "readme"):
        for path in (EXAMPLES / folder).rglob("*.py"):
            assert "sandbox import" not in path.read_text("utf-8"), path


@contextmanager
def loaded(folder, variables, monkeypatch, tmp_path):
    """Return an example's application, which has these environment variables."""
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    names = runpy.run_path(str(EXAMPLES / folder / "app.py"))
    yield names["application"]
    if "store" in names:
        names["store"].close()


@contextmanager
def in_this_process(folder, provider, monkeypatch, tmp_path):
    """Serve an example from this process, for tests with a real browser."""
    port = free_port("localhost")
    with (
        loaded(folder, settings(provider), monkeypatch, tmp_path) as application,
        serve(application, port),
    ):
        yield f"http://localhost:{port}"


@pytest.mark.browser
@each_login
def test_in_a_browser_the_page_says_who_is_logged_in(
    framework, context, provider, monkeypatch, tmp_path
):
    with in_this_process(f"login/{framework}", provider.url, monkeypatch, tmp_path) as url:
        page = opened(context, url)
        decide(popup_of(page, ".sc-connect-button"))
        page.wait_for_selector("p:text('Logged in as joe')")
        page.click("button")
        page.wait_for_selector("p:text('Nobody is logged in')")


@pytest.mark.browser
@pytest.mark.parametrize(
    ("framework", "folder", "words"),
    [
        ("bottle", "optional/bottle", "Connected as joe"),
        ("plain", "mandatory/plain", "You are Joe Sample"),
    ],
)
def test_in_a_browser_a_user_connects(
    framework, folder, words, context, provider, monkeypatch, tmp_path
):
    with in_this_process(folder, provider.url, monkeypatch, tmp_path) as url:
        page = opened(context, url)
        page.fill("input", "pat")
        page.click("button")
        decide(popup_of(page, ".sc-connect-button"))
        page.wait_for_selector(f"p:text('{words}')")


@pytest.mark.browser
@pytest.mark.parametrize(("framework", "folder"), [("flask", "optional/flask")])
def test_in_a_browser_a_user_of_the_flask_site_connects_and_disconnects(site, context):
    page = opened(context, f"{site.url}/sign-up")
    page.fill("#name", "pat")
    page.fill("#password", "a long password")
    page.click("main button")
    decide(popup_of(page, ".sc-connect-button"), "deny")
    page.wait_for_selector(".message:text('You did not allow the connection')")
    decide(popup_of(page, ".sc-connect-button"))
    page.wait_for_selector(".message:text('Your SoundCloud account is connected')")
    page.click("text=Show tracks")
    page.wait_for_selector(".tracks span:text('Night Bus (demo)')")
    page.click("text=Back to the settings")
    page.click("text=Disconnect")
    page.wait_for_selector(".message:text('The account is disconnected')")


@pytest.mark.browser
def test_in_a_browser_the_site_of_the_readme_greets_its_user(
    context, provider, monkeypatch, tmp_path
):
    with in_this_process("readme", provider.url, monkeypatch, tmp_path) as url:
        page = context.new_page()
        page.goto(url)
        page.click(".way a")
        decide(page)
        page.wait_for_selector("pre:text('Hello, Joe Sample!')")
