"""Find out whether a web server on this machine writes the query of a callback into its log.

The query of a callback holds the authorization code, and the default format of every web server
writes it down. From outside nobody can see that. But if the server runs on this machine, and this
user may read its log, then the word that the check has just sent as a state is found there.
"""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Iterator

SERVERS = frozenset({"nginx", "apache2", "httpd", "lighttpd", "caddy", "haproxy"})
TAIL = 256 * 1024  # bytes at the end of a log that are looked at
PATIENCE = 0.6  # seconds until a server has written its line, unless it buffers them
PAUSE = 0.05  # seconds between two looks
_PROC = pathlib.Path("/proc")  # of Linux; elsewhere no log is found


def server_logs() -> set[pathlib.Path]:
    """Return the files that the web servers of this machine write, if this user may see them."""
    return {log for process in _servers() for log in _written_by(process)}


def log_with(word: str, logs: set[pathlib.Path]) -> pathlib.Path | None:
    """Return the log that a word is in, or None if it does not appear in any."""
    give_up_at = time.monotonic() + PATIENCE
    while True:
        for log in sorted(logs):
            if word.encode() in _tail(log):
                return log
        if time.monotonic() > give_up_at or not logs:
            return None
        time.sleep(PAUSE)


def _servers() -> Iterator[pathlib.Path]:
    """Yield the folder in /proc of each process that is a web server."""
    for name in _PROC.glob("[0-9]*/comm"):
        try:
            if name.read_text("utf-8", "replace").strip() in SERVERS:
                yield name.parent
        except OSError:  # it has ended
            continue


def _written_by(process: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield the files that a process has open for writing, and this user may read."""
    try:
        numbers = [entry.name for entry in (process / "fd").iterdir()]
    except OSError:  # another user's process, or one that has ended
        return
    for number in numbers:
        try:
            path = pathlib.Path(os.readlink(process / "fd" / number))
            is_written = _is_written(process / "fdinfo" / number)
        except (OSError, ValueError):
            continue
        if is_written and path.is_file() and os.access(path, os.R_OK):
            yield path


def _is_written(description: pathlib.Path) -> bool:
    """Return whether a file is open for writing: its flags are an octal number."""
    for line in description.read_text("ascii").splitlines():
        if line.startswith("flags:"):
            return int(line.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY
    return False


def _tail(log: pathlib.Path) -> bytes:
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            return file.read(TAIL)
    except OSError:
        return b""
