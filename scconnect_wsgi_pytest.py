"""The pytest plugin of scconnect-wsgi: one fixture, which costs nothing unless a test uses it.

It is a module beside the package because pytest imports plugins when it starts: a module inside
the package would import the whole package.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from scconnect_wsgi.testing import SoundCloud


@pytest.fixture
def soundcloud() -> Iterator[SoundCloud]:
    """Run a SoundCloud on this machine: a ``scconnect_wsgi.testing.SoundCloud``."""
    from scconnect_wsgi.testing import SoundCloud

    with SoundCloud() as running:
        yield running
