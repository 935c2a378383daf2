"""Where the demo keeps its tokens: one SQLite file that only its owner may read."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from scconnect_wsgi.token import AccessToken

FILE_NAME = "demo.sqlite3"
TABLE = """
CREATE TABLE IF NOT EXISTS scconnect_demo (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: an old id must not open a newer token
    owner TEXT NOT NULL,
    protocol TEXT NOT NULL,
    token TEXT NOT NULL,
    UNIQUE (owner, protocol)
)
"""


class Tokens:
    """One token for each browser and protocol. Any thread may use it: every call opens the file
    anew.

    Raises OSError if the file that is there cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.path: Path = _private_file(folder)
        try:
            with closing(sqlite3.connect(self.path)) as db, db:
                db.execute(TABLE)
                # A sandbox forgets everything when it stops: tokens of an earlier run open nothing.
                db.execute("DELETE FROM scconnect_demo")
        except sqlite3.DatabaseError:
            raise OSError(
                errno.EINVAL, f"{self.path} is no database, or in use; move it away"
            ) from None

    def save(self, owner: str, protocol: str, token: AccessToken) -> int:
        """Keep a token in place of the one before; its id."""
        with closing(sqlite3.connect(self.path)) as db, db:
            db.execute(
                "DELETE FROM scconnect_demo WHERE owner = ? AND protocol = ?", (owner, protocol)
            )
            row = (owner, protocol, json.dumps(token.to_dict()))
            cursor = db.execute(
                "INSERT INTO scconnect_demo (owner, protocol, token) VALUES (?, ?, ?)", row
            )
            return int(cursor.lastrowid or 0)

    def find(self, owner: str, token_id: str) -> tuple[str, AccessToken] | None:
        """The protocol and the token, if it is this owner's."""
        with closing(sqlite3.connect(self.path)) as db:
            query = "SELECT protocol, token FROM scconnect_demo WHERE owner = ? AND id = ?"
            row = db.execute(query, (owner, token_id)).fetchone()
        return (row[0], AccessToken.from_dict(json.loads(row[1]))) if row else None

    def of(self, owner: str) -> dict[str, str]:
        """The ids of this owner's tokens, by protocol."""
        with closing(sqlite3.connect(self.path)) as db:
            rows = db.execute(
                "SELECT protocol, id FROM scconnect_demo WHERE owner = ?", (owner,)
            ).fetchall()
        return {protocol: str(token_id) for protocol, token_id in rows}

    def delete(self, owner: str, token_id: str) -> None:
        """Forget a token, if it is this owner's."""
        with closing(sqlite3.connect(self.path)) as db, db:
            db.execute("DELETE FROM scconnect_demo WHERE owner = ? AND id = ?", (owner, token_id))


def _private_file(folder: Path) -> Path:
    """A file of mode 0600, made before SQLite writes to it;

    in a new folder where this one is read-only.
    """
    path = folder / FILE_NAME
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    except OSError:
        path = Path(tempfile.mkdtemp(prefix="scconnect-")) / FILE_NAME
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.chmod(path, 0o600)  # it may have been there with another mode
    os.close(descriptor)
    return path
