"""RedisStore beyond what every store promises: its keys, its errors, and encryption."""

import json
import socket
from contextlib import closing

import pytest
import redis.asyncio
from redis import Redis
from support import databases
from support.stores import KEYS, connection

from scconnect_wsgi.encryption import Encryption
from scconnect_wsgi.errors import ConfigurationError, StoreUnavailable, Undecipherable
from scconnect_wsgi.stores.redis import RedisStore


@pytest.fixture
def raw():
    """A client of the tests' own."""
    server = databases.running("redis")
    server.clear()
    with closing(Redis.from_url(server.url)) as client:
        client.url = server.url  # type: ignore[attr-defined]
        yield client


def test_a_url_that_cannot_work_is_refused_without_its_password():
    with pytest.raises(ConfigurationError) as caught:
        RedisStore("http://scott:tiger@redis.example")
    assert caught.value.option == "url"
    assert "tiger" not in str(caught.value)


@pytest.mark.parametrize("url", ["127.0.0.1:9/0?nonsense=tiger", "tiger\ud800/0"])
def test_a_parameter_that_the_client_does_not_take_is_one_kind_of_error(url):
    with closing(RedisStore(f"redis://{url}")) as store:
        for call in (
            lambda: store.load("one"),
            lambda: store.delete("one"),
            lambda: store.claim("one", 1),
        ):
            with pytest.raises(StoreUnavailable, match="parameter") as caught:
                call()
            assert caught.value.__cause__ is caught.value.__context__ is None
            assert "tiger" not in str(caught.value)


@pytest.mark.parametrize(
    "client",
    [redis.asyncio.Redis(), Redis().pipeline(), None, 5, b"redis://localhost"],
    ids=["for asyncio", "a pipeline", "None", "a number", "bytes"],
)
def test_a_client_that_answers_later_is_refused(client):
    """Every write would seem to have succeeded, and every lease and claim to be free."""
    with pytest.raises(ConfigurationError) as caught:
        RedisStore(client)
    assert caught.value.option == "server"


def test_an_unreachable_server_raises_one_kind_of_error():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with closing(RedisStore(f"redis://:tiger@127.0.0.1:{port}/0")) as store:
        calls = [
            lambda: store.save(connection()),
            lambda: store.load("one"),
            lambda: store.of_user("joe"),
            lambda: store.all("", 1),
            lambda: store.lease("one", "joe", 1),
            lambda: store.release("one", "joe"),
            lambda: store.delete("one"),
            lambda: store.claim("one", 1),
            lambda: store.settle("one", "ended"),
            lambda: store.outcome("one"),
        ]
        for call in calls:
            with pytest.raises(StoreUnavailable) as caught:
                call()
            assert caught.value.__cause__ is None
            assert "tiger" not in str(caught.value)


@pytest.mark.stores
def test_only_a_lease_expires_and_deleting_leaves_nothing_behind(raw):
    with closing(RedisStore(raw.url)) as store:
        store.save(connection())
        assert store.lease("one", "joe", 60)
        lifetimes = {key.decode(): raw.pttl(key) for key in raw.scan_iter()}
        assert 59_000 < lifetimes.pop("{scconnect}:lease:one") <= 60_000
        assert lifetimes == {  # -1: no end
            "{scconnect}:connection:one": -1,
            "{scconnect}:user:user 1": -1,
            "{scconnect}:account:soundcloud:users:1": -1,
            "{scconnect}:all": -1,
        }
        store.delete("one")
        assert raw.keys() == []


@pytest.mark.stores
def test_a_claim_expires_and_its_outcome_makes_it_no_longer(raw):
    with closing(RedisStore(raw.url, encryption=Encryption(KEYS))) as store:
        assert store.claim("a flow", 60)
        store.settle("a flow", "/close.html?username=joe")
        assert [key.decode() for key in raw.scan_iter()] == ["{scconnect}:claim:a flow"]
        assert 50_000 < raw.pttl("{scconnect}:claim:a flow") <= 60_000
        assert b"joe" not in raw.get("{scconnect}:claim:a flow")


@pytest.mark.stores
def test_two_prefixes_are_two_stores(raw):
    with (
        closing(RedisStore(raw.url)) as store,
        closing(RedisStore(raw.url, prefix="shop:")) as other,
    ):
        store.save(connection())
        assert [len(kept.of_user("user 1")) for kept in (store, other)] == [1, 0]
        assert [len(kept.all("", 9)) for kept in (store, other)] == [1, 0]


@pytest.mark.stores
def test_a_redis_that_is_full_raises_one_kind_of_error(raw):
    with closing(RedisStore(raw.url)) as store:
        raw.config_set("maxmemory", 1)
        try:
            with pytest.raises(StoreUnavailable):
                store.save(connection())
        finally:
            raw.config_set("maxmemory", 0)
        assert store.save(connection()).version == 1


@pytest.mark.stores
def test_encrypted_no_token_can_be_read_and_none_moved_to_another_user(raw):
    with closing(RedisStore(raw.url, encryption=Encryption(KEYS))) as store:
        store.save(connection("one"))
        store.save(connection("two", user="user 2"))
        one = json.loads(raw.hget("{scconnect}:connection:one", "data"))
        two = json.loads(raw.hget("{scconnect}:connection:two", "data"))
        assert "refresh" not in one["token"]
        raw.hset("{scconnect}:connection:two", "data", json.dumps({**two, "token": one["token"]}))
        with pytest.raises(Undecipherable) as caught:
            store.load("two")
        assert caught.value.user == "user 2"  # who may delete it
        assert store.load("one").user == "user 1"
        assert [found.id for found in store.all("", 1)] == ["one"]
        assert store.all("one", 1) == []
