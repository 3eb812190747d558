"""A batch as a whole: every item gets its row, nothing more is asked than may be, nothing is asked twice."""

from __future__ import annotations

import time
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import attrs
import limited_provider
import pytest
from doubles import Reply, Scripted, always, down
from house import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from limited_provider import LimitedBackend, Offer, Provider
from virtual_time import LOOPS, run_virtual

import fanin
from fanin.batching.interrupts import BatchInterrupt
from fanin.batching.items import BadItem, Item
from fanin.batching.outlet import Rows
from fanin.batching.rows import Row
from fanin.batching.runner import batch
from fanin.batching.source import Source
from fanin.batching.standing import Standing
from fanin.errors import CallError, CassetteMissError, FaninError, InputError, JournalError
from fanin.limiters import SHARED
from fanin.policy.budget import Limits
from fanin.policy.pricing import Price
from fanin.terms import Interrupt
from fanin.values import Completion, Event, Request, Usage

both_loops = pytest.mark.parametrize("loop", LOOPS)


def items(count: int, **fields: Any) -> list[Item]:
    return [Item(number, f"i{number}", f"Is {number} odd?", **fields) for number in range(1, count + 1)]


@attrs.frozen
class Ended:
    """What a batch came to."""

    rows: list[Row]
    standing: Standing


async def collect(questions: Any, backend: Scripted, **options: Any) -> Ended:
    async with batch(questions, backend=backend, **options) as rows:
        return Ended([row async for row in rows], rows.standing)


def done(questions: Any, backend: Scripted, loop: str = "asyncio", **options: Any) -> Ended:
    return run_virtual(loop, lambda: collect(questions, backend, **options))


def numbers(ended: Ended) -> list[int]:
    return [row.number for row in ended.rows]


def odd(request: Request) -> str:
    return "yes" if int(request.messages[-1].content.split()[1]) % 2 else "no"


def random_latency(request: Request) -> float:
    return (hash((request.messages, request.index)) % 100) / 10


@both_loops
def test_every_item_gets_its_row(loop: str) -> None:
    backend = Scripted(odd, latency_s=random_latency, limited=False)
    ended = done(items(50), backend, loop, jobs=7, runs=3)
    assert sorted(numbers(ended)) == list(range(1, 51))
    for row in ended.rows:
        assert row.object is not None
        assert row.object["schema"] == "fanin.vote/1"
        assert row.object["answer"] == ("yes" if row.number % 2 else "no")
        assert row.id == f"i{row.number}"
    assert backend.most_in_flight == 7
    assert len(backend.sent) == 150
    assert ended.standing == Standing(read=50, done=50, calls=150, usage=Usage(450, 150), ended="all")


@both_loops
def test_rows_come_in_the_order_of_the_input(loop: str) -> None:
    backend = Scripted(odd, latency_s=random_latency, limited=False)
    ended = done(items(60), backend, loop, jobs=5, runs=2, ordered=True)
    assert numbers(ended) == list(range(1, 61))
    assert backend.most_in_flight == 5


@settings(max_examples=8)
@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 9), st.sampled_from(["all", "decided"]))
def test_the_rows_are_the_same_at_any_number_in_flight(jobs: int, runs: int, count: int, stop: str) -> None:
    lines = []
    for at_once in (1, jobs):
        backend = Scripted(odd, latency_s=random_latency, limited=False)
        ended = done(items(count), backend, jobs=at_once, runs=runs, stop=stop)
        lines.append(sorted(row.line for row in ended.rows))
    assert lines[0] == lines[1]


@both_loops
def test_few_items_are_asked_in_as_many_runs_at_once_as_there_are_slots(loop: str) -> None:
    backend = Scripted(always("yes"), latency_s=lambda _: 1.0, limited=False)
    done(items(2), backend, loop, jobs=10, runs=5)
    assert backend.most_in_flight == 10
    assert max(backend.sent_s) < 1


def test_a_stop_rule_spares_runs() -> None:
    backend = Scripted(always("yes"), limited=False)
    ended = done(items(8), backend, jobs=4, runs=9, stop="decided")
    assert len(backend.sent) == 8 * 8
    assert all(row.object is not None and row.object["stopped"]["by"] == "rule" for row in ended.rows)


def test_plain_questions_and_any_stream_will_do() -> None:
    async def stream() -> AsyncIterator[str]:
        for number in (1, 2):
            await anyio.sleep(1)
            yield f"Is {number} odd?"

    for questions in (["Is 1 odd?", "Is 2 odd?"], stream()):
        ended = done(questions, Scripted(odd), jobs=2)
        assert sorted((row.number, row.id) for row in ended.rows) == [(1, None), (2, None)]
        assert b'"id"' not in ended.rows[0].line


def test_the_fields_of_an_item_will_do_too_and_what_is_no_question_is_a_bad_row() -> None:
    fields = {"id": "x", "question": "Which?", "choices": ["red", "blue"], "runs": 2, "note": "passed over"}
    backend = Scripted(always("Answer: red"))
    ended = done([fields, 5, {"id": 3}, "Is it?"], backend, ordered=True)  # type: ignore[list-item]
    first, second, third, _ = ended.rows
    assert first.object is not None
    assert (first.id, first.object["votes"]) == ("x", {"red": 2})
    assert second.error == "a question is a text, an Item or its fields, not 5"
    assert (third.id, third.number, third.error) == (3, 3, "it has no question; its fields are: id")


@pytest.mark.parametrize("questions", ["Is it?", b"Is it?", {"question": "Is it?"}, 5, None])
def test_one_text_is_no_stream_of_questions(questions: Any) -> None:
    with pytest.raises(InputError, match="questions must be a list or a stream of questions"):
        done(questions, Scripted(always("yes")))


@pytest.mark.parametrize("wrong", [{"limits": None}, {"job": 5}])
def test_parameters_of_another_kind_are_told(wrong: Any) -> None:
    with pytest.raises(InputError, match=f"{next(iter(wrong))} must be a"):
        done(["Is it?"], Scripted(always("yes")), **wrong)


def test_long_questions_that_come_again_are_not_kept() -> None:
    def twice() -> Iterator[Item]:
        for number in range(400):
            yield Item(number + 1, None, "Is it?", f"{number % 200}".zfill(20_000))

    async def go() -> tuple[list[int], int]:
        source = Source(twice(), lambda item: f"{item.context}", window=8, in_order=True)
        occurrences = []
        async with anyio.create_task_group() as group:
            group.start_soon(source.fill)
            while (taken := await source.take()) is not None:
                occurrences.append(taken.occurrence)
        return occurrences, tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    occurrences, kept = run_virtual("asyncio", go)
    tracemalloc.stop()
    assert occurrences == [0] * 200 + [1] * 200
    assert kept < 1_000_000, "two hundred of 20 kB are 4 MB"


@both_loops
def test_a_clock_that_is_set_changes_nothing(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def held() -> list[bytes]:
        offer = Offer(limited_provider.Limits(requests_per_s=5.0, burst=5.0), profile="full", latency_s=0.5)
        ended = done(
            items(40), LimitedBackend(Provider(offer)), loop, jobs=8, runs=1, pace="off", deadline_s=60
        )
        assert ended.standing.ended == "all"
        SHARED.clear()
        return sorted(row.line for row in ended.rows)

    usual, jumps, now_s = held(), Random(7), time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + jumps.uniform(-1e7, 1e7))
    monkeypatch.setattr(time, "time_ns", lambda: int(time.time() * 1e9))
    assert held() == usual


@both_loops
def test_several_tasks_may_iterate(loop: str) -> None:
    backend = Scripted(odd, latency_s=random_latency, limited=False)

    async def go() -> list[int]:
        numbers: list[int] = []

        async def take(rows: Rows) -> None:
            numbers.extend([row.number async for row in rows])

        async with (
            batch(items(60), backend=backend, jobs=5, runs=1) as rows,
            anyio.create_task_group() as group,
        ):
            for _ in range(3):
                group.start_soon(take, rows)
        return numbers

    assert sorted(run_virtual(loop, go)) == list(range(1, 61))


def test_what_an_item_sets_holds_for_it_alone() -> None:
    own = Item(
        1,
        7,
        "Which?",
        "a text",
        "text",
        (("model", "big"), ("runs", 2), ("system", "Be brief."), ("seed", 5)),
    )
    backend = Scripted(always("red"))
    ended = done([own, Item(2, None, "Which?")], backend, jobs=1, runs=3, model="small", answer="text")
    assert Counter(request.model for request in backend.sent) == {"big": 2, "small": 3}
    assert {request.messages[0].role for request in backend.sent if request.model == "big"} == {"system"}
    [first, second] = ended.rows
    assert first.object is not None
    assert first.object["votes"] == {"red": 2}
    assert second.object is not None
    assert second.object["votes"] == {"red": 3}


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (BadItem(3, "x", "no JSON"), "no JSON"),
        (Item(3, "x", "  "), "question must be a text that is not blank"),
        (Item(3, "x", "Is it?", None, "colour"), "colour"),
        (Item(3, "x", "Is it?", options=(("runs", 0),)), "runs must be"),
        (Item(3, "x", "Is it?", options=(("max_tokens", "many"),)), "max_tokens must be"),
    ],
)
def test_a_bad_item_is_a_bad_row(item: Any, said: str) -> None:
    ended = done([*items(2), item, *items(2)], Scripted(odd), jobs=2, runs=1)
    [bad] = [row for row in ended.rows if row.error is not None]
    assert said in (bad.error or "")
    assert bad.failed
    assert (bad.number, bad.id, bad.object) == (3, "x", None)
    assert bad.line.startswith(b'{"id": "x", "line": 3, "error": ')
    standing = ended.standing
    assert (standing.done, standing.failed, standing.keys_refused, standing.ended) == (5, 1, 0, "all")


def test_a_line_is_one_line_whatever_is_in_it() -> None:
    row = Row(1, "a\u2028b\n\ud800", {"x": "\x00\x1b[2J"})
    assert row.line == b'{"id": "a\\u2028b\\n\\ud800", "x": "\\u0000\\u001b[2J"}\n'


def test_options_of_an_item_are_named() -> None:
    with pytest.raises(InputError, match="option must be one of max_tokens, model, "):
        Item(1, None, "Is it?", options=(("backend", "groq"),))


@pytest.mark.parametrize(
    "bad",
    [
        {"runs": 0},
        {"jobs": 0},
        {"stop": "soon"},
        {"answer": "colour"},
        {"identical_errors": 0},
        {"deadline_s": -1},
    ],
)
def test_bad_options_are_told_before_anything_is_read(bad: dict[str, Any]) -> None:
    read: list[int] = []

    def stream() -> Iterable[str]:
        read.append(1)
        yield "Is it?"

    with pytest.raises(InputError):
        done(stream(), Scripted(odd), **bad)
    assert read == []


def test_an_input_that_breaks_ends_the_iteration_after_the_rows_before() -> None:
    def stream() -> Iterable[str]:
        yield "Is 1 odd?"
        raise OSError("the disk is gone")

    rows: list[Row] = []

    async def go() -> None:
        async with batch(stream(), backend=Scripted(odd), jobs=2) as coming:
            async for row in coming:
                rows.append(row)  # noqa: PERF401 - the loop ends with an error

    with pytest.raises(OSError, match="the disk is gone"):
        run_virtual("asyncio", go)
    assert len(rows) == 1


@both_loops
def test_leaving_early_stops_the_asking(loop: str) -> None:
    backend = Scripted(odd, latency_s=lambda _: 1.0, limited=False)

    async def go() -> None:
        async with batch(items(1000), backend=backend, jobs=4, runs=1) as rows:
            async for _ in rows:
                break

    run_virtual(loop, go)
    assert len(backend.sent) <= 12
    assert backend.in_flight == 0
    assert backend.closed == 0


@both_loops
def test_an_error_of_the_callers_own_comes_out_as_it_is(loop: str) -> None:
    async def go() -> None:
        async with batch(items(9), backend=Scripted(odd), jobs=2) as rows:
            async for _ in rows:
                raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run_virtual(loop, go)


@both_loops
def test_who_takes_no_rows_holds_everything_up(loop: str) -> None:
    backend = Scripted(odd, limited=False)

    async def go() -> None:
        async with batch(items(150), backend=backend, jobs=2, runs=1) as rows:
            await anyio.sleep(100)
            assert len(backend.sent) <= 8 + 2
            assert rows.standing.read <= 8 + 8 + 3
            assert len([row async for row in rows]) == 150

    run_virtual(loop, go)


@both_loops
def test_a_row_that_is_late_holds_the_ones_after_it(loop: str) -> None:
    def late(request: Request) -> float:
        return 100.0 if " 1 " in request.messages[-1].content else 0.1

    backend = Scripted(odd, latency_s=late, limited=False)
    ended = done(items(150), backend, loop, jobs=2, runs=1, ordered=True)
    assert numbers(ended) == list(range(1, 151))
    assert sum(sent < 99 for sent in backend.sent_s) <= 8


# Ends.


@both_loops
def test_the_deadline_leaves_what_is_not_done(loop: str) -> None:
    backend = Scripted(odd, latency_s=lambda _: 1.0, limited=False)
    ended = done(items(100), backend, loop, jobs=4, runs=1, deadline_s=10.5)
    assert len(ended.rows) == 40
    assert ended.standing.ended == "deadline"
    assert backend.in_flight == 0


@both_loops
def test_draining_waits_for_what_is_in_flight(loop: str) -> None:
    backend = Scripted(odd, latency_s=lambda _: 1.0, limited=False)
    interrupt = BatchInterrupt()
    seen: list[int] = []

    async def go() -> None:
        async with batch(items(100), backend=backend, jobs=4, runs=1, interrupt=interrupt) as rows:
            async for _ in rows:
                if len(seen) == 5:
                    assert rows.standing.in_flight > 0
                    interrupt.drain()
                seen.append(rows.standing.in_flight)
            assert rows.standing.ended == "interrupt"
            assert rows.standing.done == len(seen) == len(backend.sent)

    run_virtual(loop, go)
    assert 8 <= len(seen) <= 12


def test_an_item_cut_in_the_middle_gives_no_row() -> None:
    interrupt = BatchInterrupt()
    backend = Scripted(odd, latency_s=lambda _: 1.0, limited=False)

    def watch(number: int, event: Event) -> None:
        if number == 3 and event.kind == "asked":
            interrupt.drain()

    ended = done(items(4), backend, jobs=1, runs=3, interrupt=interrupt, watch=watch)
    assert numbers(ended) == [1, 2]
    assert len(backend.sent) == 7


@both_loops
@pytest.mark.parametrize("kind", [Interrupt, BatchInterrupt])
def test_stopping_cuts_what_is_in_flight(loop: str, kind: Callable[[], Interrupt]) -> None:
    interrupt = kind()
    backend = Scripted(odd, latency_s=lambda _: 1.0, limited=False)

    def watch(number: int, event: Event) -> None:
        if number == 5 and event.kind == "asked":
            interrupt.stop()

    ended = done(items(100), backend, loop, jobs=4, runs=1, interrupt=interrupt, watch=watch)
    assert set(numbers(ended)) <= {1, 2, 3, 4}
    assert ended.standing.ended == "interrupt"
    assert max(backend.sent_s) <= 1.0


def test_a_batch_that_was_drained_before_it_began_asks_nothing() -> None:
    interrupt = BatchInterrupt()
    interrupt.drain()
    backend = Scripted(odd)
    assert done(items(3), backend, interrupt=interrupt).rows == []
    assert backend.sent == []


def failing(error: CallError) -> Callable[[Request], Reply]:
    return lambda request: error


@both_loops
def test_the_same_fatal_error_again_and_again_ends_the_batch(loop: str) -> None:
    refused = CallError("auth", "the key is refused", status=401)
    backend = Scripted(failing(refused), latency_s=random_latency, limited=False)
    ended = done(items(1000), backend, loop, jobs=4, runs=2, identical_errors=6)
    assert ended.standing.ended == "circuit"
    assert "the key is refused" in ended.standing.why
    assert 6 <= len(ended.rows) <= 6 + 4
    assert ended.standing.failed == ended.standing.keys_refused == len(ended.rows)
    assert all(row.failed and row.object is not None for row in ended.rows)


@pytest.mark.parametrize("answered", [0, 1])
def test_a_server_that_was_never_reached_ends_the_batch(answered: int) -> None:
    def reply(request: Request) -> Reply:
        return "yes" if len(backend.sent) <= answered else CallError("connection", "Cannot connect.")

    backend = Scripted(reply, limited=False)
    ended = done(items(40), backend, jobs=2, runs=1, retries=0, identical_errors=6)
    assert ended.standing.ended == ("all" if answered else "circuit")
    assert len(ended.rows) == 40 if answered else len(ended.rows) <= 8


def test_errors_between_answers_are_failed_rows_and_no_end() -> None:
    def reply(request: Request) -> Reply:
        if odd(request) == "no":
            return CallError("bad_request", "too long", status=400)
        return "yes"

    ended = done(items(60), Scripted(reply, limited=False), jobs=1, runs=2, identical_errors=2)
    assert (ended.standing.ended, ended.standing.failed, ended.standing.keys_refused) == ("all", 30, 0)


def test_a_spent_day_ends_the_batch_and_says_why() -> None:
    def reply(request: Request) -> Reply:
        if " 4 " in request.messages[-1].content:
            return CallError("rate_limit", "come back tomorrow", status=429, exhausted=True)
        return odd(request)

    ended = done(items(60), Scripted(reply), jobs=1, runs=1)
    assert numbers(ended) == [1, 2, 3]
    assert (ended.standing.ended, ended.standing.failed) == ("limit", 0)
    assert "come back tomorrow" in ended.standing.why


# Caps.


def usage_of(request: Request) -> Usage:
    return Usage(1 + hash(request.messages) % 20, 1 + hash((request.messages, request.index)) % 100)


def spends(request: Request) -> Completion:
    return Completion("yes", usage=usage_of(request))


PRICE = Price(1.0, 10.0)


@settings(max_examples=12)
@given(st.integers(0, 10**6), st.integers(1, 64), st.sampled_from(LOOPS))
def test_what_is_spent_never_passes_a_cap(cap: int, jobs: int, loop: str) -> None:
    backend = Scripted(spends, latency_s=random_latency, limited=False)
    limits = Limits(max_cost=cap / 1e8)
    ended = done(items(20), backend, loop, jobs=jobs, runs=3, limits=limits, price=PRICE, max_tokens=100)
    used = [usage_of(request) for request in backend.sent]
    spent = sum((each.input_tokens or 0) + 10 * (each.output_tokens or 0) for each in used)
    assert spent <= cap / 100
    assert ended.standing.cost_usd == pytest.approx(spent / 1e6)
    assert ended.standing.ended == ("all" if len(ended.rows) == 20 else "budget")


def test_a_cap_of_twice_the_true_cost_finishes() -> None:
    backend = Scripted(spends, latency_s=random_latency, limited=False)
    free = done(items(30), backend, jobs=8, runs=3, price=PRICE, max_tokens=100)
    assert free.standing.cost_usd is not None
    limits = Limits(max_cost=2 * free.standing.cost_usd)
    capped = done(items(30), backend, jobs=8, runs=3, price=PRICE, max_tokens=100, limits=limits)
    assert len(capped.rows) == 30


@both_loops
@pytest.mark.parametrize(("limits", "calls"), [(Limits(max_calls=7), 7), (Limits(max_total_tokens=900), 0)])
def test_calls_and_tokens_are_capped_too(loop: str, limits: Limits, calls: int) -> None:
    backend = Scripted(odd, latency_s=random_latency, limited=False)
    ended = done(items(9), backend, loop, jobs=3, runs=1, limits=limits, max_tokens=1000)
    assert len(backend.sent) == calls
    assert ended.standing.ended == "budget"
    assert ended.standing.why


def test_calls_that_are_repeated_count() -> None:
    backend = Scripted(failing(down()), limited=False)
    ended = done(items(9), backend, jobs=1, runs=1, limits=Limits(max_calls=12), retries=4)
    assert len(backend.sent) == 12
    assert numbers(ended) == [1, 2]


def test_a_cost_without_a_price_is_refused_before_any_call() -> None:
    backend = Scripted(odd)
    with pytest.raises(InputError, match="max_cost must be left out where no price is known, as of default"):
        done(items(3), backend, limits=Limits(max_cost=1))
    other = Item(9, None, "Is it?", options=(("model", "dear"),))
    ended = done([other, *items(2)], backend, jobs=1, limits=Limits(max_cost=1), price={"default": PRICE})
    assert [row.error is None for row in ended.rows] == [False, True, True]


def test_an_unknown_usage_is_taken_to_be_the_worst() -> None:
    backend = Scripted(lambda _: Completion("yes"), limited=False)
    ended = done(items(9), backend, jobs=1, runs=1, max_tokens=100, limits=Limits(max_total_tokens=1000))
    assert ended.standing.ended == "budget"
    assert 1 <= len(backend.sent) <= 9


# Order.


def test_items_of_one_context_are_asked_together() -> None:
    mixed = [Item(n + 1, None, "Is it?", f"context {n % 3}") for n in range(12)]
    backend = Scripted(always("yes"))
    ended = done(mixed, backend, jobs=3, runs=1)
    asked = [request.messages[-1].content.split("context ")[1][0] for request in backend.sent]
    assert sum(one != other for one, other in pairwise(asked)) <= 4
    assert sorted(numbers(ended)) == list(range(1, 13))
    backend = Scripted(always("yes"))
    assert numbers(done(mixed, backend, jobs=3, runs=1, ordered=True)) == list(range(1, 13))


@both_loops
def test_the_first_call_of_a_context_is_answered_before_the_others_are_made(loop: str) -> None:
    mixed = [Item(n + 1, None, f"Is it {n}?", f"context {n % 2}") for n in range(8)]
    backend = Scripted(always("yes"), latency_s=lambda _: 1.0, limited=False)
    waiting: list[tuple[tuple[str, int], ...]] = []

    async def go() -> None:
        async with batch(mixed, backend=backend, jobs=8, runs=2, warm_prefix=True) as rows:
            await anyio.sleep(0.5)
            waiting.append(rows.standing.waiting)
            assert len([row async for row in rows]) == 8

    run_virtual(loop, go)
    assert [sent < 0.5 for sent in backend.sent_s].count(True) == 2
    assert [why for why, _ in waiting[0]] == ["prefix"]


# The journal.


def kept(
    path: Path,
    questions: Any,
    reply: Callable[[Request], Reply] = odd,
    loop: str = "asyncio",
    **options: Any,
) -> tuple[Ended, int]:
    """A session with a journal, and how many calls it made."""
    backend = Scripted(reply, limited=False)
    options = {"journal": path, "resume": True, "runs": 3, "jobs": 4, **options}
    ended = anyio.run(lambda: collect(questions, backend, **options), backend=loop)
    return ended, len(backend.sent)


@both_loops
def test_what_is_in_the_journal_is_not_asked_again(loop: str, tmp_path: Path) -> None:
    first, calls = kept(tmp_path / "j", items(20), loop=loop)
    assert calls == 60
    again, calls = kept(tmp_path / "j", items(20), loop=loop)
    assert calls == 0
    assert sorted(row.line for row in again.rows) == sorted(row.line for row in first.rows)
    assert (again.standing.recalled, again.standing.calls, again.standing.maybe_twice) == (60, 0, 0)


def test_an_edited_sorted_and_longer_input_finds_its_answers(tmp_path: Path) -> None:
    kept(tmp_path / "j", items(6))
    edited = [*reversed(items(6)), Item(9, "new", "Is 9 odd?")]
    edited[0] = attrs.evolve(edited[0], question="Is 99 odd?")
    ended, calls = kept(tmp_path / "j", edited)
    assert calls == 6
    assert len(ended.rows) == 7


@pytest.mark.parametrize(
    "changed", [{"model": "other"}, {"temperature": 0.1}, {"system": "Be brief."}, {"seed": 3}]
)
def test_another_parameter_is_another_call(tmp_path: Path, changed: dict[str, Any]) -> None:
    kept(tmp_path / "j", items(2))
    assert kept(tmp_path / "j", items(2), **changed)[1] == 6
    assert kept(tmp_path / "j", items(2))[1] == 0


def test_more_runs_are_asked_on_top(tmp_path: Path) -> None:
    kept(tmp_path / "j", items(2))
    assert kept(tmp_path / "j", items(2), runs=5)[1] == 4


def test_equal_rows_are_asked_each_on_their_own(tmp_path: Path) -> None:
    equal = [Item(number, None, "Is 1 odd?") for number in range(1, 8)]
    replies = iter(["yes", "no"] * 50)

    def reply(_: Request) -> str:
        return next(replies)

    first, calls = kept(tmp_path / "j", equal, reply, runs=1, jobs=1)
    assert calls == 7
    again, calls = kept(tmp_path / "j", equal, reply, runs=1, jobs=1)
    assert calls == 0
    assert [row.line for row in again.rows] == [row.line for row in first.rows]
    assert len({row.line for row in again.rows}) == 2
    assert kept(tmp_path / "j", equal[:3], reply, runs=1)[1] == 0


def test_items_that_differ_in_what_is_not_asked_are_asked_each_on_their_own(tmp_path: Path) -> None:
    alike = [
        Item(1, None, "Is 1 odd?"),
        Item(2, None, "Is 1 odd?", answer="yes/no"),
        Item(3, None, "Is 1 odd?", options=(("runs", 2),)),
        Item(4, None, "Is 1 odd?", options=(("temperature", 0.6),)),
    ]
    texts = iter(["yes", "no"] * 9)
    first, calls = kept(tmp_path / "j", alike, lambda _: next(texts), runs=1, jobs=1)
    assert calls == 5
    again, calls = kept(tmp_path / "j", alike, lambda _: next(texts), runs=1, jobs=1)
    assert calls == 0
    assert [row.line for row in again.rows] == [row.line for row in first.rows]


def test_a_grid_of_models_finds_its_answers_in_any_order(tmp_path: Path) -> None:
    grid = [Item(n, None, "Is 1 odd?", options=(("model", f"m{n}"),)) for n in range(1, 5)]
    assert kept(tmp_path / "j", grid, runs=1)[1] == 4
    assert kept(tmp_path / "j", [*reversed(grid)][1:], runs=1)[1] == 0


def test_failed_runs_are_asked_again(tmp_path: Path) -> None:
    broken = CallError("bad_request", "no", status=400)
    ended, _ = kept(tmp_path / "j", items(2), lambda request: broken if request.index == 1 else "yes")
    assert all(row.object is not None and row.object["runs"]["failed"] == 1 for row in ended.rows)
    ended, calls = kept(tmp_path / "j", items(2))
    assert calls == 2
    assert all(row.object is not None and row.object["runs"]["failed"] == 0 for row in ended.rows)


def test_a_job_of_ones_own_is_kept_call_by_call(tmp_path: Path) -> None:
    async def twice(item: Item, conductor: Any) -> dict[str, Any]:
        request = Request(0, "m", ())
        first, second = await conductor.ask(request), await conductor.ask(request)
        if item.number == 2:
            raise FaninError("not this one")
        return {"first": first.completion.text, "second": second.completion.text}

    texts = iter("abcdefgh")
    ended, calls = kept(tmp_path / "j", items(2), lambda _: next(texts), job=twice, jobs=1)
    assert calls == 4
    assert [row.object for row in ended.rows] == [{"first": "a", "second": "b"}, None]
    again, calls = kept(tmp_path / "j", items(2), lambda _: next(texts), job=twice, jobs=1)
    assert calls == 0
    assert [row.line for row in again.rows] == [row.line for row in ended.rows]


def test_what_earlier_sessions_spent_counts_against_the_caps(tmp_path: Path) -> None:
    first, calls = kept(tmp_path / "j", items(20), runs=1, limits=Limits(max_calls=8))
    assert (len(first.rows), calls) == (8, 8)
    second, calls = kept(tmp_path / "j", items(20), runs=1, limits=Limits(max_calls=8))
    assert (len(second.rows), calls) == (8, 0)
    third, calls = kept(tmp_path / "j", items(20), runs=1, limits=Limits(max_calls=20))
    assert (len(third.rows), calls) == (20, 12)


def test_calls_cut_short_may_be_paid_twice_and_are_told(tmp_path: Path) -> None:
    interrupt = BatchInterrupt()
    backend = Scripted(odd, latency_s=lambda _: 30.0, limited=False)

    async def go() -> None:
        async with batch(
            items(9), backend=backend, journal=tmp_path / "j", jobs=4, interrupt=interrupt
        ) as rows:
            while backend.in_flight < 4:
                await anyio.lowlevel.checkpoint()
            interrupt.stop()
            assert [row async for row in rows] == []

    anyio.run(go)
    assert len(backend.sent) == 4
    ended, _ = kept(tmp_path / "j", items(9))
    assert ended.standing.maybe_twice == 4


def test_a_journal_that_cannot_be_written_ends_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fanin.batching.journal import Journal

    monkeypatch.setattr(Journal, "_insert", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    ended, calls = kept(tmp_path / "j", items(100), runs=1)
    assert ended.rows == []
    assert calls <= 8
    assert ended.standing.ended == "journal"
    assert "No space left" in ended.standing.why
    monkeypatch.undo()
    assert len(kept(tmp_path / "j", items(100), runs=1)[0].rows) == 100


def test_a_damaged_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanin.batching.calling.written", lambda _: "{}")
    kept(tmp_path / "j", items(1))
    with pytest.raises(JournalError, match="damaged"):
        kept(tmp_path / "j", items(1))


def taped(*questions: str) -> list[Row]:
    """The rows of a batch that is answered from the tape of the first example."""
    rows: list[Row] = []

    async def go() -> None:
        async with batch(questions, answer=fanin.Choice(["whale", "shark", "tuna"])) as coming:
            async for row in coming:
                rows.append(row)  # noqa: PERF401 - what came before an error counts

    try:
        with fanin.tape(ROOT / "cassettes" / "demo.json", mode="none"):
            anyio.run(go)
    except CassetteMissError:
        rows.append(Row(0, None, None, "missed"))
    return rows


def test_a_tape_answers_a_batch_and_what_it_lacks_ends_it() -> None:
    [row] = taped("Which one is a mammal?")
    assert row.object is not None
    assert row.object["answer"] == "whale"
    assert taped("Which one is a fish?")[-1].error == "missed"


def test_rows_are_iterated_by_the_public_name() -> None:
    assert fanin.batch is batch
    assert Rows.__module__ == "fanin.batching.outlet"
