"""The file to copy for each WSGI server, started as its first lines say, and a whole flow."""

import os
import shutil
import signal
import subprocess
import sysconfig
from contextlib import contextmanager

import pytest
import requests
from support.browser import ARRIVAL, CLICK, Browser
from support.commands import environment
from support.paths import CHECKOUT
from support.ports import free_port, wait_for
from support.responses import landed, query
from support.site import Site

pytestmark = [pytest.mark.servers, pytest.mark.slow]

SERVERS = CHECKOUT / "examples" / "servers"
SCRIPTS = sysconfig.get_path("scripts")
STOP_WITHIN = 20  # seconds
NAMES = [
    "gunicorn_sync.py",
    "gunicorn_gthread.py",
    "waitress_serve.py",
    "wsgiref_serve.py",
    "uwsgi.ini",
    "granian.sh",
]
LOGS = set(NAMES) - {"waitress_serve.py"}  # waitress has no access log
# As a script is stopped; the others get SIGTERM
STOPPED_BY = {
    "waitress_serve.py": signal.SIGINT,
    "wsgiref_serve.py": signal.SIGINT,
}
ROOTS = {
    "oauth2": {"AUTHORIZE_URL": "/authorize", "TOKEN_URL": "/oauth/token"},
    "oauth1": {
        "REQUEST_TOKEN_URL": "/oauth/request_token",
        "AUTHORIZE_URL": "/oauth/authorize",
        "ACCESS_TOKEN_URL": "/oauth/access_token",
    },
}


def command_of(name):
    """Return the command in the first lines of a file: the words after a # or the quotes."""
    lines = (SERVERS / name).read_text("utf-8").splitlines()
    line = next(line for line in lines if name in line)
    return line.lstrip('#" ').split()


def settings_of(text):
    return dict(
        line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#")
    )


def settings_for(protocol, root):
    """Return the settings of sandbox.env with the address of a running sandbox.

    For OAuth 1.0a they have the addresses of that protocol.
    """
    settings = settings_of(
        (SERVERS / "sandbox.env").read_text("utf-8").replace("http://127.0.0.1:8001", root)
    )
    if protocol == "oauth1":
        settings = {name: value for name, value in settings.items() if not value.startswith("http")}
        settings |= {f"SCCONNECT_{name}": root + path for name, path in ROOTS[protocol].items()}
        settings["SCCONNECT_PROTOCOL"] = protocol
    return settings


@contextmanager
def running(name, folder, settings):
    """Run the server in a copy of the folder, in which only the port differs."""
    port = free_port("localhost")
    site = shutil.copytree(SERVERS, folder / "site", ignore=shutil.ignore_patterns("__pycache__"))
    text = (site / name).read_text("utf-8")
    assert "8000" in text
    (site / name).write_text(text.replace("8000", str(port)), "utf-8")
    env = environment(
        **settings, PATH=os.pathsep.join([SCRIPTS, os.environ["PATH"]]), PYTHONUNBUFFERED="1"
    )
    env["PYTHONPATH"] = os.pathsep.join([env["PYTHONPATH"], str(site)])
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command_of(name), cwd=site, env=env, stdout=output, stderr=output
        )
    try:
        wait_for(port, process, log)
        yield Site(f"http://localhost:{port}", None), process, log
    finally:
        if process.poll() is None:
            process.send_signal(STOPPED_BY.get(name, signal.SIGTERM))
        try:
            process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


@pytest.fixture(params=ROOTS)
def protocol(request):
    return request.param


@pytest.mark.parametrize("name", NAMES)
def test_a_copied_file_starts_a_server_that_connects(name, protocol, provider, tmp_path):
    settings = settings_for(protocol, provider.url)
    with running(name, tmp_path, settings) as (site, process, log), Browser() as joe:
        for number in range(2):
            # Nearly the 4096 bytes that a browser keeps of a cookie
            joe.session.cookies.set(f"site{number}", "x" * 3800)
        # As many flows as a browser can have under way: their cookies go with every request
        for _ in range(5):
            assert joe.get(site.start, **CLICK).status_code == 303
        back = joe.decide(joe.click(site))
        fields = landed(joe.get(back, **ARRIVAL))
        assert "error" not in fields, fields
        assert fields["worker_threads"] == str(name not in ("gunicorn_sync.py", "wsgiref_serve.py"))
        assert landed(joe.connect(site, "deny"))["error"] == "access_denied"
        assert landed(joe.get(back, **ARRIVAL))["error"] == "flow_finished"
        the_files_arrive(site)
        assert 'id="sc-connect"' in joe.get(f"{site.url}/").text
    assert process.returncode == 0
    said = log.read_text()
    assert ("/oauth/access_token" in said) == (name in LOGS), said
    secrets = [
        *query(back).values(),
        settings["SCCONNECT_CLIENT_SECRET"],
        settings["SCCONNECT_SECRET_KEY"],
    ]
    assert [word for word in ["Traceback", "code=", "?", *secrets] if word in said] == [], said


def the_files_arrive(site):
    script = f"{site.url}/sc-connect/sc-connect.js"
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(script, timeout=10)
        assert answer.headers["Content-Encoding"] == "gzip"
        assert "prepareButton" in answer.text
        same = session.get(script, headers={"If-None-Match": answer.headers["ETag"]}, timeout=10)
        assert (same.status_code, same.content) == (304, b"")
        head = session.head(script, timeout=10)
        assert (head.status_code, head.content) == (200, b"")
        assert session.get(f"{site.url}/sc-connect/nothing.js", timeout=10).status_code == 404


def test_every_file_of_the_folder_is_started_here():
    assert {path.name for path in SERVERS.iterdir() if path.is_file()} == {
        "mysite.py",
        "sandbox.env",
        *NAMES,
    }
