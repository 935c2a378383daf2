"""What a command does if its output cannot be written."""

import os
import subprocess
import sys

import pytest
from support.commands import environment

COMMAND = [sys.executable, "-m", "scconnect_wsgi"]
PRINTING = [
    ["--version"],
    ["--help"],
    ["check", "--help"],
    ["check"],
    ["secret"],
    ["sql-schema", "sqlite:///x"],
    ["sandbox", "--port", "0"],
]
needs_a_full_disk = pytest.mark.skipif(
    not os.path.exists("/dev/full"), reason="this system has no /dev/full"
)


def run_with(words, **streams):
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.run([*COMMAND, *words], env=environment(), text=True, timeout=30, **streams)


@needs_a_full_disk
@pytest.mark.parametrize("words", PRINTING, ids=" ".join)
def test_a_full_disk_is_named(words):
    with open("/dev/full", "w") as full:
        done = run_with(words, stdout=full)
    assert done.stderr == "The output could not be written: No space left on device.\n"
    assert done.returncode == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows says otherwise that a pipe is closed")
@pytest.mark.parametrize("words", PRINTING, ids=" ".join)
def test_nothing_is_said_if_nobody_reads_the_output(words):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as pipe:
        done = run_with(words, stdout=pipe)
    assert (done.stderr, done.returncode) == ("", 1)


@needs_a_full_disk
def test_a_command_runs_in_the_sandbox_although_nothing_can_be_said_of_it():
    words = ["sandbox", "--port", "0", "--", sys.executable, "-c", "print('started'); exit(7)"]
    with open("/dev/full", "w") as full:
        done = run_with(words, stderr=full)
    assert (done.stdout, done.returncode) == ("started\n", 7)


@needs_a_full_disk
def test_the_exit_status_stays_if_the_reason_cannot_be_written():
    with open("/dev/full", "w") as full:
        done = run_with(["sandbox", "--state", "/nowhere/state"], stderr=full)
    assert done.returncode == 1
