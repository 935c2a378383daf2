"""The commands, the demo and the plain example, in processes of their own and over sockets."""

import pathlib
import re
import shutil
import signal
import socket
import sqlite3
from contextlib import closing, contextmanager

import pytest
import requests
from support.browser import CLICK, Browser
from support.commands import run, running, scconnect
from support.paths import CHECKOUT
from support.ports import free_port
from support.responses import landed, query
from support.site import Site
from support.windows import decide, popup_of

pytestmark = pytest.mark.slow

EXAMPLE = CHECKOUT / "examples" / "plain" / "app.py"
PRIVATE = ["Night Bus (demo)", "For Ann, unfinished"]
ROOTS = {"oauth2": "/oauth", "oauth1": "/oauth1"}
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
    folder = tmp_path_factory.mktemp("demo")
    with scconnect(folder, "demo", "--port", "0") as demo:
        demo.folder = folder
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


def connect(browser, root="/oauth", choice="allow"):
    """Press the button, decide, and return the query of close.html."""
    response = browser.connect(Site(browser.home, root=root), choice)
    assert browser.get(response.headers["Location"]).ok
    return landed(response)


# The demo


@both_protocols
def test_the_account_and_its_private_tracks_come_with_the_stored_token(person, protocol):
    fields = connect(person, ROOTS[protocol])
    assert fields == {"username": "joe", "oauth_token_id": fields["oauth_token_id"]}

    account = person.get(f"/account?oauth_token_id={fields['oauth_token_id']}")

    assert account.headers["Cache-Control"] == "no-store"
    avatar = account.json().pop("avatar_url")
    assert requests.get(avatar, timeout=10).headers["Content-Type"].startswith("image/svg+xml")
    expected = {
        "username": "joe",
        "full_name": "Joe Sample",
        "avatar_url": avatar,
        "private_tracks": PRIVATE,
    }
    assert account.json() == expected
    assert person.get("/connections").json() == {protocol: fields["oauth_token_id"]}


@both_protocols
def test_a_refusal_reaches_the_page_and_nothing_is_stored(person, protocol):
    assert connect(person, ROOTS[protocol], "deny")["error"] == "access_denied"
    assert person.get("/connections").json() == {}


@both_protocols
def test_an_account_belongs_to_the_browser_that_connected_it(demo, person, protocol):
    path = f"/account?oauth_token_id={connect(person, ROOTS[protocol])['oauth_token_id']}"
    assert requests.get(demo.url + path, timeout=10).status_code == 404
    with visitor(demo) as stranger:
        assert stranger.get(path).status_code == 404
        stranger.post(path.replace("account", "disconnect"), Origin=demo.url)
    assert person.get(path).status_code == 200


def test_connecting_again_replaces_the_token(person):
    first = connect(person)
    second = connect(person)
    assert person.get(f"/account?oauth_token_id={first['oauth_token_id']}").status_code == 404
    assert person.get("/connections").json() == {"oauth2": second["oauth_token_id"]}


def test_only_the_demos_own_page_may_disconnect(demo, person):
    path = f"?oauth_token_id={connect(person)['oauth_token_id']}"
    assert person.session.post(f"{demo.url}/disconnect{path}", timeout=10).status_code == 403
    assert person.post(f"/disconnect{path}", Origin="http://localhost:1").status_code == 403
    assert person.get(f"/account{path}").status_code == 200
    assert person.post(f"/disconnect{path}", Origin=demo.url).status_code == 200
    assert person.get(f"/account{path}").status_code == 404


def test_a_revoked_token_is_explained(demo, person):
    path = f"/account?oauth_token_id={connect(person)['oauth_token_id']}"
    sandbox = re.search(r"http://127\S+", demo.greeting)[0]
    assert requests.post(f"{sandbox}sandbox/revoke", timeout=10).status_code == 204
    answer = person.get(path)
    assert answer.status_code == 502
    assert "no longer accepts" in answer.json()["error"]


def test_the_tokens_are_where_it_says_and_only_their_owner_reads_them(demo):
    path = demo.folder / "demo.sqlite3"
    assert str(path) in demo.greeting
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_page_needs_nothing_that_its_policy_forbids(person):
    page = person.get("/")
    assert "script-src 'self'; style-src 'self'" in page.headers["Content-Security-Policy"]
    assert re.findall(r"<style| style=| on\w+=|<script>", page.text) == []
    links = [*re.findall(r'(?:src|href)="(/[^"]*)"', page.text), "/sc-connect/sc-connect@2x.png"]
    # Without Fetch Metadata a start asks first
    statuses = {link: person.get(link, Accept="*/*").status_code for link in links}
    assert statuses == dict.fromkeys(links, 200)
    assert person.session.cookies
    assert all(cookie.has_nonstandard_attr("HttpOnly") for cookie in person.session.cookies)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/disconnect", 404),
        ("/account", 404),
        ("/account?oauth_token_id=%ff", 400),
    ],
)
def test_an_unusual_request_gets_a_response(person, path, status):
    assert person.get(path).status_code == status


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
            assert connect(person)["username"] == "joe"
        demo.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["demo", "sandbox"])
def test_it_says_that_it_stopped(tmp_path, command, number):
    with scconnect(tmp_path, command, "--port", "0") as started:
        output, errors = started.stop(number)
    assert output == "Stopped.\n"
    assert "Traceback" not in errors
    assert started.process.returncode == 0


def test_without_a_folder_to_write_to_the_tokens_are_kept_elsewhere(tmp_path):
    (tmp_path / "demo.sqlite3").mkdir()  # in the way, also for root
    with scconnect(tmp_path, "demo", "--port", "0") as demo:
        path = pathlib.Path(re.search(r"kept in (.+)", demo.greeting)[1])
        assert path.parent != tmp_path
        assert path.stat().st_mode & 0o777 == 0o600
        demo.stop()
    shutil.rmtree(path.parent)


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    (tmp_path / "demo.sqlite3").write_text(
        "a letter, long enough not to be taken for an empty database\n" * 20
    )
    done = run("demo", "--port", "0", folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not a database, or is in use; move it away" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "demo.sqlite3").read_text().startswith("a letter")


def test_tokens_of_an_earlier_run_are_forgotten(tmp_path):
    for _ in range(2):
        with scconnect(tmp_path, "demo", "--port", "0") as demo:
            with closing(sqlite3.connect(tmp_path / "demo.sqlite3")) as db:
                assert db.execute("SELECT count(*) FROM scconnect_demo").fetchone() == (0,)
            with visitor(demo) as person:
                connect(person)
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
    assert "usage: scconnect" in done.stderr


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
        ("SCCONNECT_SECRET_KEY", "ab" * 20, "8 different characters"),
        ("SCCONNECT_BASE_URL", "", "not set"),
        ("SCCONNECT_BASE_URL", "http://app.example", "https://"),
        ("SCCONNECT_BASE_URL", "app.example", "full URL"),
        ("SCCONNECT_BASE_URL", "https://app.example/?a=b", "no query"),
    ],
)
def test_a_bad_setting_is_one_sentence_without_any_secret(name, value, complaint):
    settings = {**SETTINGS, name: value}
    done = run("check", **settings)
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert line.startswith(name)
    assert complaint in line
    for secret in ("SCCONNECT_CLIENT_SECRET", "SCCONNECT_SECRET_KEY"):
        assert not settings[secret] or settings[secret].strip() not in done.stdout + done.stderr


def test_the_client_secret_is_no_secret_key():
    done = run("check", **{**SETTINGS, "SCCONNECT_CLIENT_SECRET": SETTINGS["SCCONNECT_SECRET_KEY"]})
    assert done.returncode == 1
    assert "must not be the client secret" in done.stdout


# The example of the README


@pytest.fixture
def example(tmp_path):
    with running(tmp_path, EXAMPLE, free_port(), until="Open") as example:
        yield example
        output, errors = example.stop()
    assert (example.process.returncode, output) == (0, "")
    assert "Traceback" not in errors


def test_the_example_connects_and_is_told_of_a_refusal(example):
    with visitor(example) as person:
        assert connect(person) == {"oauth_token_id": "1"}
        assert connect(person, choice="deny")["error"] == "access_denied"


# The same in a browser


@pytest.fixture
def page(context):
    return context.new_page()


def press(page, selector, choice):
    decide(popup_of(page, selector), choice)


@pytest.mark.browser
@both_protocols
def test_a_user_denies_then_allows_then_disconnects(demo, page, protocol):
    card = f"#{protocol}"
    page.goto(demo.url)

    press(page, f"{card}-connect", "deny")
    page.wait_for_selector(f"{card} .status:text('You did not allow it')")
    assert '"error": "access_denied"' in page.inner_text(f"{card} pre")

    press(page, f"{card}-connect", "allow")
    page.wait_for_selector(f"{card} .disconnect")
    assert page.locator(f"{card} .tracks li").all_inner_texts() == PRIVATE
    assert page.inner_text(f"{card} .full-name") == "Joe Sample"
    assert '"username": "joe"' in page.inner_text(f"{card} pre")
    assert page.locator(f"{card} .avatar").evaluate(
        "picture => picture.decode().then(() => picture.naturalWidth > 0)"
    )

    page.reload()
    page.click(f"{card} .disconnect")
    page.wait_for_selector(f"{card}-connect")
    page.wait_for_selector(f"{card} .status:text('Disconnected')")


@pytest.mark.browser
def test_the_example_works_in_a_browser(example, page):
    page.goto(example.url)
    press(page, "#sc-connect", "allow")
    page.wait_for_selector('body:text(\'{"oauth_token_id":"1"}\')')
