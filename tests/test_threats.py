"""Every line of docs/threats.md has a test that carries its number: @pytest.mark.threat(17)."""

import pytest
from support.threats import PAGE, files_by_line, lines, marked, page_with_tests


def test_the_lines_are_numbered_without_a_gap():
    assert list(lines()) == list(range(1, len(lines()) + 1))


def test_every_line_has_a_test_or_says_that_it_has_none():
    tested = set(files_by_line())
    without = {number for number, text in lines().items() if "*(no test yet)*" in text}
    assert sorted(tested | without) == sorted(lines()), (
        "lines without a test, or tests without a line"
    )
    assert tested & without == set(), "these lines have a test: take '(no test yet)' out"


def test_the_page_names_the_tests_of_today():
    assert PAGE.read_text("utf-8") == page_with_tests(), "run: python tools/threat_tests.py"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("@pytest.mark.threat(7)\ndef test_it(): pass", {7: 1}),
        ("@pytest.mark.threat(7, 8)\ndef test_it(): pass", {7: 1, 8: 1}),
        (
            "@pytest.mark.threat(7)\ndef test_it(): pass\n@pytest.mark.threat(7)\ndef test_so(): 1",
            {7: 2},
        ),
        (
            "@pytest.mark.parametrize('n', [pytest.param(1, marks=pytest.mark.threat(7))])\n"
            "def test_it(n): pass",
            {7: 1},
        ),
        (
            "pytestmark = [pytest.mark.slow, pytest.mark.threat(9)]\n"
            "def test_it(): pass\ndef test_so(): pass\ndef helper(): pass",
            {9: 2},
        ),
        ("def test_threat_7(): pass", {}),
    ],
)
def test_the_reader_of_marks_sees(source, expected):
    assert marked(source) == expected
