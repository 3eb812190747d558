"""Caps over the sessions of one journal: what failed, was cut or was lost to a kill counts too."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from doubles import Reply, Scripted, always, down, too_often
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import LOOPS, run_virtual

from fanin.batching.interrupts import BatchInterrupt
from fanin.batching.items import Item
from fanin.batching.runner import batch
from fanin.batching.standing import Standing
from fanin.errors import CallError
from fanin.policy.budget import Limits, worst_usage
from fanin.policy.pricing import Price
from fanin.values import Completion, Event, Request, Usage

PRICE = Price(1.0, 10.0)
MAX_TOKENS = 100


def items(count: int) -> list[Item]:
    return [Item(number, number, f"Is {number} odd?") for number in range(1, count + 1)]


async def session(
    backend: Scripted, journal: Path, count: int, **options: Any
) -> tuple[list[int | str | None], Standing]:
    usual = {"max_tokens": MAX_TOKENS, "price": PRICE, "resume": True, "jobs": 8, "runs": 2, "retries": 2}
    async with batch(items(count), backend=backend, journal=journal, **usual | options) as rows:
        return [row.id async for row in rows], rows.standing


def held(
    backend: Scripted, journal: Path, count: int, loop: str = "asyncio", **options: Any
) -> tuple[list[int | str | None], Standing]:
    return run_virtual(loop, partial(session, backend, journal, count, **options))


class Careless:
    """Replies and refusals at random, and what they cost."""

    def __init__(self, random: Random) -> None:
        self.tokens = 0
        self.millionths_usd = 0
        self._random = random

    def __call__(self, request: Request) -> Reply:
        fault = self._random.random()
        if fault < 0.2:
            return (down(), too_often(1.0), CallError("timeout", "too slow"))[int(15 * fault)]
        worst = worst_usage(request, MAX_TOKENS)
        read = self._random.randint(0, worst.input_tokens or 0)
        written = self._random.randint(0, worst.output_tokens or 0)
        self.tokens += read + written
        self.millionths_usd += read + 10 * written
        return Completion("yes", usage=Usage() if fault < 0.3 else Usage(read, written))


def stopping(interrupt: BatchInterrupt, how: str, after: int) -> Any:
    left = iter(range(after))

    def watch(_: int, event: Event) -> None:
        if event.kind == "asked" and next(left, None) is None:
            getattr(interrupt, how)()

    return watch


@settings(max_examples=8)
@given(
    seed=st.integers(0, 10**6),
    cap=st.sampled_from(["max_cost", "max_total_tokens", "max_calls"]),
    share=st.floats(0.05, 2.0),
    jobs=st.integers(1, 64),
    loop=st.sampled_from(LOOPS),
    stops=st.lists(st.tuples(st.sampled_from(["drain", "stop"]), st.integers(1, 40)), max_size=3),
)
def test_no_cap_is_passed_in_however_many_sessions(
    seed: int, cap: str, share: float, jobs: int, loop: str, stops: list[tuple[str, int]]
) -> None:
    random = Random(seed)
    careless = Careless(random)
    backend = Scripted(careless, latency_s=lambda request: random.uniform(0.01, 3), limited=False)
    most = {"max_cost": 0.03, "max_total_tokens": 5000, "max_calls": 60}[cap] * share
    limits = Limits(**{cap: most if cap == "max_cost" else int(most)})
    with TemporaryDirectory() as folder:
        for how, after in [*stops, ("drain", 10**6)]:
            interrupt = BatchInterrupt()
            watch = stopping(interrupt, how, after)
            held(
                backend,
                Path(folder, "j"),
                15,
                loop,
                jobs=jobs,
                limits=limits,
                interrupt=interrupt,
                watch=watch,
            )
    spent = {
        "max_cost": careless.millionths_usd / 1e6,
        "max_total_tokens": careless.tokens,
        "max_calls": len(backend.sent),
    }
    assert spent[cap] <= most


def killed(journal: Path, lost: int) -> None:
    """What the journal says where its last session was killed with so many calls in flight."""
    with closing(sqlite3.connect(journal, isolation_level=None)) as stored:
        stored.execute("DELETE FROM ended WHERE session = (SELECT max(place) FROM sessions)")
        stored.execute(
            "UPDATE sessions SET lost = ? WHERE place = (SELECT max(place) FROM sessions)", (lost,)
        )


@pytest.mark.parametrize(
    ("limits", "answers"),
    [
        (Limits(max_calls=20), 6),
        (Limits(max_calls=14), 0),
        # Those that were answered used 4 tokens each; the most one can use is 100 and what it reads.
        (Limits(max_total_tokens=14 * 4 + 1000), 1),
        (Limits(max_total_tokens=14 * 4), 0),
        (Limits(max_cost=(14 * 13) / 1e6), 0),
        (Limits(max_cost=1.0), 10),
    ],
)
def test_calls_that_a_kill_cut_count_like_the_dearest_that_was_answered(
    tmp_path: Path, limits: Limits, answers: int
) -> None:
    backend = Scripted(always("yes"), limited=False)
    held(backend, tmp_path / "j", 5)
    killed(tmp_path / "j", lost=4)
    _, standing = held(backend, tmp_path / "j", 10, jobs=1, limits=limits)
    assert standing.maybe_twice == 4
    assert standing.recalled == 10
    if limits.max_total_tokens is None:
        assert standing.calls == answers
    else:
        assert bool(standing.calls) == bool(answers)
    again, _ = held(backend, tmp_path / "j", 10)
    assert sorted(map(str, again)) == sorted(map(str, range(1, 11))), "the cap was all that held it"


def test_calls_that_a_session_cut_itself_count_once(tmp_path: Path) -> None:
    interrupt = BatchInterrupt()
    backend = Scripted(always("yes"), latency_s=lambda request: 1.0, limited=False)
    _, standing = held(
        backend, tmp_path / "j", 9, interrupt=interrupt, watch=stopping(interrupt, "stop", 7), runs=1
    )
    assert (standing.ended, standing.calls, len(backend.sent)) == ("interrupt", 0, 8)
    rows, standing = held(backend, tmp_path / "j", 9, limits=Limits(max_calls=12), runs=1)
    assert (len(rows), standing.maybe_twice, len(backend.sent)) == (4, 8, 12)


def test_a_journal_of_calls_that_all_failed_needs_no_resume(tmp_path: Path) -> None:
    refused = Scripted(lambda request: CallError("auth", "no such key", final=True), limited=False)
    rows, standing = held(refused, tmp_path / "j", 3, resume=False)
    assert (len(rows), standing.failed) == (3, 3)
    rows, standing = held(Scripted(always("yes"), limited=False), tmp_path / "j", 3, resume=False)
    assert (len(rows), standing.failed, standing.recalled) == (3, 0, 0)
