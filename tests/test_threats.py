"""Every line of docs/threats.md has a test that carries its number: @pytest.mark.threat(17)."""

import ast
import re

import pytest
from support.paths import CHECKOUT, TESTS

LINES = {
    int(number): text
    for number, text in re.findall(
        r"^(\d+)\. (.*?)(?=^\d+\. |^## |\Z)",
        (CHECKOUT / "docs" / "threats.md").read_text("utf-8"),
        re.DOTALL | re.MULTILINE,
    )
}


def marks(source):
    """Yield the numbers in a module's threat marks, whether on functions or in pytestmark."""
    if "mark.threat" not in source:
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.threat":
            yield from map(ast.literal_eval, node.args)


def test_the_lines_are_numbered_without_a_gap():
    assert list(LINES) == list(range(1, len(LINES) + 1))


def test_every_line_has_a_test_or_says_that_it_has_none():
    tested = {
        number for path in TESTS.rglob("test_*.py") for number in marks(path.read_text("utf-8"))
    }
    without = {number for number, text in LINES.items() if "*(no test yet)*" in text}
    assert sorted(tested | without) == sorted(LINES), (
        "lines without a test, or tests without a line"
    )
    assert tested & without == set(), "these lines have a test: take '(no test yet)' out"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("@pytest.mark.threat(7)\ndef test_it(): pass", [7]),
        ("@pytest.mark.threat(7, 8)\ndef test_it(): pass", [7, 8]),
        ("pytestmark = [pytest.mark.slow, pytest.mark.threat(9)]", [9]),
        ("def test_threat_7(): pass", []),
    ],
)
def test_the_reader_of_marks_sees(source, expected):
    assert list(marks(source)) == expected
