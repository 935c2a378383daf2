"""The table that a run of tests/browser/test_engines.py ends with: cases down, browsers across."""

from __future__ import annotations

ENGINE = "engine"  # the property of a report that has the engine's name and version


def reports(terminalreporter):
    """Yield each outcome with the reports of it."""
    for outcome in ("passed", "failed", "error", "skipped"):
        yield outcome, terminalreporter.stats.get(outcome, [])


def versions(terminalreporter):
    """Return ``{engine: version}``, from whichever process has run the tests."""
    return dict(
        value
        for _, found in reports(terminalreporter)
        for report in found
        for name, value in report.user_properties
        if name == ENGINE
    )


def cases(terminalreporter):
    """Return ``{case: {engine: outcome}}``, in the order of the tests."""
    found = {}
    for outcome, found_reports in reports(terminalreporter):
        for report in found_reports:
            name, _, parameters = report.nodeid.rpartition("::test_")[2].rstrip("]").partition("[")
            engine, _, more = parameters.partition("-")
            if "test_engines.py" in report.nodeid:
                case = name.replace("_", " ") + (f" ({more})" if more else "")
                found.setdefault((report.location[1], case), {})[engine] = outcome
    return {case: results for (_, case), results in sorted(found.items())}


def lines(terminalreporter):
    """Yield the table as Markdown, or nothing if no such test ran."""
    rows = cases(terminalreporter)
    engines = sorted({engine for results in rows.values() for engine in results})
    if not rows:
        return
    known = versions(terminalreporter)
    yield (
        "| case | "
        + " | ".join(f"{engine} {known.get(engine, '')}".strip() for engine in engines)
        + " |"
    )
    yield "|---" * (len(engines) + 1) + "|"
    for case, results in rows.items():
        yield f"| {case} | " + " | ".join(results.get(engine, "-") for engine in engines) + " |"
