"""One process of a site, for test_proof.py, which calls the API with a stored connection.

Its settings are JSON in the first argument. For each line on stdin it makes a call and prints the
result. With ``die`` it kills itself at that step of its first refresh; the store that does it
changes nothing else.
"""

import json
import os
import random
import signal
import sys
import threading
import time

from scconnect_wsgi.connections import Connections
from scconnect_wsgi.stores.redis import RedisStore
from scconnect_wsgi.stores.sql import SQLStore
from support.flows import flow_for, quick_transport

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


class Deadly:
    """A store that kills its process at one step of a refresh."""

    def __init__(self, store, step):
        self._store = store
        self._step = step

    def __getattr__(self, name):
        return getattr(self._store, name)

    def _at(self, step):
        if self._step == step:
            die()

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


def main(url, root, id, user, habits=(), die=None):
    store = store_at(url)
    site = connections(Deadly(store, die) if die else store, root, *habits)
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
