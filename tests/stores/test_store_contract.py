"""Every store of ours keeps the contract that is shipped for the stores of others.

tests/support/stores.py lists the stores; test_broken_stores.py shows that each rule is tested. What
a contract for any store cannot ask for, several processes, is here.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest
from support.ports import free_port
from support.processes import in_processes
from support.stores import KINDS, SHARED_KINDS, connection

from scconnect_wsgi.stores import MemoryStore
from scconnect_wsgi.stores.redis import RedisStore
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.testing import StoreContract


class TestEveryStore(StoreContract):
    @pytest.fixture(autouse=True, params=KINDS)
    def _made(self, request, tmp_path):
        with closing(request.param(tmp_path)) as self.made:
            yield

    def store(self):
        return self.made


class Unreachable(StoreContract):
    def __init__(self, unreachable):
        self.unreachable = unreachable

    def store(self):
        return MemoryStore()

    def unreachable_store(self):
        return self.unreachable


@pytest.mark.parametrize(
    ("make", "url"),
    [
        pytest.param(SQLStore, "sqlite:///{folder}/missing/it.sqlite3", id="sqlite"),
        pytest.param(
            SQLStore,
            "postgresql+psycopg://127.0.0.1:{port}/site",
            marks=pytest.mark.stores,
            id="postgresql",
        ),
        pytest.param(
            SQLStore,
            "mysql+pymysql://127.0.0.1:{port}/site",
            marks=pytest.mark.stores,
            id="mariadb",
        ),
        pytest.param(RedisStore, "redis://127.0.0.1:{port}/0", id="redis"),
    ],
)
def test_a_store_that_cannot_be_reached_says_so(make, url, tmp_path):
    unreachable = make(url.format(folder=tmp_path, port=free_port()))
    with closing(unreachable):
        Unreachable(unreachable).test_an_unreachable_store_says_so()


@pytest.fixture(params=SHARED_KINDS)
def shared_store(request, tmp_path):
    """An empty store of each kind that processes can share."""
    with closing(request.param(tmp_path)) as store:
        yield store


@pytest.mark.slow
def test_of_many_processes_that_claim_names_one_gets_each(shared_store):
    """They begin with ended claims, which all of them want to delete and to make again."""
    names = [str(number) for number in range(50)]
    assert all(shared_store.claim(name, 0.01) for name in names)
    shared_store.close()  # no connection is carried over the fork
    time.sleep(0.02)
    claimed = in_processes(4, lambda _: [shared_store.claim(name, 60) for name in names])
    assert [sum(each) for each in zip(*claimed, strict=True)] == [1] * len(names)


@pytest.mark.slow
def test_sixteen_processes_that_begin_at_once_make_the_tables_once(shared_store):
    assert (
        in_processes(16, lambda number: shared_store.save(connection(str(number))).version)
        == [1] * 16
    )
    assert len(shared_store.of_user("user 1")) == 16


@pytest.mark.slow
def test_a_store_that_was_used_works_on_both_sides_of_a_fork(shared_store):
    """The fork is between two calls, as servers do it.

    In the middle of a call, SQLite itself would stay locked in the child.
    """
    shared_store.save(connection())
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(shared_store.load, ["one"] * 16))
    leases = in_processes(8, lambda number: shared_store.lease("one", str(number), 60))
    assert sum(leases) == 1
    with ThreadPoolExecutor(4) as threads:
        assert {found.version for found in threads.map(shared_store.load, ["one"] * 16)} == {1}


@pytest.mark.slow
def test_processes_that_count_in_turn_lose_nothing(shared_store):
    """The exclusive section is exclusive: each process reads, waits and writes 10 times in it."""
    shared_store.save(connection(obtained_at=0))

    def count(number):
        for _ in range(10):
            while not shared_store.lease("one", str(number), 60):
                time.sleep(0.002)
            found = shared_store.load("one")
            time.sleep(0.001)
            shared_store.save(replace(found, obtained_at=found.obtained_at + 1))
            shared_store.release("one", str(number))
        return True

    assert in_processes(4, count) == [True] * 4
    assert shared_store.load("one").obtained_at == 40
