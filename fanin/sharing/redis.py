"""The paces that several machines share, in Redis: a hash an account and model, of a version and the state.

A look reads it, does its step here, and writes where nobody has written since (a script of four lines
compares the version); else it begins again. So the policy that runs is the one that runs everywhere
else. Time is the server's. Keys expire a day after the last look.

Sources: the commands TIME, HMGET, HSET, EXPIRE, EVAL and SCAN in the documentation of Redis.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.to_thread

from fanin.clock import Clock
from fanin.errors import InputError, MissingExtraError
from fanin.sharing import codec
from fanin.sharing.joint import Joint
from fanin.sharing.store import Found, Key, Step, Store, StoreError, T

TIMEOUT_S = 1.0
"""A server that takes longer is taken to be gone."""
EXPIRES_S = 86_400
"""What nobody has looked at for so long is forgotten."""
TRIES = 20
"""A look begins again so often, where others come between."""
PREFIX = "fanin:pace:"
PASSWORD = "REDIS_PASSWORD"
"""The environment variable of the password, where the address has none."""

WRITE = """
if (redis.call('HGET', KEYS[1], 'version') or '0') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'state', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""


class RedisStore(Store):
    """The states under `fanin:pace:` in one database; several threads may use it at once.

    Raises MissingExtraError without the package `redis`, InputError for an address that is none.
    """

    patience_s = 5.0

    def __init__(self, url: str) -> None:
        super().__init__()
        try:
            import redis
        except ImportError:
            raise MissingExtraError("sharing the pace through Redis", "redis") from None
        options: dict[str, Any] = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S}
        if password := os.environ.get(PASSWORD):
            options["password"] = password  # which one in the address goes before
        try:
            self._redis: Any = redis.Redis.from_url(url, **options)
        except (ValueError, TypeError):
            bound = "the address of a Redis server, as redis://localhost/0"
            raise InputError("pace", bound, url.rpartition("@")[2]) from None
        self.name = f"Redis at {_place(url)}"
        self._write = self._redis.register_script(WRITE)
        # Until the server has told its own: as far as this machine's clock is right, nothing jumps then.
        self.ahead_s = time.time() - time.monotonic()
        self._exact_to_s = math.inf

    async def exchange(self, key: Key, fresh: Joint, step: Step[T], clock: Clock) -> Found[T]:
        return await anyio.to_thread.run_sync(self._exchanged, key, fresh, step, clock_of(clock))

    def _exchanged(self, key: Key, fresh: Joint, step: Step[T], here_s: Callable[[], float]) -> Found[T]:
        name = f"{PREFIX}{key.digest}"
        with self._said():
            for _ in range(TRIES):
                version, state = self._read(name, here_s)
                joint, result = step(_decoded(state) or fresh, here_s() + self.ahead_s)
                changed: list[Any] = [version, str(int(version) + 1), _encoded(joint), EXPIRES_S]
                if self._write(keys=[name], args=changed):
                    return Found(joint, result)
        raise StoreError(f"{self.name} is in use by too many at once")

    def _read(self, name: str, here_s: Callable[[], float]) -> tuple[str, bytes | None]:
        """The version and the state. Learns how far ahead the server's clock is, from the quickest answer."""
        asked_s = here_s()
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.time()
        pipeline.hmget(name, ["version", "state"])
        (seconds, microseconds), (version, state) = pipeline.execute()
        answered_s = here_s()
        self._exact_to_s *= 1.01
        if answered_s - asked_s <= self._exact_to_s:
            self._exact_to_s = answered_s - asked_s
            self.ahead_s = seconds + microseconds / 1e6 - (asked_s + answered_s) / 2
        return (version or b"0").decode("ascii", "replace"), state

    def closed_until_s(self, key: Key) -> float:
        return -math.inf  # asking would take as long as a look

    def entries(self) -> list[Joint]:
        found = []
        with self._said():
            for name in self._names():
                state = self._redis.hget(name, "state")
                try:
                    joint = _decoded(state)
                except StoreError:
                    continue
                if joint is not None:
                    found.append(joint)
        return sorted(found, key=lambda joint: (joint.account, joint.model))

    def forget(self, key: Key | None) -> int:
        with self._said():
            names = self._names() if key is None else [f"{PREFIX}{key.digest}".encode()]
            for name in names:
                self._forget(name)
            return len(names)

    def _forget(self, name: bytes) -> None:
        """Leaves an empty state, so that whoever shares it forgets too."""
        version, state = self._redis.hmget(name, ["version", "state"])
        try:
            known = _decoded(state)
        except StoreError:
            known = None
        if known is None:
            self._redis.delete(name)
            return
        empty = _encoded(Joint(known.account, known.model))
        changed = {"version": str(int(version) + 1), "state": empty}
        self._redis.hset(name, mapping=changed)

    def now_s(self) -> float:
        with self._said():
            told = self._redis.time()
            return float(told[0] + told[1] / 1e6)

    def _names(self) -> list[bytes]:
        return sorted(self._redis.scan_iter(match=f"{PREFIX}*", count=1000))

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Makes of the client's errors a StoreError, without what the server said: it may repeat a secret."""
        from redis import exceptions

        try:
            yield
        except exceptions.AuthenticationError:
            why = f"{self.name} refuses the password (in the address, or in {PASSWORD})"
            raise StoreError(why, for_good=True) from None
        except exceptions.TimeoutError:
            raise StoreError(f"{self.name} does not answer within {TIMEOUT_S:g} s") from None
        except exceptions.ConnectionError:
            raise StoreError(f"{self.name} cannot be reached") from None
        except exceptions.NoPermissionError:
            raise StoreError(f"{self.name} does not permit it", for_good=True) from None
        except exceptions.RedisError as error:
            raise StoreError(f"{self.name} cannot be used ({type(error).__name__})") from None
        except ValueError:
            raise StoreError(f"{self.name} holds something else under {PREFIX}", for_good=True) from None


def clock_of(clock: Clock) -> Callable[[], float]:
    """The time of an event loop's clock, as a thread beside it can tell it."""
    behind_s = time.monotonic() - clock.now_s()
    return lambda: time.monotonic() - behind_s


def _encoded(joint: Joint) -> bytes:
    return f"{codec.version()} ".encode() + codec.encode(joint)


def _decoded(state: bytes | None) -> Joint | None:
    """The state; None where there is none. Raises StoreError for what another fanin wrote."""
    if state is None:
        return None
    version, _, body = state.partition(b" ")
    try:
        if version.decode("ascii") == codec.version():
            return codec.decode(body)
    except ValueError:
        pass
    raise StoreError("Redis holds a pace of another version of fanin", for_good=True)


def _place(url: str) -> str:
    """The address for people, without user and password."""
    return url.partition("://")[2].rpartition("@")[2].partition("?")[0]
