"""Names in a database, or behind a URL, whose encoding does not have all of their characters."""

from contextlib import closing

import pytest
from sqlalchemy import create_engine
from support import databases
from support.stores import connection

from scconnect_wsgi.errors import StorageFailed
from scconnect_wsgi.stores.sql import SQLStore

pytestmark = pytest.mark.stores

ENCODINGS = ["SQL_ASCII", "LATIN1"]
EMOJI = "\N{GRINNING FACE}"


@pytest.fixture(params=["psycopg", "pg8000"])
def driver(request):
    return request.param


def database(encoding, driver):
    """Make an empty database of PostgreSQL with this encoding, and return its URL."""
    server = databases.running("postgresql")
    name = encoding.lower()
    made = f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'"
    import psycopg  # which only the environment of the stores has

    with psycopg.connect(
        f"host=127.0.0.1 port={server.port} user=site dbname=postgres", autocommit=True
    ) as db:
        db.execute(f"DROP DATABASE IF EXISTS {name}")
        db.execute(made)
    return server.url.replace("psycopg", driver).replace("/postgres", f"/{name}")


def refusal(call):
    try:
        call()
    except StorageFailed as error:
        return error
    return None


def check(store, name):
    """A name is kept or refused, and in both cases the connections to the database stay usable."""
    stored = store.save(connection(user="joe"))
    for _ in range(3):
        for call in (
            lambda: store.of_user(name),
            lambda: store.of_account(name),
            lambda: store.save(connection("two", user=name)),
        ):
            error = refusal(call)
            assert error is None or (type(error), error.__context__) == (StorageFailed, None)
            assert store.load("one") == stored
            assert store.of_user("joe") == [stored]
        if "two" in [each.id for each in store.all("", 5)]:
            assert store.load("two").user == name
            store.delete("two")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", ["jo\xeb", "\u0436", EMOJI])
def test_a_database_of_another_encoding_keeps_a_name_or_refuses_it(encoding, driver, name):
    with closing(SQLStore(database(encoding, driver))) as store:
        check(store, name)


def test_a_database_without_an_encoding_keeps_every_name(driver):
    """Such as initdb makes it on a machine without a locale."""
    with closing(SQLStore(database("SQL_ASCII", driver))) as store:
        stored = store.save(connection(user=EMOJI))
        assert store.of_user(EMOJI) == [stored]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_engine_of_the_site_may_write_in_another_encoding(encoding):
    engine = create_engine(database(encoding, "pg8000"))
    check(SQLStore(engine=engine), EMOJI)
    engine.dispose()


@pytest.mark.parametrize("charset", ["latin1", "ascii"])
def test_a_url_may_name_another_encoding(charset):
    server = databases.running("mariadb")
    server.clear()
    with closing(SQLStore(f"{server.url}?charset={charset}")) as store:
        check(store, EMOJI)
