"""Run the tests of a single framework only if tox.ini asks for that framework."""

from support.frameworks import NAMES


def pytest_collection_modifyitems(config, items):
    """Leave out, rather than skip, tests whose parameter ``framework`` was not asked for."""
    left_out = [item for item in items if framework_of(item) not in (None, *NAMES)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def framework_of(item):
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return parameters.get("framework")
