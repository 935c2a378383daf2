"""One process of a site, which calls the API with a stored connection.

Its settings are JSON in the first argument. For each line on stdin it makes a call and prints the
result. With ``die`` it kills itself at that step of its first refresh, with ``stop`` it stops
itself there (SIGSTOP); the store that does it changes nothing else.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

from scconnect_wsgi.connections import Connections
from scconnect_wsgi.stores.redis import RedisStore
from scconnect_wsgi.stores.sql import SQLStore
from support.flows import flow_for, quick_transport
from support.paths import TESTS

TIMEOUT = 2.0  # seconds of the HTTP deadline; a lease is 10 longer
DELAY = 0.02  # seconds, at most, before a call and twice within each refresh


def store_at(url):
    return RedisStore(url) if url.startswith("redis:") else SQLStore(url)


def connections(store, root, *habits, timeout=TIMEOUT, on_lost=None):
    """Return the site's connections, whose provider has these faults when asked for a token."""
    prefix = "".join(f"/misbehave/{habit}" for habit in habits)
    transport = quick_transport(timeout=timeout)
    flow = flow_for("oauth2", root, transport=transport, token_url=f"{root}{prefix}/oauth/token")
    return Connections(flow, store, identify=lambda request: None, on_lost=on_lost)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def stop():
    os.kill(os.getpid(), signal.SIGSTOP)


class Deadly:
    """A store that kills or stops its process at one step of a refresh, once."""

    def __init__(self, store, step, end=die):
        self._store = store
        self._step = step
        self._end = end

    def __getattr__(self, name):
        return getattr(self._store, name)

    def _at(self, step):
        if self._step == step:
            self._step = ""
            self._end()

    def lease(self, *arguments):
        self._at("before the lease")
        got = self._store.lease(*arguments)
        self._at("after the lease")
        return got

    def save(self, connection):
        marking = connection.refreshing_since is not None
        if not marking:
            self._at("after the answer, before it is saved")
        saved = self._store.save(connection)
        if not marking:
            self._at("after it is saved, before the release")
        self._at("after the mark")
        if self._step == "while the provider thinks":
            threading.Timer(0.3, die).start()
        return saved


@contextmanager
def refresher(**settings):
    """Start refresher.py in a process, and wait until it is ready."""
    command = [sys.executable, __file__, json.dumps(settings)]
    path = os.pathsep.join([str(TESTS), *filter(None, sys.path)])
    env = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(
        command, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def told(process):
    process.stdin.write("call\n")
    process.stdin.flush()


def main(url, root, id, user, habits=(), timeout=TIMEOUT, **ending):
    store = store_at(url)
    for how, step in ending.items():
        store = Deadly(store, step, {"die": die, "stop": stop}[how])
    site = connections(store, root, *habits, timeout=timeout)
    session = site.session(id, user=user)
    print("ready", flush=True)
    for _ in sys.stdin:
        time.sleep(random.uniform(0, DELAY))
        try:
            # Otherwise the session goes on, and may know an older token
            if random.random() < 0.5:
                session.close()
                session = site.session(id, user=user)
            answer = session.me().username
        except Exception as error:
            answer = repr(error)
        print(answer, flush=True)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
