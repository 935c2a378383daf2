"""SQLAlchemy engines for SQLStore: the databases it knows, and what each driver has to be told."""

from __future__ import annotations

import os
import weakref
from typing import Any

from sqlalchemy import Engine, QueuePool, create_engine, event, exc, make_url
from sqlalchemy.engine import URL, ExceptionContext

from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.stores._schema import prepare
from scconnect_wsgi.stores._sqlite_file import prepare_file

DATABASES = ("sqlite", "postgresql", "mysql", "mariadb")
TIMEOUT = 10  # seconds to wait for a connection, or for SQLite's one writer
TIMEOUTS: dict[str, dict[str, Any]] = {  # what each driver calls it
    "pysqlite": {"timeout": TIMEOUT},
    "psycopg": {"connect_timeout": TIMEOUT},
    "pymysql": {"connect_timeout": TIMEOUT, "read_timeout": TIMEOUT, "write_timeout": TIMEOUT},
}
# A pooler in transaction mode (PgBouncer) gives one connection to many clients in turn, and their
# drivers give different statements the same name: a client's load could run another one's DELETE.
NEVER_PREPARE: dict[str, dict[str, Any]] = {"psycopg": {"prepare_threshold": None}}
# What a primary that was demoted answers to a write: PostgreSQL's SQLSTATE, and MySQL's numbers.
READ_ONLY = ("25006", 1290, 1792, 1836)


def parse_url(url: str | URL) -> URL:
    """Return a database's URL as an object. Raises ConfigurationError for one that cannot work."""
    try:
        parsed = make_url(url)
    except exc.ArgumentError:  # it quotes the URL, which may hold a password
        raise ConfigurationError(
            "url", "must be a database URL, such as sqlite:///connections.sqlite3."
        ) from None
    if parsed.get_backend_name() not in DATABASES:
        raise ConfigurationError("url", f"must name one of the databases {', '.join(DATABASES)}.")
    if "prepare_threshold" in parsed.query:
        raise ConfigurationError(
            "url",
            "must not set prepare_threshold: SQLStore never prepares statements, since behind "
            "a pooler in transaction mode one client could run those of another.",
        )
    return parsed


class ProcessEngines:
    """The engine of each process that uses a store: connections do not survive a fork.

    Raises ConfigurationError if the driver is not installed.
    """

    def __init__(self, url: URL) -> None:
        self._url = url
        # By process id. An engine inherited from a parent process stays in here: if it were
        # dropped, it would close its parent's sockets.
        self._engines: dict[int, Engine] = {}
        _make_engine(url).dispose()  # a missing driver is noticed now
        weakref.finalize(self, _close, self._engines)

    def current(self) -> Engine:
        """Return the engine of this process; the first call makes or upgrades the tables."""
        engine = self._engines.get(os.getpid())
        if engine is not None:
            return engine
        new = _make_engine(self._url)
        prepare(new)
        engine = self._engines.setdefault(os.getpid(), new)  # no lock: a fork could copy it locked
        if engine is not new:  # another thread was first
            new.dispose()
        return engine

    def close(self) -> None:
        """Close this process's connections; the next call opens new ones."""
        _close(self._engines)


def _close(engines: dict[int, Engine]) -> None:
    engine = engines.pop(os.getpid(), None)
    if engine is not None:
        engine.dispose()


def _make_engine(url: URL) -> Engine:
    in_memory = _is_in_memory(url)
    options: dict[str, Any] = {}
    if in_memory:  # the database ends with its connection: the threads take turns with the only one
        options = {"pool_size": 1, "max_overflow": 0}
    try:
        engine = create_engine(
            url,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            connect_args=_connect_args(url, in_memory),
            poolclass=QueuePool,
            pool_timeout=TIMEOUT,
            pool_pre_ping=True,
            **options,
        )
    except (ImportError, exc.NoSuchModuleError):
        raise ConfigurationError(
            "url", f"needs the driver {url.drivername}, which is not installed."
        ) from None
    event.listen(engine, "handle_error", _leave_read_only)
    if url.get_backend_name() == "sqlite" and not in_memory:
        prepare_file(engine)
    return engine


def _is_in_memory(url: URL) -> bool:
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def _connect_args(url: URL, in_memory: bool) -> dict[str, Any]:
    """Return what the driver is told; a timeout in the URL is the site's own choice."""
    driver = url.get_driver_name()
    timeouts = TIMEOUTS.get(driver, {})
    arguments = {name: value for name, value in timeouts.items() if name not in url.query}
    if in_memory:
        arguments["check_same_thread"] = False
    return {**arguments, **NEVER_PREPARE.get(driver, {})}


def _leave_read_only(context: ExceptionContext) -> None:
    """Drop every connection to a server that refuses writes.

    The next call connects to the server that is primary now.
    """
    if any(code in READ_ONLY for code in _codes(context.original_exception)):
        context.is_disconnect = True


def _codes(error: BaseException) -> list[object]:
    """Return the codes of a database's error; each driver has them elsewhere."""
    codes = [getattr(error, "sqlstate", None), getattr(error, "pgcode", None)]
    if error.args:
        first = error.args[0]  # PyMySQL: the number; pg8000: a dict of all fields
        codes.append(first.get("C") if isinstance(first, dict) else first)
    return codes
