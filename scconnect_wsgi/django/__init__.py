"""A Django site's connections in its own database, and its signed-in user: the extra ``django``.

    INSTALLED_APPS = [..., "scconnect_wsgi.django"]  # then: python manage.py migrate

    connections = Connections(flow, DjangoStore(), identify=current_user)

This package is a Django app. Its tables are made by ``migrate``, and it uses the site's DATABASES.
"""

from __future__ import annotations

from scconnect_wsgi.stores import missing_extra

try:
    import django  # noqa: F401  # only to say which extra is missing
except ModuleNotFoundError as _missing:
    raise missing_extra(_missing, "django", "django") from None

from scconnect_wsgi.django._store import DjangoStore
from scconnect_wsgi.django._users import current_user

__all__ = ["DjangoStore", "current_user"]
