"""A worker in which nobody ever comes back.

It prints its resident memory, in MB, after each number of starts given.
"""

from __future__ import annotations

import gc
import sys

from wsgi import CLICK, answer, ours, request


def resident() -> float:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def main(*counts: str) -> None:
    site = ours()
    started = 0
    for count in map(int, counts):
        for _ in range(count - started):
            status, _, _ = answer(site, request("/oauth/request_token", **CLICK))
            assert status.startswith("303"), status
        started = count
        gc.collect()
        print(resident())


if __name__ == "__main__":
    main(*sys.argv[1:])
