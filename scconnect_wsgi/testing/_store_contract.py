"""The contract of a store, as tests that any store can be run through.

Each rule of ``scconnect_wsgi.stores.Store`` is a test, and its failure says the rule. Nothing is
imported from pytest: the class works with pytest and with unittest.
"""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from typing import Any, TypeVar

from scconnect_wsgi.account import Account
from scconnect_wsgi.errors import ConnectionChanged, NotConnected, StorageFailed, StoreUnavailable
from scconnect_wsgi.stores import Connection, FailedRefresh, Store
from scconnect_wsgi.token import AccessToken

Given = TypeVar("Given")
Returned = TypeVar("Returned")

THREADS = 16
LONG = 60  # seconds: longer than any test takes
YEARS = 20 * 365 * 24 * 3600  # seconds: their milliseconds need more than 32 bits
SHORT = 1  # second: a whole number, since a store may count in seconds
PATIENCE = 10  # seconds that a lease or a claim may last too long on a busy machine
EARLY = 0.1  # seconds that it may be too short: the store's clock is another one than ours
LATE = 4_102_444_800  # seconds since the epoch: the year 2100, more than 32 bits hold
# Names that a database may mix up by ignoring case, accents or spaces, or by taking a character for
# a wildcard.
NAMES = ["joe", "Joe", "joë", "joe ", " joe", "j%", "j_e", "j*", "'; --", "\N{GRINNING FACE}"]
NAMES += ["x" * 254 + "y", "x" * 254 + "z"]  # 255 characters, and none is cut off
# No UTF-8 has a lone surrogate, and PostgreSQL's texts have no NUL.
UNUSUAL = ["joe\ud800", "\udfff", "joe\0", "\0"]
IDS = ["-9", "0", "A", "Z-", "_a", "a", "aB", "ab", "b_", "zz"]  # letters that ids of ours have
OUTCOME = "/close.html?name=jo\N{LATIN SMALL LETTER E WITH DIAERESIS}&\N{GRINNING FACE}"


def _rule(sentence: str) -> Callable[[Callable[[Any, Store], None]], Callable[[Any], None]]:
    """Make a test of a check that is given an empty store; its failure begins with the rule."""

    def decorate(check: Callable[[Any, Store], None]) -> Callable[[Any], None]:
        def test(self: StoreContract) -> None:
            store = self.store()
            try:
                check(self, store)
            except AssertionError as failure:
                raise AssertionError(f"{sentence} {failure}") from failure.__cause__
            except Exception as error:
                raise AssertionError(f"{sentence} The store raised {_said(error)}.") from error

        # What functools.wraps does, without __wrapped__: pytest would ask for a fixture ``store``
        test.__name__ = check.__name__
        test.__qualname__ = check.__qualname__
        test.__doc__ = sentence
        return test

    return decorate


class StoreContract:
    """The contract of a store: inherit from it, and return an empty store of yours.

    With pytest (with unittest, add ``unittest.TestCase`` as a second base)::

        class TestMyStore(StoreContract):
            def store(self):
                return MyStore(...)

    Each test calls ``store`` once, and begins with what it returned. What a test leaves behind,
    clean up as in your other tests (``setup_method`` and ``teardown_method`` of pytest, ``setUp``
    and ``tearDown`` of unittest). The tests use 16 threads, and some wait for a second.
    """

    def store(self) -> Store:
        """Return an empty store: no connection, no lease, no claim."""
        raise NotImplementedError(
            f"{type(self).__name__} needs a method store() that returns an empty store."
        )

    def unreachable_store(self) -> Store | None:
        """Return a store whose database cannot be reached, or None to leave that rule out."""
        return None

    def thread_ends(self) -> None:
        """Close what your store keeps for the current thread; called before a thread ends."""

    # Connections

    @_rule("save returns the connection with its new version, and load returns the same.")
    def test_what_was_saved_is_loaded(self, store: Store) -> None:
        new = _connection(
            callback_url="https://site.example/cb?" + "x" * 2000,
            obtained_at=LATE,
            refreshing_since=LATE + 1,
            ended="connection_revoked",
            failed_refresh=FailedRefresh(LATE, 3600, True, 2, LATE - 60),
            login_key="the key of its logins",
        )
        stored = store.save(new)
        _check(stored.version != 0, "The new version is 0, which means never stored.")
        _equal(stored, replace(new, version=stored.version))
        _equal(store.load("one"), stored)
        _equal(store.of_user("user 1"), [stored])

    @_rule("Fields that are empty, 0 or None stay what they are.")
    def test_empty_fields_stay_as_they_are(self, store: Store) -> None:
        token = AccessToken("t", token_secret="", refresh_token=None, expires_at=0, scope="")
        empty = Connection("one", "", "https://api.example", token, refreshing_since=0)
        stored = store.save(empty)
        _equal(store.load("one"), replace(empty, version=stored.version))
        failed = FailedRefresh(0, 0)
        stored = store.save(replace(stored, refreshing_since=None, failed_refresh=failed))
        _equal(store.load("one"), stored)
        stored = store.save(replace(stored, failed_refresh=None))
        _equal(store.load("one"), stored)

    @_rule("A failed refresh is kept with its connection until it is saved without one.")
    def test_a_failed_refresh_is_kept_and_forgotten(self, store: Store) -> None:
        failed = FailedRefresh(LATE, 3600, rate_limited=True, refusals=2, refused_since=LATE - 9)
        stored = store.save(_connection(failed_refresh=failed))
        _equal(stored.failed_refresh, failed)
        _equal(store.load("one"), stored)
        well = store.save(replace(stored, failed_refresh=None))
        _equal(store.load("one"), well)

    @_rule("A login_key is kept with its connection until it is saved with another one.")
    def test_a_login_key_is_kept_and_replaced(self, store: Store) -> None:
        stored = store.save(_connection(login_key="first"))
        _equal(store.load("one").login_key, "first")
        stored = store.save(replace(stored, login_key="second"))
        _equal(store.load("one"), stored)
        stored = store.save(replace(stored, login_key=""))
        _equal(store.load("one"), stored)

    @_rule("A token of 70,000 characters is not cut off.")
    def test_a_long_token_stays_as_it_is(self, store: Store) -> None:
        token = AccessToken("t" * 70_000, refresh_token="r" * 70_000)
        store.save(_connection(token=token))
        _equal(store.load("one").token, token)

    @_rule("A token's fields stay as they are: any characters, any JSON in extra.")
    def test_a_token_stays_as_it_is(self, store: Store) -> None:
        token = AccessToken(
            "'\"\\;--%s{}",
            "a secret",
            expires_at=LATE,
            scope="ä \N{SNOWMAN} \N{GRINNING FACE}",
            extra={"a": {"b": [None, True, 1.5, "'\"\\;--"]}, "\N{SNOWMAN}": ""},
        )
        account = Account("urn", "jo\N{LATIN SMALL LETTER E WITH DIAERESIS}", "\N{GRINNING FACE}")
        stored = store.save(_connection(token=token, account=account))
        _equal(store.load("one"), stored)
        _equal(store.load("one").token.to_dict(), token.to_dict())

    @_rule("A token that is not JSON, or is nested too deep, is kept as it is, or StorageFailed.")
    def test_what_is_not_json_is_kept_or_refused(self, store: Store) -> None:
        deep: list[Any] = []
        for _ in range(10_000):
            deep = [deep]
        for value in (datetime.date(2026, 11, 27), {1, 2}, b"bytes", deep):
            with _refusing():
                stored = store.save(_connection(token=AccessToken("t", extra={"a": value})))
                _check(store.load("one") == stored, f"A {type(value).__name__} was changed.")
                store.delete("one")
        stored = store.save(_connection())
        _equal(store.load("one"), stored)

    @_rule("Changing the extra of a saved or loaded token does not change what is stored.")
    def test_what_is_stored_is_a_copy(self, store: Store) -> None:
        extra = {"n": [1]}
        returned = store.save(_connection(token=AccessToken("t", extra=extra)))
        for shared in (extra, returned.token.extra, store.load("one").token.extra):
            shared["n"].append(2)
        _equal(dict(store.load("one").token.extra), {"n": [1]})

    @_rule("Users are told apart to the letter: case, accents, spaces and wildcards count.")
    def test_users_are_told_apart(self, store: Store) -> None:
        for number, user in enumerate(NAMES):
            store.save(_connection(str(number), user=user))
        for number, user in enumerate(NAMES):
            _equal(_ids(store.of_user(user)), [str(number)], f"of_user({user!r})")
            _equal(store.load(str(number)).user, user)

    @_rule("Accounts are told apart to the letter: case, accents, spaces and wildcards count.")
    def test_accounts_are_told_apart(self, store: Store) -> None:
        for number, urn in enumerate(NAMES):
            store.save(_connection(str(number), account=Account(urn)))
        for number, urn in enumerate(NAMES):
            _equal(_ids(store.of_account(urn)), [str(number)], f"of_account({urn!r})")

    @_rule("Ids are told apart to the letter.")
    def test_ids_are_told_apart(self, store: Store) -> None:
        for id in ("one", "One", "ONE"):
            store.save(_connection(id, user=id))
        for id in ("one", "One", "ONE"):
            _equal(store.load(id).user, id)
            _check(store.lease(id, id, LONG), f"The lease of {id!r} was not free.")

    @_rule(
        "A user's name with a lone surrogate or a NUL is kept as it is, or refused with "
        "StorageFailed (not StoreUnavailable), and the store goes on working."
    )
    def test_unusual_characters_are_kept_or_refused(self, store: Store) -> None:
        for number, user in enumerate(UNUSUAL):
            _kept_or_refused(store, _connection(str(number), user=user))
        with _refusing():
            _equal(store.of_user("joe"), [], "of_user('joe')")
        stored = store.save(_connection())
        _equal(store.load("one"), stored)

    @_rule(
        "Looking for a name with a lone surrogate or a NUL finds nothing, or is refused with "
        "StorageFailed (not StoreUnavailable), and the store goes on working."
    )
    def test_unusual_characters_are_looked_for(self, store: Store) -> None:
        stored = store.save(_connection(user="joe", account=Account("joe")))
        for name in UNUSUAL:
            with _refusing():
                _equal(store.of_user(name), [], f"of_user({name!r})")
            with _refusing():
                _equal(store.of_account(name), [], f"of_account({name!r})")
            with _refusing(), suppress(NotConnected):
                _equal(store.load(name), None, f"load({name!r})")
        _equal(store.of_user("joe"), [stored])

    @_rule("A user's name that is too long is refused with StorageFailed, and never cut off.")
    def test_a_long_name_is_kept_or_refused(self, store: Store) -> None:
        _kept_or_refused(store, _connection(user="x" * 5000))

    @_rule("A missing id: load raises NotConnected, the lists are empty, delete ignores it.")
    def test_an_id_that_is_not_there(self, store: Store) -> None:
        with _raising(NotConnected, "load"):
            store.load("one")
        _equal(store.of_user("user 1"), [])
        _equal(store.of_account("soundcloud:users:1"), [])
        store.delete("one")

    @_rule("of_user and of_account return every connection, ended ones too.")
    def test_lists_hold_every_connection(self, store: Store) -> None:
        for id, user, urn in [("b", "joe", "urn 1"), ("a", "joe", "urn 2"), ("c", "ann", "urn 1")]:
            store.save(_connection(id, user=user, account=Account(urn)))
        b = store.save(replace(store.load("b"), ended="connection_revoked"))
        _equal(_ids(store.of_user("joe")), ["a", "b"])
        _equal(_ids(store.of_account("urn 1")), ["b", "c"])
        _check(b in store.of_user("joe"), "An ended connection is listed with other fields.")

    @_rule("of_user returns its connections in the same order each time, also after a write.")
    def test_lists_keep_their_order(self, store: Store) -> None:
        for id in ("c", "a", "d", "b"):
            store.save(_connection(id))
        before = [found.id for found in store.of_user("user 1")]
        store.save(replace(store.load(before[1]), ended="refresh_lost"))
        _equal([found.id for found in store.of_user("user 1")], before)

    @_rule("all returns every connection once, in pages of at most limit, in the same order.")
    def test_all_connections_come_in_pages(self, store: Store) -> None:
        _equal(store.all("", 3), [])
        stored = []
        for number, id in enumerate(IDS):
            given = {"user": f"user {number % 2}", "api_url": f"https://{number % 3}.example"}
            ended = "connection_revoked" if id == "a" else ""
            stored.append(store.save(_connection(id, ended=ended, **given)))
        for limit in (1, 3, len(IDS), 100):
            pages = list(_pages(store, limit))
            _check(max(map(len, pages)) <= limit, f"A page has more than {limit} connections.")
            found = [connection for page in pages for connection in page]
            _equal(sorted(found, key=lambda each: each.id), stored)
            _equal(list(_pages(store, limit)), pages, "the second time")

    @_rule("all goes on after an id that is deleted, and past connections that are changed.")
    def test_pages_go_on_while_connections_change(self, store: Store) -> None:
        for id in IDS:
            store.save(_connection(id))
        seen = []
        for page in _pages(store, 3):
            seen += [found.id for found in page]
            for found in page[:2]:
                store.save(replace(found, user="moved", account=Account("moved"), ended="x"))
            store.delete(page[-1].id)  # where the next page begins
        _equal(sorted(seen), IDS)

    @_rule("A connection that was deleted is gone, with its lease; its id may be saved again.")
    def test_deleted_is_gone(self, store: Store) -> None:
        store.save(_connection())
        other = store.save(_connection("two"))
        _check(store.lease("one", "holder", LONG), "The lease was not free.")
        store.delete("one")
        with _raising(NotConnected, "load"):
            store.load("one")
        _equal(store.of_user("user 1"), [other])
        _equal(store.of_account("soundcloud:users:1"), [other])
        _equal(store.all("", 2), [other])
        store.save(_connection())
        _check(store.lease("one", "another", LONG), "The lease of the deleted one is still held.")

    @_rule("A connection that is saved with another user or account moves in the lists.")
    def test_moving_is_seen_in_both_lists(self, store: Store) -> None:
        stored = store.save(_connection())
        store.save(replace(stored, user="user 2", account=Account("other")))
        _equal(store.of_user("user 1"), [])
        _equal(store.of_account("soundcloud:users:1"), [])
        _equal(_ids(store.of_user("user 2")), ["one"])
        _equal(_ids(store.of_account("other")), ["one"])

    # Versions

    @_rule("save raises ConnectionChanged, and writes nothing, unless the stored version is given.")
    def test_a_write_over_another_version_is_refused(self, store: Store) -> None:
        first = store.save(_connection())
        second = store.save(replace(first, ended="second"))
        _check(first.version != second.version, "Two writes have the same version.")
        for late in (first, _connection(), replace(second, version=second.version + 1)):
            changed = replace(late, ended="late", user="user 2", account=Account("other"))
            with _raising(ConnectionChanged, f"save with version {late.version}"):
                store.save(changed)
        _equal(store.load("one"), second)
        _equal(store.of_user("user 2"), [])
        _equal(store.of_account("other"), [])
        _equal(store.of_user("user 1"), [second])

    @_rule("save raises ConnectionChanged for a connection that was deleted meanwhile.")
    def test_a_write_over_a_deleted_connection_is_refused(self, store: Store) -> None:
        stored = store.save(_connection())
        store.delete("one")
        with _raising(ConnectionChanged, "save"):
            store.save(stored)
        with _raising(NotConnected, "load"):
            store.load("one")
        _equal(store.of_user("user 1"), [])

    @_rule("Of many threads that write over one version, one succeeds; ConnectionChanged for all.")
    def test_one_of_many_writers_wins(self, store: Store) -> None:
        stored = store.save(_connection())
        written = self._at_once(lambda n: _saved(store, replace(stored, ended=str(n))))
        _equal([each for each in written if each is not None], [store.load("one")])

    @_rule("Of many threads that save a new id, one succeeds; ConnectionChanged for the others.")
    def test_one_of_many_makers_wins(self, store: Store) -> None:
        written = self._at_once(lambda n: _saved(store, _connection(user=str(n))))
        won = [each for each in written if each is not None]
        _equal(won, [store.load("one")])
        _equal([n for n in range(THREADS) if store.of_user(str(n))], [int(won[0].user)])

    # Leases

    @_rule("A lease is held until its owner releases it; nobody else can release it.")
    def test_a_lease_is_held_until_it_is_released(self, store: Store) -> None:
        store.save(_connection())
        store.save(_connection("two"))
        _check(store.lease("one", "joe", LONG), "A free lease was not given.")
        _check(not store.lease("one", "ann", LONG), "A held lease was given to another owner.")
        _check(not store.lease("one", "joe", LONG), "A held lease was given to its owner again.")
        _check(store.lease("two", "ann", LONG), "The lease of another connection was not free.")
        store.release("one", "ann")
        _check(not store.lease("one", "ann", LONG), "Another owner released the lease.")
        store.release("one", "joe")
        _check(store.lease("one", "ann", LONG), "The lease was not free after its release.")

    @_rule("A lease ends by itself; its late owner cannot release the next one.")
    def test_a_lease_ends_by_itself(self, store: Store) -> None:
        store.save(_connection())
        begun = time.monotonic()
        _check(store.lease("one", "crashed", SHORT), "A free lease was not given.")
        _ends_after(SHORT, begun, lambda: store.lease("one", "next", LONG))
        store.release("one", "crashed")
        _check(not store.lease("one", "third", LONG), "The late owner released the next lease.")

    @_rule("There is no lease of a missing connection; release ignores it.")
    def test_there_is_no_lease_of_nothing(self, store: Store) -> None:
        _check(not store.lease("one", "joe", LONG), "lease returned True.")
        store.release("one", "joe")
        store.save(_connection())
        _check(store.lease("one", "joe", LONG), "The refused lease is held.")

    @_rule("save neither needs a lease nor ends one, and a lease does not change a connection.")
    def test_a_lease_and_a_write_do_not_meet(self, store: Store) -> None:
        stored = store.save(_connection())
        _check(store.lease("one", "joe", LONG), "A free lease was not given.")
        _equal(store.load("one"), stored)
        stored = store.save(replace(stored, ended="x"))
        _check(not store.lease("one", "ann", LONG), "save ended the lease.")
        _equal(store.load("one"), stored)
        store.release("one", "joe")
        _equal(store.load("one"), stored)

    @_rule("Of many threads that ask for a lease, one gets it.")
    def test_one_of_many_gets_the_lease(self, store: Store) -> None:
        store.save(_connection())
        _equal(sum(self._at_once(lambda n: store.lease("one", str(n), LONG))), 1)

    # Claims and outcomes

    @_rule("A name is claimed once; settle keeps the newest outcome with it, for outcome.")
    def test_a_claim_keeps_the_outcome(self, store: Store) -> None:
        _check(store.claim("a flow", LONG), "A free name was not claimed.")
        _equal(store.outcome("a flow"), None)
        _check(not store.claim("a flow", LONG), "A claimed name was claimed again.")
        _check(store.claim("another flow", LONG), "Another name was not free.")
        store.settle("a flow", OUTCOME)
        _equal(store.outcome("a flow"), OUTCOME)
        _equal(store.outcome("another flow"), None)
        _check(not store.claim("a flow", LONG), "settle ended the claim.")
        store.settle("a flow", "/close.html?error=storage_failed")
        _equal(store.outcome("a flow"), "/close.html?error=storage_failed")

    @_rule("Names of claims are told apart to the letter.")
    def test_claims_are_told_apart(self, store: Store) -> None:
        # They are hashes, so the trailing spaces that MySQL ignores do not matter here
        names = [name for name in NAMES if name == name.rstrip() and len(name) < 100]
        _equal([name for name in names if not store.claim(name, LONG)], [])

    @_rule("An outcome of 70,000 characters is not cut off.")
    def test_a_long_outcome_stays_as_it_is(self, store: Store) -> None:
        store.claim("a flow", LONG)
        store.settle("a flow", "x" * 70_000)
        _equal(len(store.outcome("a flow") or ""), 70_000)

    @_rule("A claim ends by itself, with its outcome, and the name may be claimed again.")
    def test_a_claim_ends_by_itself(self, store: Store) -> None:
        begun = time.monotonic()
        _check(store.claim("a flow", SHORT), "A free name was not claimed.")
        store.settle("a flow", OUTCOME)
        _ends_after(SHORT, begun, lambda: store.outcome("a flow") is None)
        store.settle("a flow", "/too-late.html")
        _equal(store.outcome("a flow"), None, "outcome after the claim has ended")
        _ends_after(SHORT, begun, lambda: store.claim("a flow", LONG))
        _equal(store.outcome("a flow"), None, "outcome of the second claim")
        _check(not store.claim("a flow", LONG), "The second claim is not held.")

    @_rule("A claim of twenty years is held, and so is its outcome.")
    def test_a_long_claim_is_held(self, store: Store) -> None:
        _check(store.claim("a flow", YEARS), "A free name was not claimed.")
        store.settle("a flow", OUTCOME)
        _equal(store.outcome("a flow"), OUTCOME)
        _check(not store.claim("a flow", LONG), "The claimed name was claimed again.")

    @_rule("Without a claim there is no outcome, and settle makes none.")
    def test_there_is_no_outcome_of_nothing(self, store: Store) -> None:
        store.settle("a flow", OUTCOME)
        _equal(store.outcome("a flow"), None)
        _check(store.claim("a flow", LONG), "settle made a claim.")
        _equal(store.outcome("a flow"), None)

    @_rule("A claim and a connection of the same name have nothing to do with each other.")
    def test_a_claim_and_a_connection_do_not_meet(self, store: Store) -> None:
        store.save(_connection())
        _check(store.claim("one", LONG), "The name of a connection could not be claimed.")
        _check(store.lease("one", "joe", LONG), "The claim holds the lease.")
        store.delete("one")
        _check(not store.claim("one", LONG), "delete ended the claim.")
        store.settle("one", OUTCOME)
        store.save(_connection())
        _equal(store.outcome("one"), OUTCOME)

    @_rule("Of many threads that claim a name, one gets it.")
    def test_one_of_many_gets_the_claim(self, store: Store) -> None:
        _equal(sum(self._at_once(lambda n: store.claim("a flow", LONG))), 1)

    # Failures

    @_rule("A store that cannot be reached raises StoreUnavailable, whatever it is asked.")
    def test_an_unreachable_store_says_so(self, store: Store) -> None:
        unreachable = self.unreachable_store()
        if unreachable is None:
            return
        calls: dict[str, Callable[[Store], object]] = {
            "save": lambda store: store.save(_connection()),
            "load": lambda store: store.load("one"),
            "delete": lambda store: store.delete("one"),
            "of_user": lambda store: store.of_user("joe"),
            "of_account": lambda store: store.of_account("urn"),
            "all": lambda store: store.all("", 1),
            "lease": lambda store: store.lease("one", "joe", LONG),
            "release": lambda store: store.release("one", "joe"),
            "claim": lambda store: store.claim("a flow", LONG),
            "settle": lambda store: store.settle("a flow", OUTCOME),
            "outcome": lambda store: store.outcome("a flow"),
        }
        for name, call in calls.items():
            with _raising(StoreUnavailable, name):
                call(unreachable)

    def _at_once(self, work: Callable[[int], Returned]) -> list[Returned]:
        """Return what ``work(number)`` returned in each of many threads, which begin together."""
        together = threading.Barrier(THREADS)

        def in_thread(number: int) -> Returned:
            together.wait(PATIENCE)
            try:
                return work(number)
            finally:
                self.thread_ends()

        with ThreadPoolExecutor(THREADS) as threads:
            return list(threads.map(in_thread, range(THREADS)))


def _connection(id: str = "one", **given: Any) -> Connection:
    """Return a connection that was never stored."""
    token = AccessToken("access", None, "refresh", LATE, extra={"n": [1]})
    account = Account("soundcloud:users:1", "joe", "Joe Sample", "https://pics.example/1")
    defaults = {
        "user": "user 1",
        "api_url": "https://api.example",
        "token": token,
        "account": account,
    }
    return Connection(id, **{**defaults, **given})


def _ids(found: list[Connection]) -> list[str]:
    return sorted(connection.id for connection in found)


def _pages(store: Store, limit: int) -> Iterator[list[Connection]]:
    """Yield the pages of a store, and fail if they do not come to an end."""
    after = ""
    seen = 0
    while page := store.all(after, limit):
        yield page
        after = page[-1].id
        seen += len(page)
        _check(seen <= len(IDS), f"More connections came than there are, until {after!r}.")


def _saved(store: Store, connection: Connection) -> Connection | None:
    try:
        return store.save(connection)
    except ConnectionChanged:
        return None


def _kept_or_refused(store: Store, connection: Connection) -> None:
    with _refusing():
        stored = store.save(connection)
        _equal(stored, replace(connection, version=stored.version))
        _equal(store.load(connection.id), stored)
        _equal(store.of_user(connection.user), [stored])


def _ends_after(seconds: float, begun: float, has_ended: Callable[[], bool]) -> None:
    """Wait until something has ended, and check that it took about so many seconds."""
    while not has_ended():
        waited = time.monotonic() - begun
        _check(waited < seconds + PATIENCE, f"After {waited:.1f} s it had not ended ({seconds} s).")
        time.sleep(0.05)
    lasted = time.monotonic() - begun
    _check(lasted > seconds - EARLY, f"It ended after {lasted:.2f} s instead of {seconds} s.")


def _check(holds: bool, problem: str) -> None:
    if not holds:
        raise AssertionError(problem)


def _equal(found: object, expected: object, what: str = "") -> None:
    if found == expected:
        return
    where = f"{what}: " if what else ""
    if isinstance(found, Connection) and isinstance(expected, Connection):
        names = [field.name for field in fields(found)]
        differing = [name for name in names if getattr(found, name) != getattr(expected, name)]
        where += f"differing in {', '.join(differing)}: "
    raise AssertionError(f"{where}found {found!r} instead of {expected!r}.")


@contextmanager
def _raising(kind: type[Exception], what: str) -> Iterator[None]:
    """Fail unless the block raises this kind of error."""
    try:
        yield
    except kind:
        return
    except Exception as error:
        raise AssertionError(f"{what} raised {_said(error)}.") from error
    raise AssertionError(f"{what} raised nothing.")


@contextmanager
def _refusing() -> Iterator[None]:
    """Let the block refuse a value, but not say that the store cannot be reached."""
    try:
        yield
    except StoreUnavailable:
        raise
    except StorageFailed:
        return


def _said(error: Exception) -> str:
    return f"{type(error).__name__} ({error})"
