"""`scconnect sandbox -- COMMAND`: a command with a sandbox around it."""

import contextlib
import json
import os
import pty
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import time

import pytest
from support.commands import environment, run
from support.flows import CLIENT, dance
from support.ports import free_port
from support.processes import forking

from scconnect_wsgi.cli import main
from scconnect_wsgi.config import flow_from_env
from scconnect_wsgi.provider import SOUNDCLOUD
from scconnect_wsgi.sandbox import CommandNotStartedError, Sandbox, run_command

pytestmark = pytest.mark.slow

WITHIN = 30  # seconds; it takes one on an idle machine
SHOW = "import json, os; print(json.dumps(dict(os.environ)))"
# Says that it runs, and then waits for a signal, which it names
WAIT = """
import os, signal, sys, time
def heard(number, frame):
    os.write(1, f"heard {signal.Signals(number).name}\\n".encode())  # print() may be interrupted
    sys.exit(int(os.environ.get("STATUS", 3)))
signal.signal(signal.SIGINT, heard)
signal.signal(signal.SIGTERM, heard)
print(os.environ["SCCONNECT_API_URL"], "waits", flush=True)
time.sleep(60)
"""
# Starts a process as a reloader does, which stays when its parent is killed
RELOADER = """
import subprocess, sys, time
code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
subprocess.Popen([sys.executable, "-c", code])
time.sleep(60)
"""
LEAVES_BEHIND = """
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid)
"""


def python(code):
    return [sys.executable, "-c", code]


def sandbox_words(*options):
    return [sys.executable, "-m", "scconnect_wsgi", "sandbox", "--port", "0", *options]


class Started:
    """A sandbox with a command, which a test stops."""

    def __init__(self, command, *options, **settings):
        signal.signal(signal.SIGINT, signal.default_int_handler)  # or the child would ignore it
        self.process = subprocess.Popen(
            [*sandbox_words(*options), "--", *command],
            env=environment(**settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.first = self.process.stdout.readline().split()[0]

    def end(self, number):
        """Send a signal, and return the exit status and what came on the two channels."""
        self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=WITHIN)
        return self.process.returncode, output, errors


@contextlib.contextmanager
def started(command, *options, **settings):
    running = Started(command, *options, **settings)
    try:
        yield running
    finally:
        running.process.terminate()  # a killed one would leave its command behind, with our pipe
        try:
            running.process.communicate(timeout=WITHIN)
        finally:
            running.process.kill()


def answers(url):
    host, port = re.fullmatch(r"http://([\d.]+):(\d+)", url).groups()
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True


def is_alive(pid):
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ends(pid):
    """Whether a process ends soon; one that was killed may need a moment."""
    deadline = time.monotonic() + WITHIN
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_alive(pid)


# What the command sees


def seen(*options, **settings):
    done = run("sandbox", "--port", "0", *options, "--", *python(SHOW), **settings)
    assert done.returncode == 0, done.stderr
    variables = json.loads(done.stdout)
    return {n: v for n, v in variables.items() if n.startswith("SCCONNECT_")}


def test_the_sandbox_takes_the_place_of_the_provider_in_the_environment():
    given = {
        "SCCONNECT_CLIENT_ID": "of-soundcloud",
        "SCCONNECT_CLIENT_SECRET_FILE": "/run/secrets/client",
        "SCCONNECT_TOKEN_URL": "https://id.example/token",
        "SCCONNECT_ISSUER": "https://id.example",
        "SCCONNECT_PROXY": "http://proxy.example:3128",
        "SCCONNECT_SECRET_KEY_FILE": "/run/secrets/key",
        "SCCONNECT_BASE_URL": "http://localhost:5000",
        "SCCONNECT_SCOPE": "tracks",
    }
    variables = seen(**given)
    root = variables.pop("SCCONNECT_SANDBOX")
    assert variables == {
        "SCCONNECT_CLIENT_ID": CLIENT[0],
        "SCCONNECT_CLIENT_SECRET": CLIENT[1],
        "SCCONNECT_AUTHORIZE_URL": f"{root}/authorize",
        "SCCONNECT_TOKEN_URL": f"{root}/oauth/token",
        "SCCONNECT_API_URL": root,
        "SCCONNECT_SIGN_OUT_URL": f"{root}/sign-out",
        "SCCONNECT_SECRET_KEY_FILE": "/run/secrets/key",
        "SCCONNECT_BASE_URL": "http://localhost:5000",
        "SCCONNECT_SCOPE": "tracks",
    }


@pytest.mark.parametrize("protocol", ["oauth2", "oauth1", "unknown"])
def test_the_variables_are_a_flow_to_the_sandbox(protocol):
    variables = seen(SCCONNECT_PROTOCOL=protocol)
    root = variables["SCCONNECT_SANDBOX"]
    assert len(variables["SCCONNECT_SECRET_KEY"]) == 43
    if protocol == "unknown":
        assert variables["SCCONNECT_PROTOCOL"] == "unknown"  # the site says what is wrong with it
        return
    sandbox = Sandbox()
    providers = {"oauth2": sandbox.oauth2_provider, "oauth1": sandbox.oauth1_provider}
    assert flow_from_env(variables).provider == providers[protocol](root)
    del variables["SCCONNECT_SANDBOX"]  # a site that reads the others by itself
    assert flow_from_env(variables).provider == providers[protocol](root)


def test_a_secret_key_of_the_site_stays():
    assert seen(SCCONNECT_SECRET_KEY="a-key-of-the-site")["SCCONNECT_SECRET_KEY"] == (
        "a-key-of-the-site"
    )


def test_the_command_s_output_and_input_are_its_own():
    code = "import sys; print(input()); print('to stderr', file=sys.stderr)"
    done = subprocess.run(
        [*sandbox_words(), "--", *python(code)],
        env=environment(),
        input="typed\n",
        capture_output=True,
        text=True,
        timeout=WITHIN,
    )
    assert done.stdout == "typed\n"
    ours, theirs = done.stderr.splitlines()
    assert re.fullmatch(
        r"The sandbox answers at http://127.0.0.1:\d+. Log in as joe or ann with one click.",
        ours,
    )
    assert theirs == "to stderr"


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_nothing_for_a_closed_stream_goes_elsewhere(closed, tmp_path):
    words = [*sandbox_words("--state", str(tmp_path / "state")), "--", "echo", "the output"]
    done = subprocess.run(
        ["sh", "-c", f"exec {shlex.join(words)} {closed}"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=WITHIN,
    )
    assert done.stdout == ("" if "1>" in closed else "the output\n")
    assert ("The sandbox answers" in done.stderr) == ("2>" not in closed)
    json.loads((tmp_path / "state").read_text())


def test_the_words_of_the_command_stay_as_they_are():
    code = "import sys; print(sys.argv[1:])"
    words = ["--port", "--", "-x", "a b", "--", "--state"]
    done = run("sandbox", "--port", "0", "--", *python(code), *words)
    assert done.stdout == f"{words}\n"


def test_the_options_reach_the_sandbox(tmp_path):
    code = (
        "import os, requests\n"
        "root = os.environ['SCCONNECT_API_URL']\n"
        "asked = {'client_id': 'sandbox-client', 'response_type': 'code', 'state': 's',\n"
        "         'code_challenge': 43 * 'a', 'code_challenge_method': 'S256'}\n"
        "for uri in ('http://localhost:5000/back', 'http://localhost:5000/other'):\n"
        "    page = requests.get(root + '/authorize', params={**asked, 'redirect_uri': uri})\n"
        "    print(page.status_code)\n"
        "print(requests.get(root + '/me').status_code)\n"
    )
    options = ["--redirect-uri", "http://localhost:5000/back", "--fault", "status=503"]
    options += ["--fault", "coop", "--state", str(tmp_path / "state")]
    done = run("sandbox", "--port", "0", *options, "--", *python(code))
    assert done.stdout.split() == ["200", "400", "503"], done.stderr
    assert (tmp_path / "state").exists()


# How it ends


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("", 0),
        ("raise SystemExit(7)", 7),
        ("import os; os.kill(os.getpid(), 9)", 137),
        ("import os; os.kill(os.getpid(), 15)", 143),
    ],
    ids=["success", "failure", "killed", "terminated"],
)
def test_the_exit_status_is_passed_on(code, status):
    assert run("sandbox", "--port", "0", "--", *python(code)).returncode == status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_command_and_no_port_is_left(number):
    with started(python(WAIT), STATUS="5") as running:
        assert answers(running.first)
        status, output, errors = running.end(number)
        assert (status, output) == (5, f"heard {number.name}\n")
        assert errors.count("\n") == 1
        assert not answers(running.first)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_what_the_command_has_started_ends_with_it(number):
    with started(python(RELOADER)) as running:
        grandchild = int(running.first)
        assert is_alive(grandchild)
        status, _, _ = running.end(number)
        assert status == 128 + number
        assert ends(grandchild)


def test_what_a_command_leaves_behind_ends_with_it():
    done = run("sandbox", "--port", "0", "--", *python(LEAVES_BEHIND))
    assert done.returncode == 0
    assert ends(int(done.stdout))


def test_what_ignores_sigterm_is_killed():
    code = RELOADER.replace("import os, time;", "import os, signal, time; signal.signal(15, 1);")
    with started(python(code)) as running:
        running.end(signal.SIGTERM)
        assert ends(int(running.first))


def start_with(code):
    """Run a sandbox whose command ends with status 3, in a process that runs this code first."""
    words = [*sandbox_words(), "--", *python("raise SystemExit(3)")]
    text = f"import os, signal, sys\n{code}\nos.execv(sys.executable, {words!r})"
    return subprocess.run(
        python(text), env=environment(), stderr=subprocess.PIPE, text=True, timeout=WITHIN
    )


@pytest.mark.parametrize(
    "code", ["signal.signal(signal.SIGCHLD, signal.SIG_IGN)", "os.close(1)"], ids=["SIGCHLD", "1"]
)
def test_the_exit_status_survives_an_unusual_parent(code):
    done = start_with(code)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr


def test_nohup_is_respected():
    words = ["nohup", *sandbox_words(), "--", *python(WAIT)]
    process = subprocess.Popen(
        words,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=WITHIN)[0] == "heard SIGTERM\n"
    finally:
        process.kill()
        process.communicate()


# In a terminal


class Terminal:
    """A terminal in which a sandbox with a command runs."""

    def __init__(self, command):
        self.text = ""
        with forking():
            self.pid, self.screen = pty.fork()
        if self.pid == 0:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            os.execve(sys.executable, [*sandbox_words(), "--", *command], environment())

    def type(self, text):
        os.write(self.screen, text)

    def wait_for(self, word):
        deadline = time.monotonic() + WITHIN
        while word not in self.text:
            assert select.select([self.screen], [], [], deadline - time.monotonic())[0], self.text
            self.text += os.read(self.screen, 1000).decode()

    def status(self):
        """Return the exit status, after the end."""
        try:
            while True:
                self.text += os.read(self.screen, 1000).decode()
        except OSError:  # the end of a terminal
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@contextlib.contextmanager
def terminal(command):
    opened = Terminal(command)
    try:
        yield opened
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(opened.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(opened.pid, 0)
        os.close(opened.screen)


def test_ctrl_c_reaches_the_command_once():
    with terminal(python(WAIT)) as opened:
        opened.wait_for("waits")
        opened.type(b"\x03")
        assert opened.status() == 3
        assert opened.text.count("heard SIGINT") == 1


def test_a_debugger_can_read_from_the_terminal():
    with terminal(python("print('asks'); print('read', input())")) as opened:
        opened.wait_for("asks")
        opened.type(b"something\n")
        opened.wait_for("read something")
        assert opened.status() == 0


def test_ctrl_z_stops_both_and_the_shell_lets_both_go_on():
    with terminal(python("print('asks', flush=True); print('read', input())")) as opened:
        opened.wait_for("asks")
        opened.type(b"\x1a")
        _, status = os.waitpid(opened.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        os.kill(opened.pid, signal.SIGCONT)
        opened.type(b"something\n")
        opened.wait_for("read something")
        assert opened.status() == 0


# Mistakes


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["--", "no-such-command", "run"], 127, "no-such-command: there is no such command."),
        (["--", "/"], 126, "/ cannot be started: Permission denied."),
        (
            ["flask", "run", "--debug"],
            2,
            "put -- in front of the command: scconnect sandbox -- flask run --debug",
        ),
        (
            ["flask", "--", "run"],
            2,
            "put -- in front of the command: scconnect sandbox -- flask run",
        ),
        (["--"], 2, "give a command behind --"),
        (
            ["--fault", "nonsense", "--", "true"],
            2,
            "No fault is called 'nonsense'; there are slow, ",
        ),
        (["--fault", "slow=soon", "--", "true"], 2, "The value of slow must be a number."),
        (["--redirect-uri", "localhost/back", "--", "true"], 2, "must be a full URL"),
        (["--colour"], 2, "unrecognized arguments: --colour"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_said_in_a_line(words, status, sentence, capfd, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/local/bin/scconnect"])
    ended: list[object] = []
    try:
        ended.append(main(["sandbox", "--port", "0", *words]))
    except SystemExit as error:
        ended.append(error.code)
    assert ended == [status]
    printed = capfd.readouterr()
    assert sentence in printed.err
    assert printed.out == ""


def test_a_taken_port_is_named_and_the_command_is_not_started():
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        done = run("sandbox", "--port", str(port), "--", *python("print('started')"))
    assert done.returncode == 1
    assert f"Port {port} is taken" in done.stderr
    assert done.stdout == ""


def test_without_process_groups_the_other_way_is_named(monkeypatch):
    monkeypatch.setattr(os, "name", "nt")
    with pytest.raises(CommandNotStartedError, match="in two terminals"):
        run_command(["true"], {})


def test_a_site_by_environment_connects_to_the_real_thing_again_without_the_sandbox():
    assert flow_from_env({"SCCONNECT_CLIENT_ID": "a", "SCCONNECT_CLIENT_SECRET": "b"}).provider == (
        SOUNDCLOUD
    )


@pytest.mark.parametrize("protocol", ["oauth2", "oauth1"])
def test_a_command_obtains_a_token(protocol):
    with started(python(WAIT), SCCONNECT_PROTOCOL=protocol) as running:
        given = {"SCCONNECT_SANDBOX": running.first, "SCCONNECT_PROTOCOL": protocol}
        assert dance(flow_from_env(given)).token
