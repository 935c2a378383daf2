"""What all tests share: browsers, sandboxes, and the canary for leaked secrets."""

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
from types import SimpleNamespace

import pytest
import requests
from support import canary, databases
from support.browser import Browser
from support.engines import table
from support.flows import CLIENT
from support.sample import sampled
from support.site import KEY
from support.windows import WITHIN

import scconnect_wsgi
from scconnect_wsgi.sandbox import Sandbox, serve

OUTPUT = pytest.StashKey()
# Set by tox.ini: the wheel is under test, and no test may be skipped
INSTALLED = "TESTS_INSTALLED" in os.environ


def pytest_sessionstart():
    """Make sure that the wheel is tested under tox, and the checkout in `make quick`."""
    place = pathlib.Path(scconnect_wsgi.__file__).parent.parent
    expected = (
        pathlib.Path(sysconfig.get_path("purelib"))
        if INSTALLED
        else pathlib.Path(__file__).parent.parent
    )
    if place != expected:
        pytest.exit(
            f"These tests are about the package in {expected}, and found the one in {place}.",
            returncode=4,
        )


def pytest_addoption(parser):
    parser.addoption(
        "--sample", type=int, metavar="N", help="of the combinations of each test run N at most"
    )


@pytest.hookimpl(trylast=True)  # what is deselected by then is not counted
def pytest_collection_modifyitems(config, items):
    if config.option.sample:
        kept = sampled(items, config.option.sample)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = [item for item in items if item in kept]


def pytest_configure():
    canary.listen_to_sandboxes()


def pytest_terminal_summary(terminalreporter):
    for line in table.lines(terminalreporter):
        terminalreporter.write_line(line)
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"failed at first: {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)


def pytest_sessionfinish():
    databases.end()
    if "COVERAGE_PROCESS_START" in os.environ:
        save_coverage()


def save_coverage():
    """Save what this process has run: pytest-xdist kills a worker that takes long to exit."""
    import coverage

    measured = coverage.Coverage.current()
    if measured is not None:
        measured.stop()
        measured.save()


@pytest.fixture
def browser():
    """A browser without a screen, with cookies of its own."""
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def provider():
    """A sandbox of this process on a socket: ``url``, ``counts`` and ``sandbox``."""
    sandbox = Sandbox()
    with serve(sandbox) as server:
        yield SimpleNamespace(url=server.url, counts=sandbox.counts, sandbox=sandbox)


@pytest.fixture
def sandbox():
    """A sandbox that nobody has used."""
    return Sandbox()


@pytest.fixture
def root(sandbox):
    """The address of that sandbox."""
    with serve(sandbox) as server:
        yield server.url


@pytest.fixture(scope="session")
def chromium():
    """Debian's Chromium with its popup blocker on; without one these tests fail."""
    from playwright.sync_api import sync_playwright
    from support.engines.chromium import FLAGS

    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    assert program, (
        f"The browser tests need one of {', '.join(names)} on the PATH: apt-get install chromium"
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=FLAGS,
            ignore_default_args=["--disable-popup-blocking"],
        )
        yield browser
        browser.close()


@pytest.fixture
def context(chromium):
    """A fresh profile, whose pages raise no error and keep their own content security policy."""
    context = chromium.new_context()
    context.set_default_timeout(WITHIN * 1000)  # milliseconds
    complaints = []

    def read(message):
        if "Security Policy" in message.text:
            complaints.append(message.text)

    def dismiss(dialog):
        complaints.append(f"dialog {dialog.message}")
        dialog.dismiss()

    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("console", read)
    context.on("dialog", dismiss)
    yield context
    context.close()
    assert complaints == []


class SandboxProcess:
    """A sandbox in another process, as a provider is."""

    def __init__(self, url):
        self.url = url

    def counts(self):
        with requests.Session() as session:
            session.trust_env = False
            return session.get(f"{self.url}/sandbox/counts", timeout=10).json()


@pytest.fixture(scope="session")
def sandbox_process():
    command = [sys.executable, "-m", "scconnect_wsgi", "sandbox", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield SandboxProcess(process.stdout.readline().split()[-1])
        finally:
            process.terminate()
            process.communicate(timeout=10)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if INSTALLED and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, but no test may be: {report.longrepr}"
    item.stash[OUTPUT] = report.capstdout + report.capstderr
    return report


@pytest.fixture(autouse=True)
def _no_secret_is_written_anywhere(request):
    """Around every test (threat 32): no secret is in a log of any level, on stdout or stderr."""
    canary.forget()
    with canary.Listener() as listener:
        yield
    secrets = canary.secrets_met() | {CLIENT[1], KEY}
    assert listener.leaks(secrets) == []
    assert [secret for secret in secrets if secret in request.node.stash.get(OUTPUT, "")] == []
