"""Storing a new connection over the previous one, through collisions and restarts of the store."""

from contextlib import closing
from dataclasses import replace

import pytest
from support.stores import connection

from scconnect_wsgi.connections._saving import ATTEMPTS, PAUSE, save_over_previous
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
@pytest.mark.parametrize("failures", range(ATTEMPTS))
def test_a_store_that_comes_back_gets_the_connection(store, pauses, method, failures):
    failing = FailingStore(store, method, StoreUnavailable("away"), failures)
    saved = save_over_previous(failing, connection(), sleep=pauses.append)
    assert saved == store.load("one")
    assert pauses == [PAUSE] * failures


@pytest.mark.parametrize("error", [StoreUnavailable("away"), ConnectionChanged("too late")])
def test_after_the_last_attempt_the_error_is_raised(store, pauses, error):
    failing = FailingStore(store, "save", error, ATTEMPTS)
    with pytest.raises(type(error)):
        save_over_previous(failing, connection(), sleep=pauses.append)
    assert pauses == [PAUSE] * (ATTEMPTS - 1)
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
