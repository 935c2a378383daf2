"""Names that every store can keep: ids, users, addresses."""

from __future__ import annotations

from scconnect_wsgi.errors import StorageFailed

KEY_LENGTH = 255  # characters; every database can index that much


def is_storable(name: str) -> bool:
    """Return whether every store can keep this name: it has no NUL and no lone surrogate."""
    try:
        return b"\0" not in name.encode("utf-8")
    except UnicodeEncodeError:
        return False


def storable(name: str) -> str:
    """Return a name as it is. Raises StorageFailed if some store could not keep it.

    It is checked before anything is sent: a driver that fails in the middle of a message leaves a
    connection behind that nobody can use.
    """
    if not is_storable(name):
        raise StorageFailed(
            "A name (of a user, an account or an address) contains a NUL character or a lone "
            "surrogate, which no database can store."
        )
    return name
