"""Connections as the fields that every store writes, and the fields as connections again.

A connection that was damaged in the store takes nothing else along: lists leave it out, it can be
deleted, and its user can connect again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from scconnect_wsgi.account import Account
from scconnect_wsgi.errors import StorageFailed, Undecipherable
from scconnect_wsgi.stores._codec import TokenCodec
from scconnect_wsgi.stores._connection import Connection, wrong_field
from scconnect_wsgi.stores._names import storable

log: logging.Logger = logging.getLogger("scconnect_wsgi")
Row = TypeVar("Row")
# Each is written by itself; the others are written with the token.
WITH_THE_TOKEN = ("failed_refresh", "login_key")
STORED_FIELDS = [field.name for field in fields(Connection) if field.name not in WITH_THE_TOKEN]
# What reading JSON and calling a constructor raise for anything that is not what was written
_DAMAGES = (ValueError, TypeError, LookupError, AttributeError, RecursionError)


def write_connection(connection: Connection, codec: TokenCodec) -> dict[str, Any]:
    """Return the fields of a connection: the token, with the failed refresh and the login key, as
    ``codec`` encodes it, and the account as a dict.

    Raises StorageFailed for a connection that could not be read again.
    """
    wrong = _wrong_field(connection)
    if wrong:
        raise StorageFailed(f"This connection cannot be stored: {wrong} has a wrong type.")
    values = {name: getattr(connection, name) for name in STORED_FIELDS}
    for value in (*values.values(), connection.account.urn):
        if isinstance(value, str):
            storable(value)
    return {
        **values,
        "token": codec.encode(connection),
        "account": asdict(connection.account),
    }


def read_connection(read: Callable[[], Mapping[str, Any]], codec: TokenCodec) -> Connection:
    """Return the connection that a store wrote.

    ``read`` returns the fields: the token as ``codec`` encoded it, the account as a dict or JSON.
    Raises KeyRemoved, and Undecipherable for fields that nobody wrote like that; each names the
    user, if that could be read.
    """
    user = ""
    try:
        stored = read()
        user = _text(stored["user"])
        return _connection(stored, codec)
    except Undecipherable as error:
        error.user = user
        raise
    except _DAMAGES:  # a JSONDecodeError holds the whole text
        pass
    damaged = Undecipherable(
        "This stored connection cannot be read: it was changed, or cut off, or a newer version "
        "wrote it. Let the user connect again."
    )
    damaged.user = user
    raise damaged


def read_all(read: Callable[[Row], Connection], rows: Iterable[Row]) -> list[Connection]:
    """Return the connections in these rows, without those that cannot be read.

    Such a row, damaged or with a key that is gone, is logged and does not hide the others.
    """
    connections = []
    for row in rows:
        try:
            connections.append(read(row))
        except Undecipherable as error:
            log.warning("A stored connection is left out of a list: %s", error.message)
    return connections


def _connection(fields: Mapping[str, Any], codec: TokenCodec) -> Connection:
    text = fields["token"]
    if not text.isascii():
        raise ValueError("the codec writes ASCII")
    token, failed, login_key = codec.decode(text, fields["id"], fields["user"], fields["api_url"])
    account = Account(**_object(fields["account"]))
    made = {
        "token": token,
        "account": account,
        "failed_refresh": failed,
        "login_key": login_key,
    }
    connection = Connection(**{**fields, **made})
    if _wrong_field(connection):
        raise TypeError("a field has a wrong type")
    return connection


def _wrong_field(connection: Connection) -> str:
    """Return the first field, of a connection or in it, that has a wrong type, or ""."""
    records = [connection, connection.token, connection.account]
    if connection.failed_refresh is not None:
        records.append(connection.failed_refresh)
    for record in records:
        wrong = wrong_field(record)
        if wrong:
            return f"{type(record).__name__}.{wrong}"
    return ""


def _object(value: Any) -> Any:
    """Return the fields of an account, which a store may have written as JSON."""
    if not isinstance(value, str):
        return value
    if not value.isascii():
        raise ValueError("json.dumps writes ASCII")
    return json.loads(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
