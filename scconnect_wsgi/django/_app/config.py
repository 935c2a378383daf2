"""What Django reads about this app when a site names it in INSTALLED_APPS."""

from __future__ import annotations

from django.apps import AppConfig


class SoundCloudConnections(AppConfig):
    """The app: its label is the prefix of its tables."""

    name = "scconnect_wsgi.django._app"
    label = "scconnect"
    verbose_name = "SoundCloud connections"
