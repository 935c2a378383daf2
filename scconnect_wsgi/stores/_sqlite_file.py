"""The file of an SQLite database: readable by its owner only, and not locked by its readers."""

from __future__ import annotations

import logging
import os
import stat
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import Engine, event
from sqlalchemy.engine import URL

from scconnect_wsgi.errors import StoreUnavailable

log: logging.Logger = logging.getLogger("scconnect_wsgi")

PRIVATE = 0o600
FILES = ("", "-wal", "-shm", "-journal")  # what SQLite appends to the name of its file
MUST_EXIST = ("ro", "rw")  # modes of a URI that make no file, because a disk may be missing
IN_MEMORY = (None, "", ":memory:")


def file_path(url: URL) -> str | None:
    """Return the path of the file that an SQLite URL names, or None for a database in memory.

    With ``?uri=true`` it names a ``file:`` URI (https://sqlite.org/uri.html).
    """
    database = url.database
    if str(url.query.get("uri", "")).lower() in ("true", "yes", "on", "y", "t", "1"):
        if url.query.get("mode") == "memory" or url.query.get("vfs") == "memdb":
            return None
        if database is not None and database.startswith("file:"):
            database = unquote(urlsplit(database).path)
    return None if database in IN_MEMORY else database


def prepare_file(engine: Engine, path: str) -> None:
    """Make the engine create its file for its owner only, and write ahead."""
    if engine.url.query.get("mode") not in MUST_EXIST:
        event.listen(engine, "do_connect", lambda *_: _create_private(path))
    event.listen(engine, "connect", _connected)


def _create_private(path: str) -> None:
    """Create a missing file with mode 0600, since it will hold tokens.

    SQLite gives its helper files the same mode.
    """
    with suppress(OSError):  # it exists; or SQLite will say what is wrong
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, PRIVATE))


def _connected(db: Any, _record: Any) -> None:
    for _number, name, path in db.execute("PRAGMA database_list").fetchall():
        if name == "main" and path:
            _make_private(path)
    _write_ahead(db)


def _make_private(path: str) -> None:
    """Take everybody else's permissions from a file that was there before.

    Raises StoreUnavailable if that is not possible.
    """
    if os.name != "posix":
        return
    for name in (path + end for end in FILES):
        with suppress(FileNotFoundError):
            if not stat.S_IMODE(os.stat(name).st_mode) & ~PRIVATE:
                continue
            try:
                os.chmod(name, PRIVATE)
            except PermissionError:
                raise StoreUnavailable(
                    "The SQLite file of the connections can be read by others, and belongs to "
                    "another user of this machine, who must take their permissions from it "
                    "(chmod 600)."
                ) from None
            log.warning("An SQLite file with tokens could be read by others; it now has mode 0600.")


def _write_ahead(db: Any) -> None:
    """Switch to the write-ahead log, so that readers and the one writer do not wait for each other.

    The file remembers it, so it must succeed only once.
    """
    with suppress(db.OperationalError):  # another process is just doing it
        db.execute("PRAGMA journal_mode=WAL")
