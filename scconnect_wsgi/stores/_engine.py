"""SQLAlchemy engines for SQLStore: one that it makes for each process, or the site's own."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any, Protocol

from sqlalchemy import Engine, QueuePool, create_engine, event, exc
from sqlalchemy.engine import URL, ExceptionContext

from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.stores._drivers import (
    DATABASES,
    ENGINE_OPTIONS,
    IN_STEPS,
    TIMEOUT,
    connect_args,
    refusal,
)
from scconnect_wsgi.stores._schema import prepare
from scconnect_wsgi.stores._sql_errors import is_unfit
from scconnect_wsgi.stores._sqlite_file import file_path, prepare_file

_Key = tuple[int, object]  # a process id, and the kind of lock that the process used then


class Engines(Protocol):
    """Where a store gets its engine from."""

    def current(self) -> Engine:
        """Return the engine of this process; the first call makes the tables."""

    def close(self) -> None:
        """Close this process's connections; the next call opens new ones."""


class OwnEngines:
    """The engine of each process that uses a store: connections do not survive a fork.

    Nor do the locks of an engine survive a patch: after gevent or eventlet has replaced those of
    the standard library, the process makes an engine anew. Raises ConfigurationError if the driver
    is not installed.
    """

    def __init__(self, url: URL) -> None:
        self._url = url
        # An engine inherited from a parent process stays in here: if it were dropped, it would
        # close its parent's sockets. One from before a patch stays too: closing it takes its locks.
        self._engines: dict[_Key, Engine] = {}
        _make_engine(url).dispose()  # a missing driver is noticed now
        weakref.finalize(self, _close, self._engines, url)

    def current(self) -> Engine:
        """Return the engine of this process; the first call makes the tables."""
        key = _current_key(self._url)
        engine = self._engines.get(key)
        if engine is not None:
            return engine
        new = _make_engine(self._url)
        try:
            prepare(new)
        except BaseException:
            new.dispose()  # the next call makes another one
            raise
        engine = self._engines.setdefault(key, new)  # no lock: a fork could copy it locked
        if engine is not new:  # another thread was first
            new.dispose()
        return engine

    def close(self) -> None:
        """Close this process's connections; the next call opens new ones."""
        _close(self._engines, self._url)


class GivenEngine:
    """An engine that the site has and shares: its pool, its options, and its forks are the site's.

    Raises ConfigurationError for one that cannot work.
    """

    def __init__(self, engine: object) -> None:
        if not isinstance(engine, Engine) or engine.dialect.is_async:
            raise ConfigurationError(
                "engine",
                "must be an Engine of sqlalchemy.create_engine(), not one for asyncio and not "
                f"{type(engine).__name__}.",
            )
        if engine.dialect.name not in DATABASES:
            raise ConfigurationError(
                "engine", f"must be for one of the databases {', '.join(DATABASES)}."
            )
        # A cursor on the server needs a transaction, and there is none.
        options: dict[str, Any] = {"stream_results": False, "yield_per": None}
        if engine.dialect.driver not in IN_STEPS:
            options["isolation_level"] = "AUTOCOMMIT"
        self._engine = engine.execution_options(**options)
        event.listen(self._engine, "handle_error", self._leave_unfit)
        self._is_prepared = False

    def current(self) -> Engine:
        """Return the engine; the first call makes the tables."""
        if not self._is_prepared:
            prepare(self._engine)
            self._is_prepared = True
        return self._engine

    def close(self) -> None:
        """Do nothing: the connections are the site's."""

    def _leave_unfit(self, context: ExceptionContext) -> None:
        if context.engine is self._engine:  # and not the site's own use of it
            leave_unfit(context)


def _current_key(url: URL) -> _Key:
    """Return which engine is of use now: that of this process, made under the locks of now."""
    # A database in memory would be lost with its engine
    return os.getpid(), None if _is_in_memory(url) else threading.Lock


def _close(engines: dict[_Key, Engine], url: URL) -> None:
    engine = engines.pop(_current_key(url), None)
    if engine is not None:
        engine.dispose()


def _make_engine(url: URL) -> Engine:
    options: dict[str, Any] = {**ENGINE_OPTIONS.get(url.get_driver_name(), {})}
    arguments = connect_args(url)
    if _is_in_memory(url):
        # The database ends with its connection: the threads take turns with the only one
        options.update({"pool_size": 1, "max_overflow": 0})
        arguments["check_same_thread"] = False
    if url.get_driver_name() not in IN_STEPS:
        options["isolation_level"] = "AUTOCOMMIT"
    try:
        engine = create_engine(
            url,
            hide_parameters=True,
            connect_args=arguments,
            poolclass=QueuePool,
            pool_timeout=TIMEOUT,
            pool_pre_ping=True,
            **options,
        )
    except (ImportError, exc.ArgumentError, TypeError, ValueError) as error:
        raise refusal(url, error) from None
    event.listen(engine, "handle_error", leave_unfit)
    path = file_path(url) if url.get_backend_name() == "sqlite" else None
    if path is not None:
        prepare_file(engine, path)
    return engine


def _is_in_memory(url: URL) -> bool:
    return url.get_backend_name() == "sqlite" and file_path(url) is None


def leave_unfit(context: ExceptionContext) -> None:
    """Drop every connection to a server that cannot serve a store now.

    The next call connects to the server that is primary then.
    """
    if is_unfit(context.original_exception):
        context.is_disconnect = True
