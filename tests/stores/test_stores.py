"""SQLStore beyond what every store promises: its tables, its file, its errors."""

import logging
import sqlite3
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import create_engine
from support import databases
from support.stores import connection

from scconnect_wsgi.errors import ConfigurationError, StorageFailed, StoreUnavailable
from scconnect_wsgi.stores import _schema as schema
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken


@pytest.fixture
def path(tmp_path):
    return tmp_path / "connections.sqlite3"


@pytest.fixture
def store(path):
    return SQLStore(f"sqlite:///{path}")


def test_nothing_is_touched_before_the_first_call(path, store):
    assert not path.exists()
    store.of_user("joe")
    assert path.exists()


def test_the_file_is_its_owners_alone(path, store):
    store.save(connection())
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_an_unreachable_database_raises_one_kind_of_error_until_it_comes_back(tmp_path):
    folder = tmp_path / "not yet"
    store = SQLStore(f"sqlite:///{folder}/connections.sqlite3")
    with pytest.raises(StoreUnavailable) as caught:
        store.save(connection())
    assert caught.value.code == "storage_failed"
    assert caught.value.__cause__ is None
    folder.mkdir()
    assert store.save(connection()).version == 1


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nothing", "must be a database URL"),
        ("oracle://scott:tiger@db.example", "sqlite, postgresql"),
        ("sqlite+nosuch://", "not installed"),
    ],
)
def test_a_url_that_cannot_work_is_refused_without_its_password(url, reason):
    with pytest.raises(ConfigurationError, match=reason) as caught:
        SQLStore(url)
    assert caught.value.option == "url"
    assert "tiger" not in str(caught.value)


def test_a_user_whose_name_would_be_cut_off_is_refused(store):
    with pytest.raises(StorageFailed, match="255 characters"):
        store.save(connection(user="u" * 256))


def test_no_token_in_the_log_of_sqlalchemy_at_any_level(caplog):
    token = AccessToken("a token of twenty", refresh_token="another of that kind")
    with caplog.at_level(logging.DEBUG, "sqlalchemy"):
        store = SQLStore("sqlite://")
        store.save(connection(token=token))
        store.load("one")
    assert "INSERT" in caplog.text
    assert "***" in caplog.text  # a row
    assert "twenty" not in caplog.text
    assert "of that kind" not in caplog.text


def columns(path):
    with closing(sqlite3.connect(path)) as db:
        names = [row[1] for row in db.execute("PRAGMA table_info(scconnect_connections)")]
        return names, db.execute("SELECT version FROM scconnect_schema").fetchall()


def test_tables_of_an_older_version_are_upgraded_and_keep_their_rows(path, store):
    stored = store.save(connection())
    add = "ALTER TABLE scconnect_connections ADD COLUMN note TEXT"
    steps = [*schema.STEPS, lambda db: db.exec_driver_sql(add)]
    engine = create_engine(f"sqlite:///{path}", isolation_level="AUTOCOMMIT")
    for _ in range(2):
        schema.prepare(engine, steps)
    engine.dispose()
    names, versions = columns(path)
    assert names[-1] == "note"
    assert versions == [(2,)]
    assert store.load("one") == stored  # a process from before the upgrade goes on


def test_a_step_that_fails_leaves_no_half_of_it_and_no_lock(path):
    engine = create_engine(f"sqlite:///{path}", isolation_level="AUTOCOMMIT")

    def breaks(db):
        db.exec_driver_sql("ALTER TABLE scconnect_connections ADD COLUMN note TEXT")
        raise OSError("the machine stops")

    with pytest.raises(OSError, match="stops"):
        schema.prepare(engine, [*schema.STEPS, breaks])
    engine.dispose()
    store = SQLStore(f"sqlite:///{path}")
    begun = time.monotonic()
    store.save(connection())
    assert time.monotonic() - begun < 5
    names, versions = columns(path)
    assert "note" not in names
    assert versions == [(1,)]


def test_tables_of_a_newer_version_are_left_alone(path, store):
    store.save(connection())
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE scconnect_schema SET version = 99")
    with pytest.raises(StoreUnavailable, match="newer version"):
        SQLStore(f"sqlite:///{path}").load("one")


@pytest.mark.threat(54)
@pytest.mark.stores
def test_54_behind_a_pooler_no_client_runs_the_statement_of_another():
    """Through PgBouncer in transaction mode, clients that prepare statements would find those of
    others under the same names.
    """
    server = databases.running("pgbouncer")
    server.clear()
    ids = [str(number) for number in range(20)]
    clients = [SQLStore(server.url) for _ in range(8)]
    errors = set()

    def tried(call, *arguments):
        try:
            call(*arguments)
        except Exception as error:
            errors.add(type(error))

    def work(number):
        client = clients[number]
        for _ in range(10):
            for id in ids:
                if number % 2:
                    tried(client.load, id)
                else:
                    tried(client.delete, "nobody's")
                    tried(client.lease, "nobody's", "joe", 1)

    with closing(SQLStore(server.url)) as store:
        for id in ids:
            store.save(connection(id))
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(8)))
    for client in clients:
        client.close()
    with closing(SQLStore(databases.running("postgresql").url)) as store:
        assert [found.id for found in store.of_user("user 1")] == sorted(ids)
        assert store.lease("0", "joe", 1)  # nobody holds it
    assert errors == set()


@pytest.mark.parametrize("driver", ["postgresql", "postgresql+psycopg"])
@pytest.mark.parametrize("value", ["5", "0", "None"])
def test_a_url_that_asks_for_prepared_statements_is_refused(driver, value):
    url = f"{driver}://scott:tiger@db.example/site?prepare_threshold={value}"
    with pytest.raises(ConfigurationError, match="prepare_threshold") as caught:
        SQLStore(url)
    assert caught.value.option == "url"
    assert "tiger" not in str(caught.value)
