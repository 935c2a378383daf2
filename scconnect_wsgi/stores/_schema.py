"""The tables of SQLStore. The first process makes or upgrades them, while the others wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Dialect,
    Engine,
    MetaData,
    String,
    Table,
    Text,
    inspect,
)
from sqlalchemy.dialects.mysql import MEDIUMTEXT
from sqlalchemy.types import TypeDecorator

from scconnect_wsgi.errors import StoreUnavailable

# MySQL's own TEXT ends at 64 KB; a token is a JWT of unstated length.
LONG_TEXT = Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")
KEY_LENGTH = 255  # characters; every database can index that much
KEY = String(KEY_LENGTH)
# MySQL and MariaDB ignore case by default, and "joe" is not "Joe".
EXACT: Any = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}


class Hidden(str):
    """A string whose repr does not show it: SQLAlchemy logs the repr of rows at DEBUG."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "***"


class Secret(TypeDecorator[str]):
    """A column whose values are hidden in the log."""

    impl: Any = LONG_TEXT
    cache_ok: bool | None = True

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        """Return the value as a string that its repr does not show."""
        return None if value is None else Hidden(value)


metadata: MetaData = MetaData()
connections: Table = Table(
    "scconnect_connections",
    metadata,
    Column("id", KEY, primary_key=True),
    Column("user_id", KEY, nullable=False, index=True),
    Column("api_url", KEY, nullable=False),
    Column("token", Secret, nullable=False),  # what _codec.py writes
    Column("obtained_at", BigInteger, nullable=False),
    Column("account_urn", KEY, nullable=False, index=True),
    Column("account", LONG_TEXT, nullable=False),  # JSON
    Column("callback_url", LONG_TEXT, nullable=False),
    Column("refreshing_since", BigInteger),
    Column("ended", KEY, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("lease_owner", KEY),
    Column("lease_until", BigInteger),  # milliseconds of the database's clock
    **EXACT,
)
schema_version: Table = Table(
    "scconnect_schema", metadata, Column("version", BigInteger, nullable=False), **EXACT
)

Step = Callable[[Connection], object]
# Each step leads from one version of the tables to the next. A step never changes once it is
# released: a change of the tables is a new step, and this first one then gets a copy of the tables
# as they are today. A step must be repeatable, since a process that is killed can leave half of one
# behind where DDL is not transactional (MySQL).
STEPS: Sequence[Step] = (metadata.create_all,)

LOCK_TIMEOUT = 8  # seconds; less than the driver waits for an answer
_POSTGRESQL_LOCK = 7361108  # an arbitrary number, the same in all processes
# Statements that begin and end an upgrade, so that one process upgrades at a time.
_MYSQL_LOCK = (
    [f"SELECT GET_LOCK('scconnect_schema', {LOCK_TIMEOUT})"],
    ["SELECT RELEASE_LOCK('scconnect_schema')"],
)
LOCKS = {
    "sqlite": (["BEGIN IMMEDIATE"], ["COMMIT"]),
    "postgresql": (["BEGIN", f"SELECT pg_advisory_xact_lock({_POSTGRESQL_LOCK})"], ["COMMIT"]),
    "mysql": _MYSQL_LOCK,
    "mariadb": _MYSQL_LOCK,
}


def prepare(engine: Engine, steps: Sequence[Step] = STEPS) -> None:
    """Make the tables, or upgrade them; a single query if there is nothing to do.

    Raises StoreUnavailable if they belong to a newer version of this package, or if another process
    takes too long to upgrade them.
    """
    with engine.connect() as connection:
        if _read_version(connection) == len(steps):
            return
        with _locked(connection):
            version = _read_version(connection)
            if version > len(steps):
                raise StoreUnavailable(
                    "The tables of scconnect-wsgi were made by a newer version: upgrade "
                    "scconnect-wsgi on this host."
                )
            for number, step in enumerate(steps[version:], version + 1):
                step(connection)
                _write_version(connection, number)


@contextmanager
def _locked(connection: Connection) -> Iterator[None]:
    before, after = LOCKS[connection.dialect.name]
    try:
        for statement in before:
            answer = connection.exec_driver_sql(statement)
            if answer.returns_rows and answer.scalar() == 0:  # GET_LOCK gave up waiting
                raise StoreUnavailable(
                    "Another process is upgrading the tables of scconnect-wsgi. Try again later."
                )
        yield
        for statement in after:
            connection.exec_driver_sql(statement)
    except BaseException:
        connection.invalidate()  # a closed connection holds no lock and no transaction
        raise


def _read_version(connection: Connection) -> int:
    if not inspect(connection).has_table(schema_version.name):
        return 0
    return int(connection.scalar(schema_version.select()) or 0)


def _write_version(connection: Connection, version: int) -> None:
    if not connection.execute(schema_version.update().values(version=version)).rowcount:
        connection.execute(schema_version.insert().values(version=version))
