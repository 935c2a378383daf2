"""Section 4: what `import scconnect_wsgi` costs, against importing the four packages it needs
anyway.

Each import happens in a Python of its own; time is that process's CPU time around the import,
memory is what the import added.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from measure import ROUNDS, Row, interleaved, main

NEEDED = "webob, oauthlib.oauth1, oauthlib.oauth2, requests, itsdangerous"
LEFT_OUT = ("sandbox", "stores", "cli", "config", "demo")
SCRIPT = """
import sys, time

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

memory, began = resident(), time.process_time()
import {modules}
print((time.process_time() - began) * 1000, (resident() - memory) / 1024)
print(*(name for name in {left_out} if f"scconnect_wsgi.{{name}}" in sys.modules))
"""


def imported(modules: str) -> tuple[float, float, list[str]]:
    """Milliseconds, MB, and the parts of ours that came along though nobody asked for them."""
    # -I: the installed package, not the folder this was started in; and .pyc files, whatever the
    # environment says
    script = SCRIPT.format(modules=modules, left_out=LEFT_OUT)
    run = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    cost, along = run.stdout.splitlines()
    time, memory = map(float, cost.split())
    return time, memory, along.split()


def costs(modules: str, column: int) -> Callable[[], float]:
    return lambda: float(imported(modules)[column])


def rows(quick: bool) -> list[Row]:
    # Not counted, as this first run may also write .pyc files
    along = imported("scconnect_wsgi")[2]
    imported(NEEDED)
    if along:
        sys.exit(f"`import scconnect_wsgi` imports its {', '.join(along)} too")
    rounds = 1 if quick else ROUNDS + 5
    table = []
    for column, (what, unit) in enumerate((("time", "ms"), ("memory", "MB"))):
        variants = {"ours": costs("scconnect_wsgi", column), "needed": costs(NEEDED, column)}
        found = interleaved(variants, rounds)
        name = "its four dependencies"
        table.append(
            Row(
                f"importing scconnect_wsgi, {what}", found["ours"], name, found["needed"], 1.1, unit
            )
        )
    return table


if __name__ == "__main__":
    main(rows)
