"""The tables of SQLStore. The first process makes them, while the others wait."""

from __future__ import annotations

from collections.abc import Iterator
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
from sqlalchemy.schema import CreateIndex, CreateTable, DDLElement
from sqlalchemy.types import TypeDecorator

from scconnect_wsgi.errors import StoreUnavailable
from scconnect_wsgi.stores._names import KEY_LENGTH
from scconnect_wsgi.stores._transactions import connected

# MySQL's own TEXT ends at 64 KB; a token is a JWT of unstated length.
LONG_TEXT = Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")
KEY = String(KEY_LENGTH)
# MySQL and MariaDB ignore case by default, and "joe" is not "Joe".
EXACT: Any = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}


class Hidden(str):
    """A string whose repr does not show it: SQLAlchemy logs the repr of rows and parameters."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "***"


class Secret(TypeDecorator[str]):
    """A column whose values are hidden in the log."""

    impl: Any = LONG_TEXT
    cache_ok: bool | None = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Return the value as a string that its repr does not show."""
        return None if value is None else Hidden(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Return the value as a string that its repr does not show.

        SQLite gives back what is no string, too, if somebody wrote it.
        """
        return Hidden(value) if isinstance(value, str) else value


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
claims: Table = Table(
    "scconnect_claims",
    metadata,
    Column("name", KEY, primary_key=True),
    Column("ends_at", BigInteger, nullable=False, index=True),  # milliseconds, as lease_until
    Column("outcome", Secret),  # what _codec.py writes; NULL until the flow has ended
    **EXACT,
)
schema_version: Table = Table(
    "scconnect_schema",
    metadata,
    # The key keeps statements that are run twice by hand from writing a second row.
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    **EXACT,
)
VERSION = 2  # of the tables; a release that changes them raises it, and upgrades them

LOCK_TIMEOUT = 8  # seconds; less than the driver waits for an answer
_POSTGRESQL_LOCK = 7361108  # an arbitrary number, the same in all processes
# Statements that begin and end the making of tables, so that one process does it at a time.
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


def prepare(engine: Engine) -> None:
    """Make the tables, unless their version says that they are there.

    Raises StoreUnavailable if they belong to a newer version of this package, or if another process
    takes too long to make them.
    """
    with connected(engine) as connection:
        if _is_current(connection):
            return
        with _locked(connection):
            if _is_current(connection):
                return
            metadata.create_all(connection)
            if not connection.execute(schema_version.update().values(version=VERSION)).rowcount:
                connection.execute(schema_version.insert().values(version=VERSION))


def script(dialect: Dialect) -> str:
    """Return the statements that make the tables, for the database's own command line."""
    statements: list[DDLElement] = []
    for table in metadata.sorted_tables:
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        statements += [CreateTable(table), *map(CreateIndex, indexes)]
    texts = [str(statement.compile(dialect=dialect)).strip() for statement in statements]
    texts.append(f"INSERT INTO scconnect_schema (version) VALUES ({VERSION})")  # noqa: S608
    if dialect.name in ("sqlite", "postgresql"):  # all of them or none
        texts = ["BEGIN", *texts, "COMMIT"]
    return "".join(f"{text};\n" for text in texts)


@contextmanager
def _locked(connection: Connection) -> Iterator[None]:
    before, after = LOCKS[connection.dialect.name]
    if getattr(connection.connection.driver_connection, "in_transaction", False):
        connection.exec_driver_sql("COMMIT")  # of an SQLite engine that begins each one by itself
    try:
        for statement in before:
            answer = connection.exec_driver_sql(statement)
            if answer.returns_rows and answer.scalar() == 0:  # GET_LOCK gave up waiting
                raise StoreUnavailable(
                    "Another process is making the tables of scconnect-wsgi. Try again later."
                )
        yield
        for statement in after:
            connection.exec_driver_sql(statement)
    except BaseException:
        connection.invalidate()  # a closed connection holds no lock and no transaction
        raise


def _is_current(connection: Connection) -> bool:
    """Return whether the tables are those of this version. Raises StoreUnavailable for newer ones.

    A site may have put them into a schema of their own (``schema_translate_map``).
    """
    schema = connection.schema_for_object(schema_version)
    if not inspect(connection).has_table(schema_version.name, schema=schema):
        return False
    version = int(connection.scalar(schema_version.select()) or 0)
    if version > VERSION:
        raise StoreUnavailable(
            "The tables of scconnect-wsgi were made by a newer version: upgrade scconnect-wsgi on "
            "this host."
        )
    return version == VERSION
