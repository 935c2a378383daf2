"""Every kind of store, fresh, for tests that apply to all of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import make_url

from scconnect_wsgi.account import Account
from scconnect_wsgi.encryption import Encryption
from scconnect_wsgi.errors import StoreUnavailable
from scconnect_wsgi.stores import Connection, MemoryStore
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken
from support import databases
from support.demotion import (
    demote_mariadb,
    demote_postgresql,
    demote_redis,
    promote_mariadb,
    promote_postgresql,
    promote_redis,
)

KEYS = ["a key that is as long as keys have to be"]


def sqlite_file(folder, **options):
    return SQLStore(f"sqlite:///{folder}/connections.sqlite3", **options)


def sqlite_memory(folder, **options):
    return SQLStore("sqlite://", **options)


def postgresql(folder, **options):
    return SQLStore(_cleared("postgresql").url, **options)


def postgresql_by_pg8000(folder, **options):
    url = make_url(_cleared("postgresql").url).set(drivername="postgresql+pg8000")
    return SQLStore(url, **options)


def mariadb_by_mysqlconnector(folder, **options):
    url = make_url(_cleared("mariadb").url).set(drivername="mysql+mysqlconnector")
    return SQLStore(url, **options)


def pgbouncer(folder, **options):
    return SQLStore(_cleared("pgbouncer").url, **options)


def mariadb(folder, **options):
    return SQLStore(_cleared("mariadb").url, **options)


def redis(folder, **options):
    from scconnect_wsgi.stores.redis import RedisStore

    return RedisStore(_cleared("redis").url, **options)


def redis_of_texts(folder, **options):
    """Return a store with a Redis client of the site's own, which answers with str, not bytes."""
    from redis import Redis

    from scconnect_wsgi.stores.redis import RedisStore

    return RedisStore(
        Redis.from_url(_cleared("redis").url, decode_responses=True), prefix="shop:", **options
    )


def memory(folder):
    return MemoryStore()


def was_demoted(name, demote, promote):
    """Return a maker of stores whose server was demoted while they had open connections.

    It was promoted again before the test begins.
    """

    def make(folder):
        server = _cleared(name)
        url = make_url(server.url)
        if name == "mariadb":
            url = url.set(username="plain")  # the other one may write in spite of "read only"
        store = redis(folder) if name == "redis" else SQLStore(url)
        with ThreadPoolExecutor(8) as threads:  # so that several connections are open
            list(threads.map(store.of_user, ["joe"] * 64))
        demote(server)
        try:
            with pytest.raises(StoreUnavailable):
                store.claim("while it was demoted", 60)
        finally:
            promote(server)
        return store

    return make


def _cleared(name):
    server = databases.running(name)
    server.clear()
    return server


def encrypted(make):
    return lambda folder: make(folder, encryption=Encryption(KEYS))


def kind(name, make, *marks):
    return pytest.param(make, id=name, marks=marks)


# Parameters for fixtures: each makes a fresh store in a folder of the test's own. What applies to
# every store is tested with KINDS; what involves more than the store, with one or two of them.
SQLITE_FILE = kind("sqlite file", sqlite_file)
# The same code as for a file, so that `make quick` leaves it out
SQLITE_MEMORY = kind("sqlite memory", sqlite_memory, pytest.mark.slow)
POSTGRESQL = kind("postgresql", postgresql, pytest.mark.stores)
SHARED_KINDS = [  # by processes
    SQLITE_FILE,
    POSTGRESQL,
    kind("postgresql behind pgbouncer", pgbouncer, pytest.mark.stores),
    kind("redis", redis, pytest.mark.stores),
    kind("mariadb", mariadb, pytest.mark.stores),
    kind("sqlite file, encrypted", encrypted(sqlite_file)),
    kind("redis, encrypted", encrypted(redis), pytest.mark.stores),
    kind("redis of texts", redis_of_texts, pytest.mark.stores),
]
KINDS = [
    *SHARED_KINDS,
    SQLITE_MEMORY,
    kind("memory", memory),
    kind("postgresql by pg8000", postgresql_by_pg8000, pytest.mark.stores),
    kind("mariadb by mysqlconnector", mariadb_by_mysqlconnector, pytest.mark.stores),
    kind(
        "postgresql that was demoted",
        was_demoted("postgresql", demote_postgresql, promote_postgresql),
        pytest.mark.stores,
    ),
    kind(
        "mariadb that was demoted",
        was_demoted("mariadb", demote_mariadb, promote_mariadb),
        pytest.mark.stores,
    ),
    kind(
        "redis that was demoted",
        was_demoted("redis", demote_redis, promote_redis),
        pytest.mark.stores,
    ),
]


def connection(id="one", **fields):
    """Return a connection that was never stored."""
    token = AccessToken(
        "an access token",
        refresh_token="a refresh token",
        expires_at=2_000_000_000,
        extra={"n": [1]},
    )
    account = Account(
        "soundcloud:users:1",
        "joe",
        "Joe Sample",
        "https://pics.example/1",
        "https://sc.example/joe",
    )
    given = {
        "user": "user 1",
        "api_url": "https://api.example",
        "token": token,
        "account": account,
        **fields,
    }
    return Connection(id, **given)
