"""A batch whose calls are made by workers elsewhere: here they sit in the same process, and die when told."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.abc
import attrs
import limited_provider
import pytest
from command import Command
from doubles import Scripted, down, scripts
from hypothesis import given
from hypothesis import strategies as st
from limited_provider import LimitedBackend, Offer, Provider
from virtual_time import LOOPS, costly, run_virtual

from fanin.backend import Backend
from fanin.batching.engines import Asker, Post
from fanin.batching.engines.blocks import Order, Told, Warned
from fanin.batching.engines.crew import LOSSES, Worker, WorkerLostError, crew
from fanin.batching.engines.limiter_actor import ActorStore, SharedPaces
from fanin.batching.engines.worker import Desk
from fanin.batching.items import Item
from fanin.batching.rows import Row
from fanin.batching.runner import batch
from fanin.batching.standing import Standing
from fanin.clock import LoopClock
from fanin.connecting import Connected
from fanin.errors import EngineError, FaninError, InputError, SharedPaceWarning
from fanin.limiters import Limiters
from fanin.policy.budget import Limits
from fanin.sharing.joint import Joint, Member
from fanin.sharing.store import Key, StoreError
from fanin.values import Event, Request

both_loops = pytest.mark.parametrize("loop", LOOPS)


class WorkerHere(Worker):
    """A worker in this process; `die` ends it as a killed process ends."""

    def __init__(self, backend: Backend, group: anyio.abc.TaskGroup, post: Post) -> None:
        self.begun = 0
        self.most_orders = 0
        self._backend = backend
        self._group = group
        self._terms, self._watched = post.terms, post.watched
        self._life = self._listening = anyio.CancelScope()
        self._alive = False

    async def begin(self) -> None:
        self.begun += 1
        await anyio.sleep(0.5)
        self._desk = Desk(self._backend, self._terms, Limiters(lambda pace: None), watched=self._watched)
        self._life, self._alive = anyio.CancelScope(), True
        self._group.start_soon(self._live)

    async def _live(self) -> None:
        with self._life:
            await self._desk.run()

    async def take(self, orders: tuple[Order, ...]) -> None:
        await self._reached()
        self._desk.take(orders)

    async def told(self) -> tuple[Told, ...]:
        await self._reached()
        with anyio.CancelScope() as self._listening:
            return await self._desk.told()
        raise WorkerLostError

    async def _reached(self) -> None:
        await anyio.sleep(0.001)
        if not self._alive:
            raise WorkerLostError

    def warn(self, text: str) -> None:
        self._desk.tell(Warned(text))

    def die(self) -> None:
        self._alive = False
        self._life.cancel()
        self._listening.cancel()


class EngineHere:
    """So many workers; `deaths` are (when, which of them)."""

    def __init__(self, backend: Backend, count: int, deaths: Sequence[tuple[float, int]] = ()) -> None:
        self.lost = 0
        self.workers: list[WorkerHere] = []
        self._backend = backend
        self._count = count
        self._deaths = deaths

    @asynccontextmanager
    async def open(self, post: Post) -> AsyncIterator[Asker]:
        def lost(request: Request) -> None:
            self.lost += 1
            post.lost(request)

        told = attrs.evolve(post, lost=lost)
        async with anyio.create_task_group() as group:
            self.workers += [WorkerHere(self._backend, group, post) for _ in range(self._count)]
            for at_s, which in self._deaths:
                group.start_soon(self._kill, at_s, which)
            async with crew(self.workers, told) as asker:
                yield asker
            group.cancel_scope.cancel()

    async def _kill(self, at_s: float, which: int) -> None:
        await anyio.sleep(at_s)
        self.workers[which % self._count].die()


def items(count: int, **fields: Any) -> list[Item]:
    return [Item(number, f"i{number}", f"Is {number} odd?", **fields) for number in range(1, count + 1)]


def odd(request: Request) -> str:
    return "yes" if int(request.messages[-1].content.split()[1]) % 2 else "no"


def done(
    questions: Any, backend: Backend, engine: Any, loop: str = "asyncio", **options: Any
) -> tuple[list[Row], Standing]:
    async def collected() -> tuple[list[Row], Standing]:
        async with batch(questions, backend=Connected(backend), engine=engine, **options) as rows:
            return [row async for row in rows], rows.standing

    return run_virtual(loop, collected)


@both_loops
def test_the_rows_are_those_of_a_batch_without_an_engine(loop: str) -> None:
    backend = Scripted(odd, latency_s=lambda request: 1.0, limited=False)
    engine = EngineHere(backend, 3)
    rows, standing = done(items(40), backend, engine, loop, jobs=8, runs=3, ordered=True)
    here, same = done(items(40), Scripted(odd, limited=False), None, loop, jobs=8, runs=3, ordered=True)
    # The times of what happened differ, and nothing else.
    assert [(r.number, r.object["votes"]) for r in rows] == [(r.number, r.object["votes"]) for r in here]
    assert (standing.calls, standing.usage, standing.ended) == (same.calls, same.usage, same.ended)
    assert backend.most_in_flight == 8
    assert engine.lost == 0


@costly
@given(
    deaths=st.lists(st.tuples(st.floats(0, 12), st.integers(0, 2)), max_size=6),
    workers=st.integers(1, 3),
    cap=st.none() | st.integers(0, 80),
    loop=st.sampled_from(LOOPS),
    seed=st.integers(0, 9),
)
def test_whoever_dies_each_call_is_answered_once_and_no_cap_is_passed(
    deaths: list[tuple[float, int]], workers: int, cap: int | None, loop: str, seed: int
) -> None:
    random = Random(seed)
    backend = Scripted(
        lambda request: down() if request.attempt == 1 and request.index == 1 else odd(request),
        latency_s=lambda request: random.uniform(0.1, 3.0),
        limited=False,
    )
    engine = EngineHere(backend, workers, deaths)
    limits = Limits(max_calls=cap)
    try:
        rows, standing = done(
            items(12), backend, engine, loop, jobs=6, runs=2, limits=limits, waves="all", identical_errors=99
        )
    except EngineError:
        assert max(worker.begun for worker in engine.workers) >= LOSSES
        return
    assert len({row.number for row in rows}) == len(rows)
    assert all(row.object is not None and len(row.object["votes"]) == 1 for row in rows)
    # Every first call of run 1 fails, that of one which was lost with its worker once more.
    needed = 12 * 2 + 12
    assert len(backend.sent) <= needed + 2 * engine.lost
    if cap is None:
        assert (len(rows), standing.calls) == (12, 24)
    else:
        assert len(backend.sent) <= cap
        assert standing.ended == ("all" if len(rows) == 12 else "budget")
    if cap is not None and cap >= needed + 2 * engine.lost:
        assert len(rows) == 12


@both_loops
def test_what_a_dead_worker_had_told_is_not_asked_again(loop: str, tmp_path: Path) -> None:
    def deadly(request: Request) -> str:
        if len(backend.sent) >= 20 and engine.workers[0].begun == 1:
            engine.workers[0].die()
        return odd(request)

    # The journal's thread knows nothing of virtual time, so it is a call that kills.
    latency = Random(1).uniform
    backend = Scripted(deadly, latency_s=lambda request: latency(0.5, 2.0), limited=False)
    engine = EngineHere(backend, 2)
    rows, _ = done(items(40), backend, engine, loop, jobs=8, runs=1, journal=tmp_path / "j")
    assert len(rows) == 40
    assert len(backend.sent) == 40 + engine.lost
    assert 1 <= engine.lost <= 8
    _, resumed = done(
        items(40), backend, EngineHere(backend, 1), loop, runs=1, journal=tmp_path / "j", resume=True
    )
    assert (resumed.calls, resumed.recalled, resumed.maybe_twice) == (0, 40, engine.lost)


@both_loops
def test_a_worker_gets_no_more_than_its_share(loop: str) -> None:
    backend = Scripted(odd, latency_s=lambda request: 1.0, limited=False)
    engine = EngineHere(backend, 4, [(2.7, 1)])
    done(items(64), backend, engine, loop, jobs=16, runs=1)
    assert engine.lost == 4


@both_loops
@pytest.mark.parametrize("starts_s", [3.0, math.inf])
def test_who_is_ready_first_leaves_the_others_their_parts(loop: str, starts_s: float) -> None:
    class Slow(WorkerHere):
        async def begin(self) -> None:
            await anyio.sleep(starts_s)
            await super().begin()

    class Uneven(EngineHere):
        @asynccontextmanager
        async def open(self, post: Post) -> AsyncIterator[Asker]:
            async with anyio.create_task_group() as group:
                workers = [WorkerHere(backend, group, post), Slow(backend, group, post)]
                async with crew(workers, post) as asker:
                    yield asker
                group.cancel_scope.cancel()

    backend = Scripted(odd, latency_s=lambda request: 1.0, limited=False)
    done(items(120), backend, Uneven(backend, 0), loop, jobs=8, runs=1)
    seconds = [math.floor(sent_s - backend.sent_s[0]) for sent_s in backend.sent_s]
    # Alone, the first does half; then there are two, or it does the whole once nobody else is waited for.
    assert seconds.count(1) == 4
    assert max(seconds.count(second) for second in range(4, 8)) >= (4 if starts_s > 10 else 7)
    assert max(seconds.count(second) for second in range(11, 15)) >= 7


@both_loops
def test_what_a_worker_needs_is_loaded_before_its_first_call_is_paced(loop: str) -> None:
    class Loading(Scripted):
        async def resolve(self, models: tuple[str, ...]) -> tuple[str, ...]:
            loaded.extend((model, len(self.sent)) for model in models)
            return await super().resolve(models)

    loaded: list[tuple[str, int]] = []
    backend = Loading(odd, limited=False)
    done(items(8), backend, EngineHere(backend, 1), loop, runs=1, model="m", jobs=1)
    assert ("m", 0) in loaded


@both_loops
def test_a_call_that_nobody_waits_for_is_dropped(loop: str) -> None:
    backend = Scripted(odd, latency_s=lambda request: 100.0 if request.index == 2 else 1.0, limited=False)
    engine = EngineHere(backend, 2)
    rows, _ = done(items(1), backend, engine, loop, runs=3, stop="decided", waves="all")
    assert rows[0].object["answer"] == "yes"
    assert (len(backend.sent), backend.in_flight) == (3, 0)


@both_loops
def test_a_deadline_cuts_what_workers_do(loop: str) -> None:
    backend = Scripted(odd, latency_s=lambda request: 100.0, limited=False)
    rows, standing = done(items(4), backend, EngineHere(backend, 2), loop, runs=1, deadline_s=5.0)
    assert (rows, standing.ended) == ([], "deadline")


def test_events_are_heard_with_their_attempts() -> None:
    heard: list[tuple[int, Event]] = []
    backend = Scripted(scripts({0: [down(), "yes"]}), limited=False)
    done(items(1), backend, EngineHere(backend, 1), runs=1, watch=lambda n, event: heard.append((n, event)))
    assert [(n, event.kind, event.attempt) for n, event in heard] == [
        (1, "asked", 1),
        (1, "retry", 1),
        (1, "asked", 2),
        (1, "answered", 2),
    ]


@both_loops
@pytest.mark.parametrize("workers", [1, 3])
def test_the_limits_that_workers_know_are_told_beside_what_was_sent(loop: str, workers: int) -> None:
    offer = Offer(limited_provider.Limits(requests_per_s=5.0, burst=10.0), profile="full", latency_s=0.5)
    backend = LimitedBackend(Provider(offer))
    engine = EngineHere(backend, workers)
    _, standing = done(items(60), backend, engine, loop, jobs=6, runs=1, max_tokens=20, pace="off")
    [requests] = standing.rates
    counted = backend.provider.counts["m"]
    sent = len(counted.admitted_s) + len(counted.refused_s)
    told = (requests.account, requests.model, requests.unit, requests.sent, requests.left)
    assert told == ("limited", "m", "requests", sent, None)
    assert requests.limit == pytest.approx(300, rel=0.02)


def test_workers_whose_backend_is_not_paced_tell_of_no_limits() -> None:
    backend = Scripted(odd, latency_s=lambda request: 1.0, limited=False)
    _, standing = done(items(9), backend, EngineHere(backend, 2), runs=1)
    assert standing.rates == ()


class Broken(FaninError):
    """What a worker meets that is no call's own failure."""


@both_loops
def test_what_a_worker_cannot_do_is_a_bad_row(loop: str) -> None:
    backend = Scripted(
        lambda request: Broken("it is broken") if "Is 1" in request.messages[-1].content else "yes",
        limited=False,
    )
    rows, _ = done(items(2), backend, EngineHere(backend, 1), loop, runs=1, ordered=True)
    assert [row.error for row in rows] == ["it is broken", None]


@both_loops
def test_what_a_worker_warns_of_is_said_here(loop: str) -> None:
    class Uneasy(EngineHere):
        async def _kill(self, at_s: float, which: int) -> None:
            await anyio.sleep(at_s)
            self.workers[which].warn("each keeps to its part of the pace")

    backend = Scripted(odd, latency_s=lambda request: 1.0, limited=False)
    with pytest.warns(SharedPaceWarning, match="its part"):
        rows, _ = done(items(3), backend, Uneasy(backend, 1, [(0.7, 0)]), loop, runs=1)
    assert len(rows) == 3


class Unfit(WorkerHere):
    async def begin(self) -> None:
        await anyio.sleep(0.1)
        raise EngineError("no key there")


@both_loops
@pytest.mark.parametrize("fit", [0, 1])
def test_one_worker_that_can_work_is_enough(loop: str, fit: int) -> None:
    backend = Scripted(odd, limited=False)

    class Mixed(EngineHere):
        @asynccontextmanager
        async def open(self, post: Post) -> AsyncIterator[Asker]:
            async with anyio.create_task_group() as group:
                workers: list[Worker] = [Unfit(backend, group, post) for _ in range(2)]
                workers += [WorkerHere(backend, group, post) for _ in range(fit)]
                async with crew(workers, post) as asker:
                    yield asker
                group.cancel_scope.cancel()

    if fit:
        rows, _ = done(items(3), backend, Mixed(backend, 0), loop, runs=1)
        assert len(rows) == 3
    else:
        with pytest.raises(EngineError, match="no key there"):
            done(items(3), backend, Mixed(backend, 0), loop, runs=1)


@both_loops
def test_a_worker_that_dies_again_and_again_is_given_up(loop: str) -> None:
    backend = Scripted(odd, latency_s=lambda request: 10.0, limited=False)
    engine = EngineHere(backend, 1, [(n * 3.0, 0) for n in range(1, 30)])
    with pytest.raises(EngineError, match="again and again"):
        done(items(3), backend, engine, loop, runs=1)
    assert engine.workers[0].begun == LOSSES


def test_a_backend_that_has_no_name_of_its_own_is_refused() -> None:
    async def asked() -> None:
        async with batch(["Is it so?"], backend=Scripted(odd), engine=EngineHere(Scripted(odd), 1)):
            raise AssertionError

    with pytest.raises(InputError, match="by its name"):
        run_virtual("asyncio", asked)


def test_without_ray_nothing_is_made_and_no_journal_is_erased(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("q.txt").write_text("Is it so?\n")
    run = Command(monkeypatch, capsys)
    words = ("batch", "q.txt", "-o", "r", "--backend", "fake", "-m", "yes")
    assert run(*words).code == 0
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    monkeypatch.setattr("fanin.cli.batch.find_spec", lambda name: None)
    ended = run(*words, "--overwrite", "--engine", "ray")
    assert (ended.code, ended.out) == (2, "")
    assert "pip install 'fanin[ray]'" in ended.err
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--address", "auto"), "--address must be left out without --engine ray"),
        (("--workers", "2"), "--workers must be left out without --engine ray"),
        (("--engine", "ray", "--workers", "0"), "workers must be a whole number from 1"),
        (("--engine", "ray", "--record", "t.json"), "--record must be left out with --engine ray"),
        (("--engine", "ray", "--replay", "t.json"), "--replay must be left out with --engine ray"),
    ],
)
def test_options_that_do_not_go_together(
    words: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("q.txt").write_text("Is it so?\n")
    ended = Command(monkeypatch, capsys)("batch", "q.txt", "--backend", "fake", *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_ray_is_asked_for_where_it_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    Path("q.txt").write_text("Is it so?\n")
    ended = Command(monkeypatch, capsys)("batch", "q.txt", "--backend", "fake", "--engine", "ray")
    assert ended.code == 2
    assert "pip install 'fanin[ray]'" in ended.err


class LostError(Exception):
    """Stands for Ray's own errors."""


class Actor:
    """A limiter's actor in this process, as Ray would show it; `lives` is False while it is lost."""

    def __init__(self) -> None:
        self.paces = SharedPaces()
        self.lives = True

    @property
    def exchange(self) -> Actor:
        return self

    async def remote(self, *what: Any) -> Any:
        await anyio.sleep(0.002)
        if not self.lives:
            raise LostError
        return self.paces.exchange(*what)


def counted(joint: Joint, now_s: float) -> tuple[Joint, int]:
    """A step that counts its own calls, in a member's name."""
    member = Member(str(len(joint.members)))
    return attrs.evolve(joint, members=(*joint.members, member)), len(joint.members)


def test_a_limiter_that_begins_anew_is_told_what_was_seen_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "ray.exceptions", SimpleNamespace(RayError=LostError))
    actor, key = Actor(), Key("account", "m")

    async def looks() -> list[int]:
        store, clock = ActorStore(actor), LoopClock()
        seen, counts = Joint("account", "m"), []
        for look in range(6):
            if look == 3:
                actor.lives = False
                with pytest.raises(StoreError, match="does not answer"):
                    await store.exchange(key, seen, counted, clock)
                actor.lives, actor.paces = True, SharedPaces()
            found = await store.exchange(key, seen, counted, clock)
            seen = found.joint
            counts.append(found.result)
            assert abs(store.ahead_s + clock.now_s() - time.time()) < 60
        return counts

    assert run_virtual("asyncio", looks) == [0, 1, 2, 3, 4, 5]
