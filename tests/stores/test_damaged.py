"""A stored connection that was damaged: an error of its own kind, and nothing else is lost."""

import json
import logging
from contextlib import closing
from dataclasses import replace

import pytest
import redis
from sqlalchemy import create_engine, text
from support import databases
from support.stores import KEYS, KINDS, SHARED_KINDS, connection

from scconnect_wsgi.connections._saving import save_over_previous
from scconnect_wsgi.encryption import Encryption
from scconnect_wsgi.errors import KeyRemoved, NotConnected, StorageFailed, Undecipherable
from scconnect_wsgi.stores.redis import RedisStore
from scconnect_wsgi.stores.sql import SQLStore
from scconnect_wsgi.token import AccessToken

SECRET = "the token of somebody"
DEEP = "[" * 150 + "]" * 150
TOKENS = {
    "nothing": "",
    "no JSON": SECRET,
    "JSON that is cut off": f'{{"token": "{SECRET}"',
    "JSON that is cut off in a word": f'{{"token": "{SECRET}',
    "a string": f'"{SECRET}"',
    "a list": f'["{SECRET}"]',
    "null": "null",
    "an empty object": "{}",
    "no token in it": '{"refresh_token": "r"}',
    "a token that is a number": '{"token": 5}',
    "an empty token": '{"token": ""}',
    "a lifetime that is a word": f'{{"token": "{SECRET}", "expires_at": "soon"}}',
    "a scope that is a list": f'{{"token": "{SECRET}", "scope": []}}',
    "extra that is a list": f'{{"token": "{SECRET}", "extra": [1]}}',
    "another field": f'{{"token": "{SECRET}", "user": "joe"}}',
    "deeper than we write": f'{{"token": "{SECRET}", "extra": {{"a": {DEEP}}}}}',
    "deeper than Python reads": '{"a":' * 30_000,
    "brackets without end": "{" + "[" * 100_000,
    "not ASCII": f'{{"token": "{SECRET}\N{SNOWMAN}"}}',
    "base64": "AAAA",
    "a login key that is a number": f'{{"token": "{SECRET}", "login_key": 5}}',
    "a failed refresh that is a number": f'{{"token": "{SECRET}", "failed_refresh": 5}}',
    "a failed refresh with a word": (
        f'{{"token": "{SECRET}", "failed_refresh": {{"failed_at": "soon", "pause": 1}}}}'
    ),
    "a failed refresh without a time": f'{{"token": "{SECRET}", "failed_refresh": {{"pause": 1}}}}',
}
ACCOUNTS = {
    "nothing": "",
    "no JSON": "joe",
    "JSON that is cut off": '{"urn": "soundcloud:users:1"',
    "a string": '"joe"',
    "a number": "5",
    "null": "null",
    "a list": '["joe"]',
    "a urn that is a number": '{"urn": 5}',
    "another field": '{"user": "joe"}',
    "deeper than Python reads": "[" * 100_000,
    "not ASCII": '{"urn": "\N{SNOWMAN}"}',
}
TEXTS = {
    **{f"token: {name}": ("token", value) for name, value in TOKENS.items()},
    **{f"account: {name}": ("account", value) for name, value in ACCOUNTS.items()},
}
SQLITE = {  # whose columns take everything
    "bytes for a token": "token = X'7B7D'",
    "bytes that are no text for a token": "token = X'FF00'",
    "text that is not UTF-8 for a token": "token = CAST(X'7BFF7D' AS TEXT)",
    "a number for a token": "token = 5",
    "text that is not UTF-8 for an account": "account = CAST(X'7BFF7D' AS TEXT)",
    "bytes for an account": "account = X'FF'",
    "a word for a time": "obtained_at = 'soon'",
    "a word for another time": "refreshing_since = 'soon'",
    "a fraction for a version": "version = 1.5",
    "a word for a version": "version = 'new'",
    "bytes for an address": "api_url = X'FF'",
    "bytes for an end": "ended = X'FF'",
}


def check(store, caplog):
    """Of the connections "one", "two" and "three" the first one is damaged."""
    with pytest.raises(Undecipherable) as caught:
        store.load("one")
    assert caught.value.code == "storage_failed"
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert not hasattr(caught.value, "doc")
    assert SECRET not in str(caught.value)
    with caplog.at_level(logging.WARNING, "scconnect_wsgi"):
        for found in (
            store.of_user("user 1"),
            store.of_account("soundcloud:users:1"),
            store.all("", 10),
        ):
            assert [each.id for each in found] == ["three", "two"]
    assert caplog.text.count("is left out of a list") == 3
    assert SECRET not in caplog.text
    mended = save_over_previous(store, connection(obtained_at=7))
    assert store.load("one") == mended
    assert [found.id for found in store.of_user("user 1")] == ["one", "three", "two"]
    assert [found.id for found in store.all("", 10)] == ["one", "three", "two"]


def filled(store):
    for id in ("one", "two", "three"):
        store.save(connection(id))
    return store


def sqlite(path, **options):
    return filled(SQLStore(f"sqlite:///{path}/connections.sqlite3", **options))


def execute(url, statement, **values):
    engine = create_engine(url)
    with engine.begin() as db:
        db.execute(text(statement), values)
    engine.dispose()


def put(url, column, value):
    statement = f"UPDATE scconnect_connections SET {column} = :value WHERE id = 'one'"
    execute(url, statement, value=value)


@pytest.mark.parametrize(("column", "value"), TEXTS.values(), ids=TEXTS)
def test_a_damaged_row_is_left_out_and_its_user_can_connect_again(tmp_path, caplog, column, value):
    with closing(sqlite(tmp_path)) as store:
        put(f"sqlite:///{tmp_path}/connections.sqlite3", column, value)
        check(store, caplog)


@pytest.mark.parametrize("change", SQLITE.values(), ids=SQLITE)
def test_a_row_of_other_types_is_left_out_too(tmp_path, caplog, change):
    with closing(sqlite(tmp_path)) as store:
        execute(
            f"sqlite:///{tmp_path}/connections.sqlite3",
            f"UPDATE scconnect_connections SET {change} WHERE id = 'one'",
        )
        check(store, caplog)


@pytest.mark.parametrize("change", SQLITE.values(), ids=SQLITE)
def test_a_row_of_other_types_is_left_out_with_an_engine_of_the_site(tmp_path, caplog, change):
    engine = create_engine(f"sqlite:///{tmp_path}/connections.sqlite3")
    store = filled(SQLStore(engine=engine))
    execute(engine.url, f"UPDATE scconnect_connections SET {change} WHERE id = 'one'")
    check(store, caplog)
    with closing(engine.raw_connection()) as db:
        assert db.driver_connection.text_factory is str  # the site's own use of it is as before
    engine.dispose()


@pytest.mark.parametrize("value", TOKENS.values(), ids=TOKENS)
def test_a_damaged_row_among_encrypted_ones_is_left_out_too(tmp_path, caplog, value):
    with closing(sqlite(tmp_path, encryption=Encryption(KEYS))) as store:
        put(f"sqlite:///{tmp_path}/connections.sqlite3", "token", value)
        check(store, caplog)


@pytest.mark.stores
@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
@pytest.mark.parametrize("damage", ["token: JSON that is cut off", "account: a list"])
def test_a_damaged_row_of_a_server_is_left_out_too(caplog, name, damage):
    server = databases.running(name)
    server.clear()
    with closing(filled(SQLStore(server.url))) as store:
        put(server.url, *TEXTS[damage])
        check(store, caplog)


def test_only_what_is_encrypted_is_said_to_be(tmp_path):
    url = f"sqlite:///{tmp_path}/connections.sqlite3"
    with closing(sqlite(tmp_path, encryption=Encryption(KEYS))) as store:
        put(url, "token", "AAAA")
        with pytest.raises(Undecipherable):
            store.load("one")
    with closing(SQLStore(url)) as store:
        with pytest.raises(KeyRemoved, match="given no encryption"):
            store.load("two")
        with pytest.raises(Undecipherable, match="changed, or cut off") as caught:
            store.load("one")
        assert not isinstance(caught.value, KeyRemoved)


@pytest.fixture
def raw():
    server = databases.running("redis")
    server.clear()
    with closing(redis.Redis.from_url(server.url)) as client:
        yield client


@pytest.fixture(params=["", "?decode_responses=true"], ids=["bytes", "texts"])
def redis_store(request, raw):
    url = databases.running("redis").url
    with closing(filled(RedisStore(url + request.param))) as store:
        yield store


ONE = "{scconnect}:connection:one"
DATA = {
    "nothing": b"",
    "no JSON": SECRET.encode(),
    "a number": b"5",
    "a list": b"[]",
    "null": b"null",
    "not UTF-8": b'{"\xff": 1}',
    "deeper than Python reads": b"[" * 100_000,
}
FIELDS = {
    "no id": {"id": None},
    "the id of another": {"id": "two"},
    "an address that is a number": {"api_url": 5},
    "a user that is a list": {"user": []},
    "a time that is a word": {"obtained_at": "soon"},
    "a refresh that is a word": {"refreshing_since": "soon"},
    "an unknown field": {"color": "red"},
    "an account that is a list": {"account": ["joe"]},
    "an account with another field": {"account": {"user": "joe"}},
    **{f"token: {name}": {"token": value} for name, value in TOKENS.items()},
}


@pytest.mark.stores
@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_damaged_data_in_redis_are_left_out(redis_store, raw, caplog, data):
    raw.hset(ONE, "data", data)
    check(redis_store, caplog)


@pytest.mark.stores
@pytest.mark.parametrize("change", FIELDS.values(), ids=FIELDS)
def test_damaged_fields_in_redis_are_left_out(redis_store, raw, caplog, change):
    raw.hset(ONE, "data", json.dumps({**json.loads(raw.hget(ONE, "data")), **change}))
    check(redis_store, caplog)


@pytest.mark.stores
@pytest.mark.parametrize("missing", ["id", "user", "api_url", "token", "account"])
def test_a_field_that_is_missing_in_redis_is_damage(redis_store, raw, caplog, missing):
    data = json.loads(raw.hget(ONE, "data"))
    del data[missing]
    raw.hset(ONE, "data", json.dumps(data))
    check(redis_store, caplog)


@pytest.mark.stores
@pytest.mark.parametrize("name", ["data", "version"])
def test_a_hash_in_redis_without_one_of_its_names_is_damage(redis_store, raw, caplog, name):
    raw.hdel(ONE, name)
    check(redis_store, caplog)


@pytest.mark.stores
@pytest.mark.parametrize("version", [b"", b"new", b"1.5", b"\xff"])
def test_a_version_in_redis_that_is_no_number_is_damage(redis_store, raw, caplog, version):
    raw.hset(ONE, "version", version)
    check(redis_store, caplog)


@pytest.mark.stores
def test_a_version_in_redis_that_was_changed_can_be_written_over(redis_store, raw):
    raw.hset(ONE, "version", 7)
    loaded = redis_store.load("one")
    assert loaded.version == 7
    assert redis_store.save(loaded).version == 8


@pytest.mark.stores
def test_a_key_in_redis_that_is_no_hash_is_damage(redis_store, raw, caplog):
    raw.set(ONE, SECRET)
    check(redis_store, caplog)


@pytest.mark.stores
def test_a_damaged_connection_can_be_deleted_from_redis(redis_store, raw):
    raw.hset(ONE, "data", b"")
    raw.hdel(ONE, "urn")
    redis_store.delete("one")
    with pytest.raises(NotConnected):
        redis_store.load("one")
    assert raw.hgetall(ONE) == {}


@pytest.mark.stores
def test_a_damaged_outcome_in_redis_is_none(redis_store, raw):
    assert redis_store.claim("a flow", 60)
    raw.set("{scconnect}:claim:a flow", b"\xff", keepttl=True)
    assert redis_store.outcome("a flow") != "/close.html"


@pytest.fixture(params=KINDS)
def store(request, tmp_path):
    with closing(request.param(tmp_path)) as store:
        yield store


UNSTORABLE = {"a lone surrogate": "joe\ud800", "another": "\udcff", "NUL": "jo\0e"}


@pytest.mark.parametrize("name", UNSTORABLE.values(), ids=UNSTORABLE)
def test_a_name_that_no_store_can_keep_is_refused_and_harms_nothing(store, name):
    stored = store.save(connection())
    account = connection().account
    for refused in (
        connection("new", user=name),
        connection("new", account=replace(account, urn=name)),
        connection("new", api_url=name),
        connection("new", callback_url=name),
        connection(name),
    ):
        with pytest.raises(StorageFailed):
            store.save(refused)
        assert store.load("one") == stored  # over the same connection
    calls = [
        lambda: store.of_user(name),
        lambda: store.of_account(name),
        lambda: store.all(name, 5),
        lambda: store.lease(name, "joe", 5),
        lambda: store.release(name, "joe"),
        lambda: store.delete(name),
        lambda: store.claim(name, 5),
        lambda: store.settle(name, "x"),
        lambda: store.outcome(name),
    ]
    for call in calls:
        with pytest.raises(StorageFailed):
            call()
        assert store.load("one") == stored
    with pytest.raises(NotConnected):  # it comes from a page
        store.load(name)
    assert store.of_user("user 1") == [stored]
    token = AccessToken(f"t{name}", extra={"name": name})
    assert store.save(replace(stored, token=token, account=replace(account, name=name)))
    assert store.load("one").token == token  # JSON can hold it


WRONG = {
    "a user that is a number": {"user": 5},
    "a time that is a word": {"obtained_at": "now"},
    "a token that is text": {"token": "t"},
    "an account that is a dict": {"account": {"urn": "u"}},
    "a set in the token": {"token": AccessToken("t", extra={"a": {1}})},
    "a token that is too deep": {"token": AccessToken("t", extra={"a": json.loads(DEEP)})},
}


@pytest.mark.parametrize("fields", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("make", SHARED_KINDS[:1])
def test_what_could_not_be_read_again_is_not_written(tmp_path, make, fields):
    with closing(make(tmp_path)) as store:
        with pytest.raises((StorageFailed, ValueError, TypeError)) as caught:
            store.save(connection(**fields))
        assert str(caught.value) != "t"
        assert store.all("", 5) == []
