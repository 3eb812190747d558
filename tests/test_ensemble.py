"""A vote as a whole: runs know nothing of one another, and arrival decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from doubles import Reply, Scripted, down, scripts, too_often
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import LOOPS, costly, run_virtual

from fanin.answers import Choice, Text, YesNo
from fanin.conductor import Conductor
from fanin.ensemble import hold_vote
from fanin.errors import CallError
from fanin.limiters import Limiters
from fanin.policy.pricing import Price
from fanin.stages.fan_out import fan_out
from fanin.stages.isolate import isolate
from fanin.terms import Terms
from fanin.values import (
    Completion,
    Failure,
    Message,
    Outcome,
    Plan,
    Question,
    Request,
    Run,
    Sample,
    Variation,
)
from fanin.verdict import Verdict

each_loop = pytest.mark.parametrize("loop", LOOPS)

latencies = st.lists(st.floats(0, 5), min_size=1, max_size=7)
replies = st.lists(
    st.sampled_from(["Answer: yes", "Answer: no", "Yes.", "I do not know", ""])
    | st.builds(too_often, st.none() | st.floats(0, 20))
    | st.builds(down)
    | st.just(CallError("auth", "the key is refused", final=True)),
    min_size=1,
    max_size=4,
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Plans of every shape; each model and each system prompt has a mark of its own."""
    return Plan(
        Question(draw(st.text(min_size=1).filter(str.strip)), draw(st.none() | st.text(max_size=20))),
        draw(st.sampled_from([YesNo(), Text(), Choice(["whale", "shark", "tuna"])])),
        Variation(
            models=[f"<model {number}>" for number in range(draw(st.integers(1, 3)))],
            systems=[f"<system {number}>" for number in range(draw(st.integers(0, 3)))],
            temperature=draw(st.none() | st.floats(0, 2)),
            seed=draw(st.integers(0, 2**63 - 1)),
        ),
        runs=draw(st.integers(1, 12)),
        structured=draw(st.booleans()),
    )


def late(waits: list[float]) -> Callable[[Request], float]:
    """Latencies that mix up the order of arrival."""
    return lambda request: waits[(request.index * 3 + request.attempt) % len(waits)]


def held(loop: str, plan: Plan, backend: Scripted, concurrency: int = 8, **options: Any) -> Verdict:
    async def main() -> Verdict:
        conductor = Conductor(backend, Terms(concurrency), limiters=Limiters(), seed=plan.variation.seed)
        return await hold_vote(plan, conductor, backend=backend.name, **options)

    return run_virtual(loop, main)


@each_loop
@costly
@given(plans(), latencies, st.lists(replies, min_size=1, max_size=12), st.integers(1, 8))
def test_every_request_holds_its_own_prompt_and_nothing_of_another(
    loop: str, plan: Plan, waits: list[float], of_runs: list[list[Reply]], concurrency: int
) -> None:
    backend = Scripted(scripts(dict(enumerate(of_runs))), latency_s=late(waits))
    held(loop, plan, backend, concurrency)
    runs = fan_out(plan)
    assert {request.index for request in backend.sent} == set(range(plan.runs))
    for request in backend.sent:
        run = runs[request.index]
        assert attrs.evolve(request, attempt=1) == isolate(plan, run)
        said = "".join(message.content for message in request.messages)
        others = {one.system for one in runs} - {run.system, None}
        assert not any(other is not None and other in said for other in others)
        assert request.messages[-1].content.count(plan.question.text) >= 1
        assert (request.seed, request.temperature, request.model) == (run.seed, run.temperature, run.model)


@each_loop
@costly
@given(plans(), latencies, st.integers(1, 8))
def test_what_is_done_to_one_run_s_request_changes_no_other(
    loop: str, plan: Plan, waits: list[float], concurrency: int
) -> None:
    """Frozen values can still be forced: then only the one run has the damage."""
    before: list[Request] = []

    def vandalise(request: Request) -> Reply:
        before.append(
            attrs.evolve(request, messages=tuple(Message(m.role, m.content) for m in request.messages))
        )
        for message in request.messages:
            object.__setattr__(message, "content", "forget the question")
        for field in ("messages", "seed", "temperature", "model"):
            object.__setattr__(request, field, None)
        return "Answer: yes"

    held(loop, plan, Scripted(vandalise, latency_s=late(waits)), concurrency)
    runs = fan_out(plan)
    assert sorted(before, key=lambda request: request.index) == [isolate(plan, run) for run in runs]


@costly
@given(plans())
def test_a_request_cannot_be_changed_by_accident(plan: Plan) -> None:
    request = isolate(plan, fan_out(plan)[0])
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        request.seed = 1  # type: ignore[misc]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        request.messages[0].content = "other"  # type: ignore[misc]
    assert isinstance(request.messages, tuple)


@costly
@given(plans(), st.lists(replies, min_size=1, max_size=12), st.data())
def test_neither_loop_nor_concurrency_nor_arrival_changes_a_byte(
    plan: Plan, of_runs: list[list[Reply]], data: st.DataObject
) -> None:
    written = set()
    for _ in range(3):
        waits, concurrency = data.draw(latencies), data.draw(st.integers(1, 8))
        backend = Scripted(scripts(dict(enumerate(of_runs))), latency_s=late(waits))
        written.add(held(data.draw(st.sampled_from(LOOPS)), plan, backend, concurrency).to_json())
    assert len(written) == 1


@costly
@given(plans(), st.lists(replies, min_size=1, max_size=12))
def test_the_same_plan_sends_the_same_bytes_every_time(plan: Plan, of_runs: list[list[Reply]]) -> None:
    sent = []
    for loop in LOOPS:
        backend = Scripted(scripts(dict(enumerate(of_runs))))
        held(loop, plan, backend, 1)
        sent.append(backend.sent)
    assert sent[0] == sent[1]


@each_loop
def test_a_vote_from_question_to_verdict(loop: str) -> None:
    plan = Plan(Question("Is 1009 a prime number?"), YesNo(), Variation(("m",)), runs=5)
    backend = Scripted(
        scripts(
            {
                0: ["I think so.\nAnswer: yes"],
                1: [down(), "Yes."],
                2: ["Answer: no"],
                3: ["Hm."],
                4: ["**Yes**"],
            }
        ),
        latency_s=lambda request: 5.0 - request.index,
    )
    verdict = held(loop, plan, backend, price=Price(1.0, 1.0))
    assert (verdict.outcome, verdict.answer, verdict.grade, verdict.confidence) == (
        "decided",
        "yes",
        "medium",
        0.6,
    )
    assert verdict.votes == {"yes": 3, "no": 1}
    assert [ballot.choice for ballot in verdict.ballots] == ["yes", "yes", "no", None, "yes"]
    assert (verdict.stopped.by, verdict.backend, verdict.models) == ("all", "scripted", ("m",))
    assert (verdict.usage.input_tokens, verdict.cost_usd) == (15, 0.00002)
    assert [event.kind for event in verdict.events].count("answered") == 5


@each_loop
def test_what_cut_a_vote_is_told_and_counts_against_it(loop: str) -> None:
    plan = Plan(Question("Is it?"), YesNo(), Variation(("m",)), runs=5)
    backend = Scripted(lambda request: "yes", latency_s=lambda request: 1.0 if request.index < 3 else 50.0)

    async def main() -> Verdict:
        conductor = Conductor(backend, Terms(4, deadline_s=10.0), limiters=Limiters())
        return await hold_vote(plan, conductor, backend="b")

    verdict = run_virtual(loop, main)
    assert (verdict.stopped.by, verdict.outcome, verdict.grade) == ("deadline", "decided", "medium")
    assert (verdict.confidence, verdict.pattern) == (0.6, "incomplete")
    assert [failure.kind for failure in verdict.failures] == ["deadline", "deadline"]
    assert (verdict.runs.failed, verdict.runs.unasked) == (2, 0)


@each_loop
def test_a_vote_may_have_another_job_than_one_completion(loop: str) -> None:
    plan = Plan(Question("Is it?"), YesNo(), Variation(("m",)), runs=3)
    backend = Scripted(lambda request: "never asked")

    async def job(run: Run) -> Outcome | None:
        if run.index == 2:
            return Failure(run.index, "server", "it failed")
        return Sample(run.index, Completion("yes"))

    verdict = held(loop, plan, backend, job=job)
    assert (verdict.votes, verdict.runs.failed, backend.sent) == ({"yes": 2}, 1, [])
