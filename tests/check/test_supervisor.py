"""Whatever a site does when it is loaded, `scconnect check` ends in time and says what happened."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest
from support.commands import environment
from support.site import KEY

from scconnect_wsgi.check import parse_target
from scconnect_wsgi.check._output import as_text
from scconnect_wsgi.check._supervisor import supervise

pytestmark = pytest.mark.slow
WIRED = f"""
from scconnect_wsgi import OAuth2, SCConnect
flow = OAuth2("the-client-id", "the-client-secret")
app = SCConnect(print, flow, secret_key={KEY!r}, store_token=print, base_url="http://localhost:1")
"""


@pytest.fixture
def supervised(tmp_path, monkeypatch):
    """A function that checks a module with this text, in seconds for loading and for everything."""
    monkeypatch.chdir(tmp_path)
    for name, value in environment().items():
        monkeypatch.setenv(name, value)

    def supervised(text, loading, everything, **asked):
        (tmp_path / "mysite.py").write_text(text, "utf-8")
        request = {"online": False, "url": "", "ca_bundle": "", **asked}
        target = vars(parse_target("mysite:app"))
        return supervise({"target": target, **request}, loading, everything)

    return supervised


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("import time\ntime.sleep(600)", id="it sleeps"),
        pytest.param(
            "from wsgiref.simple_server import make_server\n"
            "make_server('127.0.0.1', 0, app).serve_forever()",
            id="it starts a server",
        ),
        pytest.param(
            "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass",
            id="it computes, and ignores signals",
        ),
    ],
)
def test_a_module_that_never_ends_is_a_finding(supervised, text):
    began = time.monotonic()
    report = supervised(f"{WIRED}\n{text}", 6, 30)
    assert [finding.code for finding in report.findings] == ["import-hangs"]
    assert time.monotonic() - began < 30


def test_a_process_that_a_module_leaves_behind_holds_nothing_up(supervised):
    text = f"""{WIRED}
import os, time
if os.fork() == 0:
    time.sleep(600)
import threading
threading.Thread(target=time.sleep, args=(600,)).start()
"""
    report = supervised(text, 60, 90)
    assert report.ok, report


def test_a_module_may_ask_whether_there_is_a_terminal(supervised):
    report = supervised(f"{WIRED}\nimport sys\nassert not sys.stdin.isatty()", 60, 90)
    assert report.ok, report


def test_a_module_that_closes_everything_is_a_finding(supervised):
    report = supervised("import os\nos.closerange(3, 100)\nimport math", 60, 90)
    assert [finding.code for finding in report.findings] == ["import-ended"]


def test_what_was_found_before_the_time_was_up_is_reported(supervised):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        text = WIRED + "\nimport scconnect_wsgi.check._browsing as b\nb.PATIENCE = 600\n"
        report = supervised(text, 60, 12, url=url)
    assert report.callback_urls == ["http://localhost:1/oauth/access_token"]
    assert [finding.code for finding in report.findings] == ["too-late"]
    assert f"asking {url}/sc-connect/sc-connect.js" in report.findings[0].message


def test_a_failure_of_the_check_itself_shows_no_traceback(supervised):
    text = WIRED + "\nimport scconnect_wsgi.check._worker as w\nw.describe = None\n"
    report = supervised(text, 60, 90)
    assert [finding.code for finding in report.findings] == ["check-failed"]
    assert "TypeError" in as_text(report)


def test_the_process_is_gone_afterwards(supervised):
    report = supervised(f"{WIRED}\nopen('pid', 'w').write(str(__import__('os').getpid()))", 60, 90)
    assert report.ok
    with pytest.raises(ProcessLookupError):
        os.kill(int(pathlib.Path("pid").read_text()), 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_process_is_gone_when_the_command_was_ended(tmp_path, number):
    text = "import os, time\nprint(os.getpid(), file=open('new', 'w'), flush=True)\n"
    text += "os.rename('new', 'pid')\ntime.sleep(600)\n"
    (tmp_path / "mysite.py").write_text(text, "utf-8")
    words = [sys.executable, "-m", "scconnect_wsgi", "check", "mysite:app"]
    with subprocess.Popen(words, cwd=tmp_path, env=environment()) as command:
        until = time.monotonic() + 30
        while not (tmp_path / "pid").exists() and time.monotonic() < until:
            time.sleep(0.05)
        command.send_signal(number)
    assert command.returncode == 128 + number
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_check_that_is_killed_leaves_nothing_behind(tmp_path):
    text = f"""{WIRED}
import os, time
child = os.fork()
with open("pids", "a") as pids:
    pids.write(f"{{os.getpid()}}\\n")
time.sleep(90)
"""
    (tmp_path / "mysite.py").write_text(text, "utf-8")
    command = [sys.executable, "-m", "scconnect_wsgi", "check", "mysite:app"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment()) as process:
        wait_until(lambda: len(written_in(tmp_path / "pids")) == 2)
        process.kill()
    wait_until(lambda: not any(is_alive(pid) for pid in written_in(tmp_path / "pids")))


def written_in(file):
    return file.read_text().split() if file.exists() else []


def is_alive(pid):
    try:
        state = pathlib.Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(holds):
    give_up_at = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < give_up_at
        time.sleep(0.1)
