"""Connections in Redis (or Valkey): the extra ``redis``.

    RedisStore("redis://localhost:6379/0")

Configure Redis to keep its data: ``appendonly yes`` and ``maxmemory-policy noeviction``. With
``appendfsync everysec``, the default, a crash of the machine can lose the last second's tokens;
with ``always`` it loses none.

Each write is one script, which Redis runs atomically. Only the key of a lease expires, by Redis's
own clock:

    {scconnect}:connection:ID   a hash: version, user, urn, and data (the connection as JSON)
    {scconnect}:user:USER       the set of a user's connection ids
    {scconnect}:account:URN     the set of an account's connection ids
    {scconnect}:lease:ID        the owner of the exclusive section
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
from scconnect_wsgi.errors import ConfigurationError, ConnectionChanged, StoreUnavailable
from scconnect_wsgi.stores._codec import TokenCodec, read_all
from scconnect_wsgi.stores._connection import Connection
from scconnect_wsgi.stores._store import no_such_connection

if TYPE_CHECKING:
    from scconnect_wsgi.encryption import Encryption

TIMEOUT = 10  # seconds to wait for a connection, or for an answer
PREFIX = "{scconnect}:"  # the braces keep all keys on one node of a cluster, as scripts require
# Words of a server that is a replica, or a primary that was cut off from its replicas.
DEMOTED = ("READONLY", "MASTERDOWN", "NOREPLICAS")
# In each script KEYS[1] is the connection, KEYS[2] its lease, and ARGV[1] the prefix.
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
    """A Store in Redis or Valkey.

    ``server`` is a URL (``redis://``, ``rediss://``, ``unix://``) or a ``redis.Redis``. With
    ``encryption``, an Encryption, tokens are encrypted, each bound to its connection and user.
    ``prefix`` begins every key. A ``redis.Redis`` of your own should not repeat a command by itself
    (``retry=Retry(NoBackoff(), 0)``): a lease whose answer was lost would look taken until it ends.
    Raises ConfigurationError for a URL that cannot work.
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
        self._save = self._redis.register_script(SAVE)
        self._delete = self._redis.register_script(DELETE)
        self._lease = self._redis.register_script(LEASE)
        self._release = self._redis.register_script(RELEASE)

    def save(self, connection: Connection) -> Connection:
        """Write a connection over the version it was loaded with. Raises ConnectionChanged."""
        stored = replace(connection, version=connection.version + 1)
        data = json.dumps({**asdict(stored), "token": self._codec.encode(stored)})
        arguments: list[str | int] = [
            stored.id,
            connection.version,
            stored.user,
            stored.account.urn,
            data,
        ]
        if not self._run(self._save, stored.id, arguments):
            raise ConnectionChanged(
                "The connection was changed, made or deleted since it was loaded. Load it again."
            )
        return stored

    def load(self, id: str) -> Connection:
        """Return the connection with this id. Raises NotConnected."""
        with self._translated_errors():
            data = self._redis.hget(self._key("connection", id), "data")
        if data is None:
            raise no_such_connection()
        return self._from_json(data)

    def delete(self, id: str) -> None:
        """Delete a connection and its lease; a missing one is ignored."""
        self._run(self._delete, id, [id])

    def of_user(self, user: str) -> list[Connection]:
        """Return all connections of a user of the site."""
        return [found for found in self._members("user", user) if found.user == user]

    def of_account(self, urn: str) -> list[Connection]:
        """Return all connections with an account of the provider."""
        return [found for found in self._members("account", urn) if found.account.urn == urn]

    def lease(self, id: str, owner: str, seconds: float) -> bool:
        """Give ``owner`` the exclusive section of a connection, and return whether it was free."""
        milliseconds = max(1, int(seconds * 1000))
        return self._run(self._lease, id, [owner, milliseconds])

    def release(self, id: str, owner: str) -> None:
        """End the exclusive section if this owner still holds it."""
        self._run(self._release, id, [owner])

    def close(self) -> None:
        """Close this process's connections to Redis. The next call opens new ones."""
        self._redis.close()

    def _run(self, script: Any, id: str, arguments: list[str | int]) -> bool:
        keys = [self._key("connection", id), self._key("lease", id)]
        with self._translated_errors():
            return bool(script(keys=keys, args=[self._prefix, *arguments]))

    def _members(self, kind: str, name: str) -> list[Connection]:
        """Return the connections in a set, in the order of their ids.

        One that is deleted or moved at the same time may be missing.
        """
        with self._translated_errors():
            ids = sorted(_text(id) for id in self._redis.smembers(self._key(kind, name)))
            pipeline = self._redis.pipeline(transaction=False)
            for id in ids:
                pipeline.hget(self._key("connection", id), "data")
            found = pipeline.execute()
        return read_all(self._from_json, [data for data in found if data])

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Raise StoreUnavailable for Redis's errors, which may show what was sent."""
        try:
            yield
        except redis.RedisError as error:
            if _is_demoted(error):
                self._disconnect()
            raise StoreUnavailable(
                f"The Redis of the connections cannot be used now ({type(error).__name__}). Likely "
                "causes: it is not running, it is restarting or is full, or the address or the "
                "password in its URL is wrong. The next call tries again."
            ) from None

    def _disconnect(self) -> None:
        """Drop the connections to a server that is no longer primary.

        The next call connects to the server that is primary now.
        """
        pool = self._redis.connection_pool
        try:
            pool.disconnect(inuse_connections=False)  # other threads are reading from those
        except TypeError:  # a BlockingConnectionPool of redis-py 5 cannot spare them
            pool.disconnect()

    def _key(self, kind: str, name: str) -> str:
        return f"{self._prefix}{kind}:{name}"

    def _from_json(self, data: str | bytes) -> Connection:
        fields = json.loads(_text(data))
        token = self._codec.decode(fields["token"], fields["id"], fields["user"], fields["api_url"])
        account = Account(**fields["account"])
        return Connection(**{**fields, "token": token, "account": account})


def _is_demoted(error: redis.RedisError) -> bool:
    """Return whether a server says that it no longer accepts writes, and another one may.

    Redis 6 wraps the word in an error of the script, and redis-py has no class for NOREPLICAS.
    """
    if isinstance(error, redis.ReadOnlyError | MasterDownError):
        return True
    return any(word in str(error) for word in DEMOTED)


def _text(value: str | bytes) -> str:
    """Return an answer as text: a client may be made with ``decode_responses`` or without."""
    return value.decode("utf-8") if isinstance(value, bytes) else value


def _client(url: str) -> redis.Redis:
    """Make a client that never repeats a command: the first one may have been carried out."""
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError:  # it quotes the URL, which may hold a password
        raise ConfigurationError(
            "url", "must be a Redis URL, such as redis://localhost:6379/0."
        ) from None
