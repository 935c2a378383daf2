"""Stores with one mistake each: the shipped contract names the rule that each of them breaks."""

import json
import time
from contextlib import suppress
from dataclasses import replace

import pytest

from scconnect_wsgi.errors import (
    ConnectionChanged,
    NotConnected,
    StorageFailed,
    StoreUnavailable,
)
from scconnect_wsgi.stores import MemoryStore
from scconnect_wsgi.testing import StoreContract
from scconnect_wsgi.token import AccessToken


class WithoutVersions(MemoryStore):
    """Writes over whatever is stored."""

    def save(self, connection):
        stored = self._connections.get(connection.id)
        return super().save(replace(connection, version=stored.version if stored else 0))


class WithOneVersion(MemoryStore):
    """Returns what it was given."""

    def save(self, connection):
        super().save(connection)
        return connection


class SavesDeleted(MemoryStore):
    def save(self, connection):
        if connection.id not in self._connections:
            connection = replace(connection, version=0)
        return super().save(connection)


class ComparesFirst(MemoryStore):
    """Compares the versions, and writes afterwards."""

    def save(self, connection):
        stored = self._connections.get(connection.id)
        if connection.version != (stored.version if stored else 0):
            raise ConnectionChanged("changed")
        time.sleep(0.01)
        new = replace(connection, version=connection.version + 1)
        self._connections[new.id] = new
        return new


class WritesBeforeItCompares(MemoryStore):
    """Lists a refused write."""

    def save(self, connection):
        try:
            return super().save(connection)
        except ConnectionChanged:
            self._connections["shadow"] = replace(connection, id="shadow")
            raise


class ForgetsFailures(MemoryStore):
    """Was written before a connection had this field."""

    def save(self, connection):
        return super().save(replace(connection, failed_refresh=None))


class ForgetsLogins(MemoryStore):
    """Was written before a connection had this field."""

    def save(self, connection):
        return super().save(replace(connection, login_key=""))


class CutsTokens(MemoryStore):
    """Has a column of MySQL's TEXT."""

    def save(self, connection):
        return super().save(replace(connection, token=cut(connection.token)))


def cut(token):
    return replace(token, token=token.token[:65_535])


class EmptiesAreNone(MemoryStore):
    """Writes ``value or None``."""

    def save(self, connection):
        stored = super().save(connection)
        since = stored.refreshing_since or None
        self._connections[stored.id] = replace(stored, refreshing_since=since)
        return self.load(stored.id)


class OnlyAscii(MemoryStore):
    def save(self, connection):
        stored = super().save(connection)
        scope = stored.token.scope or ""
        token = replace(stored.token, scope=scope.encode("ascii", "replace").decode())
        self._connections[stored.id] = replace(stored, token=token)
        return stored


class SmallIntegers(MemoryStore):
    def save(self, connection):
        if connection.obtained_at >= 2**31:
            raise OverflowError("integer out of range")
        return super().save(connection)


class DumpsAnything(MemoryStore):
    """Writes JSON with ``default=str``."""

    def save(self, connection):
        token = json.loads(json.dumps(connection.token.to_dict(), default=str))
        super().save(replace(connection, token=AccessToken.from_dict(token)))
        return replace(connection, version=connection.version + 1)


class DumpsPlainly(MemoryStore):
    def save(self, connection):
        json.dumps(connection.token.to_dict())
        return super().save(connection)


class SharesTokens(MemoryStore):
    def save(self, connection):
        stored = super().save(connection)
        self._connections[stored.id] = stored
        return stored


class IgnoresCase(MemoryStore):
    def of_user(self, user):
        return [found for found in self._sorted() if found.user.lower() == user.lower()]

    def of_account(self, urn):
        return [found for found in self._sorted() if found.account.urn.lower() == urn.lower()]

    def load(self, id):
        return super().load(next((key for key in self._connections if key in (id, id.lower())), id))

    def claim(self, name, seconds):
        return super().claim(name.lower(), seconds)


class LooksWithLike(MemoryStore):
    def of_user(self, user):
        return [found for found in self._sorted() if matches(found.user, user)]

    def of_account(self, urn):
        return [found for found in self._sorted() if matches(found.account.urn, urn)]


def matches(value, pattern):
    return len(value) == len(pattern) and all(
        each in (letter, "_") for letter, each in zip(value, pattern, strict=True)
    )


class CutsNames(MemoryStore):
    def save(self, connection):
        return super().save(replace(connection, user=connection.user[:255]))


class CutsOffSurrogates(MemoryStore):
    def save(self, connection):
        user = connection.user.encode("utf-8", "ignore").decode("utf-8")
        return super().save(replace(connection, user=user))


class UnavailableForNul(MemoryStore):
    """Takes each error of the database for a failure of it."""

    def save(self, connection):
        if "\0" in connection.user:
            raise StoreUnavailable("cannot be used now")
        return super().save(connection)


class LooksInUtf8(MemoryStore):
    def of_user(self, user):
        return [found for found in self._sorted() if found.user.encode() == user.encode()]


class StopsAtNul(MemoryStore):
    """Looks as C does: the name ends at the NUL."""

    def of_user(self, user):
        return super().of_user(user.partition("\0")[0])


class IgnoresSpacesAtTheEnd(MemoryStore):
    """Compares as MySQL does."""

    def of_user(self, user):
        return [found for found in self._sorted() if found.user.rstrip(" ") == user.rstrip(" ")]


class NoneForMissing(MemoryStore):
    def load(self, id):
        with suppress(NotConnected):
            return super().load(id)


class KeyErrorForMissing(MemoryStore):
    def delete(self, id):
        del self._connections[id]


class HidesEnded(MemoryStore):
    def of_user(self, user):
        return [found for found in super().of_user(user) if not found.ended]


class NewestLast(MemoryStore):
    def _sorted(self):
        return sorted(super()._sorted(), key=lambda connection: connection.version)


class OldIndex(MemoryStore):
    """Forgets to take a connection out of the list of its former user."""

    def __init__(self):
        super().__init__()
        self.index = {}

    def save(self, connection):
        stored = super().save(connection)
        self.index.setdefault(stored.user, {})[stored.id] = stored
        return stored

    def of_user(self, user):
        return list(self.index.get(user, {}).values())


class BeginsAgain(MemoryStore):
    """Returns the first page always."""

    def all(self, after, limit):
        return super().all("", limit)


class IgnoresTheLimit(MemoryStore):
    def all(self, after, limit):
        return super().all(after, limit + 1)


class PagesOfOneUser(MemoryStore):
    def all(self, after, limit):
        return [found for found in super().all(after, limit) if found.user == "user 0"]


class RepeatsTheLast(MemoryStore):
    def all(self, after, limit):
        return [found for found in self._sorted() if found.id >= after][:limit]


class LooksForTheLast(MemoryStore):
    """Takes the page behind the place where ``after`` is stored."""

    def all(self, after, limit):
        ids = [found.id for found in self._sorted()]
        begin = ids.index(after) + 1 if after else 0
        return self._sorted()[begin : begin + limit]


class KeepsLeasesOfDeleted(MemoryStore):
    def delete(self, id):
        self._connections.pop(id, None)


class AnybodyReleases(MemoryStore):
    def release(self, id, owner):
        self._leases.pop(id, None)


class LeasesAgainToTheOwner(MemoryStore):
    def lease(self, id, owner, seconds):
        held = self._leases.get(id)
        return super().lease(id, owner, seconds) or (held is not None and held.owner == owner)


class LeasesForEver(MemoryStore):
    def lease(self, id, owner, seconds):
        return super().lease(id, owner, 10**9)


class LeasesInMilliseconds(MemoryStore):
    def lease(self, id, owner, seconds):
        return super().lease(id, owner, seconds / 1000)


class LeasesWhatIsMissing(MemoryStore):
    def lease(self, id, owner, seconds):
        return super().lease(id, owner, seconds) or id not in self._connections


class SavingReleases(MemoryStore):
    def save(self, connection):
        self._leases.pop(connection.id, None)
        return super().save(connection)


class LeasingIsAWrite(MemoryStore):
    def lease(self, id, owner, seconds):
        got = super().lease(id, owner, seconds)
        if got:
            self.save(self.load(id))
        return got


class LooksBeforeItLeases(MemoryStore):
    def lease(self, id, owner, seconds):
        is_free = id not in self._leases
        time.sleep(0.01)
        self._leases.pop(id, None)
        return is_free and super().lease(id, owner, seconds)


class LooksBeforeItClaims(MemoryStore):
    def claim(self, name, seconds):
        is_free = name not in self._claims
        time.sleep(0.01)
        self._claims.pop(name, None)
        return is_free and super().claim(name, seconds)


class DatesBeyondAMonth(MemoryStore):
    """Takes more than 30 days for a date, as memcached does."""

    def claim(self, name, seconds):
        return super().claim(name, seconds if seconds <= 30 * 24 * 3600 else 0)


class SettlingIsForEver(MemoryStore):
    """Writes the outcome without the time that is left, as Redis's SET does."""

    def settle(self, name, outcome):
        super().settle(name, outcome)
        if name in self._claims:
            self._claims[name].ends_at = float("inf")


class SettlingClaims(MemoryStore):
    def settle(self, name, outcome):
        self.claim(name, 60)
        super().settle(name, outcome)


class SettlesOnce(MemoryStore):
    def settle(self, name, outcome):
        if self.outcome(name) is None:
            super().settle(name, outcome)


class KeepsOldOutcomes(MemoryStore):
    def outcome(self, name):
        claim = self._claims.get(name)
        return claim.outcome if claim else None


class CutsOutcomes(MemoryStore):
    def settle(self, name, outcome):
        super().settle(name, outcome[:65_535])


class OneNamespace(MemoryStore):
    """Keeps claims and connections in one table."""

    def claim(self, name, seconds):
        return name not in self._connections and super().claim(name, seconds)


# Each mistake, the test that refuses it, and some words of the failure.
MISTAKES = [
    (ForgetsLogins, "test_a_login_key_is_kept_and_replaced", "A login_key is kept"),
    (ForgetsFailures, "test_a_failed_refresh_is_kept_and_forgotten", "FailedRefresh("),
    (WithoutVersions, "test_a_write_over_another_version_is_refused", "save with version 1 raised"),
    (WithOneVersion, "test_what_was_saved_is_loaded", "The new version is 0"),
    (SavesDeleted, "test_a_write_over_a_deleted_connection_is_refused", "save raised nothing"),
    (ComparesFirst, "test_one_of_many_writers_wins", "Of many threads that write"),
    (ComparesFirst, "test_one_of_many_makers_wins", "Of many threads that save"),
    (WritesBeforeItCompares, "test_a_write_over_another_version_is_refused", "id='shadow'"),
    (CutsTokens, "test_a_long_token_stays_as_it_is", "70,000 characters"),
    (EmptiesAreNone, "test_empty_fields_stay_as_they_are", "refreshing_since"),
    (OnlyAscii, "test_a_token_stays_as_it_is", "differing in token"),
    (SmallIntegers, "test_what_was_saved_is_loaded", "OverflowError (integer out of range)"),
    (DumpsAnything, "test_what_is_not_json_is_kept_or_refused", "A date was changed"),
    (DumpsPlainly, "test_what_is_not_json_is_kept_or_refused", "The store raised TypeError"),
    (SharesTokens, "test_what_is_stored_is_a_copy", "does not change what is stored"),
    (IgnoresCase, "test_users_are_told_apart", "of_user('joe'): found ['0', '1']"),
    (IgnoresCase, "test_accounts_are_told_apart", "of_account('joe')"),
    (IgnoresCase, "test_ids_are_told_apart", "'one'"),
    (IgnoresCase, "test_claims_are_told_apart", "['Joe']"),
    (LooksWithLike, "test_users_are_told_apart", "of_user('j_e')"),
    (LooksWithLike, "test_accounts_are_told_apart", "of_account('j_e')"),
    (CutsNames, "test_a_long_name_is_kept_or_refused", "never cut off"),
    (CutsOffSurrogates, "test_unusual_characters_are_kept_or_refused", "differing in user"),
    (UnavailableForNul, "test_unusual_characters_are_kept_or_refused", "raised StoreUnavailable"),
    (LooksInUtf8, "test_unusual_characters_are_looked_for", "raised UnicodeEncodeError"),
    (StopsAtNul, "test_unusual_characters_are_looked_for", "of_user('joe\\x00')"),
    (IgnoresSpacesAtTheEnd, "test_users_are_told_apart", "of_user('joe'): found ['0', '3']"),
    (NoneForMissing, "test_an_id_that_is_not_there", "load raised nothing"),
    (KeyErrorForMissing, "test_an_id_that_is_not_there", "The store raised KeyError ('one')"),
    (HidesEnded, "test_lists_hold_every_connection", "ended ones too"),
    (NewestLast, "test_lists_keep_their_order", "the same order each time"),
    (OldIndex, "test_moving_is_seen_in_both_lists", "moves in the lists"),
    (OldIndex, "test_deleted_is_gone", "is gone"),
    (BeginsAgain, "test_all_connections_come_in_pages", "More connections came"),
    (IgnoresTheLimit, "test_all_connections_come_in_pages", "A page has more than 1 connections"),
    (PagesOfOneUser, "test_all_connections_come_in_pages", "all returns every connection once"),
    (RepeatsTheLast, "test_all_connections_come_in_pages", "More connections came"),
    (LooksForTheLast, "test_pages_go_on_while_connections_change", "raised ValueError"),
    (KeepsLeasesOfDeleted, "test_deleted_is_gone", "lease of the deleted one is still held"),
    (AnybodyReleases, "test_a_lease_is_held_until_it_is_released", "Another owner released"),
    (AnybodyReleases, "test_a_lease_ends_by_itself", "The late owner released"),
    (LeasesAgainToTheOwner, "test_a_lease_is_held_until_it_is_released", "to its owner again"),
    (LeasesForEver, "test_a_lease_ends_by_itself", "it had not ended"),
    (LeasesInMilliseconds, "test_a_lease_ends_by_itself", "instead of 1 s"),
    (LeasesWhatIsMissing, "test_there_is_no_lease_of_nothing", "lease returned True"),
    (SavingReleases, "test_a_lease_and_a_write_do_not_meet", "save ended the lease"),
    (LeasingIsAWrite, "test_a_lease_and_a_write_do_not_meet", "differing in version"),
    (LooksBeforeItLeases, "test_one_of_many_gets_the_lease", "one gets it"),
    (LooksBeforeItClaims, "test_one_of_many_gets_the_claim", "one gets it"),
    (DatesBeyondAMonth, "test_a_long_claim_is_held", "instead of '/close.html"),
    (SettlingIsForEver, "test_a_claim_ends_by_itself", "it had not ended"),
    (SettlingClaims, "test_there_is_no_outcome_of_nothing", "settle makes none"),
    (SettlesOnce, "test_a_claim_keeps_the_outcome", "the newest outcome"),
    (KeepsOldOutcomes, "test_a_claim_ends_by_itself", "it had not ended"),
    (CutsOutcomes, "test_a_long_outcome_stays_as_it_is", "found 65535 instead of 70000"),
    (OneNamespace, "test_a_claim_and_a_connection_do_not_meet", "could not be claimed"),
]
SLOW = ("it had not ended",)


def contract_of(make, **methods):
    return type("Contract", (StoreContract,), {"store": lambda self: make(), **methods})()


@pytest.mark.parametrize(
    ("make", "test", "said"),
    [
        pytest.param(
            *mistake,
            id=f"{mistake[0].__name__}-{mistake[1].removeprefix('test_')}",
            marks=[pytest.mark.slow] if mistake[2] in SLOW else [],
        )
        for mistake in MISTAKES
    ],
)
def test_a_mistake_is_named_by_the_rule_that_it_breaks(make, test, said):
    contract = contract_of(make)
    with pytest.raises(AssertionError) as caught:
        getattr(contract, test)()
    message = str(caught.value)
    assert message.startswith(getattr(contract, test).__doc__)
    assert said in message


def test_each_rule_but_one_refuses_one_of_these_stores():
    """The one is about stores that cannot be reached."""
    tested = {test for _, test, _ in MISTAKES} | {"test_an_unreachable_store_says_so"}
    assert {name for name in dir(StoreContract) if name.startswith("test_")} == tested


class RaisesOSError(MemoryStore):
    def outcome(self, name):
        raise ConnectionRefusedError("nobody listens")


def test_an_unreachable_store_must_say_so():
    contract = contract_of(MemoryStore, unreachable_store=lambda self: RaisesOSError())
    with pytest.raises(AssertionError, match="save raised nothing"):
        contract.test_an_unreachable_store_says_so()


def test_a_contract_without_a_store_says_what_is_missing():
    with pytest.raises(NotImplementedError, match=r"StoreContract needs a method store\(\)"):
        StoreContract().test_an_id_that_is_not_there()


def test_each_thread_of_the_contract_says_when_it_ends():
    ended = []
    contract = contract_of(MemoryStore, thread_ends=lambda self: ended.append(1))
    contract.test_one_of_many_gets_the_claim()
    assert len(ended) == 16


class RefusesEverythingLong(MemoryStore):
    def save(self, connection):
        if len(connection.user) > 255:
            raise StorageFailed("too long")
        return super().save(connection)


def test_a_refusal_is_as_good_as_keeping():
    contract_of(RefusesEverythingLong).test_a_long_name_is_kept_or_refused()


def test_memory_store_ends_leases_and_claims_by_its_clock():
    now = [0.0]
    store = MemoryStore(clock=lambda: now[0])
    assert store.claim("a flow", 60)
    now[0] = 59.9
    assert not store.claim("a flow", 60)
    now[0] = 60.0
    assert store.claim("a flow", 60)
