"""Which tests are about which line of docs/threats.md: those marked @pytest.mark.threat(LINE).

docs/threats.md names them below each line; tools/threat_tests.py writes that.
"""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter
from collections.abc import Iterator

from support.documentation import DOCS
from support.paths import TESTS

PAGE = DOCS / "threats.md"
MOST = 6  # files that are named; a line about everything has tests nearly everywhere
_ITEM = re.compile(r"^(\d+)\. (.*?)(?=^\d+\. |^## |\Z)", re.DOTALL | re.MULTILINE)
_NOTE = re.compile(r"\n+ +Tests: .*\Z", re.DOTALL)


def lines() -> dict[int, str]:
    """Return the text of each line of docs/threats.md, by its number."""
    return {int(number): text for number, text in _ITEM.findall(PAGE.read_text("utf-8"))}


def marked(source: str) -> Counter[int]:
    """Return how many test functions of a module are about each line."""
    if "mark.threat" not in source:
        return Counter()
    module = ast.parse(source)
    of_all = [number for node in module.body if _is_pytestmark(node) for number in _marks(node)]
    counts: Counter[int] = Counter()
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            own = [number for decorator in node.decorator_list for number in _marks(decorator)]
            counts.update({*of_all, *own})
    return counts


def _is_pytestmark(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"


def _marks(node: ast.AST) -> Iterator[int]:
    """Yield the arguments of each pytest.mark.threat(...) in a node."""
    for each in ast.walk(node):
        if isinstance(each, ast.Call) and ast.unparse(each.func) == "pytest.mark.threat":
            yield from map(ast.literal_eval, each.args)


@functools.cache
def files_by_line() -> dict[int, Counter[str]]:
    """Return for each line the files with tests about it, and how many tests each has."""
    found: dict[int, Counter[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for number, count in marked(path.read_text("utf-8")).items():
            found.setdefault(number, Counter())[path.relative_to(TESTS).as_posix()] = count
    return found


def page_with_tests() -> str:
    """Return docs/threats.md with the tests of each line below it, as they are now."""
    found = files_by_line()

    def with_note(item: re.Match[str]) -> str:
        number, text = item[0].split(". ", 1)
        files = found.get(int(number), Counter())
        promise = _NOTE.sub("", text.rstrip())
        note = f"\n\n    Tests: {_summary(files)}" if files else ""
        return f"{number}. {promise}{note}\n\n"

    return _ITEM.sub(with_note, PAGE.read_text("utf-8")).rstrip() + "\n"


def _summary(files: Counter[str]) -> str:
    """Return the files with the most tests, each with its number of tests."""
    named = [f"`{name}` ({count})" for name, count in files.most_common(MOST)]
    left = len(files) - len(named)
    if left:
        named.append(f"and {left} more {'file' if left == 1 else 'files'}")
    return ", ".join(named)
