"""Storing a new connection over the previous one, through collisions and restarts of the store."""

from contextlib import closing
from dataclasses import replace

import pytest
from support.processes import in_processes
from support.stores import SHARED_KINDS, connection

from scconnect_wsgi.connections._saving import COLLISIONS, PAUSE, RESTARTS, save_over_previous
from scconnect_wsgi.errors import ConnectionChanged, StoreUnavailable, Undecipherable
from scconnect_wsgi.stores.sql import SQLStore


class FailingStore:
    """A store whose next so many calls of one method raise an error."""

    def __init__(self, store, method, error, failures):
        self._store = store
        self._method = method
        self._error = error
        self.failures = failures

    def __getattr__(self, name):
        if name == self._method and self.failures > 0:
            return self._fail
        return getattr(self._store, name)

    def _fail(self, *arguments):
        self.failures -= 1
        raise self._error


@pytest.fixture
def store():
    with closing(SQLStore("sqlite://")) as store:
        yield store


@pytest.fixture
def pauses():
    return []


@pytest.mark.parametrize("method", ["load", "save"])
@pytest.mark.parametrize("failures", range(RESTARTS))
def test_a_store_that_comes_back_gets_the_connection(store, pauses, method, failures):
    failing = FailingStore(store, method, StoreUnavailable("away"), failures)
    saved = save_over_previous(failing, connection(), sleep=pauses.append)
    assert saved == store.load("one")
    assert len(pauses) == failures


@pytest.mark.parametrize("collisions", [1, 5, COLLISIONS - 1])
def test_a_writer_who_collides_tries_again_after_a_random_pause(store, pauses, collisions):
    failing = FailingStore(store, "save", ConnectionChanged("too late"), collisions)
    saved = save_over_previous(failing, connection(), sleep=pauses.append)
    assert saved == store.load("one")
    assert len(set(pauses)) == collisions
    assert all(0 < pause <= PAUSE for pause in pauses)


@pytest.mark.parametrize(
    ("error", "attempts"),
    [(StoreUnavailable("away"), RESTARTS), (ConnectionChanged("too late"), COLLISIONS)],
)
def test_after_the_last_attempt_the_error_is_raised(store, pauses, error, attempts):
    failing = FailingStore(store, "save", error, attempts)
    with pytest.raises(type(error)):
        save_over_previous(failing, connection(), sleep=pauses.append)
    assert len(pauses) == attempts - 1
    assert store.of_user("user 1") == []


def test_the_previous_connection_is_replaced_whatever_its_version(store, pauses):
    previous = store.save(store.save(connection(ended="refresh_lost")))
    saved = save_over_previous(store, connection(obtained_at=7), sleep=pauses.append)
    assert saved == connection(obtained_at=7, version=previous.version + 1)
    assert pauses == []


def test_a_connection_that_cannot_be_decrypted_is_replaced(store, pauses):
    store.save(connection())
    failing = FailingStore(store, "load", Undecipherable("its key is gone"), 1)
    saved = save_over_previous(failing, connection(obtained_at=7), sleep=pauses.append)
    assert saved == replace(connection(obtained_at=7), version=1)
    assert store.load("one") == saved


@pytest.fixture(params=SHARED_KINDS)
def shared_store(request, tmp_path):
    with closing(request.param(tmp_path)) as store:
        yield store


@pytest.mark.slow
def test_sixteen_processes_that_connect_one_account_at_once_all_succeed(shared_store):
    """Each connects ten times, as if all users of an office logged in with one account."""
    shared_store.of_user("user 1")  # makes the tables
    shared_store.close()

    def connect(number):
        saved = [save_over_previous(shared_store, connection(ended=str(number))) for _ in range(10)]
        return [found.version for found in saved]

    versions = in_processes(16, connect)
    assert sorted(version for found in versions for version in found) == list(range(1, 161))
    assert shared_store.load("one").version == 160
