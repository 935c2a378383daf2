"""Servers that refuse writes, as a primary does after another one has taken its place."""

import time
from contextlib import closing


def demote_postgresql(server):
    _set_postgresql(server, "SET default_transaction_read_only = on")


def promote_postgresql(server):
    _set_postgresql(server, "RESET default_transaction_read_only")


def _set_postgresql(server, setting):
    import psycopg

    with psycopg.connect(
        f"host=127.0.0.1 port={server.port} user=site dbname=postgres", autocommit=True
    ) as db:
        db.execute(f"ALTER SYSTEM {setting}")
        db.execute("SELECT pg_reload_conf()")
    time.sleep(0.5)  # until every connection has read it


def demote_mariadb(server):
    _set_mariadb(server, 1)


def promote_mariadb(server):
    _set_mariadb(server, 0)


def _set_mariadb(server, read_only):
    with server.connected() as db, db.cursor() as cursor:
        cursor.execute(f"SET GLOBAL read_only = {read_only}")


def demote_redis(server):
    with _redis(server) as client:
        client.replicaof("127.0.0.1", 9)  # nobody listens there


def demote_redis_and_be_silent(server):
    with _redis(server) as client:
        client.config_set("replica-serve-stale-data", "no")
    demote_redis(server)


def promote_redis(server):
    with _redis(server) as client:
        client.replicaof("NO", "ONE")


def _redis(server):
    from redis import Redis

    return closing(Redis(port=server.port))
