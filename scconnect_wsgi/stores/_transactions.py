"""Run one statement as a transaction, and again if another transaction was in its way."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import sqlalchemy
from sqlalchemy import CursorResult, Engine, Executable, exc

from scconnect_wsgi.errors import StorageFailed, StoreUnavailable
from scconnect_wsgi.stores._sql_errors import Collided, translated

RETRIES = 4
PAUSE = 0.1  # seconds, at most, between two attempts
# What drivers raise for a parameter that they do not know, or a file that is not there
_MISTAKES = (TypeError, ValueError, LookupError, AttributeError, OSError)
Read = TypeVar("Read")


def run(
    current: Callable[[], Engine], statement: Executable, read: Callable[[CursorResult[Any]], Read]
) -> Read:
    """Run a statement as a transaction of its own, and return what ``read`` makes of its result.

    ``current`` returns the engine. Raises IntegrityError, StorageFailed and StoreUnavailable.
    """
    for _ in range(RETRIES):
        with suppress(Collided):
            return _run_once(current, statement, read)
        time.sleep(random.uniform(PAUSE / 10, PAUSE))  # noqa: S311  # no secret
    return _run_once(current, statement, read)


def _run_once(
    current: Callable[[], Engine], statement: Executable, read: Callable[[CursorResult[Any]], Read]
) -> Read:
    try:
        with connected(current()) as db:
            result = read(db.execute(statement))
            db.commit()
            return result
    except exc.SQLAlchemyError as error:
        raise translated(error) from None


@contextmanager
def connected(engine: Engine) -> Iterator[sqlalchemy.Connection]:
    """Take a connection for the block. Raises StoreUnavailable if the driver cannot make one, and
    StorageFailed for text that the connection's encoding does not have.
    """
    try:
        db = engine.connect()
    except _MISTAKES as error:  # of the driver, which may quote what it was given
        raise StoreUnavailable(
            f"The database's driver cannot connect ({type(error).__name__}): a parameter in the "
            "URL, or of the engine, has a name that it does not know or a wrong value."
        ) from None
    with db, _set_up(db):
        try:
            yield db
        except UnicodeError:
            db.invalidate()  # pg8000 stopped in the middle of a message
            raise StorageFailed(
                "The database cannot store these values: its encoding, or the one in its URL, does "
                "not have all of their characters. Use UTF-8."
            ) from None


@contextmanager
def _set_up(db: sqlalchemy.Connection) -> Iterator[None]:
    """Set what a store needs of its driver, also on a connection that a site's own engine made.

    psycopg prepares nothing (_drivers.py says why), and SQLite's text that is not UTF-8 does not
    fail the whole list: its row was damaged, and is told apart later.
    """
    connection: Any = db.connection.driver_connection
    needed = {"prepare_threshold": None, "text_factory": _decoded}
    before = {name: getattr(connection, name) for name in needed if hasattr(connection, name)}
    for name in before:
        setattr(connection, name, needed[name])
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(connection, name, value)


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")
