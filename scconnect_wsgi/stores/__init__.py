"""Stores: where a site's connections are kept.

    from scconnect_wsgi.stores.sql import SQLStore  # the extra ``sql``
    from scconnect_wsgi.stores.redis import RedisStore  # the extra ``redis``
    from scconnect_wsgi.django import DjangoStore  # the extra ``django``
    from scconnect_wsgi.stores import MemoryStore  # for tests

A store keeps ``Connection`` objects: an account, its token, and the user who connected it. The
protocol ``Store`` says what a store must be able to do. A site with storage of its own needs none
of this. A store of another kind is a class with the methods of ``Store``; their docstrings say what
they promise, and ``scconnect_wsgi.testing.StoreContract`` tests it.

The other modules are the inside. ``_records`` and ``_codec`` write, encrypt and read connections
for all of them. ``_drivers``, ``_engine``, ``_schema``, ``_transactions``, ``_sqlite_file`` and
``_sql_errors`` are parts of SQLStore.
"""

from scconnect_wsgi.stores._codec import OutcomeCodec, TokenCodec
from scconnect_wsgi.stores._connection import Connection, FailedRefresh
from scconnect_wsgi.stores._extras import missing_extra
from scconnect_wsgi.stores._memory import MemoryStore
from scconnect_wsgi.stores._names import KEY_LENGTH, is_storable, storable
from scconnect_wsgi.stores._records import (
    STORED_FIELDS,
    read_all,
    read_connection,
    write_connection,
)
from scconnect_wsgi.stores._store import Store, no_such_connection

# A site needs `Connection`, `FailedRefresh`, `MemoryStore` and `Store`. The other names are for the
# rooms that keep connections or use them.
__all__ = [
    "KEY_LENGTH",
    "STORED_FIELDS",
    "Connection",
    "FailedRefresh",
    "MemoryStore",
    "OutcomeCodec",
    "Store",
    "TokenCodec",
    "is_storable",
    "missing_extra",
    "no_such_connection",
    "read_all",
    "read_connection",
    "storable",
    "write_connection",
]
