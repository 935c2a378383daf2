"""examples/mandatory/django, run as its reader would run it."""

import shutil
import subprocess
import sys

import pytest
from support.commands import environment, running
from support.paths import CHECKOUT
from support.ports import free_port
from support.windows import decide, opened, popup_of

pytestmark = [pytest.mark.frameworks, pytest.mark.slow]

WARNINGS = [
    *("-W", "error"),
    *("-W", "ignore:'cgi':DeprecationWarning"),  # WebOb 1.8 imports it
    # Django 5.2, which the example is for as well, does not know the new one
    *("-W", "ignore:The EMAIL_BACKEND setting is deprecated"),
]
PRODUCTION = {
    "SCCONNECT_BASE_URL": "https://app.example",
    "SCCONNECT_SECRET_KEY": "a-secret-key-of-more-than-fifty-letters-for-a-site-in-production",
}


@pytest.fixture
def project(tmp_path):
    """The reader's copy, to which Django writes a database."""
    return shutil.copytree(CHECKOUT / "examples" / "mandatory" / "django", tmp_path / "project")


def manage(project, *words, **settings):
    done = subprocess.run(
        [sys.executable, *WARNINGS, "manage.py", *words],
        cwd=project,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_its_tests_pass(project):
    assert "OK" in manage(project, "test")


def test_it_is_ready_for_production(project):
    assert "errors" not in manage(project, "check", "--deploy", "--fail-level=ERROR", **PRODUCTION)
    assert "1 static file copied" in manage(project, "collectstatic", **PRODUCTION)


@pytest.fixture
def site(project, soundcloud):
    """The site under Django's own server, started as ``scconnect sandbox --`` would start it."""
    manage(project, "migrate")
    env = environment(**soundcloud.environ, PYTHONUNBUFFERED="1")
    command = ["manage.py", "runserver", "--noreload", str(free_port())]
    with running(project, *command, until="Quit the server", env=env) as server:
        yield server.url
        output = "".join(server.stop())
    for word in ("Traceback", "code=", soundcloud.client_secret):
        assert word not in output.replace("GET /oauth/access_token?code=", "")


def sign_up(page):
    page.fill("[name=username]", "joe")
    page.fill("[name=email]", "joe@site.example")
    page.fill("[name=password1]", "a long one for joe")
    page.fill("[name=password2]", "a long one for joe")
    page.click("main button")


@pytest.mark.browser
def test_in_a_browser_a_sign_up_ends_with_a_connected_account(site, context, soundcloud):
    page = opened(context, f"{site}/signup/")
    assert page.evaluate("getComputedStyle(document.body).margin") == "0px"  # its style sheet
    sign_up(page)
    page.wait_for_selector("h1:text('One step is left')")
    decide(popup_of(page, ".sc-connect-button"), "deny")
    page.wait_for_selector("text=You did not allow the connection")
    decide(popup_of(page, ".sc-connect-button"))
    page.wait_for_selector("li:text('Night Bus')")
    soundcloud.revoke("joe")
    page.goto(site)
    page.wait_for_selector("h1:text('Connect your account again')")
    decide(popup_of(page, ".sc-connect-button"))
    page.wait_for_selector("li:text('Night Bus')")
