"""The tables of SQLStore:

made and upgraded by whichever process comes first, while the others wait.
"""

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
KEY_LENGTH = 255  # characters; what every database can make an index of
KEY = String(KEY_LENGTH)
# MySQL and MariaDB compare text without case by default, and "joe" is not "Joe".
_EXACT = {"charset": "utf8mb4", "collate": "utf8mb4_bin"}
EXACT: Any = {
    f"{name}_{option}": value for name in ("mysql", "mariadb") for option, value in _EXACT.items()
}


class Hidden(str):
    """A text that its repr does not show: SQLAlchemy logs the repr of rows at DEBUG."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "***"


class Secret(TypeDecorator[str]):
    """A text that is hidden in rows."""

    impl: Any = LONG_TEXT
    cache_ok: bool | None = True

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        """The text, hidden."""
        return None if value is None else Hidden(value)


metadata: MetaData = MetaData()
connections: Table = Table(
    "scconnect_connections",
    metadata,
    Column("id", KEY, primary_key=True),
    Column("user_id", KEY, nullable=False, index=True),
    Column("api_url", KEY, nullable=False),
    Column("token", Secret, nullable=False),  # what codec.py writes
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
schema: Table = Table(
    "scconnect_schema", metadata, Column("version", BigInteger, nullable=False), **EXACT
)

Step = Callable[[Connection], object]
# What leads from each version to the next. A step never changes once it is released: a change of
# the tables is another step, and the first one keeps a copy of the tables of its day. Each may be
# run again, since where DDL is not transactional (MySQL) a process that is killed leaves half of
# one behind.
STEPS: Sequence[Step] = (metadata.create_all,)

LOCK_WAIT = 8  # seconds, fewer than the driver waits for an answer
LOCKS = {  # what to say before and after, so that one process upgrades at a time
    "sqlite": (["BEGIN IMMEDIATE"], ["COMMIT"]),
    "postgresql": (
        ["BEGIN", "SELECT pg_advisory_xact_lock(7361108)"],
        ["COMMIT"],
    ),  # a number of our own
    "mysql": (
        [f"SELECT GET_LOCK('scconnect_schema', {LOCK_WAIT})"],
        ["SELECT RELEASE_LOCK('scconnect_schema')"],
    ),
}
LOCKS["mariadb"] = LOCKS["mysql"]


def prepare(engine: Engine, steps: Sequence[Step] = STEPS) -> None:
    """Make the tables, or bring them up to date. Asks one question where there is nothing to do.

    Raises StoreUnavailable where they belong to a newer version of this package.
    """
    with engine.connect() as connection:
        if _version(connection) == len(steps):
            return
        with _alone(connection):
            version = _version(connection)
            if version > len(steps):
                raise StoreUnavailable(
                    "The tables of scconnect-wsgi were made by a newer version of it: upgrade it here."
                )
            for number, step in enumerate(steps[version:], version + 1):
                step(connection)
                _write(connection, number)


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    before, after = LOCKS[connection.dialect.name]
    try:
        for statement in before:
            answer = connection.exec_driver_sql(statement)
            if answer.returns_rows and answer.scalar() == 0:  # of GET_LOCK, which waits no longer
                raise StoreUnavailable(
                    "Another process upgrades the tables of scconnect-wsgi. Try again later."
                )
        yield
        for statement in after:
            connection.exec_driver_sql(statement)
    except BaseException:
        connection.invalidate()  # a closed connection holds no lock and no transaction
        raise


def _version(connection: Connection) -> int:
    if not inspect(connection).has_table(schema.name):
        return 0
    return int(connection.scalar(schema.select()) or 0)


def _write(connection: Connection, version: int) -> None:
    if not connection.execute(schema.update().values(version=version)).rowcount:
        connection.execute(schema.insert().values(version=version))
