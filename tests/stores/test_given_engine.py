"""SQLStore(engine=...): an engine that the site has, with its pool and its options."""

import logging
import os
from contextlib import closing

import pytest
import sqlalchemy
from sqlalchemy import NullPool, StaticPool, create_engine, event, text
from support import databases
from support.processes import in_processes
from support.stores import connection

from scconnect_wsgi.errors import ConfigurationError, StoreUnavailable
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken


def use_everything(store):
    """Call every method; each changes what it has to."""
    stored = store.save(connection())
    stored = store.save(stored)
    assert store.load("one") == stored
    assert store.of_user("user 1") == store.of_account("soundcloud:users:1") == [stored]
    assert store.all("", 5) == [stored]
    assert store.lease("one", "joe", 60)
    assert not store.lease("one", "ann", 60)
    store.release("one", "joe")
    assert store.claim("a flow", 60)
    assert not store.claim("a flow", 60)
    store.settle("a flow", "/close.html")
    assert store.outcome("a flow") == "/close.html"
    store.delete("one")
    assert store.all("", 5) == []


OPTIONS = {
    "as SQLAlchemy makes it": {},
    "another pool": {"poolclass": NullPool},
    "another isolation": {"isolation_level": "SERIALIZABLE"},
    "autocommit": {"isolation_level": "AUTOCOMMIT"},
    "its words for 2.0": {"future": True},
    "a log of all it does": {"echo": "debug"},
    "streams": {"execution_options": {"stream_results": True}},
    "pages of one row": {"execution_options": {"yield_per": 1}},
    "pings": {"pool_pre_ping": True, "pool_recycle": 1},
}


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.stores),
        pytest.param("mariadb", marks=pytest.mark.stores),
    ]
)
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/site.sqlite3"
    server = databases.running(request.param)
    server.clear()
    return server.url


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_an_engine_of_the_site_serves_a_store(url, options, capsys):
    engine = create_engine(url, **options)
    with closing(SQLStore(engine=engine)) as store:
        use_everything(store)
    with engine.connect() as db:  # close() has left it alone
        assert db.scalar(text("SELECT count(*) FROM scconnect_claims")) == 1
    engine.dispose()
    assert "refresh token" not in capsys.readouterr().out


def test_the_engine_is_left_as_it_was(url):
    """Its isolation and its transactions are the site's own."""
    engine = create_engine(url)
    with engine.connect() as db:
        before = db.get_isolation_level()
    store = SQLStore(engine=engine)
    use_everything(store)
    with engine.connect() as db:
        assert db.get_isolation_level() == before
        db.execute(text("DELETE FROM scconnect_claims"))
        db.rollback()
        assert db.scalar(text("SELECT count(*) FROM scconnect_claims")) == 1
        threshold = getattr(db.connection.driver_connection, "prepare_threshold", None)
        assert threshold == (5 if engine.dialect.driver == "psycopg" else None)
    engine.dispose()


@pytest.mark.parametrize("begin", ["BEGIN", "BEGIN IMMEDIATE"])
def test_an_sqlite_engine_may_begin_its_transactions_by_itself(tmp_path, begin):
    """As SQLAlchemy's documentation has it, for savepoints and for isolation."""
    engine = create_engine(f"sqlite:///{tmp_path}/site.sqlite3")
    event.listen(engine, "connect", lambda db, _: setattr(db, "isolation_level", None))
    event.listen(engine, "begin", lambda db: db.exec_driver_sql(begin) and None)
    use_everything(SQLStore(engine=engine))
    with engine.begin() as db:
        assert db.scalar(text("SELECT count(*) FROM scconnect_claims")) == 1
    engine.dispose()


def test_one_connection_for_all_is_enough():
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    use_everything(SQLStore(engine=engine))
    with engine.connect() as db:
        assert db.scalar(text("SELECT count(*) FROM scconnect_claims")) == 1
    engine.dispose()


def test_tables_may_be_in_another_schema(tmp_path):
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as db:
        db.execute(text(f"ATTACH '{tmp_path}/tokens.sqlite3' AS tokens"))
    elsewhere = engine.execution_options(schema_translate_map={None: "tokens"})
    for _ in range(2):
        use_everything(SQLStore(engine=elsewhere))
        with engine.begin() as db:
            db.execute(text("DELETE FROM tokens.scconnect_claims"))
    assert sqlalchemy.inspect(engine).get_table_names() == []
    engine.dispose()


@pytest.mark.stores
def test_tables_may_be_in_another_schema_of_a_server():
    server = databases.running("postgresql")
    server.clear()
    engine = create_engine(server.url)
    with engine.begin() as db:
        db.execute(text("DROP SCHEMA IF EXISTS tokens CASCADE"))
        db.execute(text("CREATE SCHEMA tokens"))
    elsewhere = engine.execution_options(schema_translate_map={None: "tokens"})
    use_everything(SQLStore(engine=elsewhere))
    assert "scconnect_connections" not in sqlalchemy.inspect(engine).get_table_names()
    with engine.begin() as db:
        db.execute(text("DROP SCHEMA tokens CASCADE"))
    engine.dispose()


def test_no_token_is_in_the_log_of_an_engine_that_shows_its_parameters(tmp_path, caplog):
    engine = create_engine(f"sqlite:///{tmp_path}/site.sqlite3")
    token = AccessToken("a token of twenty", refresh_token="another of that kind")
    with caplog.at_level(logging.DEBUG, "sqlalchemy"):
        store = SQLStore(engine=engine)
        store.save(connection(token=token))
        store.load("one")
        assert store.claim("a flow", 60)
        store.settle("a flow", "/close.html?name=twenty")
        assert store.outcome("a flow") == "/close.html?name=twenty"
    engine.dispose()
    assert "INSERT" in caplog.text
    assert "twenty" not in caplog.text
    assert "of that kind" not in caplog.text


class Fake:
    """What somebody else's library may call an engine."""

    dialect = create_engine("sqlite://").dialect


WRONG = {
    "a URL": "sqlite://",
    "the class": sqlalchemy.Engine,
    "a connection": "connection",
    "something like it": Fake(),
    "a number": 5,
}


@pytest.mark.parametrize("given", WRONG.values(), ids=WRONG)
def test_what_is_no_engine_is_refused(given):
    engine = create_engine("sqlite://")
    with (
        engine.connect() as db,
        pytest.raises(ConfigurationError, match=r"create_engine\(\)") as caught,
    ):
        SQLStore(engine=db if given == "connection" else given)  # type: ignore[arg-type]
    engine.dispose()
    assert caught.value.option == "engine"


@pytest.mark.stores
def test_an_engine_for_asyncio_is_refused():
    from sqlalchemy.ext.asyncio import create_async_engine  # it needs greenlet

    engine = create_async_engine("postgresql+psycopg_async://scott:tiger@127.0.0.1/site")
    for given in (engine, engine.sync_engine):
        with pytest.raises(ConfigurationError, match="asyncio") as caught:
            SQLStore(engine=given)  # type: ignore[arg-type]
        assert "tiger" not in str(caught.value)


def test_a_url_and_an_engine_are_too_much_and_neither_is_too_little():
    with pytest.raises(ConfigurationError, match="together"):
        SQLStore("sqlite://", engine=create_engine("sqlite://"))
    with pytest.raises(ConfigurationError, match=r"SQLStore\(engine=engine\)"):
        SQLStore(create_engine("sqlite://"))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="url"):
        SQLStore()


@pytest.mark.stores
def test_after_a_restart_the_next_call_works_and_the_site_is_not_disturbed():
    with databases.another("postgresql") as server:
        engine = create_engine(server.url)
        errors = []
        event.listen(engine, "handle_error", lambda context: errors.append(context))
        store = SQLStore(engine=engine)
        stored = store.save(connection())
        server.kill()
        server.start()
        with pytest.raises(StoreUnavailable):
            store.load("one")
        assert store.load("one") == stored
        assert errors
        engine.dispose()


def test_a_fork_needs_what_sqlalchemy_says(url):
    engine = create_engine(url)
    store = SQLStore(engine=engine)
    store.save(connection())

    def child(number):
        engine.dispose(close=False)
        return store.lease("one", f"{number} of {os.getpid()}", 60)

    assert sum(in_processes(4, child)) == 1
    assert store.load("one").version == 1
    engine.dispose()
