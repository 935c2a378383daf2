"""The file of an SQLite database: readable by its owner only, and not locked by its readers."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from sqlalchemy import Engine, event


def prepare_file(engine: Engine) -> None:
    """Make the engine create its file for its owner only, and write ahead."""
    path = str(engine.url.database)
    event.listen(engine, "do_connect", lambda *_: _create_private(path))
    event.listen(engine, "connect", _write_ahead)


def _create_private(path: str) -> None:
    """Create a missing file with mode 0600, since it will hold tokens.

    SQLite gives its helper files the same mode.
    """
    with suppress(OSError):  # it exists; or SQLite will say what is wrong
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _write_ahead(db: Any, _record: Any) -> None:
    """Switch to the write-ahead log, so that readers and the one writer do not wait for each other.

    The file remembers it, so it must succeed only once.
    """
    with suppress(db.OperationalError):  # another process is just doing it
        db.execute("PRAGMA journal_mode=WAL")
