"""Connections in Redis (or Valkey): the extra ``redis``.

    RedisStore("redis://localhost:6379/0")

Configure Redis to keep its data: ``appendonly yes`` and ``maxmemory-policy noeviction``. With
``appendfsync everysec``, the default, a crash of the machine can lose the last second's tokens;
with ``always`` it loses none.

Each write of a connection is one script, which Redis runs atomically. Only the keys of leases and
claims expire, by Redis's own clock:

    {scconnect}:connection:ID   a hash: version, user, urn, and data (the connection as JSON)
    {scconnect}:user:USER       the set of a user's connection ids
    {scconnect}:account:URN     the set of an account's connection ids
    {scconnect}:all             the sorted set of all connection ids, each with the score 0
    {scconnect}:lease:ID        the owner of the exclusive section
    {scconnect}:claim:NAME      how a flow ended, or an empty text as long as nobody knows
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scconnect_wsgi.stores._extras import missing_extra

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.client import NEVER_DECODE
    from redis.exceptions import ClusterDownError, MasterDownError
    from redis.retry import Retry
except ModuleNotFoundError as _missing:
    raise missing_extra(_missing, "redis", "redis") from None

from scconnect_wsgi.errors import (
    ConfigurationError,
    ConnectionChanged,
    StoreUnavailable,
)
from scconnect_wsgi.redaction import hides_all_locals
from scconnect_wsgi.stores._codec import OutcomeCodec, TokenCodec
from scconnect_wsgi.stores._connection import Connection
from scconnect_wsgi.stores._names import is_storable, storable
from scconnect_wsgi.stores._records import read_all, read_connection, write_connection
from scconnect_wsgi.stores._store import no_such_connection

if TYPE_CHECKING:
    from scconnect_wsgi.encryption import Encryption

TIMEOUT = 10  # seconds to wait for a connection, or for an answer
PREFIX = "{scconnect}:"  # the braces keep all keys on one node of a cluster, as scripts require
# The first words of a server that cannot serve a store, while another one perhaps can: a replica,
# one that is cut off, that loads or cannot write its data, or that a script keeps busy.
UNFIT = (
    "READONLY",
    "MASTERDOWN",
    "NOREPLICAS",
    "CLUSTERDOWN",
    "LOADING",
    "MISCONF",
    "BUSY",
    "UNKILLABLE",
)
UNFIT_ERRORS = (  # from which redis-py takes the word away
    redis.ReadOnlyError,
    redis.BusyLoadingError,
    ClusterDownError,
    MasterDownError,
)
MISSING = [None, None]  # what HMGET answers for a connection that is not there
# In each script KEYS[1] is the connection, KEYS[2] its lease, and ARGV[1] the prefix.
_FORGET_INDEX = """
local function forget_index()
  local old = redis.pcall('HMGET', KEYS[1], 'user', 'urn')  -- no error if it is no hash
  if old[1] then redis.call('SREM', ARGV[1] .. 'user:' .. old[1], ARGV[2]) end
  if old[2] then redis.call('SREM', ARGV[1] .. 'account:' .. old[2], ARGV[2]) end
end
"""
SAVE = f"""{_FORGET_INDEX}
local id, expected, user, urn, data = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if (redis.call('HGET', KEYS[1], 'version') or '0') ~= expected then return 0 end
forget_index()
redis.call('HSET', KEYS[1], 'version', expected + 1, 'user', user, 'urn', urn, 'data', data)
redis.call('SADD', ARGV[1] .. 'user:' .. user, id)
redis.call('SADD', ARGV[1] .. 'account:' .. urn, id)
redis.call('ZADD', ARGV[1] .. 'all', 0, id)
return 1
"""
DELETE = f"""{_FORGET_INDEX}
forget_index()
redis.call('ZREM', ARGV[1] .. 'all', ARGV[2])
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


@hides_all_locals
class RedisStore:
    """A Store in Redis or Valkey.

    ``server`` is a URL (``redis://``, ``rediss://``, ``unix://``) or a ``redis.Redis``. With
    ``encryption``, an Encryption, tokens are encrypted, each bound to its connection and user.
    ``prefix`` begins every key. A ``redis.Redis`` of your own should not repeat a command by itself
    (``retry=Retry(NoBackoff(), 0)``): a lease or a claim whose answer was lost would look taken
    until it ends. Raises ConfigurationError for a URL that cannot work.
    """

    def __init__(
        self,
        server: str | redis.Redis,
        *,
        prefix: str = PREFIX,
        encryption: Encryption | None = None,
    ) -> None:
        self._redis: Any = _client(server) if isinstance(server, str) else server
        if not _is_client(self._redis):
            raise ConfigurationError(
                "server",
                "must be a Redis URL or a redis.Redis client, neither one for asyncio nor a "
                f"pipeline, and not {type(server).__module__}.{type(server).__name__}.",
            )
        if not isinstance(prefix, str):
            raise ConfigurationError("prefix", f"must be a string, not {type(prefix).__name__}.")
        self._prefix = prefix
        self._codec = TokenCodec(encryption)
        self._outcome_codec = OutcomeCodec(encryption)
        self.encryption: Encryption | None = encryption  # Connections checks its keys
        self._save = self._redis.register_script(SAVE)
        self._delete = self._redis.register_script(DELETE)
        self._lease = self._redis.register_script(LEASE)
        self._release = self._redis.register_script(RELEASE)

    def save(self, connection: Connection) -> Connection:
        """Write a connection over the version it was loaded with. Raises ConnectionChanged."""
        stored = replace(connection, version=connection.version + 1)
        data = json.dumps(write_connection(stored, self._codec))
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
        """Return the connection with this id. Raises NotConnected and Undecipherable."""
        stored = self._hashes([id])[0] if is_storable(id) else MISSING
        if stored == MISSING:
            raise no_such_connection()
        return self._read(id, stored)

    def delete(self, id: str) -> None:
        """Delete a connection and its lease; a missing one is ignored."""
        self._run(self._delete, id, [id])

    def of_user(self, user: str) -> list[Connection]:
        """Return all connections of a user of the site."""
        return [found for found in self._members("user", user) if found.user == user]

    def of_account(self, urn: str) -> list[Connection]:
        """Return all connections with an account of the provider."""
        return [found for found in self._members("account", urn) if found.account.urn == urn]

    def all(self, after: str, limit: int) -> list[Connection]:
        """Return the next connections after an id, of all users, or the first ones."""
        while True:
            ids = self._ids(after, limit)
            found = self._existing(ids)
            if found or not ids:
                return found
            after = ids[-1]

    def lease(self, id: str, owner: str, seconds: float) -> bool:
        """Give ``owner`` the exclusive section of a connection, and return whether it was free."""
        return self._run(self._lease, id, [owner, _milliseconds(seconds)])

    def release(self, id: str, owner: str) -> None:
        """End the exclusive section if this owner still holds it."""
        self._run(self._release, id, [owner])

    def claim(self, name: str, seconds: float) -> bool:
        """Claim a name for so many seconds, and return whether it was free."""
        key = self._key("claim", name)
        with self._translated_errors():
            return bool(self._redis.set(key, "", nx=True, px=_milliseconds(seconds)))

    def settle(self, name: str, outcome: str) -> None:
        """Keep an outcome with a claim for as long as the claim lasts."""
        text = self._outcome_codec.encode(name, outcome)
        with self._translated_errors():
            self._redis.set(self._key("claim", name), text, xx=True, keepttl=True)

    def outcome(self, name: str) -> str | None:
        """Return the outcome that is kept with a claim, or None."""
        with self._translated_errors():
            text = self._undecoded(self._redis, "GET", self._key("claim", name))
        return self._outcome_codec.decode(name, _text(text)) if text else None

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
            members = self._undecoded(self._redis, "SMEMBERS", self._key(kind, name))
        ids = sorted(map(_text, members))
        return self._existing(ids)

    def _ids(self, after: str, limit: int) -> list[str]:
        """Return the next ids after one, in the order of their bytes."""
        start = f"({storable(after)}" if after else "-"
        command = ("ZRANGEBYLEX", f"{self._prefix}all", start, "+", "LIMIT", "0", str(limit))
        with self._translated_errors():
            ids = self._undecoded(self._redis, *command)
        return [_text(id) for id in ids]

    def _existing(self, ids: list[str]) -> list[Connection]:
        """Return the connections with these ids, without those that are deleted meanwhile."""
        pairs = zip(ids, self._hashes(ids), strict=True)
        existing = [(id, stored) for id, stored in pairs if stored != MISSING]
        return read_all(lambda pair: self._read(*pair), existing)

    def _hashes(self, ids: list[str]) -> list[Any]:
        """Return version and data of each connection, or the error for a key that is no hash."""
        keys = [self._key("connection", id) for id in ids]
        with self._translated_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for key in keys:
                self._undecoded(pipeline, "HMGET", key, "version", "data")
            answers = pipeline.execute(raise_on_error=False)
            for answer in answers:
                if isinstance(answer, redis.RedisError) and not _is_wrong_type(answer):
                    raise answer
        return list(answers)

    def _undecoded(self, client: Any, *command: str) -> Any:
        """Send a command whose answer is bytes: redis-py itself would fail on damaged text."""
        return client.execute_command(*command, **{NEVER_DECODE: []})

    def _read(self, id: str, stored: Any) -> Connection:
        """Return the connection that is stored under an id."""

        def fields() -> dict[str, Any]:
            version, data = stored
            fields = json.loads(data.decode("utf-8"))
            if fields["id"] != id:
                raise ValueError("the data of another key")
            return {**fields, "version": int(version)}

        return read_connection(fields, self._codec)

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Raise StoreUnavailable for Redis's errors, which may show what was sent."""
        try:
            yield
        except (TypeError, UnicodeError) as error:  # of redis-py, about its parameters
            raise StoreUnavailable(
                f"The client of Redis cannot connect ({type(error).__name__}): a parameter in the "
                "URL, or of the client, has a name that it does not know or a wrong value."
            ) from None
        except redis.RedisError as error:
            if _is_unfit(error):
                self._disconnect()
            raise StoreUnavailable(
                f"The Redis of the connections cannot be used now ({type(error).__name__}). Likely "
                "causes: it is not running, it is restarting or is full, or the address or the "
                "password in its URL is wrong. The next call tries again."
            ) from None

    def _disconnect(self) -> None:
        """Drop the connections to a server that cannot serve a store.

        The next call connects to the server that is primary now.
        """
        pool = getattr(self._redis, "connection_pool", None)
        if pool is None:  # a cluster, whose client looks for the primaries by itself
            return
        try:
            pool.disconnect(inuse_connections=False)  # other threads are reading from those
        except TypeError:  # a BlockingConnectionPool of redis-py 5 cannot spare them
            pool.disconnect()

    def _key(self, kind: str, name: str) -> str:
        return f"{self._prefix}{kind}:{storable(name)}"


def _is_client(server: Any) -> bool:
    """Return whether a client sends a command when it is called, and returns the answer."""
    return (
        hasattr(server, "register_script")
        and not inspect.iscoroutinefunction(server.execute_command)
        and not isinstance(server, redis.client.Pipeline)
    )


def _is_unfit(error: redis.RedisError) -> bool:
    """Return whether a server cannot serve a store now, and another one may.

    Redis 6 wraps the word in an error of the script, and redis-py has no class for some of them.
    """
    if isinstance(error, UNFIT_ERRORS):
        return True
    return any(word in str(error) for word in UNFIT)


def _is_wrong_type(error: redis.RedisError) -> bool:
    """Return whether a key holds a value of another kind than this store writes."""
    return str(error).startswith("WRONGTYPE")


def _milliseconds(seconds: float) -> int:
    """Return a lifetime as Redis wants it: a whole number above 0."""
    return max(1, int(seconds * 1000))


def _text(value: str | bytes) -> str:
    """Return an answer as text: a client may be made with ``decode_responses`` or without."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


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
