"""The time by the database's clock, since the clocks of a site's hosts may differ."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models.functions import Now


class DatabaseTime(Now):
    """The time now, in UTC, so that nothing ends early when the clocks change."""

    def as_mysql(self, compiler: Any, connection: Any, **options: Any) -> Any:
        """Return the expression of MySQL and MariaDB, whose sessions have a time zone."""
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **options)


def time_in(seconds: float) -> Any:
    """Return the time in so many seconds."""
    return DatabaseTime() + timedelta(seconds=seconds)
