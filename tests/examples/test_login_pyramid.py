"""examples/login/pyramid, run as its reader would run it."""

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
from contextlib import contextmanager
from urllib.parse import quote_plus

import pytest
import requests
from support.browser import CLICK
from support.commands import environment
from support.paths import CHECKOUT
from support.ports import free_port, wait_for
from support.site import KEY
from support.windows import decide, opened, popup_of

pytestmark = [pytest.mark.frameworks, pytest.mark.slow]

PSERVE = pathlib.Path(sysconfig.get_path("scripts")) / "pserve"
POSTGRESQL = "postgresql+psycopg://site@db.example/site"


@pytest.fixture
def project(tmp_path):
    """The reader's copy, in which the database is made."""
    return shutil.copytree(CHECKOUT / "examples" / "login" / "pyramid", tmp_path / "project")


def variables(project, **settings):
    """Return an environment in which ``mysite`` is found, as after ``pip install``."""
    env = environment(**settings)
    return {**env, "PYTHONPATH": os.pathsep.join([env["PYTHONPATH"], str(project)])}


@contextmanager
def served(project, file, **settings):
    """Run pserve until the block ends, and check that nothing secret is in its output."""
    port = free_port("localhost")
    text = (project / file).read_text("utf-8")
    for address in ("localhost:6543", "127.0.0.1:8080"):
        text = text.replace(address, f"localhost:{port}")
    (project / file).write_text(text, "utf-8")
    log = project / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, str(PSERVE), file],
            cwd=project,
            env=variables(project, **settings),
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(port, process, log)
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)
    for word in ("Traceback", "code=", "sandbox-secret", KEY):
        assert word not in log.read_text()


def test_its_tests_pass(project):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-c",
            os.devnull,
            "--rootdir",
            ".",
            "test_mysite.py",
        ],
        cwd=project,
        env=variables(project),
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


@pytest.mark.browser
def test_in_a_browser_a_user_logs_in_and_out(project, context, soundcloud):
    with served(project, "development.ini", **soundcloud.environ) as site:
        page = opened(context, f"{site}/sounds")
        assert page.evaluate("getComputedStyle(document.body).margin") == "0px"  # its style sheet
        decide(popup_of(page, ".sc-connect-button"), "deny")
        page.wait_for_selector("text=You did not allow the login")
        decide(popup_of(page, ".sc-connect-button"))
        page.wait_for_selector("li:text('Night Bus')")
        soundcloud.revoke("joe")
        page.goto(f"{site}/sounds")
        page.wait_for_selector("h1:text('Log in again')")
        decide(popup_of(page, ".sc-connect-button"))
        page.wait_for_selector("li:text('Night Bus')")
        page.click("button:text('Log out')")
        page.wait_for_selector("text=There is no password to remember")
        page.goto(f"{site}/sounds")
        page.wait_for_selector("h1:text('Log in')")


def test_the_file_for_production_leaves_the_secrets_elsewhere(project, soundcloud):
    (project / "secret_key").write_text(KEY)
    file = project / "production.ini"
    text = file.read_text("utf-8")
    assert POSTGRESQL in text
    file.write_text(text.replace(POSTGRESQL, f"sqlite:///{project}/connections.sqlite3"), "utf-8")
    with served(project, "production.ini", **soundcloud.environ) as site:
        start = f"{site}/oauth/request_token"
        away = requests.get(start, headers=CLICK, allow_redirects=False, timeout=30)
    callback = quote_plus("https://app.example/oauth/access_token")
    assert f"redirect_uri={callback}" in away.headers["Location"]
