"""What ``--sample`` leaves out, and that nothing else goes with it."""

import os
import subprocess
import sys

import pytest
from support.paths import TESTS

TESTS_OF_A_PRODUCT = """
import pytest

EMPTY = []

@pytest.fixture(params=["file", "memory"])
def store(request):
    return request.param

@pytest.mark.parametrize("protocol", ["1", "2"])
@pytest.mark.parametrize("way", ["get", "post", EMPTY])
def test_product(way, protocol): pass

@pytest.mark.parametrize(("one", "two"), [(1, 2), (2, 1), (1, 1)])
def test_cases(one, two): pass

@pytest.mark.parametrize("way", ["get", "post"])
def test_fixture(store, way): pass

class TestRoom:
    @pytest.mark.parametrize("number", range(10))
    def test_product(self, number): pass

def test_alone(): pass
"""


def collected(folder, *options):
    (folder / "test_it.py").write_text(TESTS_OF_A_PRODUCT)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)]),
    }
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "conftest"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-p", "no:warnings", *options, "test_it.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    return [line.removeprefix("test_it.py::") for line in lines if "::" in line]


@pytest.mark.slow
def test_a_sample_has_each_value_once_and_no_more_than_it_is_told(tmp_path):
    everything = collected(tmp_path)
    assert len(everything) == 6 + 3 + 4 + 10 + 1
    sample = collected(tmp_path, "--sample", "5")
    assert sample == [
        "test_product[get-1]",
        "test_product[get-2]",
        "test_product[post-1]",
        "test_product[way2-1]",
        "test_cases[1-2]",
        "test_cases[2-1]",
        "test_cases[1-1]",
        "test_fixture[file-get]",
        "test_fixture[file-post]",
        "test_fixture[memory-get]",
        *(f"TestRoom::test_product[{number}]" for number in (0, 2, 4, 6, 8)),
        "test_alone",
    ]
