"""SQLAlchemy's errors as this package's errors: the originals may show a statement's values."""

from __future__ import annotations

from sqlalchemy import exc

from scconnect_wsgi.errors import StorageFailed, StoreUnavailable

# What a server says that cannot serve a store while another one perhaps can: PostgreSQL's SQLSTATE
# and SQLite's name by their beginning, MySQL's number.
UNFIT = (
    "08",  # the connection is broken, or the pooler in between lost its server
    "25006",  # a standby, or a primary that was made read-only
    "55000",  # not while it recovers
    "57P",  # it shuts down, it starts, or its database was dropped
    "SQLITE_IOERR",
    "SQLITE_READONLY",  # also a file that was replaced
)
UNFIT_NUMBERS = (
    1047,  # a Galera node that is not in its cluster
    1053,  # it shuts down
    1290,  # --read-only
    1792,  # transaction_read_only
    1836,  # innodb_read_only
    1927,  # MariaDB: this connection was killed
    3169,  # MySQL: so was this one
)
# The database's user may not do this: PostgreSQL; MySQL about a database, a table or a column.
DENIED = ("42501", 1044, 1142, 1143)
# Two transactions were in each other's way, and this one was undone.
COLLISIONS = (
    "40001",
    "40P01",
    1020,
    1205,
    1213,
    3101,
    "SQLITE_LOCKED",
    "SQLITE_LOCKED_SHAREDCACHE",
)
REFUSED = "22"  # SQLSTATE: a value that cannot be stored; not every driver calls it a DataError


class Collided(StoreUnavailable):
    """A transaction was undone because of another one, and may be run again."""


def is_unfit(error: BaseException) -> bool:
    """Return whether a server says that it cannot serve a store now."""
    return any(
        code.startswith(UNFIT) if isinstance(code, str) else code in UNFIT_NUMBERS
        for code in _codes(error)
    )


def translated(error: exc.SQLAlchemyError) -> Exception:
    """Return StorageFailed for values that the database refuses, and StoreUnavailable otherwise.

    An IntegrityError stays: only its statement knows what it means.
    """
    if isinstance(error, exc.IntegrityError):
        return error
    original = getattr(error, "orig", None) or error
    codes = _codes(original)
    if isinstance(error, exc.DataError) or any(str(code).startswith(REFUSED) for code in codes):
        return StorageFailed(
            "The database cannot store these values: one is too long, contains a NUL "
            "character, or has characters that the encoding of the database does not have."
        )
    reason = type(original).__name__
    if any(code in DENIED for code in codes):
        return StoreUnavailable(
            f"The database's user may not create or use the tables ({reason}). `scconnect "
            "sql-schema` prints the statements that create them, for somebody who may; then grant "
            "SELECT, INSERT, UPDATE and DELETE on them. The next call tries again."
        )
    kind = Collided if any(code in COLLISIONS for code in codes) else StoreUnavailable
    return kind(
        f"The database of the connections cannot be used now ({reason}). Likely causes: it is not "
        "running, it is restarting or overloaded, the address, the password or a parameter in its "
        "URL is wrong, or its user may not create the tables (`scconnect sql-schema` prints the "
        "statements for somebody who may). The next call tries again."
    )


def _codes(error: BaseException) -> list[object]:
    """Return the codes of a database's error; each driver has them elsewhere."""
    names = ("sqlstate", "pgcode", "errno", "sqlite_errorname")
    codes = [getattr(error, name, None) for name in names]
    if error.args:
        first = error.args[0]  # PyMySQL: the number; pg8000: a dict of all fields
        codes.append(first.get("C") if isinstance(first, dict) else first)
    return [code for code in codes if isinstance(code, (str, int))]
