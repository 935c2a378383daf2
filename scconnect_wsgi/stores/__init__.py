"""Stores: where a site's connections are kept.

    from scconnect_wsgi.stores.sql import SQLStore  # the extra ``sql``
    from scconnect_wsgi.stores.redis import RedisStore  # the extra ``redis``

A store keeps ``Connection`` objects: an account, its token, and the user who connected it. The
protocol ``Store`` says what a store must be able to do. A site with storage of its own needs none
of this. A store of another kind is a class with the seven methods of ``Store``;
the docstrings of Store say what they promise.

The other modules are the inside: ``_codec`` writes and encrypts tokens for both stores;
``_schema``, ``_engine``, ``_sqlite_file`` and ``_sql_errors`` are parts of SQLStore.
"""

from scconnect_wsgi.stores._connection import Connection
from scconnect_wsgi.stores._store import Store, no_such_connection

__all__ = ["Connection", "Store", "no_such_connection"]
