"""SQLStore beyond what every store promises: its tables, its file, its errors."""

import logging
import sqlite3
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from support import databases
from support.stores import KEYS, connection

from scconnect_wsgi.encryption import Encryption
from scconnect_wsgi.errors import ConfigurationError, StorageFailed, StoreUnavailable
from scconnect_wsgi.stores import _schema as schema
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken

OTHER = ["another key, which is as long as keys have to be"]


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


def names_in(path, kind="table"):
    with closing(sqlite3.connect(path)) as db:
        names = db.execute("SELECT name FROM sqlite_master WHERE type = ? ORDER BY name", [kind])
        return [name for (name,) in names]


def test_tables_that_are_missing_are_made_and_the_others_keep_their_rows(path, store):
    """A development version, which nobody released, had no table of claims."""
    stored = store.save(connection())
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TABLE scconnect_claims")
        db.execute("UPDATE scconnect_schema SET version = 1")
    later = SQLStore(f"sqlite:///{path}")
    assert later.claim("a flow", 60)
    assert later.load("one") == stored
    with closing(sqlite3.connect(path)) as db:
        versions = db.execute("SELECT version FROM scconnect_schema").fetchall()
    assert versions == [(schema.VERSION,)]


def test_claims_that_ended_do_not_pile_up(path, store):
    assert all(store.claim(str(number), 0.01) for number in range(30))
    assert store.claim("lasts", 60)
    time.sleep(0.02)
    assert store.claim("the last", 60)
    with closing(sqlite3.connect(path)) as db:
        names = db.execute("SELECT name FROM scconnect_claims ORDER BY name").fetchall()
    assert names == [("lasts",), ("the last",)]


@pytest.mark.threat(42)
def test_threat_42_ended_claims_that_cannot_be_deleted_cost_no_new_claim(store, monkeypatch):
    def deadlock():
        raise StoreUnavailable("a deadlock")

    monkeypatch.setattr(store, "_delete_ended_claims", deadlock)
    assert store.claim("one", 60)
    assert not store.claim("one", 60)


def test_an_encrypted_outcome_cannot_be_read_nor_moved_to_another_claim(path):
    store = SQLStore(f"sqlite:///{path}", encryption=Encryption(KEYS))
    for name in ("one", "two"):
        assert store.claim(name, 60)
        store.settle(name, f"/close.html?username=joe-{name}")
    with closing(sqlite3.connect(path)) as db, db:
        kept = db.execute("SELECT outcome FROM scconnect_claims ORDER BY name").fetchall()
        db.execute("UPDATE scconnect_claims SET outcome = ? WHERE name = 'two'", kept[0])
    assert "joe" not in repr(kept)
    assert store.outcome("one") == "/close.html?username=joe-one"
    assert store.outcome("two") is None
    assert SQLStore(f"sqlite:///{path}", encryption=Encryption(OTHER)).outcome("one") is None


def test_no_outcome_in_the_log_of_sqlalchemy_at_any_level(caplog):
    with caplog.at_level(logging.DEBUG, "sqlalchemy"):
        store = SQLStore("sqlite://")
        assert store.claim("one", 60)
        store.settle("one", "/close.html?username=joe")
        assert store.outcome("one") == "/close.html?username=joe"
    assert "***" in caplog.text  # a row
    assert "joe" not in caplog.text


def test_making_the_tables_leaves_no_half_of_them_and_no_lock_if_it_fails(path):
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE ix_scconnect_connections_user_id (a)")  # the name of an index
    store = SQLStore(f"sqlite:///{path}")
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="create the tables"):
            store.save(connection())
    assert names_in(path) == ["ix_scconnect_connections_user_id"]
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TABLE ix_scconnect_connections_user_id")
    assert store.save(connection()).version == 1


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
