"""What the tests of the browser files share."""

import pytest
from support.world import running_world


@pytest.fixture(scope="module")
def world():
    with running_world() as world:
        yield world
