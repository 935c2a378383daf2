"""Section 5: how a site grows with its workers, and with flows that nobody finishes.

Whole connections are made under gunicorn with one worker and with two.

Workers, provider and users share the cores of one machine, so that a test of only computing
could not show what a second worker is worth. The provider therefore takes LATENCY to give a token,
as one across a network does: a worker (of gunicorn's sync class) waits most of its time, and two
must do twice as much as one, unless something that they share makes one wait for the other.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from measure import ROUNDS, Row, interleaved, main
from provider import HOST, provider
from user import User

LATENCY = 0.1  # seconds
USERS = 8  # at once; more than the workers, so that none is ever idle
CLICK = {"Sec-Fetch-Site": "same-origin"}


@contextmanager
def gunicorn(workers: int, provider_url: str, folder: str) -> Iterator[str]:
    """A site with so many workers: host and port, once all of them answer."""
    with socket.create_server((HOST, 0), backlog=128) as listener:
        os.set_inheritable(listener.fileno(), True)
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "--workers",
            str(workers),
            "--bind",
            f"fd://{listener.fileno()}",
        ]
        command += [
            "--worker-tmp-dir",
            folder,
            "--no-control-socket",
            "--log-level",
            "warning",
            "scale_site:application",
        ]
        process = subprocess.Popen(
            command,
            cwd=Path(__file__).parent,
            env={**os.environ, "BENCHMARK_PROVIDER": provider_url},
            pass_fds=[listener.fileno()],
        )
        try:
            yield f"{HOST}:{listener.getsockname()[1]}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def get(site: str, target: str, headers: dict[str, str]) -> http.client.HTTPMessage:
    """The headers of a redirect; a connection for each request, as the sync worker wants it."""
    connection = http.client.HTTPConnection(site, timeout=60)
    try:
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        answer.read()
    finally:
        connection.close()
    assert answer.status == 303, answer.status
    return answer.headers


def connect(site: str, user: User) -> None:
    """From the start to close.html."""
    left = get(site, "/oauth/request_token", CLICK)
    back = urlsplit(user.allow(left["Location"]))
    cookies = [value.partition(";")[0] for value in left.get_all("Set-Cookie", [])]
    home = get(site, f"{back.path}?{back.query}", {"Cookie": "; ".join(cookies)})
    assert home["Location"] == "/sc-connect/close.html?oauth_token_id=1", home["Location"]


def milliseconds(site: str, provider_url: str, count: int) -> Callable[[], float]:
    """A variant: the time for one of ``count`` connections, where USERS are always under way."""
    users = threading.local()

    def one(_: int) -> None:
        if not hasattr(users, "joe"):
            users.joe = User(provider_url)
        connect(site, users.joe)

    pool = ThreadPoolExecutor(USERS)

    def run() -> float:
        began = time.perf_counter()
        list(pool.map(one, range(count)))
        return (time.perf_counter() - began) / count * 1000

    run()  # not counted: users sign in, workers come up
    return run


def throughput(quick: bool) -> Row:
    count, rounds = (8, 1) if quick else (16, ROUNDS)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        at = stack.enter_context(provider(Path(folder))).http
        slow = f"{at}/misbehave/slow={LATENCY}"
        sites = {
            workers: stack.enter_context(gunicorn(workers, slow, folder)) for workers in (1, 2)
        }
        variants = {str(workers): milliseconds(site, at, count) for workers, site in sites.items()}
        found = interleaved(variants, rounds)
    what = (
        f"connections a second, two gunicorn workers, a provider that takes {LATENCY * 1000:.0f} ms"
    )
    return Row(what, 1000 / found["2"], "one worker", 1000 / found["1"], 1.9, "/s", at_least=True)


def memory(quick: bool) -> Row:
    counts = ("100", "1000") if quick else ("10000", "100000")
    command = [sys.executable, Path(__file__).parent / "abandoned.py", *counts]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    few, many = map(float, run.stdout.split())
    return Row(
        f"memory after {int(counts[1]):,} abandoned flows",
        many,
        f"after {int(counts[0]):,}",
        few,
        1.01,
        "MB",
    )


def rows(quick: bool) -> list[Row]:
    return [throughput(quick), memory(quick)]


if __name__ == "__main__":
    main(rows)
