"""What every store promises; tests/support/stores.py lists the stores."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest
from support.processes import in_processes
from support.stores import KINDS, SHARED_KINDS, connection

from scconnect_wsgi.errors import ConnectionChanged, NotConnected
from scconnect_wsgi.token import AccessToken


@pytest.fixture(params=KINDS)
def store(request, tmp_path):
    """An empty store of each kind."""
    with closing(request.param(tmp_path)) as store:
        yield store


@pytest.fixture(params=SHARED_KINDS)
def shared_store(request, tmp_path):
    """An empty store of each kind that processes can share."""
    with closing(request.param(tmp_path)) as store:
        yield store


def test_what_was_saved_is_loaded(store):
    new = connection(
        callback_url="https://site.example/cb", obtained_at=7, refreshing_since=8, ended="x"
    )
    stored = store.save(new)
    assert stored == replace(new, version=stored.version)
    assert store.load("one") == stored


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(AccessToken("t" * 70_000, refresh_token="r" * 70_000), id="70,000 characters"),
        pytest.param(
            AccessToken("t", token_secret="", scope="ä \N{SNOWMAN} \N{GRINNING FACE}"),
            id="not ASCII",
        ),
        pytest.param(
            AccessToken("t", extra={"a": {"b": [None, True, 1.5, "'\"\\;--"]}}),
            id="a nested answer",
        ),
    ],
)
def test_tokens_stay_as_they_are(store, token):
    store.save(connection(token=token))
    assert store.load("one").token == token


def test_users_are_told_apart_to_the_letter(store):
    users = ["joe", "Joe", "joë", "joe ", " joe", "%", "j_e", "\N{GRINNING FACE}"]
    for number, user in enumerate(users):
        store.save(connection(str(number), user=user))
    for number, user in enumerate(users):
        ids = [found.id for found in store.of_user(user) if found.user == user]
        assert ids == [str(number)], user


def test_an_id_that_is_not_there(store):
    with pytest.raises(NotConnected):
        store.load("one")
    assert store.of_user("user 1") == []
    assert store.of_account("soundcloud:users:1") == []
    store.delete("one")


def test_a_user_may_have_several_and_an_account_several_users(store):
    for id, user, urn in [("b", "joe", "urn 1"), ("a", "joe", "urn 2"), ("c", "ann", "urn 1")]:
        store.save(connection(id, user=user, account=replace(connection().account, urn=urn)))
    assert sorted(found.id for found in store.of_user("joe")) == ["a", "b"]
    assert [found.id for found in store.of_user("joe")] == [
        found.id for found in store.of_user("joe")
    ]
    assert sorted(found.id for found in store.of_account("urn 1")) == ["b", "c"]


def test_deleted_is_gone_and_its_id_may_come_again(store):
    store.save(connection())
    assert store.lease("one", "holder", 60)
    store.delete("one")
    with pytest.raises(NotConnected):
        store.load("one")
    assert store.of_user("user 1") == []
    assert store.of_account("soundcloud:users:1") == []
    store.save(connection())
    assert store.lease("one", "another", 60)


def test_moving_to_another_account_is_seen_in_both_lists(store):
    stored = store.save(connection())
    store.save(replace(stored, user="user 2", account=replace(stored.account, urn="other")))
    assert store.of_user("user 1") == []
    assert store.of_account("soundcloud:users:1") == []
    assert [found.id for found in store.of_user("user 2")] == ["one"]
    assert [found.id for found in store.of_account("other")] == ["one"]


def test_a_write_over_what_was_not_loaded_is_refused(store):
    first = store.save(connection())
    second = store.save(replace(first, ended="second"))
    for late in (first, connection(), replace(second, version=second.version + 1)):
        with pytest.raises(ConnectionChanged):
            store.save(replace(late, ended="late"))
    assert store.load("one") == second


def test_a_write_over_what_was_deleted_is_refused(store):
    stored = store.save(connection())
    store.delete("one")
    with pytest.raises(ConnectionChanged):
        store.save(stored)
    with pytest.raises(NotConnected):
        store.load("one")


def test_of_many_writers_one_wins(store):
    stored = store.save(connection())

    def write(number):
        try:
            return store.save(replace(stored, ended=str(number)))
        except ConnectionChanged:
            return None

    with ThreadPoolExecutor(16) as threads:
        won = [written for written in threads.map(write, range(16)) if written]
    assert won == [store.load("one")]


def test_of_many_who_make_an_id_one_wins(store):
    def write(number):
        try:
            return store.save(connection(ended=str(number)))
        except ConnectionChanged:
            return None

    with ThreadPoolExecutor(16) as threads:
        won = [written for written in threads.map(write, range(16)) if written]
    assert won == [store.load("one")]


def test_a_lease_is_one_holders_until_it_is_released(store):
    store.save(connection())
    store.save(connection("two"))
    assert store.lease("one", "joe", 60)
    assert not store.lease("one", "ann", 60)
    assert not store.lease("one", "joe", 60)
    assert store.lease("two", "ann", 60)
    store.release("one", "ann")
    assert not store.lease("one", "ann", 60)
    store.release("one", "joe")
    assert store.lease("one", "ann", 60)


def test_a_lease_ends_by_itself_and_its_late_holder_cannot_end_the_next_one(store):
    store.save(connection())
    assert store.lease("one", "crashed", 0.3)
    assert not store.lease("one", "next", 60)
    time.sleep(0.4)
    assert store.lease("one", "next", 60)
    store.release("one", "crashed")
    assert not store.lease("one", "third", 60)


def test_there_is_no_lease_of_nothing(store):
    assert not store.lease("one", "joe", 60)
    store.release("one", "joe")


def test_a_lease_neither_hinders_a_write_nor_ends_by_it(store):
    stored = store.save(connection())
    assert store.lease("one", "joe", 60)
    stored = store.save(replace(stored, ended="x"))
    assert not store.lease("one", "ann", 60)
    assert store.load("one") == stored


def test_of_many_who_ask_for_a_lease_one_gets_it(store):
    store.save(connection())
    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(lambda number: store.lease("one", str(number), 60), range(64))) == 1


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
