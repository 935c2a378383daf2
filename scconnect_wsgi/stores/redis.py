"""Connections in Redis (or Valkey): the extra ``redis``.

    RedisStore("redis://localhost:6379/0")

Redis must be told to keep what it is given: ``appendonly yes`` and ``maxmemory-policy noeviction``.
With ``appendfsync everysec``, its default, a crash of the machine can take the last second's tokens
with it, and with ``always`` none.

Each call is one script, which Redis runs alone. Keys never expire, but for that of a lease, by
Redis's own clock:

    {scconnect}:connection:ID   a hash: version, user, urn, and the connection as JSON
    {scconnect}:user:USER       the set of the ids of a user
    {scconnect}:account:URN     the set of the ids with an account
    {scconnect}:lease:ID        who is in the exclusive section
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import MasterDownError
from redis.retry import Retry

from scconnect_wsgi.account import Account
from scconnect_wsgi.errors import (
    ConfigurationError,
    ConnectionChanged,
    NotConnected,
    StoreUnavailable,
)
from scconnect_wsgi.stores import Connection
from scconnect_wsgi.stores.codec import TokenCodec, readable

if TYPE_CHECKING:
    from scconnect_wsgi.encryption import Encryption

PATIENCE = 10  # seconds to wait for a connection, or for an answer
PREFIX = (
    "{scconnect}:"  # the braces keep all keys on one node of a cluster, where scripts need them
)
# In each script KEYS[1] is the connection, and ARGV[1] the prefix.
_FORGET_INDEX = """
local function forget_index()
  local old = redis.call('HMGET', KEYS[1], 'user', 'urn')
  if old[1] then
    redis.call('SREM', ARGV[1] .. 'user:' .. old[1], ARGV[2])
    redis.call('SREM', ARGV[1] .. 'account:' .. old[2], ARGV[2])
  end
end
"""
SAVE = f"""{_FORGET_INDEX}
local id, expected, user, urn, data = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if (redis.call('HGET', KEYS[1], 'version') or '0') ~= expected then return 0 end
forget_index()
redis.call('HSET', KEYS[1], 'version', expected + 1, 'user', user, 'urn', urn, 'data', data)
redis.call('SADD', ARGV[1] .. 'user:' .. user, id)
redis.call('SADD', ARGV[1] .. 'account:' .. urn, id)
return 1
"""
DELETE = f"""{_FORGET_INDEX}
forget_index()
redis.call('DEL', KEYS[1], KEYS[2])
return 1
"""
LEASE = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
return redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) and 1 or 0
"""
RELEASE = """
if redis.call('GET', KEYS[2]) == ARGV[2] then redis.call('DEL', KEYS[2]) end
return 1
"""


class RedisStore:
    """A Store in Redis. ``server`` is a URL (``redis://``, ``rediss://``, ``unix://``) or a
    ``redis.Redis``.

    With ``encryption``, an Encryption, tokens are encrypted, each bound to its connection and user.
    ``prefix`` begins every key. A ``redis.Redis`` of your own should not send a command again by
    itself (``retry=Retry(NoBackoff(), 0)``): a lease whose answer was lost would look taken until
    it ends. Raises ConfigurationError for a URL that cannot work.
    """

    def __init__(
        self,
        server: str | redis.Redis,
        *,
        prefix: str = PREFIX,
        encryption: Encryption | None = None,
    ) -> None:
        self._redis: Any = _client(server) if isinstance(server, str) else server
        self._prefix = prefix
        self._codec = TokenCodec(encryption)
        scripts = {"save": SAVE, "delete": DELETE, "lease": LEASE, "release": RELEASE}
        self._scripts = {
            name: self._redis.register_script(script) for name, script in scripts.items()
        }

    def save(self, connection: Connection) -> Connection:
        """Write a connection over the version it was loaded with. Raises ConnectionChanged."""
        stored = replace(connection, version=connection.version + 1)
        data = json.dumps({**asdict(stored), "token": self._codec.write(stored)})
        if not self._run(
            "save", stored.id, stored.id, connection.version, stored.user, stored.account.urn, data
        ):
            raise ConnectionChanged(
                "The connection was changed, made or deleted since it was loaded. Load it again."
            )
        return stored

    def load(self, id: str) -> Connection:
        """The connection of that id. Raises NotConnected."""
        with self._reached():
            data = self._redis.hget(self._key("connection", id), "data")
        if data is None:
            raise NotConnected(
                "There is no such connection. Likely causes: it was disconnected, or never made."
            )
        return self._connection(data)

    def delete(self, id: str) -> None:
        """Forget a connection and its lease, if it is there."""
        self._run("delete", id, id)

    def of_user(self, user: str) -> list[Connection]:
        """Every connection of a user of the site."""
        return [found for found in self._members("user", user) if found.user == user]

    def of_account(self, urn: str) -> list[Connection]:
        """Every connection with an account of the provider."""
        return [found for found in self._members("account", urn) if found.account.urn == urn]

    def lease(self, id: str, owner: str, seconds: float) -> bool:
        """Give ``owner`` the exclusive section of a connection, unless somebody holds it."""
        return self._run("lease", id, owner, max(1, int(seconds * 1000)))

    def release(self, id: str, owner: str) -> None:
        """End the exclusive section, if it is still this owner's."""
        self._run("release", id, owner)

    def close(self) -> None:
        """Close the connections of this process to Redis. The next call opens others."""
        self._redis.close()

    def _run(self, script: str, id: str, *arguments: str | int) -> bool:
        keys = [self._key("connection", id), self._key("lease", id)]
        with self._reached():
            return bool(self._scripts[script](keys=keys, args=[self._prefix, *arguments]))

    def _members(self, kind: str, name: str) -> list[Connection]:
        """The connections of a set, by their ids;

        one that went away or moved meanwhile may be missing.
        """
        with self._reached():
            ids = sorted(_text(id) for id in self._redis.smembers(self._key(kind, name)))
            pipeline = self._redis.pipeline(transaction=False)
            for id in ids:
                pipeline.hget(self._key("connection", id), "data")
            found = pipeline.execute()
        return readable(self._connection, filter(None, found))

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Redis's errors become ours: theirs may show what was sent."""
        try:
            yield
        except redis.RedisError as error:
            if _demoted(error):
                self._leave()
            raise StoreUnavailable(
                f"The Redis of the connections cannot be used now ({type(error).__name__}). Likely causes: it is not "
                "running, it is being restarted or is full, or the address or the password in its URL is wrong. The "
                "next call tries again."
            ) from None

    def _leave(self) -> None:
        """Drop the connections to a server that is no primary:

        the next call connects to whichever is one now.
        """
        pool = self._redis.connection_pool
        if isinstance(pool, redis.BlockingConnectionPool):
            pool.disconnect()  # all of them: in redis-py 5 it cannot be told to spare those in use
        else:
            pool.disconnect(inuse_connections=False)

    def _key(self, kind: str, name: str) -> str:
        return f"{self._prefix}{kind}:{name}"

    def _connection(self, data: str | bytes) -> Connection:
        fields = json.loads(_text(data))
        fields["token"] = self._codec.read(
            fields["token"], fields["id"], fields["user"], fields["api_url"]
        )
        return Connection(**{**fields, "account": Account(**fields["account"])})


def _demoted(error: redis.RedisError) -> bool:
    """Whether a server says that it is a replica, or a primary that was cut off: it was left for
    another one.

    Redis 6 wraps the word in an error of the script, and redis-py has no class for the last one.
    """
    known = isinstance(error, redis.ReadOnlyError | MasterDownError)
    return known or any(word in str(error) for word in ("READONLY", "MASTERDOWN", "NOREPLICAS"))


def _text(value: str | bytes) -> str:
    """What Redis answered; a client may be made with ``decode_responses`` or without."""
    return value.decode("utf-8") if isinstance(value, bytes) else value


def _client(url: str) -> redis.Redis:
    """Nothing is sent again by itself: nobody could tell whether it was done the first time."""
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError:  # it may show the URL, which may hold a password
        raise ConfigurationError(
            "url", "must be a Redis URL, such as redis://localhost:6379/0."
        ) from None
