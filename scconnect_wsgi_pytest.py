"""The pytest plugin of scconnect-wsgi: one fixture, which costs nothing where it is not used.

It is a module beside the package because pytest imports plugins at its start, and a module of the
package would bring the whole package along.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from scconnect_wsgi.testing import SoundCloud


@pytest.fixture
def soundcloud() -> Iterator[SoundCloud]:
    """A SoundCloud on this machine, running: ``scconnect_wsgi.testing.SoundCloud``."""
    from scconnect_wsgi.testing import SoundCloud

    with SoundCloud() as running:
        yield running
