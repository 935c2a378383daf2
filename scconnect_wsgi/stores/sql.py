"""Connections in a database, through SQLAlchemy: the extra ``sql``.

    SQLStore("sqlite:///connections.sqlite3")
    SQLStore("postgresql+psycopg://site:secret@db.example/site")
    SQLStore("mysql+pymysql://site:secret@db.example/site")

Every call is one statement in a transaction of its own, so no call waits for another while it holds
a lock.
"""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Engine,
    QueuePool,
    create_engine,
    event,
    exc,
    literal_column,
    make_url,
    or_,
)
from sqlalchemy.engine import URL, ExceptionContext

from scconnect_wsgi.account import Account
from scconnect_wsgi.errors import (
    ConfigurationError,
    ConnectionChanged,
    NotConnected,
    StorageFailed,
    StoreUnavailable,
)
from scconnect_wsgi.stores import Connection
from scconnect_wsgi.stores.codec import TokenCodec, readable
from scconnect_wsgi.stores.schema import KEY_LENGTH, connections, prepare

if TYPE_CHECKING:
    from scconnect_wsgi.encryption import Encryption

PATIENCE = 10  # seconds to wait for a connection, or for SQLite's one writer
# Milliseconds since the epoch by the database's clock: those of a site's hosts may differ.
CLOCKS = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
    "mysql": "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000)",
}
CLOCKS["mariadb"] = CLOCKS["mysql"]
WAITS: dict[str, dict[str, Any]] = {  # how long each driver may take over it
    "pysqlite": {"timeout": PATIENCE},
    "psycopg": {"connect_timeout": PATIENCE},
    "pymysql": {"connect_timeout": PATIENCE, "read_timeout": PATIENCE, "write_timeout": PATIENCE},
}
# A pooler that gives out a connection for a transaction (PgBouncer) gives the next one to another
# client, where a prepared statement of this name may be another statement: a load would run
# somebody's DELETE.
NEVER_PREPARE: dict[str, dict[str, Any]] = {"psycopg": {"prepare_threshold": None}}
# What a primary that was demoted answers to a write: PostgreSQL's SQLSTATE, and MySQL's numbers.
READ_ONLY = ("25006", 1290, 1792, 1836)
table = connections


class SQLStore:
    """A Store in SQLite, PostgreSQL, MariaDB or MySQL. ``url`` is SQLAlchemy's, as text or as an
    object.

    With ``encryption``, an Encryption, tokens are encrypted, each bound to its connection and user.
    Nothing is asked before the first call, which also makes or upgrades the tables
    (``scconnect_...``). One store serves any number of threads, and processes that are forked from
    this one; only ``sqlite://``, which keeps all in memory, belongs to its process. Raises
    ConfigurationError for a URL that cannot work.
    """

    def __init__(self, url: str | URL, *, encryption: Encryption | None = None) -> None:
        self._url = _checked(url)
        self._codec = TokenCodec(encryption)
        self._now: ColumnElement[int] = literal_column(CLOCKS[self._url.get_backend_name()])
        self._engines: dict[
            int, Engine
        ] = {}  # by process; those of parents stay here, lest their sockets be closed
        _engine(self._url).dispose()  # a driver that is missing is noticed now
        weakref.finalize(
            self, _close, self._engines
        )  # a store that is dropped leaves no connection open

    def save(self, connection: Connection) -> Connection:
        """Write a connection over the version it was loaded with. Raises ConnectionChanged."""
        stored = replace(connection, version=connection.version + 1)
        values = self._values(stored)
        if connection.version == 0:
            self._insert(values)
        elif not self._changed(
            table.update().where(_is(connection.id), table.c.version == connection.version), values
        ):
            raise ConnectionChanged(
                "The connection was changed or deleted since it was loaded. Load it again."
            )
        return stored

    def _insert(self, values: dict[str, Any]) -> None:
        try:
            with self._reached() as engine, engine.connect() as db:
                db.execute(table.insert().values(values))
        except exc.IntegrityError:
            raise ConnectionChanged(
                "There is a connection of this id already. Load it first."
            ) from None

    def load(self, id: str) -> Connection:
        """The connection of that id. Raises NotConnected."""
        rows = self._found(_is(id))
        if not rows:
            raise NotConnected(
                "There is no such connection. Likely causes: it was disconnected, or never made."
            )
        return self._connection(rows[0])

    def delete(self, id: str) -> None:
        """Forget a connection, if it is there."""
        self._changed(table.delete().where(_is(id)))

    def of_user(self, user: str) -> list[Connection]:
        """Every connection of a user of the site."""
        return readable(self._connection, self._found(table.c.user_id == user))

    def of_account(self, urn: str) -> list[Connection]:
        """Every connection with an account of the provider."""
        return readable(self._connection, self._found(table.c.account_urn == urn))

    def lease(self, id: str, owner: str, seconds: float) -> bool:
        """Give ``owner`` the exclusive section of a connection, unless somebody holds it."""
        free = or_(table.c.lease_owner.is_(None), table.c.lease_until <= self._now)
        until = self._now + literal_column(str(int(seconds * 1000)))
        return self._changed(
            table.update().where(_is(id), free), {"lease_owner": owner, "lease_until": until}
        )

    def release(self, id: str, owner: str) -> None:
        """End the exclusive section, if it is still this owner's."""
        self._changed(
            table.update().where(_is(id), table.c.lease_owner == owner), {"lease_owner": None}
        )

    def close(self) -> None:
        """Close this process's connections to the database;

        the next call opens others. ``sqlite://`` forgets all.
        """
        _close(self._engines)

    def _found(self, condition: ColumnElement[bool]) -> Sequence[Any]:
        with self._reached() as engine, engine.connect() as db:
            return db.execute(table.select().where(condition).order_by(table.c.id)).mappings().all()

    def _changed(self, statement: Any, values: dict[str, Any] | None = None) -> bool:
        """Whether a statement, with new values for an update, found the row it is about."""
        with self._reached() as engine, engine.connect() as db:
            return bool(db.execute(statement.values(values) if values else statement).rowcount)

    def _values(self, connection: Connection) -> dict[str, Any]:
        fields = {name: getattr(connection, name) for name in connection.__dataclass_fields__}
        account, user = fields["account"], fields.pop("user")
        if any(
            len(key) > KEY_LENGTH for key in (user, account.urn, connection.api_url)
        ):  # MySQL may cut them off
            raise StorageFailed(
                f"The name of a user, an account's key and an API's address have {KEY_LENGTH} characters at most."
            )
        written = {"token": self._codec.write(connection), "account": json.dumps(asdict(account))}
        return {**fields, **written, "user_id": user, "account_urn": account.urn}

    def _connection(self, row: Any) -> Connection:
        fields = {name: row[name] for name in Connection.__dataclass_fields__ if name != "user"}
        fields |= {"user": row["user_id"], "account": Account(**json.loads(row["account"]))}
        fields["token"] = self._codec.read(row["token"], row["id"], row["user_id"], row["api_url"])
        return Connection(**fields)

    @contextmanager
    def _reached(self) -> Iterator[Engine]:
        """The engine of this process.

        SQLAlchemy's errors become ours: theirs may show a statement's values.
        """
        try:
            yield self._engine()
        except exc.IntegrityError:
            raise
        except exc.DataError:
            raise StorageFailed(
                "The database cannot keep these values: one is too long, or holds a NUL."
            ) from None
        except (exc.DBAPIError, exc.TimeoutError) as error:
            reason = type(getattr(error, "orig", None) or error).__name__
            raise StoreUnavailable(
                f"The database of the connections cannot be used now ({reason}). Likely causes: it is not running, it "
                "is being restarted or is overloaded, the address or the password in its URL is wrong, or its user "
                "may not create tables. The next call tries again."
            ) from None

    def _engine(self) -> Engine:
        engine = self._engines.get(os.getpid())
        if engine is None:
            made = _engine(self._url)
            prepare(made)
            engine = self._engines.setdefault(
                os.getpid(), made
            )  # no lock: a fork could copy it locked
            if engine is not made:  # another thread was first
                made.dispose()
        return engine


def _is(id: str) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = table.c.id == id
    return condition


def _checked(url: str | URL) -> URL:
    try:
        checked = make_url(url)
    except exc.ArgumentError:  # it shows the URL, which may hold a password
        raise ConfigurationError(
            "url", "must be a database URL, such as sqlite:///connections.sqlite3."
        ) from None
    if checked.get_backend_name() not in CLOCKS:
        raise ConfigurationError("url", f"must name one of the databases {', '.join(CLOCKS)}.")
    if "prepare_threshold" in checked.query:
        raise ConfigurationError(
            "url",
            "must not set prepare_threshold: SQLStore never prepares statements, since behind "
            "a pooler in transaction mode one client could run those of another.",
        )
    return checked


def _engine(url: URL) -> Engine:
    options: dict[str, Any] = {
        "poolclass": QueuePool,
        "pool_timeout": PATIENCE,
        "pool_pre_ping": True,
    }
    waits = {
        name: value
        for name, value in WAITS.get(url.get_driver_name(), {}).items()
        if name not in url.query
    }
    sqlite = url.get_backend_name() == "sqlite"
    memory = sqlite and url.database in (None, "", ":memory:")
    if memory:  # it ends with its connection: there is one, which the threads take in turn
        options |= {"pool_size": 1, "max_overflow": 0}
        waits |= {"check_same_thread": False}
    given = {**waits, **NEVER_PREPARE.get(url.get_driver_name(), {})}
    try:
        engine = create_engine(
            url, isolation_level="AUTOCOMMIT", hide_parameters=True, connect_args=given, **options
        )
    except (ImportError, exc.NoSuchModuleError):
        raise ConfigurationError(
            "url", f"needs the driver {url.drivername}, which is not installed."
        ) from None
    event.listen(engine, "handle_error", _leave_read_only)
    if sqlite and not memory:
        event.listen(engine, "do_connect", lambda *_: _make_private(str(url.database)))
        event.listen(engine, "connect", _write_ahead)
    return engine


def _leave_read_only(context: ExceptionContext) -> None:
    """Drop every connection to a server that takes no writes:

    the next call connects to whichever is primary now.
    """
    error = context.original_exception
    said = error.args[0] if error.args else None
    state = said.get("C") if isinstance(said, dict) else said  # pg8000 has all its fields there
    if any(
        code in READ_ONLY
        for code in (state, getattr(error, "sqlstate", None), getattr(error, "pgcode", None))
    ):
        context.is_disconnect = True


def _make_private(path: str) -> None:
    """A new file is its owner's alone:

    it holds tokens. SQLite gives its helper files the same mode.
    """
    with suppress(OSError):  # it is there; or SQLite will say what is wrong
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _write_ahead(db: Any, _record: Any) -> None:
    """Readers and the one writer do not wait for each other.

    The file remembers it, so one success is enough.
    """
    with suppress(db.OperationalError):  # another process is just doing it
        db.execute("PRAGMA journal_mode=WAL")


def _close(engines: dict[int, Engine]) -> None:
    engine = engines.pop(os.getpid(), None)
    if engine is not None:
        engine.dispose()
