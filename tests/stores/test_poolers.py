"""SQLStore behind PgBouncer, which gives the clients' statements to connections in turn. Threat 54.

In transaction mode a connection is a client's until its transaction ends; in statement mode there
are no transactions.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import NullPool, create_engine
from support import databases
from support.stores import connection

from scconnect_wsgi.errors import StoreUnavailable
from scconnect_wsgi.stores.sql import SQLStore

pytestmark = [pytest.mark.stores, pytest.mark.threat(54)]

IDS = [str(number) for number in range(10)]
ENGINES = []  # those of the site in this test


@pytest.fixture(autouse=True)
def _the_site_ends_its_engines():
    yield
    while ENGINES:
        ENGINES.pop().dispose()


def engine_of_the_site(url, **options):
    engine = create_engine(url, **options)
    ENGINES.append(engine)
    return engine


def own(url):
    return SQLStore(url)


def pg8000(url):
    return SQLStore(url.replace("psycopg", "pg8000"))


def given(url, **options):
    """An engine as a site makes it: psycopg prepares what a connection has run five times."""
    return SQLStore(engine=engine_of_the_site(url, **options))


def given_another_pool(url):
    return given(url, poolclass=NullPool)


def given_another_isolation(url):
    return given(url, isolation_level="SERIALIZABLE")


def given_streaming(url):
    engine = engine_of_the_site(url)
    return SQLStore(engine=engine.execution_options(stream_results=True))


def given_pg8000(url):
    return SQLStore(engine=engine_of_the_site(url.replace("psycopg", "pg8000")))


MAKES = [
    own,
    pg8000,
    given,
    given_another_pool,
    given_another_isolation,
    given_streaming,
    given_pg8000,
]


def mixed_work(clients):
    """Let half of the clients read while the others write what is nobody's; return the errors."""
    errors = set()

    def tried(call, *arguments):
        try:
            call(*arguments)
        except Exception as error:
            errors.add(type(error))

    def work(number):
        client = clients[number]
        for _ in range(3):
            for id in IDS:
                if number % 2:
                    tried(client.load, id)
                    tried(client.of_user, "user 1")
                else:
                    tried(client.delete, "nobody's")
                    tried(client.lease, "nobody's", "joe", 1)
                    tried(client.settle, "nobody's", "x")

    with ThreadPoolExecutor(len(clients)) as threads:
        list(threads.map(work, range(len(clients))))
    return errors


def check_rows():
    with closing(SQLStore(databases.running("postgresql").url)) as store:
        assert [found.id for found in store.of_user("user 1")] == sorted(IDS)
        assert store.lease("0", "joe", 1)  # nobody holds it


@pytest.mark.parametrize("make", MAKES)
def test_54_in_transaction_mode_no_client_runs_the_statement_of_another(make):
    server = databases.running("pgbouncer")
    server.clear()
    clients = [make(server.url) for _ in range(4)]
    for id in IDS:  # the first call makes the tables
        clients[0].save(connection(id))
    assert mixed_work(clients) == set()
    for client in clients:
        client.close()
    check_rows()


@pytest.mark.parametrize("make", [own])
def test_54_in_statement_mode_too_once_the_tables_are_there(make):
    server = databases.running("pgbouncer of statements")
    server.clear()
    store = make(server.url)
    with pytest.raises(StoreUnavailable, match="sql-schema"):
        store.all("", 1)
    with closing(SQLStore(databases.running("postgresql").url)) as direct:
        direct.all("", 1)
    for id in IDS:
        store.save(connection(id))
    clients = [make(server.url) for _ in range(4)]
    assert mixed_work(clients) == set()
    assert store.claim("a flow", 60)
    assert not store.claim("a flow", 60)
    for client in (store, *clients):
        client.close()
    check_rows()


def test_in_statement_mode_a_driver_that_needs_transactions_gets_one_kind_of_error():
    server = databases.running("pgbouncer of statements")
    store = pg8000(server.url)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            store.all("", 1)


def test_a_pooler_that_refuses_options_is_one_kind_of_error():
    server = databases.running("pgbouncer")
    store = SQLStore(f"{server.url}?options=-csearch_path%3Dtiger")
    with pytest.raises(StoreUnavailable, match="a parameter in its URL") as caught:
        store.all("", 1)
    assert "tiger" not in str(caught.value)


def test_nothing_of_a_session_is_left_behind_in_the_pooler():
    """No SET, no lock, no temporary table, no prepared statement, no listener."""
    server = databases.running("pgbouncer")
    server.clear()
    with closing(SQLStore(server.url)) as store:
        for id in IDS:
            store.save(connection(id))
            store.claim(id, 0.001)
            store.lease(id, "joe", 60)
            store.release(id, "joe")
            store.load(id)
    engine = create_engine(server.url, poolclass=NullPool)
    for _ in range(4):  # the pooler has two connections
        with engine.connect() as db:
            counts = db.exec_driver_sql(
                "SELECT (SELECT count(*) FROM pg_prepared_statements),"
                " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),"
                " (SELECT count(*) FROM pg_settings WHERE source = 'session'"
                "   AND name NOT IN ('application_name', 'client_encoding')),"
                " (SELECT count(*) FROM pg_class WHERE relpersistence = 't'),"
                " (SELECT count(*) FROM pg_listening_channels())"
            ).one()
        assert tuple(counts) == (0, 0, 0, 0, 0)
