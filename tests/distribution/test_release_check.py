"""What ``make release-check`` says of CHANGES.md, and how it reports."""

import importlib.util
import re
import subprocess
import sys

import pytest
from support import packages
from support.documentation import snippet
from support.paths import CHECKOUT


@pytest.fixture(scope="module")
def release_check():
    path = CHECKOUT / "tools" / "release_check.py"
    spec = importlib.util.spec_from_file_location("release_check", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RELEASED = "# Changes\n\n## [Unreleased]\n\n## [1.1.0] - 2026-11-27\n\n### Added\n\n* A line.\n"


def test_a_release_with_a_date_and_nothing_unreleased_is_fine(release_check):
    said = release_check.check_changes(RELEASED, "1.1.0")
    assert said == "[1.1.0] - 2026-11-27, and nothing unreleased"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("[1.1.0]", "[1.0.9]", "no section [1.1.0]"),
        ("[1.1.0]", "[1.1.0.post1]", "no section [1.1.0]"),
        (" - 2026-11-27", "", "and a date such as"),
        (" - 2026-11-27", " - 27 November", "and a date such as"),
        ("2026-11-27", "2999-01-01", "2999-01-01 has not come yet"),
        ("2026-11-27", "2026-11-31", "day"),
        ("### Added\n\n* A line.\n", "", "is empty"),
        ("## [Unreleased]\n", "## [Unreleased]\n\n* More.\n", "has lines for [1.1.0]"),
    ],
)
def test_what_is_wrong_with_the_changes_is_said(release_check, old, new, complaint):
    with pytest.raises((AssertionError, ValueError), match=re.escape(complaint)):
        release_check.check_changes(RELEASED.replace(old, new), "1.1.0")


def test_the_date_of_the_release_is_the_time_of_the_build(release_check):
    assert release_check.epoch(RELEASED, "1.1.0") == 1_795_737_600  # midnight UTC


def test_without_assertions_nothing_is_checked_and_nothing_passes():
    done = subprocess.run(
        [sys.executable, "-O", CHECKOUT / "tools" / "release_check.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Unset PYTHONOPTIMIZE" in done.stderr


def test_every_python_that_is_promised_is_tried_out(release_check):
    promised = release_check.promised_pythons()
    workflow = snippet("publishing.md", "yaml", "release-check")
    assert promised == ["3.11", "3.12", "3.13", "3.14", "3.15"]
    assert re.findall(r"^ +(3\.\d+)$", workflow, re.MULTILINE) == promised


def test_the_table_has_a_line_for_each_step_and_every_failure_in_full(release_check):
    steps = release_check.Steps()
    steps.take("a long name", lambda word: f"found {word}", "it")
    steps.take("short", packages.run, "sh", "-c", "echo first; echo last >&2; exit 1")

    assert steps.table() == (
        "ok      a long name  0 s  found it\n"
        "FAILED  short        0 s  last\n"
        "\n"
        "FAILED: short\n"
        "\n"
        "first\n"
        "last"
    )
    assert len(steps.failures) == 1
