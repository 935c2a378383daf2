"""Django's database connections, for a site's callables that use Django's ORM.

Django closes connections that are broken or too old at the start and at the end of each request.
The callables are called outside of that, so a connection that died with its database would be used
again and again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def django_connections() -> Iterator[None]:
    """Let Django close the connections that are broken or too old, before and after the block.

    Nothing happens in a process that has not loaded and configured Django.
    """
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


def close_old_connections() -> None:
    """Close this thread's connections that are broken or too old.

    One that is in a transaction stays open: the transaction is that of a test, around all of it.
    """
    conf = sys.modules.get("django.conf")
    db = sys.modules.get("django.db")
    if conf is None or db is None or not conf.settings.configured:
        return
    with suppress(Exception):  # the callable will meet the same problem, and say what it is
        for connection in db.connections.all(initialized_only=True):
            if not connection.in_atomic_block:
                connection.close_if_unusable_or_obsolete()
