"""Every kind of store, fresh, for tests that apply to all of them."""

from __future__ import annotations

import pytest

from scconnect_wsgi.account import Account
from scconnect_wsgi.encryption import Encryption
from scconnect_wsgi.stores import Connection
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken
from support import databases

KEYS = ["a key that is as long as keys have to be"]


def sqlite_file(folder, **options):
    return SQLStore(f"sqlite:///{folder}/connections.sqlite3", **options)


def sqlite_memory(folder, **options):
    return SQLStore("sqlite://", **options)


def postgresql(folder, **options):
    return SQLStore(_cleared("postgresql").url, **options)


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
SQLITE_MEMORY = kind("sqlite memory", sqlite_memory)
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
KINDS = [*SHARED_KINDS, SQLITE_MEMORY]


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
