"""Where Django looks for the app if a site names ``scconnect_wsgi.django`` in INSTALLED_APPS.

The app is in a private package because its classes derive from Django's, which have no types: they
are no part of what this package promises.
"""

from __future__ import annotations

from scconnect_wsgi.django._app.config import SoundCloudConnections as _App  # noqa: F401
