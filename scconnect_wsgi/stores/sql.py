"""Connections in a database, through SQLAlchemy: the extra ``sql``.

    SQLStore("sqlite:///connections.sqlite3")
    SQLStore("postgresql+psycopg://site:secret@db.example/site")
    SQLStore("mysql+pymysql://site:secret@db.example/site")
    SQLStore(engine=engine)  # which the site has made with sqlalchemy.create_engine

Every statement is a transaction of its own, and every call except ``claim`` is one statement. So no
call waits for another while it holds a lock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from scconnect_wsgi.stores._extras import missing_extra

try:
    from sqlalchemy import (
        ColumnElement,
        CursorResult,
        Engine,
        Executable,
        exc,
        literal_column,
        or_,
        select,
    )
    from sqlalchemy.engine import URL
except ModuleNotFoundError as _missing:
    raise missing_extra(_missing, "sqlalchemy", "sql") from None

from scconnect_wsgi.errors import ConfigurationError, ConnectionChanged, StorageFailed
from scconnect_wsgi.redaction import hides_all_locals
from scconnect_wsgi.stores._codec import OutcomeCodec, TokenCodec
from scconnect_wsgi.stores._connection import Connection
from scconnect_wsgi.stores._drivers import parse_url
from scconnect_wsgi.stores._engine import Engines, GivenEngine, OwnEngines
from scconnect_wsgi.stores._names import KEY_LENGTH, is_storable, storable
from scconnect_wsgi.stores._records import (
    STORED_FIELDS,
    read_all,
    read_connection,
    write_connection,
)
from scconnect_wsgi.stores._schema import claims, script
from scconnect_wsgi.stores._schema import connections as table
from scconnect_wsgi.stores._store import no_such_connection
from scconnect_wsgi.stores._transactions import run

if TYPE_CHECKING:
    from scconnect_wsgi.encryption import Encryption

Read = TypeVar("Read")
_COLUMNS = {"user": "user_id"}  # a field whose column has another name: USER is a word of SQL
CLEARED = 100  # ended claims that one new claim deletes at most; far more than end meanwhile
_MYSQL_NOW = "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000)"
# Milliseconds since the epoch by the database's clock: the clocks of a site's hosts may differ.
NOW = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
    "mysql": _MYSQL_NOW,
    "mariadb": _MYSQL_NOW,
}


@hides_all_locals
class SQLStore:
    """A Store in SQLite, PostgreSQL, MariaDB or MySQL.

    ``url`` is SQLAlchemy's, as text or as an object. With ``encryption``, an Encryption, tokens are
    encrypted, each bound to its connection and user. The database is not used before the first
    call, which also makes the tables (``scconnect_...``); ``sql_schema`` returns the statements for
    a site whose user may not. One store serves any number of threads, and processes forked from
    this one; only ``sqlite://``, which keeps everything in memory, belongs to its process.

    ``engine`` is used in place of a URL: a SQLAlchemy Engine, which stays the site's. Its pool and
    its options apply, the store never closes it, and after a fork it needs what SQLAlchemy's
    documentation says (``engine.dispose(close=False)``). Give it ``pool_pre_ping=True``, and
    ``hide_parameters=True`` if it logs. Raises ConfigurationError for a URL or an engine that
    cannot work.
    """

    def __init__(
        self,
        url: str | URL | None = None,
        *,
        engine: Engine | None = None,
        encryption: Encryption | None = None,
    ) -> None:
        self._codec = TokenCodec(encryption)
        self._outcome_codec = OutcomeCodec(encryption)
        self.encryption: Encryption | None = encryption  # Connections checks its keys
        self._engines: Engines
        if engine is None:
            parsed = parse_url(url)
            self._engines = OwnEngines(parsed)
            database = parsed.get_backend_name()
        elif url is None:
            self._engines = GivenEngine(engine)
            database = engine.dialect.name
        else:
            raise ConfigurationError("engine", "cannot be given together with a url.")
        self._now: ColumnElement[int] = literal_column(NOW[database])

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
        """Return the connection with this id. Raises NotConnected and Undecipherable."""
        rows = self._select(_has_id(id)) if is_storable(id) else []
        if not rows:
            raise no_such_connection()
        return self._from_row(rows[0])

    def delete(self, id: str) -> None:
        """Delete a connection; a missing one is ignored."""
        self._change(table.delete().where(_has_id(id)))

    def of_user(self, user: str) -> list[Connection]:
        """Return all connections of a user of the site."""
        found = read_all(self._from_row, self._select(table.c.user_id == storable(user)))
        return [each for each in found if each.user == user]  # MySQL ignores spaces at the end

    def of_account(self, urn: str) -> list[Connection]:
        """Return all connections with an account of the provider."""
        found = read_all(self._from_row, self._select(table.c.account_urn == storable(urn)))
        return [each for each in found if each.account.urn == urn]

    def all(self, after: str, limit: int) -> list[Connection]:
        """Return the next connections after an id, of all users, or the first ones."""
        while True:
            rows = self._select(table.c.id > storable(after), limit)
            found = read_all(self._from_row, rows)
            if found or not rows:
                return found
            after = rows[-1]["id"]

    def lease(self, id: str, owner: str, seconds: float) -> bool:
        """Give ``owner`` the exclusive section of a connection, and return whether it was free."""
        is_free = or_(table.c.lease_owner.is_(None), table.c.lease_until <= self._now)
        until = self._after(seconds)
        statement = table.update().where(_has_id(id), is_free)
        return self._change(statement.values(lease_owner=owner, lease_until=until))

    def release(self, id: str, owner: str) -> None:
        """End the exclusive section if this owner still holds it."""
        statement = table.update().where(_has_id(id), table.c.lease_owner == owner)
        self._change(statement.values(lease_owner=None))

    def claim(self, name: str, seconds: float) -> bool:
        """Claim a name for so many seconds, and return whether it was free."""
        is_mine = self._claim(name, seconds)
        if is_mine:
            with suppress(StorageFailed):  # the next claim deletes what is left
                self._delete_ended_claims()
        return is_mine

    def settle(self, name: str, outcome: str) -> None:
        """Keep an outcome with a claim for as long as the claim lasts."""
        text = self._outcome_codec.encode(name, outcome)
        self._change(claims.update().where(_has_name(name)).values(outcome=text))

    def outcome(self, name: str) -> str | None:
        """Return the outcome that is kept with a claim, or None."""
        lasts = (_has_name(name), claims.c.ends_at > self._now)
        text = self._run(select(claims.c.outcome).where(*lasts), lambda result: result.scalar())
        return None if text is None else self._outcome_codec.decode(name, str(text))

    def close(self) -> None:
        """Close this process's connections to the database; the next call opens new ones.

        ``sqlite://`` loses all that it kept.
        """
        self._engines.close()

    def _after(self, seconds: float) -> ColumnElement[int]:
        """Return the time in so many seconds, by the database's clock."""
        return self._now + literal_column(str(int(seconds * 1000)))

    def _claim(self, name: str, seconds: float) -> bool:
        ends_at = self._after(seconds)
        has_ended = (_has_name(name), claims.c.ends_at <= self._now)
        renewal = claims.update().where(*has_ended).values(ends_at=ends_at, outcome=None)
        if self._change(renewal):
            return True
        try:
            return self._change(claims.insert().values(name=name, ends_at=ends_at))
        except exc.IntegrityError:
            return False

    def _delete_ended_claims(self) -> None:
        """Delete claims that have ended, by their names.

        MySQL locks the gaps of a range that it deletes, and two processes that insert into them
        could be in each other's way (a deadlock, which fails one of them).
        """
        ended = select(claims.c.name).where(claims.c.ends_at <= self._now)
        ended = ended.order_by(claims.c.name).limit(CLEARED)
        names = self._run(ended, lambda result: result.scalars().all())
        if names:
            named = (claims.c.name.in_(names), claims.c.ends_at <= self._now)
            self._change(claims.delete().where(*named))

    def _insert(self, values: dict[str, Any]) -> None:
        try:
            self._change(table.insert().values(values))
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

    def _select(self, condition: ColumnElement[bool], limit: int | None = None) -> Sequence[Any]:
        statement = table.select().where(condition).order_by(table.c.id).limit(limit)
        return self._run(statement, lambda result: result.mappings().all())

    def _change(self, statement: Any) -> bool:
        """Return whether a statement changed a row."""
        return self._run(statement, lambda result: bool(result.rowcount))

    def _run(self, statement: Executable, read: Callable[[CursorResult[Any]], Read]) -> Read:
        return run(self._engines.current, statement, read)

    def _to_row(self, connection: Connection) -> dict[str, Any]:
        fields = write_connection(connection, self._codec)
        account = connection.account
        keys = (connection.user, account.urn, connection.api_url)
        if any(len(key) > KEY_LENGTH for key in keys):  # MySQL may cut them off
            raise StorageFailed(
                "A user's name, an account's urn and an API's address may have at most "
                f"{KEY_LENGTH} characters."
            )
        return {
            **{_COLUMNS.get(name, name): value for name, value in fields.items()},
            "account": json.dumps(fields["account"]),
            "account_urn": account.urn,
        }

    def _from_row(self, row: Any) -> Connection:
        def fields() -> dict[str, Any]:
            return {name: row[_COLUMNS.get(name, name)] for name in STORED_FIELDS}

        return read_connection(fields, self._codec)


def sql_schema(url: str | URL) -> str:
    """Return the statements that make the tables of a SQLStore, for a database's command line.

    They are for sites whose user may not create tables: somebody who may runs them once, and the
    site's user needs SELECT, INSERT, UPDATE and DELETE. Of the URL only the kind of database
    matters, and nothing is connected. Raises ConfigurationError.
    """
    return script(parse_url(url).get_dialect()())


def _has_id(id: str) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = table.c.id == storable(id)
    return condition


def _has_name(name: str) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = claims.c.name == storable(name)
    return condition
