"""The commands and the demo, in processes of their own and over sockets."""

import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from importlib.metadata import version
from urllib.parse import urlsplit

import pytest
import requests
from support.browser import ARRIVAL, CLICK, Browser
from support.commands import environment, run, scconnect
from support.paths import CHECKOUT
from support.ports import free_port
from support.responses import landed, query
from support.site import Site

from scconnect_wsgi.demo._days import DAYS
from scconnect_wsgi.demo._tracks import ENDED as CONNECT_AGAIN
from scconnect_wsgi.demo._tracks import REFUSED, SILENT, UNCLEAR
from scconnect_wsgi.documentation import entry
from scconnect_wsgi.errors import ConfigurationError

pytestmark = pytest.mark.slow

ROOTS = {"oauth2": "/oauth", "oauth1": "/oauth1"}
ASSETS = {"oauth2": "/sc-connect", "oauth1": "/oauth1/sc-connect"}
BUSY = "SoundCloud is busy and asks to wait 30 seconds."
# What a visitor is told of the tracks; nothing if they are shown
TOLD = {
    "good": None,
    "slow": None,
    "down": SILENT,
    "busy": BUSY,
    "html": UNCLEAR,
    "locked": REFUSED,
    "expired": None,
    "refused": CONNECT_AGAIN,
    "withdrawn": CONNECT_AGAIN,
}
# What the page's callback gets of an attempt to connect
HEARD = {
    "down": "provider_unavailable",
    "busy": "provider_unavailable",
    "html": "provider_error",
    "refused": "provider_error",
}
SETTINGS = {
    "SCCONNECT_PROTOCOL": "oauth2",
    "SCCONNECT_CLIENT_ID": "the-client-id",
    "SCCONNECT_CLIENT_SECRET": "the-client-secret",
    "SCCONNECT_SECRET_KEY": "CAMOR1ri-a_random_key_0123456789_of_43_chars",
    "SCCONNECT_BASE_URL": "https://app.example/shop/",
}
both_protocols = pytest.mark.parametrize("protocol", ROOTS)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo with both protocols, whose output tells no secret whatever the tests do."""
    with scconnect(tmp_path_factory.mktemp("demo"), "demo", "--port", "0") as demo:
        yield demo
        said = demo.greeting + "".join(demo.stop())
    assert demo.process.returncode == 0
    for word in ("Traceback", "ResourceWarning", "?", "code=", "oauth_verifier", "sandbox-secret"):
        assert word not in said


@contextmanager
def visitor(demo):
    """A browser that has opened the demo's page, and so has its cookie."""
    with Browser(home=demo.url) as browser:
        browser.get("/")
        yield browser


@pytest.fixture
def person(demo):
    with visitor(demo) as person:
        yield person
        choose(person, "good")


def connect(browser, protocol="oauth2", choice="allow", user="joe", root=None):
    """Press the button, decide, and return the query of close.html."""
    started = browser.get(Site(browser.home, root=root or ROOTS[protocol]).start)
    if urlsplit(started.headers["Location"]).path.endswith("/close.html"):
        return landed(started)
    callback = browser.decide(started.headers["Location"], choice, user)
    response = browser.get(callback, **ARRIVAL)
    assert browser.get(response.headers["Location"]).ok
    return landed(response)


def choose(browser, day):
    response = browser.post(f"/day?day={day}", Origin=browser.home)
    assert (response.status_code, response.json()) == (200, {"day": day})


def accounts_of(browser, protocol="oauth2"):
    path = f"{ASSETS[protocol]}/connections.json"
    return browser.get(path, Origin=browser.home).json()["connections"]


def connected(browser, protocol="oauth2"):
    """Return the ids of the accounts that the page shows, by username."""
    shown = accounts_of(browser, protocol)
    return {account["username"]: account["oauth_token_id"] for account in shown}


def tracks(browser, id, protocol="oauth2", **more):
    fields = {"protocol": protocol, "oauth_token_id": id, **more}
    return browser.session.get(f"{browser.home}/tracks", params=fields, timeout=20)


# The demo


@both_protocols
def test_the_account_and_all_its_tracks_come_with_the_stored_token(person, protocol):
    fields = connect(person, protocol)
    id = fields["oauth_token_id"]
    assert fields["username"] == "joe"
    (account,) = accounts_of(person, protocol)
    avatar = account["avatar_url"]
    assert account == {
        "oauth_token_id": id,
        "username": "joe",
        "name": "Joe Sample",
        "avatar_url": avatar,
        "permalink_url": "https://soundcloud.com/joe",
    }
    assert requests.get(avatar, timeout=10).headers["Content-Type"].startswith("image/svg+xml")

    first = tracks(person, id, protocol)
    rest = tracks(person, id, protocol, next=first.json()["next"]).json()

    assert first.headers["Cache-Control"] == "no-store"
    assert first.json()["tracks"][:2] == [
        {"title": "Morning on the Spree", "sharing": "public", "duration": 180_000},
        {"title": "Night Bus (demo)", "sharing": "private", "duration": 181_000},
    ]
    assert [track["title"] for track in rest["tracks"]] == ["For Ann, unfinished", "Loops 1 to 9"]
    assert rest["next"] is None


@both_protocols
def test_a_refusal_reaches_the_page_and_nothing_is_stored(person, protocol):
    assert connect(person, protocol, "deny")["error"] == "access_denied"
    assert connected(person, protocol) == {}


@both_protocols
def test_an_account_belongs_to_the_browser_that_connected_it(demo, person, protocol):
    id = connect(person, protocol)["oauth_token_id"]
    disconnect = f"{ASSETS[protocol]}/disconnect"
    with visitor(demo) as stranger:
        assert "no such connection" in tracks(stranger, id, protocol).json()["error"]
        stranger.post(disconnect, {"oauth_token_id": id}, Origin=demo.url)
    with Browser(home=demo.url) as nobody:
        assert "no such connection" in tracks(nobody, id, protocol).json()["error"]
    assert tracks(person, id, protocol).status_code == 200


@both_protocols
def test_one_browser_can_connect_several_accounts_and_disconnect_each(demo, protocol):
    ids = {}
    with visitor(demo) as person:
        for user in ("joe", "ann", "joe"):  # once more: that replaces the first one
            person.session.cookies.pop("sandbox_session", None)
            ids[user] = connect(person, protocol, user=user)["oauth_token_id"]
        assert connected(person, protocol) == ids
        page = person.get("/").text
        assert page.count('class="account waiting"') == 2

        path = f"{ASSETS[protocol]}/disconnect"
        left = person.post(path, {"oauth_token_id": ids["joe"]}, Origin=demo.url).json()

        assert [each["username"] for each in left["connections"]] == ["ann"]
        assert "no such connection" in tracks(person, ids["joe"], protocol).json()["error"]
        assert tracks(person, ids["ann"], protocol).json()["tracks"][0]["sharing"] == "public"


def test_only_the_demos_own_page_may_disconnect_or_choose_a_day(demo, person):
    id = connect(person)["oauth_token_id"]
    for origin in ({}, {"Origin": "http://localhost:1"}, {"Origin": "null"}):
        request = {"headers": origin, "timeout": 10}
        for path in ("/day?day=down", "/sc-connect/disconnect"):
            sent = {"data": {"oauth_token_id": id}, **request}
            assert person.session.post(demo.url + path, **sent).status_code == 403
    assert tracks(person, id).status_code == 200


@both_protocols
@pytest.mark.parametrize("day", TOLD)
def test_each_bad_day_is_told_in_a_sentence_and_ends_well(person, protocol, day):
    id = connect(person, protocol)["oauth_token_id"]
    choose(person, day)

    answer = tracks(person, id, protocol)

    if TOLD[day] is None:
        assert len(answer.json()["tracks"]) == 3
        assert answer.json()["refreshed"] == (day == "expired" and protocol == "oauth2")
    else:
        assert (answer.status_code, answer.json()) == (502, {"error": TOLD[day]})
    assert connect(person, protocol).get("error") == HEARD.get(day)
    choose(person, "good")
    assert tracks(person, id, protocol).status_code == 200
    assert connected(person, protocol) == {"joe": id}


def test_a_permission_that_was_taken_back_stays_gone_until_the_user_connects_again(person):
    id = connect(person)["oauth_token_id"]
    choose(person, "withdrawn")
    for _ in range(2):
        assert tracks(person, id).json() == {"error": CONNECT_AGAIN}
        choose(person, "good")
    assert connected(person) == {}
    assert connect(person)["oauth_token_id"] == id
    assert tracks(person, id).status_code == 200


def test_every_day_is_told_and_has_a_name_of_its_own():
    assert [day.name for day in DAYS] == list(TOLD)


def test_the_page_needs_nothing_that_its_policy_forbids(person):
    page = person.get("/")
    assert "script-src 'self'; style-src 'self'" in page.headers["Content-Security-Policy"]
    markup = re.sub(r"<pre.*?</pre>", "", page.text, flags=re.DOTALL)
    assert re.findall(r"<style| style=| on\w+=|<script>", markup) == []
    assert re.findall(r"\$\w+", markup) == []  # every place is filled in
    links = [*re.findall(r'(?:src|href)="(/[^"]*)"', markup), "/sc-connect/sc-connect@2x.png"]
    # Without Fetch Metadata a start asks first
    statuses = {link: person.get(link, Accept="*/*").status_code for link in links}
    assert statuses == dict.fromkeys(links, 200)
    assert person.session.cookies
    assert all(cookie.has_nonstandard_attr("HttpOnly") for cookie in person.session.cookies)


def test_the_page_shows_every_class_and_every_picture_of_the_button(person):
    page = person.get("/").text
    classes = set(re.findall(r"\.(sc-[a-z-]+)", (CHECKOUT / "assets/button.css").read_text()))
    shown = {name for names in re.findall(r'class="([^"]*)"', page) for name in names.split()}
    assert {name for name in classes if not name.endswith("css")} - shown == set()
    drawings = {path.name for path in (CHECKOUT / "assets").glob("sc-*.svg")} - {"sc-mark.svg"}
    assert drawings == set(re.findall(r'src="/sc-connect/([^"]*\.svg)"', page))
    assert re.findall(r'aria-busy="true"', page)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/day", 404),
        ("/tracks", 404),
        ("/tracks?protocol=oauth3", 404),
        ("/tracks?protocol=oauth2", 502),
        ("/tracks?protocol=oauth2&oauth_token_id=../..", 502),
        ("/tracks?protocol=oauth2&oauth_token_id=1&next=/me/likes", 404),
        ("/tracks?protocol=oauth2&oauth_token_id=%ff", 400),
    ],
)
def test_an_unusual_request_gets_a_response(person, path, status):
    answer = person.get(path)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])


def test_the_token_goes_to_no_other_address(person):
    id = connect(person)["oauth_token_id"]
    elsewhere = "http://localhost:9/me/tracks?linked_partitioning=true"
    assert tracks(person, id, next=elsewhere).json() == {"error": SILENT}


def test_an_overloaded_soundcloud_is_said_to_be_silent(demo, person):
    id = connect(person)["oauth_token_id"]
    sandbox = re.search(r"http://127\S+", demo.greeting)[0]
    fault = {"name": "status=503"}
    assert requests.post(f"{sandbox}sandbox/misbehave", fault, timeout=10).status_code == 204
    assert tracks(person, id).json() == {"error": SILENT}


def test_a_cookie_that_cannot_be_read_is_replaced(demo):
    cookie = {"Cookie": b"scconnect_demo=\xff"}
    for path, status in (("/", 200), ("/tracks?protocol=oauth2", 502)):
        answer = requests.get(demo.url + path, headers=cookie, timeout=10)
        assert answer.status_code == status
        assert ("scconnect_demo" in answer.cookies) == (path == "/")


def test_a_day_that_does_not_exist_is_refused(demo, person):
    assert person.post("/day?day=doom", Origin=demo.url).status_code == 400
    assert 'value="good" data-site="All is well: every connection works." checked' in (
        person.get("/").text
    )


def test_an_ip_address_redirects_to_the_name_that_flows_return_to(demo):
    answer = requests.get(
        demo.url.replace("localhost", "127.0.0.1"), allow_redirects=False, timeout=10
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{demo.url}/")


@both_protocols
def test_a_demo_of_one_protocol_uses_the_usual_paths(tmp_path, protocol):
    with scconnect(tmp_path, "demo", "--port", "0", "--protocol", protocol) as demo:
        with visitor(demo) as person:
            assert re.findall(r'data-protocol="(\w+)"', person.get("/").text) == [protocol]
            assert connect(person, root="/oauth")["username"] == "joe"
            assert connected(person)["joe"]
        demo.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["demo", "sandbox"])
def test_it_says_that_it_stopped(tmp_path, command, number):
    with scconnect(tmp_path, command, "--port", "0") as started:
        output, errors = started.stop(number)
    assert output == "Stopped.\n"
    assert "Traceback" not in errors
    assert started.process.returncode == 0


def test_it_writes_no_file_and_says_where_the_tokens_are(tmp_path):
    with scconnect(tmp_path, "demo", "--port", "0") as demo:
        assert demo.greeting.startswith("Open http://localhost:")
        assert "Tokens are kept in memory" in demo.greeting
        with visitor(demo) as person:
            connect(person)
        demo.stop()
    assert list(tmp_path.iterdir()) == []


def test_after_a_restart_the_same_browser_connects_again(tmp_path):
    port = free_port()
    with Browser(home=f"http://localhost:{port}") as person:
        for _ in range(2):
            with scconnect(tmp_path, "demo", "--port", port) as demo:
                assert person.get("/").ok
                assert connected(person) == {}
                id = connect(person)["oauth_token_id"]
                assert tracks(person, id).status_code == 200
                demo.stop()


def test_a_callback_in_another_browser_is_refused(demo, person):
    """A flow is bound to the browser that began it, even if its cookie was copied to another."""
    state = query(person.click(Site(demo.url)))["state"]
    with visitor(demo) as stranger:
        cookies = stranger.session.cookies
        own = cookies["scconnect_demo"]
        cookies.update(person.session.cookies)
        cookies.set("scconnect_demo", own, domain="localhost.local", path="/")
        home = stranger.get(f"/oauth/access_token?code=made-up&state={state}", **CLICK)
    assert landed(home)["error"] == "wrong_user"


# The other commands


@pytest.mark.parametrize("command", ["demo", "sandbox"])
def test_a_taken_port_is_one_sentence(command):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(command, "--port", str(port))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"Port {port} is taken. Choose another with --port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words", [[], ["demo", "--port", "65536"], ["demo", "--port", "-1"], ["dance"]]
)
def test_a_mistyped_command_is_explained(words):
    done = run(*words)
    assert done.returncode == 2
    assert "usage: python -m scconnect_wsgi" in done.stderr


@pytest.mark.parametrize("name", ["scconnect", "scconnect-wsgi"])
def test_the_usage_begins_with_the_name_that_was_typed(name, tmp_path):
    script = tmp_path / name  # as pip makes it
    script.write_text("import sys; from scconnect_wsgi.cli import main; sys.exit(main())")
    for words in ([], ["sandbox"]):
        done = subprocess.run(
            [sys.executable, script, *words, "--help"],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.stdout.startswith(f"usage: {' '.join([name, *words])} [")


def test_the_version_is_that_of_the_installed_package():
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith(f"scconnect-wsgi {version('scconnect-wsgi')} (Python 3.")


def test_the_sandbox_says_what_to_put_into_a_provider(tmp_path):
    with scconnect(tmp_path, "sandbox", "--port", "0") as sandbox:
        assert requests.get(f"{sandbox.url}/", timeout=10).ok
        for line in (
            '"sandbox-client"',
            f"{sandbox.url}/oauth/token",
            f"{sandbox.url}/oauth/request_token",
            "joe",
        ):
            assert line in sandbox.greeting
        sandbox.stop()


def test_every_secret_is_new():
    first = run("secret").stdout.strip()
    second = run("secret").stdout.strip()
    assert first != second
    assert len(first) >= 43


def test_good_settings_are_told_the_callback_to_register():
    done = run("check", **SETTINGS)
    assert done.returncode == 0
    assert "https://app.example/shop/oauth/access_token\n" in done.stdout


def test_check_finds_the_modules_of_the_site_in_the_current_directory(tmp_path):
    (tmp_path / "mysite.py").write_text("def store_token(token, request): pass\n")
    settings = {**SETTINGS, "SCCONNECT_STORE_TOKEN": "mysite:store_token"}
    # With -P, Python does not look in the current directory, as for the `scconnect` script
    done = subprocess.run(
        [sys.executable, "-P", "-m", "scconnect_wsgi", "check"],
        cwd=tmp_path,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout.startswith("The settings for OAuth 2.1 are fine."), done.stdout + done.stderr


def test_a_site_with_oauth1_is_told_that_soundcloud_has_retired_it():
    done = run("check", **{**SETTINGS, "SCCONNECT_PROTOCOL": "oauth1"})
    assert done.returncode == 0
    assert "retired" in done.stdout


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("SCCONNECT_PROTOCOL", "oauth3", "oauth2 or oauth1"),
        ("SCCONNECT_CLIENT_ID", "", "not set"),
        ("SCCONNECT_CLIENT_SECRET", "", "not set"),
        ("SCCONNECT_CLIENT_SECRET", "copied-with-its-newline\n", "a line break"),
        ("SCCONNECT_CLIENT_SECRET", "geh\xe9im", "printable ASCII"),
        ("SCCONNECT_SECRET_KEY", "", "not set"),
        ("SCCONNECT_SECRET_KEY", "too-short-to-be-a-key", "at least 32"),
        ("SCCONNECT_SECRET_KEY", "ab" * 20, "6 different characters"),
        ("SCCONNECT_BASE_URL", "", "not set"),
        ("SCCONNECT_BASE_URL", "http://app.example", "https://"),
        ("SCCONNECT_BASE_URL", "app.example", "full URL"),
        ("SCCONNECT_BASE_URL", "https://app.example/?a=b", "no query"),
    ],
)
def test_a_bad_setting_is_one_sentence_without_any_secret(name, value, complaint):
    settings = {**SETTINGS, "SCCONNECT_STORE_TOKEN": "HAND_OVER", name: value}
    done = run("check", **settings)
    assert done.returncode == 1
    line, see = done.stdout.splitlines()
    assert line.startswith(name)
    assert complaint in line
    assert see == f"See {entry(ConfigurationError.code)}"
    for secret in ("SCCONNECT_CLIENT_SECRET", "SCCONNECT_SECRET_KEY"):
        assert not settings[secret] or settings[secret].strip() not in done.stdout + done.stderr


def test_the_client_secret_is_no_secret_key():
    done = run("check", **{**SETTINGS, "SCCONNECT_CLIENT_SECRET": SETTINGS["SCCONNECT_SECRET_KEY"]})
    assert done.returncode == 1
    assert "must not be the client secret" in done.stdout
