"""What the tests of the browser files share."""

import importlib
import os

import pytest
from support.engines.table import ENGINE
from support.node import Node
from support.world import running_world

# tools/bootstrap.sh leaves out what a developer's machine does not have.
ENGINES = os.environ.get("TESTS_ENGINES", "chromium firefox webkit").split()


def pytest_collection_modifyitems(config, items):
    """Leave out the tests of one engine in the others."""
    left_out = [item for item in items if _is_of_another_engine(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def _is_of_another_engine(item):
    if item.get_closest_marker("one_engine") is None:
        return False
    return item.callspec.params["engine"] != ENGINES[0]


@pytest.fixture(scope="module")
def world():
    with running_world() as world:
        yield world


@pytest.fixture(scope="session", params=ENGINES)
def engine(request):
    with importlib.import_module(f"support.engines.{request.param}").running() as engine:
        yield engine


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Tell the table which engine a test has run in."""
    report = yield
    engine = item.funcargs.get("engine")
    if engine is not None:
        report.user_properties.append((ENGINE, (engine.name, engine.version)))
    return report


@pytest.fixture
def profile(engine):
    with engine.profile() as profile:
        yield profile


@pytest.fixture
def provider(sandbox_process):
    return sandbox_process.url


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """Return a function that bundles a module, each once."""
    node = Node(tmp_path_factory.mktemp("libraries"))
    bundles = {}

    def made_of(module):
        if module not in bundles:
            name = node.write(f"{len(bundles)}.js", module)
            bundles[module] = node.bundle(name)
        return bundles[module]

    return made_of
