"""What a database's URL must look like, and what the driver that it names has to be told."""

from __future__ import annotations

from typing import Any

from sqlalchemy import exc, make_url
from sqlalchemy.engine import URL

from scconnect_wsgi.errors import ConfigurationError

TIMEOUT = 10  # seconds to wait for a connection, or for SQLite's one writer
# Each database, and how the URL with a driver that SQLStore is tested with begins
DATABASES = {
    "sqlite": "sqlite://",
    "postgresql": "postgresql+psycopg://",
    "mysql": "mysql+pymysql://",
    "mariadb": "mariadb+pymysql://",
}
PACKAGES = {  # of each driver's module
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "pg8000": "pg8000",
    "pymysql": "pymysql",
    "MySQLdb": "mysqlclient",
}
# What each driver is told unless the URL says otherwise. PostgreSQL's drivers would write in the
# encoding of the database, which may know fewer characters than a user's name has.
DEFAULTS: dict[str, dict[str, Any]] = {
    "pysqlite": {"timeout": TIMEOUT},
    "psycopg": {"connect_timeout": TIMEOUT, "client_encoding": "utf8"},
    "psycopg2": {"connect_timeout": TIMEOUT, "client_encoding": "utf8"},
    "pg8000": {"timeout": TIMEOUT},
    "pymysql": {"connect_timeout": TIMEOUT, "read_timeout": TIMEOUT, "write_timeout": TIMEOUT},
}
# A pooler in transaction mode (PgBouncer) gives one connection to many clients in turn, and their
# drivers give different statements the same name: a client's load could run another one's DELETE.
NEVER_PREPARE: dict[str, dict[str, Any]] = {"psycopg": {"prepare_threshold": None}}
# In statement mode it refuses transactions, and SQLAlchemy would begin one to look for hstore.
ENGINE_OPTIONS: dict[str, dict[str, Any]] = {
    "psycopg": {"use_native_hstore": False},
    "psycopg2": {"use_native_hstore": False},
    "pg8000": {"client_encoding": "utf8"},
}
# Drivers that send even an unnamed statement in several steps, and need a transaction around them:
# otherwise the pooler may give the steps to different connections.
IN_STEPS = ("pg8000",)


def parse_url(url: str | URL | None) -> URL:
    """Return a database's URL as an object. Raises ConfigurationError for one that cannot work."""
    try:
        parsed = make_url(url or "")
    except (exc.ArgumentError, ValueError):  # it quotes the URL, which may hold a password
        is_engine = hasattr(url, "dialect")
        hint = " An engine is given by name: SQLStore(engine=engine)." if is_engine else ""
        raise ConfigurationError(
            "url", f"must be a database URL, such as sqlite:///connections.sqlite3.{hint}"
        ) from None
    database = parsed.get_backend_name()
    if database == "postgres":
        raise ConfigurationError(
            "url",
            f"must begin with {DATABASES['postgresql']} instead of postgres://, which SQLAlchemy "
            "no longer accepts.",
        )
    if database not in DATABASES:
        raise ConfigurationError("url", f"must name one of the databases {', '.join(DATABASES)}.")
    if _is_async(parsed):
        raise ConfigurationError(
            "url",
            f"names the driver {parsed.get_driver_name()}, which is for asyncio: begin it with "
            f"{DATABASES[database]}",
        )
    if "prepare_threshold" in parsed.query:
        raise ConfigurationError(
            "url",
            "must not set prepare_threshold: SQLStore never prepares statements, since behind "
            "a pooler in transaction mode one client could run those of another.",
        )
    return parsed


def refusal(url: URL, error: Exception) -> ConfigurationError:
    """Return why SQLAlchemy makes no engine for a URL, in words without its password."""
    driver = url.get_driver_name()
    if isinstance(error, ModuleNotFoundError) and error.name in PACKAGES:
        begins = DATABASES[url.get_backend_name()]
        other = "" if driver in begins else f", or begin it with {begins}"
        return ConfigurationError(
            "url",
            f"needs the driver {driver}, which is not installed: "
            f"pip install '{PACKAGES[error.name]}'{other}",
        )
    if isinstance(error, ImportError):  # of a library in C, perhaps
        return ConfigurationError(
            "url", f"needs the driver {driver}, which cannot be loaded: {error}"
        )
    return ConfigurationError(
        "url",
        "cannot be used by its driver: a parameter has a wrong value, or an SQLite URL has two "
        "slashes where three or four belong (sqlite:///connections.sqlite3).",
    )


def _is_async(url: URL) -> bool:
    try:
        return url.get_dialect().is_async
    except exc.NoSuchModuleError:
        raise ConfigurationError(
            "url", f"needs the driver {url.drivername}, which is not installed."
        ) from None


def connect_args(url: URL) -> dict[str, Any]:
    """Return what the driver is told; what the URL says is the site's own choice."""
    driver = url.get_driver_name()
    defaults = DEFAULTS.get(driver, {})
    arguments = {name: value for name, value in defaults.items() if name not in url.query}
    return {**arguments, **NEVER_PREPARE.get(driver, {})}
