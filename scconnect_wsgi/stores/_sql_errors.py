"""SQLAlchemy's errors as this package's errors: the originals may show a statement's values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from scconnect_wsgi.errors import StorageFailed, StoreUnavailable


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise StorageFailed for values that the database refuses, and StoreUnavailable for failures.

    An IntegrityError passes through: only its statement knows what it means.
    """
    try:
        yield
    except exc.IntegrityError:
        raise
    except exc.DataError:
        raise StorageFailed(
            "The database cannot store these values: one is too long, or contains a NUL character."
        ) from None
    except (exc.DBAPIError, exc.TimeoutError) as error:
        reason = type(getattr(error, "orig", None) or error).__name__
        raise StoreUnavailable(
            f"The database of the connections cannot be used now ({reason}). Likely causes: it is "
            "not running, it is restarting or overloaded, the address or the password in its URL "
            "is wrong, or its user may not create tables. The next call tries again."
        ) from None
