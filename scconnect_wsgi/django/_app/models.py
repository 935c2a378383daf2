"""The tables of DjangoStore.

A site reads them through DjangoStore: a token may be encrypted, and only Connections may change it.
"""

from __future__ import annotations

from django.db import models

from scconnect_wsgi.django._app.fields import NameField


class StoredConnection(models.Model):
    """A connection, with the lease of the process that refreshes its token."""

    id = NameField(primary_key=True)
    user = NameField(db_index=True)
    api_url = NameField()
    token = models.TextField()
    obtained_at = models.BigIntegerField()
    account_urn = NameField(db_index=True)
    account = models.TextField()
    callback_url = models.TextField()
    refreshing_since = models.BigIntegerField(null=True)
    ended = NameField()
    version = models.BigIntegerField()
    lease_owner = NameField(default="")
    lease_until = models.DateTimeField(null=True)


class Claim(models.Model):
    """A name that one process has claimed for a while, and how that ended."""

    name = NameField(primary_key=True)
    ends_at = models.DateTimeField(db_index=True)
    outcome = models.TextField(null=True)  # null until the flow has ended
