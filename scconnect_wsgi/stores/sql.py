"""Connections in a database, through SQLAlchemy: the extra ``sql``.

    SQLStore("sqlite:///connections.sqlite3")
    SQLStore("postgresql+psycopg://site:secret@db.example/site")
    SQLStore("mysql+pymysql://site:secret@db.example/site")

Every call is one statement in a transaction of its own, so no call waits for another while it holds
a lock.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import ColumnElement, exc, literal_column, or_
from sqlalchemy.engine import URL

from scconnect_wsgi.account import Account
from scconnect_wsgi.errors import ConnectionChanged, StorageFailed
from scconnect_wsgi.stores._codec import TokenCodec, read_all
from scconnect_wsgi.stores._connection import Connection
from scconnect_wsgi.stores._engine import ProcessEngines, parse_url
from scconnect_wsgi.stores._schema import KEY_LENGTH
from scconnect_wsgi.stores._schema import connections as table
from scconnect_wsgi.stores._sql_errors import translated_errors
from scconnect_wsgi.stores._store import no_such_connection

if TYPE_CHECKING:
    from scconnect_wsgi.encryption import Encryption

_MYSQL_NOW = "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000)"
# Milliseconds since the epoch by the database's clock: the clocks of a site's hosts may differ.
NOW = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
    "mysql": _MYSQL_NOW,
    "mariadb": _MYSQL_NOW,
}


class SQLStore:
    """A Store in SQLite, PostgreSQL, MariaDB or MySQL.

    ``url`` is SQLAlchemy's, as text or as an object. With ``encryption``, an Encryption, tokens are
    encrypted, each bound to its connection and user. The database is not used before the first
    call, which also makes or upgrades the tables (``scconnect_...``). One store serves any number
    of threads, and processes forked from this one; only ``sqlite://``, which keeps everything in
    memory, belongs to its process. Raises ConfigurationError for a URL that cannot work.
    """

    def __init__(self, url: str | URL, *, encryption: Encryption | None = None) -> None:
        parsed = parse_url(url)
        self._engines = ProcessEngines(parsed)
        self._codec = TokenCodec(encryption)
        self._now: ColumnElement[int] = literal_column(NOW[parsed.get_backend_name()])

    def save(self, connection: Connection) -> Connection:
        """Write a connection over the version it was loaded with. Raises ConnectionChanged."""
        stored = replace(connection, version=connection.version + 1)
        values = self._to_row(stored)
        if connection.version == 0:
            self._insert(values)
        else:
            self._update(connection, values)
        return stored

    def load(self, id: str) -> Connection:
        """Return the connection with this id. Raises NotConnected."""
        rows = self._select(_has_id(id))
        if not rows:
            raise no_such_connection()
        return self._from_row(rows[0])

    def delete(self, id: str) -> None:
        """Delete a connection; a missing one is ignored."""
        self._change(table.delete().where(_has_id(id)))

    def of_user(self, user: str) -> list[Connection]:
        """Return all connections of a user of the site."""
        return read_all(self._from_row, self._select(table.c.user_id == user))

    def of_account(self, urn: str) -> list[Connection]:
        """Return all connections with an account of the provider."""
        return read_all(self._from_row, self._select(table.c.account_urn == urn))

    def lease(self, id: str, owner: str, seconds: float) -> bool:
        """Give ``owner`` the exclusive section of a connection, and return whether it was free."""
        is_free = or_(table.c.lease_owner.is_(None), table.c.lease_until <= self._now)
        until = self._now + literal_column(str(int(seconds * 1000)))
        statement = table.update().where(_has_id(id), is_free)
        return self._change(statement.values(lease_owner=owner, lease_until=until))

    def release(self, id: str, owner: str) -> None:
        """End the exclusive section if this owner still holds it."""
        statement = table.update().where(_has_id(id), table.c.lease_owner == owner)
        self._change(statement.values(lease_owner=None))

    def close(self) -> None:
        """Close this process's connections to the database; the next call opens new ones.

        ``sqlite://`` loses all that it kept.
        """
        self._engines.close()

    def _insert(self, values: dict[str, Any]) -> None:
        try:
            with self._connected() as db:
                db.execute(table.insert().values(values))
        except exc.IntegrityError:
            raise ConnectionChanged(
                "There is already a connection with this id. Load it first."
            ) from None

    def _update(self, loaded: Connection, values: dict[str, Any]) -> None:
        statement = table.update().where(_has_id(loaded.id), table.c.version == loaded.version)
        if not self._change(statement.values(values)):
            raise ConnectionChanged(
                "The connection was changed or deleted since it was loaded. Load it again."
            )

    def _select(self, condition: ColumnElement[bool]) -> Sequence[Any]:
        statement = table.select().where(condition).order_by(table.c.id)
        with self._connected() as db:
            return db.execute(statement).mappings().all()

    def _change(self, statement: Any) -> bool:
        """Return whether an update or a delete found its row."""
        with self._connected() as db:
            return bool(db.execute(statement).rowcount)

    @contextmanager
    def _connected(self) -> Iterator[sqlalchemy.Connection]:
        with translated_errors(), self._engines.current().connect() as db:
            yield db

    def _to_row(self, connection: Connection) -> dict[str, Any]:
        account = connection.account
        keys = (connection.user, account.urn, connection.api_url)
        if any(len(key) > KEY_LENGTH for key in keys):  # MySQL may cut them off
            raise StorageFailed(
                "A user's name, an account's urn and an API's address may have at most "
                f"{KEY_LENGTH} characters."
            )
        return {
            "id": connection.id,
            "user_id": connection.user,
            "api_url": connection.api_url,
            "token": self._codec.encode(connection),
            "obtained_at": connection.obtained_at,
            "account_urn": account.urn,
            "account": json.dumps(asdict(account)),
            "callback_url": connection.callback_url,
            "refreshing_since": connection.refreshing_since,
            "ended": connection.ended,
            "version": connection.version,
        }

    def _from_row(self, row: Any) -> Connection:
        token = self._codec.decode(row["token"], row["id"], row["user_id"], row["api_url"])
        return Connection(
            id=row["id"],
            user=row["user_id"],
            api_url=row["api_url"],
            token=token,
            obtained_at=row["obtained_at"],
            account=Account(**json.loads(row["account"])),
            callback_url=row["callback_url"],
            refreshing_since=row["refreshing_since"],
            ended=row["ended"],
            version=row["version"],
        )


def _has_id(id: str) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = table.c.id == id
    return condition
