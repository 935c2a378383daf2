"""``scconnect sql-schema URL`` prints the tables for a database's own command line."""

import contextlib
import os
import secrets
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing

import pytest
from support import databases
from support.stores import connection

from scconnect_wsgi.errors import StoreUnavailable
from scconnect_wsgi.stores.sql import SQLStore

pytestmark = pytest.mark.slow


def printed(*words):
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.run(
        [sys.executable, "-m", "scconnect_wsgi", "sql-schema", *words],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def schema(url):
    done = printed(url)
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


def fed(text, *command):
    """Feed a text to a program as it is."""
    program = databases.find(command[0])
    done = subprocess.run(
        [program, *command[1:]],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def check(store):
    stored = store.save(connection())
    assert store.load("one") == stored
    assert store.lease("one", "joe", 5)
    flow = secrets.token_hex(4)
    assert store.claim(flow, 5)
    store.settle(flow, "/close.html")
    assert store.outcome(flow) == "/close.html"
    assert store.all("", 5) == [stored]
    store.delete("one")


def test_sqlite_takes_it_and_the_file_becomes_private(tmp_path):
    path = tmp_path / "connections.sqlite3"
    text = schema("sqlite://")
    with closing(sqlite3.connect(path)) as db:
        db.executescript(text)
        with pytest.raises(sqlite3.OperationalError, match="already exists"):
            db.executescript(text)  # twice does no harm
    path.chmod(0o644)
    with closing(SQLStore(f"sqlite:///{path}")) as store:
        check(store)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM scconnect_schema").fetchone() == (1,)


@pytest.mark.parametrize(
    "url",
    ["sqlite://", pytest.param("", marks=pytest.mark.stores, id="postgresql")],
)
def test_the_tables_are_those_that_a_store_makes(tmp_path, url):
    """To the letter, so that nobody can tell them apart later."""
    import sqlalchemy

    def described(url):
        engine = sqlalchemy.create_engine(url)
        found = sqlalchemy.inspect(engine)
        names = [name for name in found.get_table_names() if name.startswith("scconnect")]
        tables = {
            name: (
                [str(column) for column in found.get_columns(name)],
                found.get_pk_constraint(name),
                found.get_indexes(name),
            )
            for name in names
        }
        engine.dispose()
        return tables

    if url:
        by_hand = f"sqlite:///{tmp_path}/hand.sqlite3"
        with closing(sqlite3.connect(tmp_path / "hand.sqlite3")) as db:
            db.executescript(schema(url))
        made = f"sqlite:///{tmp_path}/store.sqlite3"
        expected = None
    else:
        server = databases.running("postgresql")
        server.clear()
        by_hand = made = server.url
        assert psql(server, schema(server.url))[0] == 0
        expected = described(by_hand)
        server.clear()
    with closing(SQLStore(made)) as store:
        store.all("", 1)
    found = described(made)
    assert len(found) == 3
    assert found == (expected or described(by_hand))


def psql(server, text, user="site"):
    where = ("-h", "127.0.0.1", "-p", str(server.port), "-U", user, "-d", "postgres")
    return fed(text, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *where)


@pytest.mark.stores
def test_postgresql_takes_it_and_a_user_who_may_not_create_tables_works():
    server = databases.running("postgresql")
    server.clear()
    psql(server, "REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE guest LOGIN;")
    url = server.url.replace("site@", "guest@")
    with closing(SQLStore(url)) as store:
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=r"may not create .* `scconnect sql-schema`"):
                store.all("", 1)
        assert psql(server, schema(server.url)) == (0, "")
        assert psql(server, schema("postgresql://"))[0] != 0  # twice does no harm
        with pytest.raises(StoreUnavailable, match="grant SELECT, INSERT, UPDATE and DELETE"):
            store.all("", 1)
        tables = "scconnect_connections, scconnect_claims, scconnect_schema"
        psql(server, f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO guest;")
        check(store)
    with closing(SQLStore(url)) as store:
        check(store)


@pytest.mark.stores
def test_mariadb_takes_it_and_a_user_who_may_not_create_tables_works():
    server = databases.running("mariadb")
    server.clear()
    where = ("-h", "127.0.0.1", "-P", str(server.port), "-u", "site", "--skip-ssl", "site")
    with closing(SQLStore(server.url.replace("site@", "guest@"))) as store:
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=r"may not create .* `scconnect sql-schema`"):
                store.all("", 1)
        assert fed(schema("mysql+pymysql://"), "mariadb", *where) == (0, "")
        assert fed(schema("mariadb+pymysql://"), "mariadb", *where)[0] != 0
        for name in (
            "joe",
            "Joe",
            "jo\N{SNOWMAN}",
            "\N{GRINNING FACE}",
        ):
            assert store.claim(name, 60)
            store.save(connection(name, user=name))
            assert [found.id for found in store.of_user(name)] == [name]
        long = connection("long", callback_url="https://site.example/" + "x" * 70_000)
        assert store.save(long) == store.load("long")
        for found in store.all("", 10):
            store.delete(found.id)
        check(store)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgres://", "postgresql+psycopg://"),
        ("oracle://scott:tiger@db", "sqlite, postgresql"),
        ("tiger", "must be a database URL"),
        ("postgresql+asyncpg://scott:tiger@db/site", "asyncio"),
    ],
)
def test_a_url_that_cannot_work_is_said_in_one_line(url, reason):
    done = printed(url)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "tiger" not in done.stderr.replace("sql-schema tiger", "")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_no_driver_is_needed_and_nothing_is_connected():
    for url in ("mysql://scott:tiger@127.0.0.1:9/x", "postgresql+psycopg2://127.0.0.1:9/x"):
        text = schema(url)
        assert text.count("CREATE TABLE") == 3
        assert "tiger" not in text
    with contextlib.suppress(FileNotFoundError):
        os.remove("never.sqlite3")
    schema("sqlite:///never.sqlite3")
    assert not os.path.exists("never.sqlite3")
