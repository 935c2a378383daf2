"""Connections in the database of a Django site, through its ORM.

Every call is a transaction of its own, because other processes must see a lease at once, and a new
token must stay whatever becomes of the request.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import DataError, Error, connections, transaction
from django.db.models import Q

from scconnect_wsgi.django._app.clock import DatabaseTime, time_in
from scconnect_wsgi.errors import (
    ConfigurationError,
    ConnectionChanged,
    StorageFailed,
    StoreUnavailable,
)
from scconnect_wsgi.redaction import hides_all_locals
from scconnect_wsgi.stores import (
    KEY_LENGTH,
    STORED_FIELDS,
    Connection,
    OutcomeCodec,
    TokenCodec,
    is_storable,
    no_such_connection,
    read_all,
    read_connection,
    storable,
    write_connection,
)

if TYPE_CHECKING:
    from scconnect_wsgi.encryption import Encryption

APP = "scconnect"  # the label of apps.py
CLEARED = 100  # ended claims that one new claim deletes at most; far more than end meanwhile
IN_A_TRANSACTION = (
    "DjangoStore was called inside of a transaction, which could undo what it writes. If the view "
    "has one because of ATOMIC_REQUESTS, decorate it with "
    "django.db.transaction.non_atomic_requests; otherwise call the API outside of "
    "transaction.atomic(), and with autocommit."
)


@hides_all_locals
class DjangoStore:
    """A Store in one of the site's DATABASES, ``using``. Its tables are made by ``migrate``.

    With ``encryption``, an Encryption, tokens are encrypted, each bound to its connection and user.
    Leases and claims end by the database's clock. A call inside of a transaction raises
    RuntimeError, because the transaction could undo what was written; tests that Django wraps in
    one are excepted. Raises ConfigurationError for an alias that is not in DATABASES, and if
    ``scconnect_wsgi.django`` is not in INSTALLED_APPS.
    """

    def __init__(self, using: str = "default", *, encryption: Encryption | None = None) -> None:
        if using not in connections:
            raise ConfigurationError("using", "must be an alias in Django's DATABASES.")
        if apps.ready and not apps.is_installed("scconnect_wsgi.django._app"):
            raise ConfigurationError(
                "INSTALLED_APPS",
                'needs "scconnect_wsgi.django", whose migrations make the tables of DjangoStore.',
            )
        self._using = using
        self._codec = TokenCodec(encryption)
        self._outcome_codec = OutcomeCodec(encryption)
        self.encryption: Encryption | None = encryption  # Connections checks its keys

    def save(self, connection: Connection) -> Connection:
        """Write a connection over the version it was loaded with. Raises ConnectionChanged."""
        stored = replace(connection, version=connection.version + 1)
        values = self._to_row(stored)
        with self._rows("StoredConnection") as rows:
            _wait_for_other_writers(rows, "id")
            if connection.version == 0:
                _, is_written = rows.get_or_create(id=stored.id, defaults=values)
            else:
                loaded = rows.filter(id=stored.id, version=connection.version)
                is_written = loaded.update(**values) == 1
        if not is_written:
            raise ConnectionChanged(
                "The connection was changed, made or deleted since it was loaded. Load it again."
            )
        return stored

    def load(self, id: str) -> Connection:
        """Return the connection with this id. Raises NotConnected and Undecipherable."""
        rows = self._select(id=id) if is_storable(id) else []
        if not rows:
            raise no_such_connection()
        return self._from_row(rows[0])

    def delete(self, id: str) -> None:
        """Delete a connection and its lease; a missing one is ignored."""
        with self._rows("StoredConnection") as rows:
            rows.filter(id=storable(id)).delete()

    def of_user(self, user: str) -> list[Connection]:
        """Return all connections of a user of the site."""
        return read_all(self._from_row, self._select(user=storable(user)))

    def of_account(self, urn: str) -> list[Connection]:
        """Return all connections with an account of the provider."""
        return read_all(self._from_row, self._select(account_urn=storable(urn)))

    def all(self, after: str, limit: int) -> list[Connection]:
        """Return the next connections after an id, of all users, or the first ones."""
        while True:
            rows = self._select(limit, id__gt=storable(after))
            found = read_all(self._from_row, rows)
            if found or not rows:
                return found
            after = rows[-1].id

    def lease(self, id: str, owner: str, seconds: float) -> bool:
        """Give ``owner`` the exclusive section of a connection, and return whether it was free."""
        is_free = Q(lease_until=None) | Q(lease_until__lte=DatabaseTime())
        with self._rows("StoredConnection") as rows:
            found = rows.filter(is_free, id=storable(id))
            return bool(found.update(lease_owner=owner, lease_until=time_in(seconds)))

    def release(self, id: str, owner: str) -> None:
        """End the exclusive section if this owner still holds it."""
        with self._rows("StoredConnection") as rows:
            held = rows.filter(id=storable(id), lease_owner=owner)
            held.update(lease_owner="", lease_until=None)

    def claim(self, name: str, seconds: float) -> bool:
        """Claim a name for so many seconds, and return whether it was free."""
        with self._rows("Claim") as rows:
            _wait_for_other_writers(rows, "name")
            ended = rows.filter(ends_at__lte=DatabaseTime())
            # Two processes that delete at once skip each other's rows
            others = ended.exclude(name=storable(name)).select_for_update(skip_locked=True)
            names = [claim.name for claim in others[:CLEARED]]
            rows.filter(name__in=names).delete()
            if ended.filter(name=name).update(ends_at=time_in(seconds), outcome=None):
                return True
            is_new: bool = rows.get_or_create(name=name, defaults={"ends_at": time_in(seconds)})[1]
            return is_new

    def settle(self, name: str, outcome: str) -> None:
        """Keep an outcome with a claim for as long as the claim lasts."""
        text = self._outcome_codec.encode(name, outcome)
        with self._rows("Claim") as rows:
            rows.filter(name=storable(name), ends_at__gt=DatabaseTime()).update(
                outcome=json.dumps(text)
            )

    def outcome(self, name: str) -> str | None:
        """Return the outcome that is kept with a claim, or None."""
        with self._rows("Claim") as rows:
            lasting = rows.filter(name=storable(name), ends_at__gt=DatabaseTime())
            text = lasting.values_list("outcome", flat=True).first()
        return None if text is None else self._outcome_codec.decode(name, json.loads(text))

    def _select(self, limit: int | None = None, **condition: str) -> list[Any]:
        with self._rows("StoredConnection") as rows:
            return list(rows.filter(**condition).order_by("id")[:limit])

    @contextmanager
    def _rows(self, model: str) -> Iterator[Any]:
        """Give the rows of a model, in a transaction, and translate Django's errors.

        The originals, which may show what was written, are left out.
        """
        try:
            with _tidied(self._using), _unlogged(self._using), _transaction(self._using):
                # The models cannot be imported before Django has read INSTALLED_APPS
                yield apps.get_model(APP, model).objects.using(self._using)
        except DataError:  # too long, or a character that the database does not know
            raise StorageFailed("The database cannot store these values.") from None
        except Error:  # down, or read-only since another server became the primary
            connections[self._using].close()  # the next call opens a new one
            raise StoreUnavailable(
                "The database of the connections cannot be used now. Either it is down, or "
                "`python manage.py migrate` has not made the tables yet."
            ) from None

    def _to_row(self, connection: Connection) -> dict[str, Any]:
        fields = write_connection(connection, self._codec)
        urn = connection.account.urn
        if any(len(key) > KEY_LENGTH for key in (connection.user, urn, connection.api_url)):
            raise StorageFailed(
                "A user's name, an account's urn and an API's address may have at most "
                f"{KEY_LENGTH} characters."
            )
        return {**fields, "account": json.dumps(fields["account"]), "account_urn": urn}

    def _from_row(self, row: Any) -> Connection:
        def fields() -> dict[str, Any]:
            return {name: getattr(row, name) for name in STORED_FIELDS}

        return read_connection(fields, self._codec)


def _wait_for_other_writers(rows: Any, key: str) -> None:
    """Begin a transaction with a statement that writes and changes nothing.

    If a transaction of SQLite reads first and another one writes then, the first fails as soon as
    it writes, and does not wait. ``key`` is the name of the primary key.
    """
    if connections[rows.db].vendor == "sqlite":
        rows.filter(**{key: ""}).update(**{key: ""})  # no row has this key


@contextmanager
def _transaction(using: str) -> Iterator[None]:
    """Run the block in a transaction. Raises RuntimeError inside of another one."""
    database = connections[using]
    # Without autocommit there is always one, which only the site commits
    if not database.in_atomic_block and not database.get_autocommit():
        raise RuntimeError(IN_A_TRANSACTION)
    with ExitStack() as stack:
        try:
            stack.enter_context(transaction.atomic(using, durable=True))
        except RuntimeError:
            raise RuntimeError(IN_A_TRANSACTION) from None
        yield


@contextmanager
def _tidied(using: str) -> Iterator[None]:
    """Close the connection after the block if that has opened it, and it may not persist.

    Django does so at the end of each request, but SCConnect answers requests of its own.
    """
    database = connections[using]
    is_open = database.connection is not None
    try:
        yield
    finally:
        if not is_open:
            database.close_if_unusable_or_obsolete()


@contextmanager
def _unlogged(using: str) -> Iterator[None]:
    """Keep the block's statements out of Django's log.

    With DEBUG, Django remembers every statement with its values, here a token, and logs it.
    """
    database = connections[using]
    database.make_debug_cursor = database.make_cursor
    try:
        yield
    finally:
        del database.make_debug_cursor
