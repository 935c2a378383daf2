"""Run a command until it ends, and leave nothing behind.

The command and all that it starts form a process group of their own, as a shell's job does: a
signal reaches the reloader of a development server and the server that it has started alike.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

NOT_EXECUTABLE = 126  # exit statuses, as those of a shell
NOT_FOUND = 127
KILLED = 128  # and the number of the signal
FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
GRACE = 5.0  # seconds that what the command has started may take to end after it
PAUSE = 0.02  # seconds


class CommandNotStartedError(Exception):
    """The command cannot be started. ``status`` is the exit status that a shell would have."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command and return its exit status: 128 and more if a signal ended it.

    It has this process's input and output. SIGINT, SIGTERM, SIGHUP and SIGQUIT are passed on to
    it and to the processes that it has started, which are ended when it has ended. Raises
    CommandNotStartedError.
    """
    if os.name != "posix":
        raise CommandNotStartedError(
            "A command cannot be run here: it needs process groups. Start `scconnect sandbox` and "
            "your site in two terminals, with the variables that the first one prints.",
            NOT_EXECUTABLE,
        )
    job = _Job()
    with _handled(job.pass_on):
        job.start(command, environment)
        terminal = _Terminal(job.group)
        terminal.give()
        try:
            return job.wait(terminal)
        finally:
            terminal.take_back()
            job.end()


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have the signals that are passed on handled, until the block ends."""
    numbers = [getattr(signal, name) for name in FORWARDED]
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup wants it to be ignored
        numbers.remove(signal.SIGHUP)
    before = {number: signal.signal(number, handler) for number in numbers}
    # If it was ignored, the system would throw the exit status of the command away
    before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


class _Job:
    """A command, and the process group with all that it has started."""

    def __init__(self) -> None:
        self.group = 0  # the process group, and its first process
        self._early: list[int] = []  # signals from before the group was there

    def pass_on(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: send it to the group."""
        if self.group:
            self._send(number)
        else:
            self._early.append(number)

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the command. Raises CommandNotStartedError."""
        if sys.stdout is not None:  # it is if this process was started without an output
            sys.stdout.flush()
        try:
            process = subprocess.Popen(  # noqa: S603  # the user's own command
                list(command), env=dict(environment), process_group=0
            )
        except FileNotFoundError:
            raise CommandNotStartedError(
                f"{command[0]}: there is no such command. Is it installed, in the environment that "
                "is active?",
                NOT_FOUND,
            ) from None
        except OSError as error:
            raise CommandNotStartedError(
                f"{command[0]} cannot be started: {error.strerror}.", NOT_EXECUTABLE
            ) from None
        process.returncode = 0  # it is waited for here, and not by subprocess
        self.group = process.pid
        for number in self._early:
            self._send(number)

    def wait(self, terminal: _Terminal) -> int:
        """Wait until the command has ended, and return its exit status."""
        while True:
            # Python would handle a signal that arrives just before a call that waits only after it
            changed, status = os.waitpid(self.group, os.WUNTRACED | os.WNOHANG)
            if not changed:
                time.sleep(PAUSE)
                continue
            if not os.WIFSTOPPED(status):
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else KILLED - code
            terminal.stop_as_well(os.WSTOPSIG(status))
            self._send(signal.SIGCONT)

    def end(self) -> None:
        """End what the command has left behind."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + GRACE
            self._send(number)
            while self._is_alive() and time.monotonic() < deadline:
                time.sleep(PAUSE)

    def _is_alive(self) -> bool:
        """Return whether anybody is left in the group."""
        with suppress(ChildProcessError):  # orphans are ours if this is the first of a container
            os.waitpid(-self.group, os.WNOHANG)
        return self._send(0)

    def _send(self, number: int) -> bool:
        """Send a signal to the group, and return whether anybody is left in it."""
        try:
            os.killpg(self.group, number)
        except (ProcessLookupError, PermissionError):  # macOS refuses a group of zombies
            return False
        return True


class _Terminal:
    """The terminal, if there is one: its Ctrl-C and Ctrl-Z are for the job, as in a shell."""

    def __init__(self, group: int) -> None:
        self._group = group

    def give(self) -> None:
        """Let the job read from the terminal and get its signals, if it is ours to give."""
        if self._owner() == os.getpgrp():
            self._hand_over(self._group)

    def take_back(self) -> None:
        """Undo ``give``."""
        if self._owner() == self._group:
            self._hand_over(os.getpgrp())

    def stop_as_well(self, number: int) -> None:
        """Stop this process group too, as the job was, until the shell lets it go on."""
        waits_for_terminal = number in (signal.SIGTTIN, signal.SIGTTOU)
        if not (waits_for_terminal and self._owner() == self._group):
            self.take_back()
            os.killpg(os.getpgrp(), signal.SIGSTOP)
        self.give()

    def _owner(self) -> int:
        """Return the process group that the terminal belongs to; 0 without a terminal."""
        try:
            return os.tcgetpgrp(0)
        except OSError:
            return 0

    def _hand_over(self, group: int) -> None:
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # it is sent to the background
        try:
            os.tcsetpgrp(0, group)
        except OSError:  # the group or the terminal is gone
            return
        finally:
            signal.signal(signal.SIGTTOU, before)
