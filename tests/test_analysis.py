"""The doors `analyze` and `analyze_sync`, on both event loops and in virtual time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from analysis_script import asked_for, replies
from doubles import Scripted, down, too_often
from hypothesis import given
from hypothesis import strategies as st
from standin import StandIn, chat
from virtual_time import LOOPS, costly, run_virtual, virtual

import fanin
from fanin import connecting
from fanin.answers import Choice
from fanin.errors import CallError, InputError, MissingKeyError, UnknownBackendError
from fanin.policy.analysing import MODES
from fanin.policy.pricing import Price
from fanin.terms import Interrupt
from fanin.values import Completion, Event, Request, Usage
from fanin_backends.fake import Fake


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return virtual(request.param)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """The backend that every name opens."""
    backend = Scripted(replies())
    monkeypatch.setattr(connecting, "open_backend", lambda name, **options: backend)
    return backend


# --- what comes of it


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("mode", "calls"),
    [
        ("quick", "plan step step assess synthesize focus"),
        ("balanced", "plan plan step step assess step assess synthesize focus"),
        ("thorough", "plan plan plan step step assess step assess step assess synthesize focus"),
    ],
)
async def test_each_mode_makes_its_calls(mode: str, calls: str) -> None:
    backend = Scripted(replies())
    analysis = await fanin.analyze("Is it?", mode=mode, backend=backend)
    assert [asked_for(request) for request in backend.sent] == calls.split()
    assert (analysis.success, analysis.focused_answer, analysis.ended) == (True, "yes", "complete")
    assert analysis.calls == len(backend.sent)
    assert analysis.mode == MODES[mode]
    assert (analysis.backend, analysis.model) == ("scripted", "default")
    assert {request.index for request in backend.sent} == set(backend.seen_indexes) == {0}


@pytest.mark.anyio
async def test_plans_are_made_in_parallel_and_the_judge_s_is_carried_out() -> None:
    def plan(request: Request) -> str:
        return f"1. Look at {request.temperature}"

    backend = Scripted(replies(plan=plan, judge="Answer: 3"), latency_s=lambda request: 1.0)
    analysis = await fanin.analyze(
        "Is it?", mode="thorough", backend=backend, temperature=0.5, max_iterations=1
    )
    assert [draft.steps for draft in analysis.drafts] == [
        ("Look at 0.6",),
        ("Look at 0.7",),
        ("Look at 0.8",),
    ]
    assert (analysis.chosen, analysis.chosen_by, analysis.plan) == (2, "judge", ("Look at 0.8",))
    assert backend.most_in_flight == 3
    assert backend.sent_s == [0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.anyio
async def test_the_slots_bound_the_calls_in_flight() -> None:
    backend = Scripted(replies(), latency_s=lambda request: 1.0)
    await fanin.analyze("Is it?", mode="research", backend=backend, concurrency=1)
    assert backend.most_in_flight == 1


@given(st.sampled_from(LOOPS), st.lists(st.integers(0, 5), min_size=4, max_size=4), st.integers(1, 5))
@costly
def test_the_order_of_arrival_changes_nothing(loop: str, waits: list[int], concurrency: int) -> None:
    def late(request: Request) -> float:
        text = request.messages[-1].content
        return waits[int(text.partition("This is plan ")[2][0]) - 1] if asked_for(request) == "plan" else 0

    def plan(request: Request) -> str:
        return f"1. Go by {request.seed}"

    async def analysed(latency_s: Any) -> str:
        backend = Scripted(replies(plan=plan, judge="Answer: 2"), latency_s=latency_s, limited=False)
        made = await fanin.analyze("Is it?", mode="research", backend=backend, concurrency=concurrency)
        return made.to_json()

    async def both() -> tuple[str, str]:
        return await analysed(late), await analysed(lambda request: 0.0)

    one, other = run_virtual(loop, both)
    assert one == other


@pytest.mark.anyio
async def test_the_fake_s_script_plays_the_calls_in_order() -> None:
    script = "1. a>1. b>Answer: 2>b it is>Answer: no>checked>Answer: no>In all yes.>Answer: yes"
    made = [await fanin.analyze("Is it?", backend=Fake(script), mode="balanced") for _ in range(5)]
    assert {analysis.plan for analysis in made} == {("b",)}
    assert {(analysis.final_answer, analysis.focused_answer) for analysis in made} == {("In all yes.", "yes")}


@pytest.mark.anyio
async def test_every_option_finds_its_way() -> None:
    told: list[Event] = []
    said: list[str] = []
    backend = Scripted(lambda request: Completion(str(replies()(request)), usage=Usage(1000, 500)))
    analysis = await fanin.analyze(
        "Which one?",
        context="The text",
        mode="quick",
        answer=Choice(["yes", "no"]),
        backend=backend,
        model="x",
        system="be brief",
        temperature=0.3,
        seed=5,
        max_tokens=77,
        temperature_offset=0.1,
        reasoning_effort="high",
        max_iterations=1,
        price=Price(1.0, 2.0),
        watch=told.append,
        tell=lambda index, text: said.append(text),
    )
    assert {request.model for request in backend.sent} == {"x"}
    assert {request.max_tokens for request in backend.sent} == {77}
    assert {request.reasoning_effort for request in backend.sent} == {"high"}
    assert {request.messages[0].content for request in backend.sent} == {"be brief"}
    assert [request.temperature for request in backend.sent] == [0.4, 0.4, 0.4, 0.4, 0.0]
    assert all("The text" in request.messages[1].content for request in backend.sent[:-1])
    assert (analysis.focused_answer, analysis.cost_usd) == ("yes", 0.01)
    assert tuple(told) == analysis.events
    assert said == [
        "making a plan",
        "round 1, step 1 of 2: Look at a",
        "round 1, step 2 of 2: Look at b",
        "writing the final answer",
        "taking the focused answer from it",
    ]


@pytest.mark.anyio
async def test_the_same_call_sends_the_same_requests_and_another_seed_others() -> None:
    async def sent(**options: Any) -> list[Request]:
        backend = Scripted(replies())
        await fanin.analyze("Is it?", backend=backend, **options)
        return backend.sent

    assert await sent() == await sent(seed=0)
    assert not {request.seed for request in await sent()} & {request.seed for request in await sent(seed=1)}


@pytest.mark.anyio
async def test_the_answer_is_of_the_asked_type() -> None:
    backend = Scripted(replies(focus="Answer: 1,009"))
    assert (await fanin.analyze("How many?", answer="number", backend=backend)).focused_answer == "1009"
    backend = Scripted(replies(focus="Answer: The Hague."))
    assert (await fanin.analyze("Where is it?", backend=backend)).focused_answer == "The Hague"


# --- what goes wrong


@pytest.mark.anyio
async def test_failed_calls_are_made_again_and_a_failed_step_is_kept() -> None:
    def step(request: Request) -> Any:
        if "Look at a" in request.messages[-1].content.partition("=== ")[0]:
            return CallError("bad_request", "too long", final=True)
        return "It is so."

    backend = Scripted(
        replies(step=step, synthesize=lambda request: down() if request.attempt < 9 else "Yes.")
    )
    analysis = await fanin.analyze("Is it?", mode="quick", max_iterations=1, backend=backend, retries=9)
    assert [(found.status, found.usable) for found in analysis.steps] == [("failed", False), ("ok", True)]
    assert analysis.steps[0].failure is not None
    assert analysis.steps[0].failure.message == "too long"
    assert (analysis.success, analysis.final_answer) == (True, "Yes.")
    [synthesis] = [request for request in backend.sent if asked_for(request) == "synthesize"][-1:]
    assert "(This step failed: failed.)" in synthesis.messages[-1].content


@pytest.mark.anyio
async def test_a_rate_limit_is_waited_out() -> None:
    backend = Scripted(replies(step=lambda r: too_often(5.0) if r.attempt < 3 else "It is so."))
    analysis = await fanin.analyze("Is it?", mode="quick", backend=backend)
    assert analysis.success
    assert max(backend.sent_s) >= 5.0


@pytest.mark.anyio
async def test_a_deadline_keeps_what_was_found() -> None:
    backend = Scripted(replies(), latency_s=lambda request: 1.0)
    analysis = await fanin.analyze("Is it?", mode="quick", backend=backend, deadline_s=2.5)
    assert (analysis.success, analysis.ended) == (False, None)
    assert analysis.failure is not None
    assert analysis.failure.kind == "deadline"
    assert [found.text for found in analysis.steps] == ["It is so."]
    assert (analysis.calls, analysis.usage) == (3, Usage(6, 2))


@pytest.mark.anyio
async def test_what_came_back_before_a_cut_is_counted() -> None:
    backend = Scripted(replies(), latency_s=lambda request: 1.0 if "This is plan 1" in str(request) else 9.0)
    analysis = await fanin.analyze("Is it?", mode="thorough", backend=backend, deadline_s=2.0)
    assert (analysis.calls, analysis.usage, analysis.drafts) == (3, Usage(3, 1), ())
    assert analysis.failure is not None
    assert analysis.failure.kind == "deadline"


@pytest.mark.anyio
async def test_an_interrupt_keeps_what_was_found() -> None:
    interrupt = Interrupt()
    backend = Scripted(replies(assess=lambda request: interrupt.stop() or "Answer: no"))
    analysis = await fanin.analyze("Is it?", mode="balanced", backend=backend, interrupt=interrupt)
    assert analysis.failure is not None
    assert analysis.failure.kind == "interrupted"
    assert len(analysis.steps) == 2


@pytest.mark.anyio
async def test_interrupted_before_it_begins() -> None:
    interrupt = Interrupt()
    interrupt.stop()
    backend = Scripted(replies())
    analysis = await fanin.analyze("Is it?", backend=backend, interrupt=interrupt)
    assert (analysis.success, analysis.calls, backend.sent) == (False, 0, [])
    assert analysis.failure is not None
    assert analysis.failure.kind == "interrupted"


@pytest.mark.anyio
async def test_models_that_cannot_be_found_out_are_a_failed_analysis(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Scripted(replies())

    async def resolve(models: tuple[str, ...]) -> tuple[str, ...]:
        raise CallError("connection", "nobody is there")

    monkeypatch.setattr(backend, "resolve", resolve)
    analysis = await fanin.analyze("Is it?", backend=backend)
    assert (analysis.success, analysis.problem, analysis.usage) == (False, "nobody is there", Usage(0, 0))


@pytest.mark.anyio
async def test_a_spent_quota_ends_it_at_once() -> None:
    spent = CallError("quota", "spent", final=True, exhausted=True)
    backend = Scripted(replies(step=spent))
    analysis = await fanin.analyze("Is it?", mode="quick", backend=backend)
    assert [asked_for(request) for request in backend.sent] == ["plan", "step"]
    assert analysis.problem == "spent"


@pytest.mark.anyio
async def test_what_is_opened_is_closed_and_what_was_open_is_not(opened: Scripted) -> None:
    await fanin.analyze("Is it?", backend="whatever")
    assert opened.closed == 1
    with pytest.raises(InputError):
        await fanin.analyze("Is it?", backend="whatever", max_tokens=0)
    assert opened.closed == 2
    await fanin.analyze("Is it?", backend=opened)
    assert opened.closed == 2
    with pytest.raises(ZeroDivisionError):
        await fanin.analyze("Is it?", backend="whatever", tell=lambda index, text: 1 / 0)  # type: ignore[arg-type, return-value]
    assert opened.closed == 3


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"query": "  "}, "question must be a text that is not blank"),
        ({"mode": "slow"}, "mode must be one of"),
        ({"min_iterations": 3, "max_iterations": 2}, "max_iterations must be at least"),
        ({"max_iterations": 0}, "max_iterations must be a whole number from 1"),
        ({"cost_limit_usd": 1.0}, "cost_limit_usd must be left out where the price of default is unknown"),
        ({"cost_limit_usd": 1.0, "price": {"other": Price(1, 1)}}, "cost_limit_usd must be left out"),
        ({"cost_limit_usd": 1e-6, "price": Price(1, 1)}, "cost_limit_usd must be enough for the plans"),
        ({"model": ["a", "b"]}, "model must be one text"),
        ({"system": 3}, "system must be one text"),
        ({"temperature": 3.0}, "temperature must be from 0 to 2"),
        ({"concurrency": 0}, "concurrency must be a whole number"),
        ({"answer": "maybe"}, "answer must be one of"),
        ({"price": "cheap"}, "price must be a Price"),
    ],
)
async def test_bad_input_is_said_before_any_call(options: dict[str, Any], said: str) -> None:
    backend = Scripted(replies())
    with pytest.raises(InputError, match=said):
        await fanin.analyze(**{"query": "Is it?", "backend": backend, **options})
    assert backend.sent == []


@pytest.mark.anyio
async def test_bad_backends() -> None:
    with pytest.raises(UnknownBackendError):
        await fanin.analyze("Is it?", backend="gorq")
    with pytest.raises(MissingKeyError):
        await fanin.analyze("Is it?", backend="groq")


# --- the cost limit


@pytest.mark.anyio
@pytest.mark.parametrize("usage", [Usage(50, 100), Usage()])
async def test_the_cost_limit_ends_the_steps_and_is_kept(usage: Usage) -> None:
    def reply(request: Request) -> Completion:
        return Completion(str(replies(assess="1. c\n2. d\nAnswer: yes")(request)), usage=usage)

    async def analysed(limit: float | None) -> fanin.Analysis:
        return await fanin.analyze(
            "Is it?",
            mode="research",
            backend=Scripted(reply),
            max_tokens=100,
            price=Price(1.0, 1.0),
            cost_limit_usd=limit,
        )

    held, free = await analysed(0.0025), await analysed(None)
    assert (held.ended, held.success) == ("budget", True)
    assert held.calls < free.calls
    if held.cost_usd is not None:
        assert 0 < held.cost_usd <= 0.0025


# --- without an event loop, and on tape


def test_analyze_sync() -> None:
    script = "1. a>so>Answer: no>Yes.>Answer: yes"
    assert fanin.analyze_sync("Is it?", mode="quick", backend="fake", model=script).focused_answer == "yes"
    with pytest.raises(InputError, match="backend must be a name with analyze_sync"):
        fanin.analyze_sync("Is it?", backend=Scripted(replies(), http=True))


def test_a_replay_gives_the_same_bytes_at_any_concurrency(tmp_path: Path) -> None:
    drafts = [chat(f"1. Look at {name}\n2. Look again") for name in "abc"]
    rest = [chat(text) for text in ("Answer: 2", "So.", "So too.", "In all yes.", "Answer: yes")]
    path = tmp_path / "tape.json"

    async def analysed(url: str, concurrency: int) -> str:
        made = await fanin.analyze(
            "Is it?",
            mode="thorough",
            max_iterations=1,
            backend="openai",
            model="m",
            base_url=url,
            concurrency=concurrency,
        )
        assert made.success
        return made.to_json()

    with StandIn([*drafts, *rest]) as server, fanin.tape(path, mode="all"):
        first = anyio.run(analysed, server.url, 3)
        assert len(server.seen) == 8
    assert len(json.loads(path.read_text("utf-8"))["interactions"]) == 8
    for concurrency in (1, 3):
        with fanin.tape(path, mode="none"):
            assert anyio.run(analysed, server.url, concurrency) == first
