"""The sandbox of this process, whose secrets no test may leak."""

from __future__ import annotations

from scconnect_wsgi import sandbox
from support import canary


class Sandbox(sandbox.Sandbox):
    """A sandbox that tells the canary about each secret as it is made."""

    def __init__(self, **options):
        super().__init__(on_secret=canary.met, **options)
