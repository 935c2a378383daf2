"""A server that cannot serve a store now is left, and a collision is tried again. Threat 54.

The codes are raised by real servers: where that would take a cluster, by a trigger. A port leads to
the server that is well; open connections stay with the other one.
"""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace

import pytest
import redis
from support import databases
from support.flows import CALLBACK, dance, flow_for
from support.forwarder import forwarding
from support.stores import connection

from scconnect_wsgi.connections._session import ApiSession
from scconnect_wsgi.errors import StoreUnavailable
from scconnect_wsgi.stores.redis import RedisStore
from scconnect_wsgi.stores.sql import SQLStore

pytestmark = [pytest.mark.stores, pytest.mark.threat(54)]


def connected(server):
    import psycopg  # which only the environment of the stores has

    where = f"host=127.0.0.1 port={server.port} user=site dbname=postgres"
    return psycopg.connect(where, autocommit=True)


def postgresql(server, *statements):
    with connected(server) as db:
        for statement in statements:
            db.execute(statement)


def mariadb(server, *statements):
    with server.connected() as db, db.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


POSTGRESQL = {
    "25006": "read_only_sql_transaction",
    "55000": "object_not_in_prerequisite_state",
    "57P01": "admin_shutdown",
    "57P02": "crash_shutdown",
    "57P03": "cannot_connect_now",
    "08006": "connection_failure",
    "08P01": "protocol_violation",
}
MARIADB = {
    1047: "a Galera node that is not ready",
    1053: "it shuts down",
    1290: "--read-only",
    1792: "a read-only transaction",
    1836: "read-only mode",
}


def postgresql_raises(server, code):
    postgresql(
        server,
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger AS $$ BEGIN"
        f" RAISE EXCEPTION 'not now' USING ERRCODE = '{code}'; END $$ LANGUAGE plpgsql",
        "CREATE TRIGGER refused BEFORE INSERT OR UPDATE ON scconnect_connections"
        " FOR EACH ROW EXECUTE FUNCTION refuse()",
    )


def mariadb_raises(server, code):
    for event in ("INSERT", "UPDATE"):
        mariadb(
            server,
            f"CREATE TRIGGER refused_{event} BEFORE {event} ON scconnect_connections FOR EACH ROW"
            f" SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'not now'",
        )


@contextmanager
def led(old, url, make=SQLStore):
    """A store behind a port that leads to ``old`` first."""
    with forwarding(old.port) as forwarder, closing(make(url.format(forwarder.port))) as store:
        yield store, forwarder


@pytest.fixture(scope="module")
def pairs():
    """Two servers of each kind: the old one, and one that is well."""
    made = {}
    with ExitStack() as stack:

        def pair(name):
            if name not in made:
                made[name] = [stack.enter_context(databases.another(name)) for _ in range(2)]
            for server in made[name]:
                server.clear()
            return made[name]

        yield pair


def left_after_one_answer(store, forwarder, new, refuse):
    store.save(connection("one"))
    with ThreadPoolExecutor(4) as threads:  # so that several connections are open
        list(threads.map(store.load, ["one"] * 32))
    refuse()
    forwarder.target = new.port
    with pytest.raises(StoreUnavailable):
        store.save(connection("two"))
    with ThreadPoolExecutor(4) as threads:
        ids = [str(number) for number in range(8)]
        saved = list(threads.map(lambda id: store.save(connection(id)), ids))
    assert [found.version for found in saved] == [1] * 8


@pytest.mark.parametrize("driver", ["psycopg", "pg8000"])
@pytest.mark.parametrize("code", POSTGRESQL, ids=[f"{c} {n}" for c, n in POSTGRESQL.items()])
def test_54_a_postgresql_that_cannot_serve_is_left(pairs, driver, code):
    old, new = pairs("postgresql")
    url = "postgresql+" + driver + "://site@127.0.0.1:{}/postgres"
    with closing(SQLStore(url.format(new.port))) as other:
        other.all("", 1)
    with led(old, url) as (store, forwarder):
        left_after_one_answer(store, forwarder, new, lambda: postgresql_raises(old, code))


@pytest.mark.parametrize("code", MARIADB, ids=[f"{c} {n}" for c, n in MARIADB.items()])
def test_54_a_mariadb_that_cannot_serve_is_left(pairs, code):
    old, new = pairs("mariadb")
    url = "mysql+pymysql://site@127.0.0.1:{}/site"
    with closing(SQLStore(url.format(new.port))) as other:
        other.all("", 1)
    with led(old, url) as (store, forwarder):
        left_after_one_answer(store, forwarder, new, lambda: mariadb_raises(old, code))


def test_54_connections_that_an_administrator_ended_are_replaced(pairs):
    for name, url, end in (
        (
            "postgresql",
            "postgresql+psycopg://site@127.0.0.1:{}/postgres",
            lambda server: postgresql(
                server,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'site'"
                " AND pid <> pg_backend_pid()",
            ),
        ),
        (
            "mariadb",
            "mysql+pymysql://plain@127.0.0.1:{}/site",
            lambda server: mariadb(server, "KILL USER plain@'127.0.0.1'"),
        ),
    ):
        server, _ = pairs(name)
        with closing(SQLStore(url.format(server.port))) as store:
            stored = store.save(connection())
            with ThreadPoolExecutor(4) as threads:
                list(threads.map(store.load, ["one"] * 32))
            end(server)
            assert store.load("one") == stored, name  # each is asked before it is used
            assert store.save(stored).version == 2, name


# Deadlocks and the like

POSTGRESQL_COLLISIONS = ["40001", "40P01"]
MARIADB_COLLISIONS = [1213, 1205, 1020]


@pytest.mark.parametrize("code", POSTGRESQL_COLLISIONS)
def test_a_collision_in_postgresql_is_tried_again(pairs, code):
    server, _ = pairs("postgresql")
    with closing(SQLStore(f"postgresql+psycopg://site@127.0.0.1:{server.port}/postgres")) as store:
        store.all("", 1)
        postgresql(
            server,
            "DROP SEQUENCE IF EXISTS tries",
            "CREATE SEQUENCE tries",
            "CREATE OR REPLACE FUNCTION collide() RETURNS trigger AS $$ BEGIN"
            " IF nextval('tries') % 3 <> 0 THEN"
            f" RAISE EXCEPTION 'not now' USING ERRCODE = '{code}'; END IF;"
            " RETURN NEW; END $$ LANGUAGE plpgsql",
            "CREATE TRIGGER collided BEFORE INSERT OR UPDATE ON scconnect_connections"
            " FOR EACH ROW EXECUTE FUNCTION collide()",
        )
        stored = store.save(connection())
        assert store.save(stored) == store.load("one")


@pytest.mark.parametrize("code", MARIADB_COLLISIONS)
def test_a_collision_in_mariadb_is_tried_again(pairs, code):
    server, _ = pairs("mariadb")
    with closing(SQLStore(f"mysql+pymysql://site@127.0.0.1:{server.port}/site")) as store:
        store.all("", 1)
        mariadb(server, "CREATE SEQUENCE tries")
        for event in ("INSERT", "UPDATE"):
            mariadb(
                server,
                f"CREATE TRIGGER c_{event} BEFORE {event} ON scconnect_connections FOR EACH ROW"
                " BEGIN IF NEXTVAL(tries) % 3 <> 0 THEN"
                f" SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'not now';"
                " END IF; END",
            )
        stored = store.save(connection())
        assert store.save(stored) == store.load("one")


def test_a_collision_without_end_is_one_kind_of_error(pairs):
    server, _ = pairs("postgresql")
    with closing(SQLStore(f"postgresql+psycopg://site@127.0.0.1:{server.port}/postgres")) as store:
        store.all("", 1)
        postgresql_raises(server, "40P01")
        with pytest.raises(StoreUnavailable):
            store.save(connection())
        assert store.all("", 1) == []


# Redis


def make_read_only(client, new):
    client.replicaof("127.0.0.1", 9)  # nobody listens there


def make_silent(client, new):
    client.config_set("replica-serve-stale-data", "no")
    client.replicaof("127.0.0.1", 9)


def make_lonely(client, new):
    client.config_set("min-replicas-to-write", 1)


def make_loading(client, new):
    """Let it become a replica of the new primary, whose data it loads for a while."""
    with closing(redis.Redis(port=new.port)) as primary:
        primary.config_set("repl-diskless-sync-delay", 0)
        # It answers after each 2 MB that it has loaded, and they do not compress
        primary.mset({f"filler {number}": os.urandom(100_000) for number in range(300)})
    client.config_set("key-load-delay", 20_000)  # microseconds
    client.replicaof("127.0.0.1", new.port)
    deadline = time.monotonic() + 30
    while not client.info("persistence")["loading"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def make_busy(client, new):
    client.config_set("lua-time-limit", 50)
    port = client.connection_pool.connection_kwargs["port"]

    def run():
        with closing(redis.Redis(port=port)) as other, suppress(redis.RedisError):
            other.eval("while true do end", 0)

    threading.Thread(target=run, daemon=True).start()
    time.sleep(0.5)


REDIS = {
    "READONLY": make_read_only,
    "MASTERDOWN": make_silent,
    "NOREPLICAS": make_lonely,
    "LOADING": make_loading,
    "BUSY": make_busy,
}


@pytest.mark.parametrize("spoil", REDIS.values(), ids=REDIS)
@pytest.mark.parametrize("texts", ["", "?decode_responses=true"], ids=["bytes", "texts"])
def test_54_a_redis_that_cannot_serve_is_left(spoil, texts):
    old, new = databases.another("redis"), databases.another("redis")
    with (
        old,
        new,
        led(old, "redis://127.0.0.1:{}/0" + texts, RedisStore) as (store, forwarder),
        closing(redis.Redis(port=old.port)) as client,
    ):
        left_after_one_answer(store, forwarder, new, lambda: spoil(client, new))
        with suppress(redis.RedisError):
            client.script_kill()
        old.kill()


# A real standby

URL = "postgresql+psycopg://site@127.0.0.1:{}/postgres"


class Standby(databases.PostgreSQL):
    """A copy of a PostgreSQL that follows it until it is promoted."""

    def __init__(self, primary):
        self._primary = primary

    def prepare(self):
        self.url = URL.format(self.port)
        source = ("-h", "127.0.0.1", "-p", str(self._primary.port), "-U", "site")
        self.run("pg_basebackup", "-D", self.data, *source, "-R", "-X", "stream", "-c", "fast")

    def promote(self):
        postgresql(self, "SELECT pg_promote(true, 30)")


def has_followed(primary, standby):
    def position(server, function):
        with connected(server) as db:
            return db.execute(f"SELECT {function}()").fetchone()[0]

    target = position(primary, "pg_current_wal_lsn")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        reached = position(standby, "pg_last_wal_replay_lsn")
        if [int(part, 16) for part in reached.split("/")] >= [
            int(part, 16) for part in target.split("/")
        ]:
            return True
        time.sleep(0.1)
    return False


def test_54_a_refresh_in_flight_keeps_its_token_through_a_failover_to_a_standby(sandbox, root):
    """The primary is killed; the port leads to its standby, which is promoted a moment later."""
    flow = flow_for("oauth2", root, token_url=f"{root}/misbehave/slow=2/oauth/token")
    token = replace(dance(flow_for("oauth2", root)), expires_at=1)
    primary = databases.another("postgresql")
    with primary, Standby(primary) as standby, led(primary, URL) as (store, forwarder):
        store.save(connection(token=token, api_url=root, callback_url=CALLBACK))
        with (
            ApiSession(store.load("one"), store, flow) as session,
            ThreadPoolExecutor(1) as thread,
        ):
            running = thread.submit(session.me)
            deadline = time.monotonic() + 10
            while store.load("one").refreshing_since is None and time.monotonic() < deadline:
                time.sleep(0.01)
            assert has_followed(primary, standby)
            primary.kill()
            forwarder.target = standby.port
            assert store.load("one").refreshing_since is not None  # a standby can be read
            with pytest.raises(StoreUnavailable):
                store.save(connection("two"))
            time.sleep(1)
            standby.promote()
            assert running.result().username == "joe"
            assert store.load("one") == session.connection
        assert sandbox.counts["redeemed"] == 1
        assert session.connection.token.token != token.token
        assert store.save(connection("two")).version == 1
