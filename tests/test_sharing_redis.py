"""Sharing a pace through Redis, on a server of the tests' own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import anyio
import attrs
import pytest
from limited_provider import LimitedBackend, Limits, Offer, Provider
from limited_server import serving
from test_sharing_file import shared_by_processes

from fanin.clock import LoopClock
from fanin.conductor import Conductor
from fanin.errors import InputError, MissingExtraError, SharedPaceWarning
from fanin.limiters import Limiters
from fanin.policy.pacing import Load
from fanin.sharing.joint import Joint, Member, Visit, exchanged
from fanin.sharing.redis import RedisStore
from fanin.sharing.store import Found, Key, Step, StoreError
from fanin.terms import Terms
from fanin.values import Message, Request, Sample

pytest.importorskip("redis", reason="the extra redis is not installed")
pytestmark = [
    pytest.mark.redis,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="there is no redis-server"),
]

KEY = Key("https://api.example/v1#fingerprint", "m")


@attrs.define
class Server:
    """A redis-server on a free port of this machine."""

    port: int
    password: str | None = None
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Runs until `stop`; keeps nothing on disk."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--requirepass", self.password] if self.password else []
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert self.process.poll() is None
                time.sleep(0.02)

    def stop(self) -> None:
        """Ends it at once."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @property
    def url(self) -> str:
        """Its address, without a password."""
        return f"redis://127.0.0.1:{self.port}/0"


@contextmanager
def running(password: str | None = None) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = Server(free.getsockname()[1], password)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every client that a test opened is closed with it: a process does that by ending."""
    import redis

    opened: list[Any] = []
    open_one = redis.Redis.from_url

    def from_url(*args: Any, **options: Any) -> Any:
        opened.append(open_one(*args, **options))
        return opened[-1]

    monkeypatch.setattr(redis.Redis, "from_url", from_url)
    yield
    for client in opened:
        client.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as started:
        yield started


async def look(store: RedisStore, step: Step[Any], key: Key = KEY) -> Found[Any]:
    return await store.exchange(key, Joint(key.account, key.model), step, LoopClock())


def visiting(name: str, loads: int = 0) -> Step[Any]:
    visit = Visit(Member(name), (), (Load(),) * loads)
    return lambda joint, now_s: exchanged(joint, visit, now_s)


@pytest.mark.anyio
async def test_what_one_leaves_the_next_one_finds(server: Server) -> None:
    one, other = RedisStore(server.url), RedisStore(server.url)
    one.forget(None)
    first = await look(one, visiting("a", 3))
    second = await look(other, visiting("b"))
    assert second.joint.booked.pace == first.joint.booked.pace
    assert [member.name for member in second.joint.members] == ["a", "b"]
    assert second.joint in one.entries()
    assert abs(one.now_s() - time.time()) < 5
    assert one.forget(KEY) == 1
    assert (await look(other, visiting("b"))).joint.booked.pace.count == 0


@pytest.mark.anyio
async def test_no_step_is_lost(server: Server) -> None:
    key = Key("account", "busy")

    async def many(name: str) -> None:
        store = RedisStore(server.url)
        for _ in range(10):
            await look(store, visiting(name, 1), key)

    async with anyio.create_task_group() as group:
        for name in "abcd":
            group.start_soon(many, name)
    joint = next(joint for joint in RedisStore(server.url).entries() if joint.model == "busy")
    assert [member.name for member in joint.members] == ["a", "b", "c", "d"]


@pytest.mark.anyio
async def test_a_wrong_password_is_said_and_never_shown() -> None:
    with running("the secret") as locked:
        store = RedisStore(f"redis://:a-wrong-one@127.0.0.1:{locked.port}/0")
        with pytest.raises(StoreError, match="refuses the password") as refused:
            await look(store, visiting("a"))
        assert refused.value.for_good
        assert "wrong-one" not in f"{refused.value}{store.name}"
        right = RedisStore(f"redis://:the%20secret@127.0.0.1:{locked.port}/0")
        assert (await look(right, visiting("a"))).joint.members


@pytest.mark.anyio
async def test_the_password_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "the secret")
    with running("the secret") as locked:
        assert (await look(RedisStore(locked.url), visiting("a"))).joint.members


@pytest.mark.anyio
async def test_a_server_that_does_not_answer_is_given_up_after_a_second() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = RedisStore(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        with pytest.raises(StoreError, match="does not answer within 1 s") as gone:
            await look(store, visiting("a"))
    assert not gone.value.for_good


@pytest.mark.anyio
async def test_what_somebody_else_wrote_is_not_overwritten(server: Server) -> None:
    import redis

    key = Key("account", "foreign")
    client = redis.Redis.from_url(server.url)
    client.hset(f"fanin:pace:{key.digest}", mapping={"version": "3", "state": b"00000000 []"})
    with pytest.raises(StoreError, match="another version of fanin") as other:
        await look(RedisStore(server.url), visiting("a"), key)
    assert other.value.for_good
    assert client.hget(f"fanin:pace:{key.digest}", "state") == b"00000000 []"


@pytest.mark.anyio
async def test_runs_go_on_while_redis_is_gone_and_share_again_when_it_is_back() -> None:
    provider = Provider(Offer(Limits(20, 10), latency_s=0.1))
    outcomes: list[object] = []
    with running() as server:

        async def member() -> None:
            store = RedisStore(server.url)
            store.patience_s = 0.2
            terms = Terms(concurrency=200, retries=8)
            conductor = Conductor(LimitedBackend(provider), terms, limiters=Limiters(lambda pace: store))
            conductor._begin()

            async def one(index: int) -> None:
                outcomes.append(
                    await conductor.ask(Request(index, "m", (Message("user", "?"),), max_tokens=8))
                )

            async with anyio.create_task_group() as group:
                for index in range(45):
                    group.start_soon(one, index)

        async def outage() -> None:
            await anyio.sleep(0.8)
            await anyio.to_thread.run_sync(server.stop)
            await anyio.sleep(1.0)
            await anyio.to_thread.run_sync(server.start)

        async def everything() -> None:
            async with anyio.create_task_group() as group:
                for what in (member, member, outage):
                    group.start_soon(what)

        with pytest.warns(SharedPaceWarning) as said:
            await everything()
    assert len(outcomes) == 90
    assert all(isinstance(outcome, Sample) for outcome in outcomes)
    told = [str(warning.message) for warning in said]
    assert (
        sum(
            "cannot be reached; each of 2 keeps to its part of the pace until it is back" in text
            for text in told
        )
        == 2
    )
    assert sum("is back, and the pace is shared again" in text for text in told) == 2
    assert len(provider.counts["m"].refused_s) <= 30


def test_two_processes_share_one_pace(server: Server) -> None:
    with serving(Offer(Limits(10, 10), latency_s=0.2)) as provider:
        told = shared_by_processes(provider.url, server.url, 40)
        count = provider.account("k").counts["m"]
    assert [answered for answered, _ in told] == [40, 40]
    assert len(count.admitted_s) == 80
    assert len(count.refused_s) <= 0.3 * 80


@pytest.mark.parametrize("url", ["redis://host:port/0", "redis://:secret@host:99999999/x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="pace must be the address of a Redis server") as refused:
        RedisStore(url)
    assert "secret" not in str(refused.value)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "redis", None)
    with pytest.raises(MissingExtraError, match=r"fanin\[redis\]"):
        partial(RedisStore, "redis://localhost/0")()
