"""Make the store that a URL names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scconnect_wsgi.errors import ConfigurationError

if TYPE_CHECKING:
    from scconnect_wsgi.encryption import Encryption
    from scconnect_wsgi.stores import Store

REDIS = ("redis", "rediss", "unix")
SQL = ("sqlite", "postgresql", "mysql", "mariadb", "postgres")  # the last gets an error of its own


def store_at(url: str, encryption: Encryption | None) -> Store:
    """Return the store at a URL, which encrypts tokens if there is an Encryption.

    Nothing is sent to it. Raises ConfigurationError for a URL that cannot work, and if a package is
    not installed; no error shows the URL, which may hold a password.
    """
    scheme = url.partition(":")[0].partition("+")[0].lower()
    if scheme not in (*REDIS, *SQL):
        raise ConfigurationError(
            "store",
            "must begin with sqlite:///, postgresql+psycopg://, mysql+pymysql://, "
            "mariadb+pymysql://, redis://, rediss:// or unix://.",
        )
    try:
        return _redis_store(url, encryption) if scheme in REDIS else _sql_store(url, encryption)
    except ModuleNotFoundError as missing:
        problem = f"needs a package that is not there. {missing}"
        raise ConfigurationError("store", problem) from None


# Imported here: a site without such a store need not install its extra.
def _redis_store(url: str, encryption: Encryption | None) -> Store:
    from scconnect_wsgi.stores.redis import RedisStore

    return RedisStore(url, encryption=encryption)


def _sql_store(url: str, encryption: Encryption | None) -> Store:
    from scconnect_wsgi.stores.sql import SQLStore

    return SQLStore(url, encryption=encryption)
