"""A demoted primary answers "read only" on connections that are still open. Threat 54.

Each test has two real servers, and a port that leads to the primary. Open connections stay with the
old one.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

import pytest
from support import databases
from support.demotion import (
    demote_mariadb,
    demote_postgresql,
    demote_redis,
    demote_redis_and_be_silent,
)
from support.flows import CALLBACK, dance, flow_for
from support.forwarder import forwarding
from support.stores import connection

from scconnect_wsgi.connections._session import ApiSession
from scconnect_wsgi.errors import StoreUnavailable
from scconnect_wsgi.stores.redis import RedisStore
from scconnect_wsgi.stores.sql import SQLStore

pytestmark = pytest.mark.stores


def redis_with_another_pool(url):
    """A client of the site's own."""
    from redis import BlockingConnectionPool, Redis

    return RedisStore(
        Redis(connection_pool=BlockingConnectionPool.from_url(url, max_connections=8))
    )


class Kind(NamedTuple):
    """A kind of server, how it is demoted, and the store that a site uses for it."""

    server: str
    url: str
    demote: object
    store: object = SQLStore


POSTGRESQL = Kind(
    "postgresql", "postgresql+psycopg://site@127.0.0.1:{}/postgres", demote_postgresql
)
MARIADB = Kind("mariadb", "mysql+pymysql://plain@127.0.0.1:{}/site", demote_mariadb)
REDIS = Kind("redis", "redis://127.0.0.1:{}/0", demote_redis, RedisStore)
KINDS = {
    "postgresql": POSTGRESQL,
    "mariadb": MARIADB,
    "redis": REDIS,
    "redis, another pool": REDIS._replace(store=redis_with_another_pool),
    "redis that serves nothing stale": REDIS._replace(demote=demote_redis_and_be_silent),
}


class Pair:
    """The store of a site, and its two servers."""

    def __init__(self, kind, servers, forwarder):
        self._kind = kind
        self._servers = servers
        self._forwarder = forwarder
        self.store = kind.store(kind.url.format(forwarder.port))

    def switch_over(self):
        """Copy everything to the second server, demote the first, and lead the port there."""
        old, new = self._servers
        with closing(self._kind.store(self._kind.url.format(new.port))) as copy:
            for kept in self.store.of_user("user 1"):
                saved = copy.save(replace(kept, version=0))
                while saved.version < kept.version:
                    saved = copy.save(saved)
        self._kind.demote(old)
        self._forwarder.target = new.port


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def pair(request):
    kind = request.param
    old = databases.another(kind.server)
    new = databases.another(kind.server)
    with old, new, forwarding(old.port) as forwarder:
        pair = Pair(kind, (old, new), forwarder)
        with closing(pair.store):
            yield pair


def outcome(call, *arguments):
    try:
        call(*arguments)
    except StoreUnavailable as error:
        return type(error)
    return "done"


@pytest.mark.threat(54)
def test_54_a_demoted_primary_is_left_after_one_answer(pair):
    stored = pair.store.save(connection())
    with ThreadPoolExecutor(8) as threads:  # so that several connections are open
        list(threads.map(pair.store.load, ["one"] * 64))
    pair.switch_over()
    assert [outcome(pair.store.save, connection(str(number))) for number in range(6)] == [
        StoreUnavailable,
        *["done"] * 5,
    ]
    assert pair.store.load("one") == stored
    assert pair.store.lease("one", "joe", 60)
    with ThreadPoolExecutor(8) as threads:
        later = [connection(f"later {number}") for number in range(16)]
        assert [*threads.map(outcome, [pair.store.save] * 16, later)] == ["done"] * 16


@pytest.mark.threat(54)
def test_54_a_refresh_in_flight_keeps_its_token(pair, sandbox, root):
    flow = flow_for("oauth2", root, token_url=f"{root}/misbehave/slow=2/oauth/token")
    token = replace(dance(flow_for("oauth2", root)), expires_at=1)
    pair.store.save(connection(token=token, api_url=root, callback_url=CALLBACK))
    with (
        ApiSession(pair.store.load("one"), pair.store, flow) as session,
        ThreadPoolExecutor(1) as thread,
    ):
        running = thread.submit(session.me)
        deadline = time.monotonic() + 10
        while pair.store.load("one").refreshing_since is None and time.monotonic() < deadline:
            time.sleep(0.01)
        pair.switch_over()
        assert running.result().username == "joe"
        assert pair.store.load("one") == session.connection
    assert sandbox.counts["redeemed"] == 1
    assert session.connection.token.token != token.token
