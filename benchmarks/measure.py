"""What every benchmark shares: interleaved rounds, a row of the table, and a command line.

Times of a machine move while it is measured, so no absolute time is judged. All variants of a
comparison take turns within each round, each keeps its fastest round, and the ratio of two such
minima is held against the budget.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import repeat

ROUNDS = 15  # at least; cheap comparisons take more
HEADINGS = ("what", "ours", "compared with", "peer", "ratio", "budget", "met")


@dataclass(frozen=True)
class Row:
    """One budget.

    ``ours`` over ``theirs`` is at most ``budget``, or at least, if more is better.
    """

    what: str
    ours: float
    peer: str
    theirs: float
    budget: float
    unit: str
    at_least: bool = False

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs

    @property
    def met(self) -> bool:
        return self.ratio >= self.budget if self.at_least else self.ratio <= self.budget

    def cells(self) -> tuple[str, ...]:
        bound = "at least" if self.at_least else "at most"
        ours, theirs = (
            f"{value:,.{_digits(value)}f} {self.unit}" for value in (self.ours, self.theirs)
        )
        verdict = "yes" if self.met else "NO"
        return (
            self.what,
            ours,
            self.peer,
            theirs,
            f"{self.ratio:.3g}x",
            f"{bound} {self.budget:g}x",
            verdict,
        )


def _digits(value: float) -> int:
    return 0 if value >= 100 else 1 if value >= 10 else 2


def interleaved(variants: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The smallest value that each variant gave, over rounds in which all take turns, each time in
    another order.
    """
    best = dict.fromkeys(variants, float("inf"))
    order = list(variants)
    for _ in range(rounds):
        for name in order:
            best[name] = min(best[name], variants[name]())
        order.append(order.pop(0))
    return best


def nanoseconds(app: Callable, environ: dict, count: int) -> Callable[[], float]:
    """A variant: the time of one call of a WSGI application."""

    def run() -> float:
        app(environ, nothing)  # once before the clock runs
        gc.collect()
        gc.disable()
        try:
            began = time.perf_counter_ns()
            for _ in repeat(None, count):
                app(environ, nothing)
            return (time.perf_counter_ns() - began) / count
        finally:
            gc.enable()

    return run


def nothing(status: str, headers: list, exc_info: object = None) -> None:
    """The cheapest start_response."""


def table(rows: Iterable[Row]) -> str:
    """The rows as a table that Markdown and people can read."""
    lines = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    text = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    ]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


def main(*benchmarks: Callable[[bool], list[Row]]) -> None:
    """Run benchmarks and print one table.

    The exit status is 1 if a budget is missed, and never with --quick.
    """
    parser = argparse.ArgumentParser(
        description=(sys.modules["__main__"].__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one round: shows that everything runs, measures nothing",
    )
    quick = parser.parse_args().quick
    rows: list[Row] = []
    for benchmark in benchmarks:
        began = time.monotonic()
        rows += benchmark(quick)
        print(f"{benchmark.__module__}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(table(rows))
    missed = sum(not row.met for row in rows)
    print(
        f"\n{len(rows) - missed} of {len(rows)} budgets met"
        + (" (one round: of no meaning)" if quick else "")
    )
    sys.exit(1 if missed and not quick else 0)
