"""The table that a run of tests/browser/test_engines.py ends with: cases down, browsers across."""

from __future__ import annotations

import pytest

VERSIONS = pytest.StashKey[dict[str, str]]()  # engine -> version, in the configuration of the run


def cases(terminalreporter):
    """Return ``{case: {engine: outcome}}``, in the order of the tests."""
    found = {}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            name, _, parameters = report.nodeid.rpartition("::test_")[2].rstrip("]").partition("[")
            engine, _, more = parameters.partition("-")
            if "test_engines.py" in report.nodeid:
                case = name.replace("_", " ") + (f" ({more})" if more else "")
                found.setdefault((report.location[1], case), {})[engine] = outcome
    return {case: results for (_, case), results in sorted(found.items())}


def lines(terminalreporter, versions):
    """Yield the table as Markdown, or nothing if no such test ran."""
    rows = cases(terminalreporter)
    engines = sorted({engine for results in rows.values() for engine in results})
    if not rows:
        return
    yield (
        "| case | "
        + " | ".join(f"{engine} {versions.get(engine, '')}".strip() for engine in engines)
        + " |"
    )
    yield "|---" * (len(engines) + 1) + "|"
    for case, results in rows.items():
        yield f"| {case} | " + " | ".join(results.get(engine, "-") for engine in engines) + " |"
