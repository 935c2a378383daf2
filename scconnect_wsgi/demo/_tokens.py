"""Keep the demo's tokens in an SQLite file that only its owner may read."""

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
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused: an old id must not find a newer token
    owner TEXT NOT NULL,
    protocol TEXT NOT NULL,
    token TEXT NOT NULL,
    UNIQUE (owner, protocol)
)
"""


class Tokens:
    """One token for each browser and protocol.

    Any thread may use it, because every call opens the file anew. Raises OSError if an existing
    file cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.path: Path = _private_file(folder)
        try:
            with closing(sqlite3.connect(self.path)) as db, db:
                db.execute(TABLE)
                # The sandbox of an earlier run has stopped, and its tokens with it.
                db.execute("DELETE FROM scconnect_demo")
        except sqlite3.DatabaseError:
            raise OSError(
                errno.EINVAL, f"{self.path} is not a database, or is in use; move it away"
            ) from None

    def save(self, owner: str, protocol: str, token: AccessToken) -> int:
        """Keep a token, replacing the previous one, and return its id."""
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
        """Return the protocol and the token, or None if this owner has no such token."""
        with closing(sqlite3.connect(self.path)) as db:
            query = "SELECT protocol, token FROM scconnect_demo WHERE owner = ? AND id = ?"
            row = db.execute(query, (owner, token_id)).fetchone()
        if row is None:
            return None
        protocol, text = row
        return protocol, AccessToken.from_dict(json.loads(text))

    def of(self, owner: str) -> dict[str, str]:
        """Return the ids of this owner's tokens, by protocol."""
        with closing(sqlite3.connect(self.path)) as db:
            rows = db.execute(
                "SELECT protocol, id FROM scconnect_demo WHERE owner = ?", (owner,)
            ).fetchall()
        return {protocol: str(token_id) for protocol, token_id in rows}

    def delete(self, owner: str, token_id: str) -> None:
        """Delete a token if it is this owner's."""
        with closing(sqlite3.connect(self.path)) as db, db:
            db.execute("DELETE FROM scconnect_demo WHERE owner = ? AND id = ?", (owner, token_id))


def _private_file(folder: Path) -> Path:
    """Return the path of a file that only its owner may read, made before SQLite writes to it.

    It is in a new folder if the file in this one cannot be opened.
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
