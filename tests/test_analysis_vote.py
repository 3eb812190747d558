"""Votes over analyses: each alone with its own course, all of them kept, and said where they differ."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from analysis_script import asked_for, replies
from doubles import Scripted, down
from hypothesis import given
from hypothesis import strategies as st
from standin import StandIn, chat
from virtual_time import LOOPS, costly, run_virtual, virtual

import fanin
from fanin.errors import InputError
from fanin.keeping import Log
from fanin.policy.analysing import MODES, as_mode
from fanin.policy.pricing import Price
from fanin.recounting import recount
from fanin.values import Completion, Request, Usage
from fanin_backends.fake import Fake


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return virtual(request.param)


def by_run(*focused: str) -> Any:
    """The focused answer of each run, in turn."""
    return lambda request: f"Answer: {focused[request.index % len(focused)]}"


# --- isolation


@given(
    st.sampled_from(LOOPS),
    st.lists(st.sampled_from(["quick", "balanced", "thorough"]), min_size=1, max_size=3),
    st.integers(1, 8),
    st.lists(st.integers(0, 9), min_size=7, max_size=7),
)
@costly
def test_analyses_of_one_vote_see_nothing_of_one_another(
    loop: str, modes: list[str], concurrency: int, waits: list[int]
) -> None:
    """Every reply bears its run's mark: no request of another run may hold it, whatever comes first."""

    def marked(request: Request) -> str:
        usual = {
            "plan": "1. Look at RUN\n2. Look again at RUN",
            "judge": "RUN\nAnswer: 1",
            "step": "RUN is so.",
            "assess": "1. Look once more at RUN\nAnswer: yes",
            "synthesize": "In all RUN.",
            "focus": "RUN\nAnswer: yes",
        }
        return usual[asked_for(request)].replace("RUN", f"mark{request.index}mark")

    backend = Scripted(marked, latency_s=lambda request: waits[(request.seed or 0) % 7], limited=False)

    async def held() -> fanin.Verdict:
        return await fanin.vote("Is it?", mode=modes, runs=5, backend=backend, concurrency=concurrency)

    verdict = run_virtual(loop, held)
    assert verdict.votes == {"yes": 5}
    seen = {
        (request.index, mark)
        for request in backend.sent
        for message in request.messages
        for mark in re.findall(r"mark\d+mark", message.content)
    }
    assert seen == {(index, f"mark{index}mark") for index in range(5)}
    assert backend.most_in_flight <= concurrency
    assert backend.seen_indexes == [request.index for request in backend.sent]
    assert [analysis.final_answer for analysis in verdict.analyses] == [
        f"In all mark{index}mark." for index in range(5)
    ]


# --- what comes of it


@pytest.mark.anyio
async def test_the_vote_is_over_the_focused_answers() -> None:
    backend = Scripted(replies(focus=by_run("yes", "yes", "no", "yes", "yes")))
    verdict = await fanin.vote("Is it?", mode="quick", runs=5, backend=backend)
    assert (verdict.answer, verdict.grade, verdict.votes) == ("yes", "high", {"yes": 4, "no": 1})
    assert [analysis.focused_answer for analysis in verdict.analyses] == ["yes", "yes", "no", "yes", "yes"]
    assert [analysis.index for analysis in verdict.analyses] == [0, 1, 2, 3, 4]
    assert [ballot.temperature for ballot in verdict.ballots] == [0.6, 0.7, 0.8, 0.9, 1.0]
    assert verdict.usage == Usage(3 * len(backend.sent), len(backend.sent))
    assert [each["index"] for each in verdict.to_dict()["analyses"]] == [0, 1, 2, 3, 4]
    assert len({request.seed for request in backend.sent}) == len(backend.sent)


@pytest.mark.anyio
async def test_runs_go_round_models_modes_and_systems_before_the_temperature_rises() -> None:
    backend = Scripted(replies())
    verdict = await fanin.vote(
        "Is it?",
        mode=["quick", "balanced"],
        model=["a", "b"],
        system=["brief", None],
        runs=9,
        backend=backend,
    )
    asked = {request.index: request.messages[0] for request in backend.sent}
    met = [
        (analysis.model, analysis.mode.name, asked[analysis.index].role, analysis.temperature)
        for analysis in verdict.analyses
    ]
    assert met == [
        ("a", "quick", "system", 0.6),
        ("b", "quick", "system", 0.6),
        ("a", "quick", "user", 0.6),
        ("b", "quick", "user", 0.6),
        ("a", "balanced", "system", 0.6),
        ("b", "balanced", "system", 0.6),
        ("a", "balanced", "user", 0.6),
        ("b", "balanced", "user", 0.6),
        ("a", "quick", "system", 0.7),
    ]


@pytest.mark.anyio
async def test_modes_and_models_that_differ_are_said() -> None:
    backend = Scripted(replies(focus=by_run("yes", "no", "yes", "no")))
    verdict = await fanin.vote("Is it?", mode=["quick", "thorough"], runs=4, backend=backend)
    assert "The modes differ: quick says yes; thorough says no." in verdict.advice
    verdict = await fanin.vote("Is it?", mode="quick", model=["a", "b"], runs=4, backend=backend)
    assert "The models differ: a says yes; b says no." in verdict.advice
    assert "modes" not in verdict.advice


@pytest.mark.anyio
async def test_a_mode_that_there_are_too_few_runs_for_is_said_and_recounted() -> None:
    backend = Scripted(replies())
    modes = ["quick", "balanced", "thorough"]
    verdict = await fanin.vote("Is it?", mode=modes, model=["a", "b"], runs=3, backend=backend)
    assert "There are too few runs for the mode thorough." in verdict.advice
    record = Log().find(Log().keep(verdict))
    assert recount(record).to_json() == verdict.to_json()
    enough = await fanin.vote("Is it?", mode=modes, runs=3, backend=backend)
    assert "too few" not in enough.advice


@pytest.mark.anyio
async def test_failed_analyses_are_reported() -> None:
    def focus(request: Request) -> Any:
        return {0: "Answer: yes", 1: down(), 2: "Hard to say."}.get(request.index, "Answer: yes")

    backend = Scripted(replies(focus=focus))
    verdict = await fanin.vote("Is it?", mode="quick", runs=4, backend=backend, retries=0, price=Price(1, 1))
    assert (verdict.runs.valid, verdict.runs.spoiled, verdict.runs.failed) == (2, 1, 1)
    assert [analysis.success for analysis in verdict.analyses] == [True, False, False, True]
    assert [analysis.final_answer is not None for analysis in verdict.analyses] == [True] * 4
    assert verdict.failures[0].index == 1
    assert verdict.failures[0].kind == "server"
    # What the failed one had used before is counted too: five of its six calls came back.
    assert verdict.usage == Usage(3 * 23, 23)
    assert verdict.cost_usd == pytest.approx(sum(analysis.cost_usd for analysis in verdict.analyses))


@pytest.mark.anyio
async def test_a_deadline_keeps_the_analyses_it_cut() -> None:
    backend = Scripted(replies(), latency_s=lambda request: 1.0)
    verdict = await fanin.vote("Is it?", mode="quick", runs=3, backend=backend, concurrency=2, deadline_s=7.5)
    assert (verdict.stopped.by, verdict.runs.valid, verdict.runs.failed) == ("deadline", 2, 1)
    assert [analysis.success for analysis in verdict.analyses] == [True, True, False]
    cut = verdict.analyses[2]
    assert cut.failure is not None
    assert (cut.failure.kind, cut.calls) == ("deadline", 2)


@pytest.mark.anyio
async def test_a_stop_rule_spares_whole_analyses() -> None:
    backend = Scripted(replies())
    verdict = await fanin.vote(
        "Is it?", mode="quick", runs=5, stop="decided:winner", backend=backend, concurrency=5
    )
    assert (verdict.stopped.by, verdict.runs.valid, verdict.runs.unasked) == ("rule", 3, 2)
    assert len(verdict.analyses) == 3


@pytest.mark.anyio
async def test_analyses_that_a_satisfied_rule_called_back_say_so() -> None:
    backend = Scripted(replies(), latency_s=lambda request: 1.0 if request.index < 3 else 5.0)
    verdict = await fanin.vote(
        "Is it?", mode="quick", runs=5, stop="decided:winner", waves="all", backend=backend
    )
    assert (verdict.stopped.by, verdict.runs.cancelled) == ("rule", 2)
    assert [analysis.success for analysis in verdict.analyses] == [True, True, True, False, False]
    assert {analysis.problem for analysis in verdict.analyses[3:]} == {
        "Called back: the stop rule was satisfied without it."
    }
    assert verdict.usage == Usage(3 * 20, 20)


@pytest.mark.anyio
async def test_a_cascade_of_analyses() -> None:
    def focus(request: Request) -> str:
        return "Answer: no" if request.model == "a" and request.index else "Answer: yes"

    backend = Scripted(replies(focus=focus))
    verdict = await fanin.vote("Is it?", mode="quick", runs=2, model="a", escalate="b", backend=backend)
    assert (verdict.answer, len(verdict.tiers)) == ("yes", 2)
    assert [each["model"] for each in verdict.to_dict()["analyses"]] == ["a", "a", "b", "b"]
    assert [[analysis.model for analysis in tier.analyses] for tier in verdict.tiers] == [
        ["a"] * 2,
        ["b"] * 2,
    ]


@pytest.mark.anyio
async def test_a_plain_vote_has_no_analyses() -> None:
    verdict = await fanin.vote("Is it?", backend=Fake("yes"))
    assert verdict.analyses == ()
    assert "analyses" not in verdict.to_dict()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "slow"}, "mode must be one of"),
        ({"mode": []}, "mode must be a mode's name, or several"),
        ({"mode": attrs.evolve(MODES["quick"], cost_limit_usd=1.0)}, "where the price of default is unknown"),
        (
            {
                "mode": ["quick", attrs.evolve(MODES["quick"], cost_limit_usd=1.0)],
                "model": ["a", "b"],
                "price": {"a": Price(1, 1)},
            },
            "where the price of b is unknown",
        ),
    ],
)
async def test_bad_input_is_said_before_any_call(options: dict[str, Any], said: str) -> None:
    backend = Scripted(replies())
    with pytest.raises(InputError, match=said):
        await fanin.vote("Is it?", backend=backend, **options)
    assert backend.sent == []


@pytest.mark.anyio
async def test_a_cost_limit_bounds_each_analysis() -> None:
    def reply(request: Request) -> Completion:
        again = "1. Look at c\n2. Look at d\nAnswer: yes"
        return Completion(str(replies(assess=again)(request)), usage=Usage(50, 100))

    mode = attrs.evolve(MODES["research"], cost_limit_usd=0.0025)
    verdict = await fanin.vote(
        "Is it?", mode=mode, runs=3, backend=Scripted(reply), max_tokens=100, price=Price(1.0, 1.0)
    )
    assert verdict.answer == "yes"
    assert [analysis.ended for analysis in verdict.analyses] == ["budget"] * 3
    assert all(analysis.cost_usd <= 0.0025 for analysis in verdict.analyses)


def test_a_replayed_vote_gives_the_same_bytes_at_any_concurrency(tmp_path: Path) -> None:
    """Several requests of each run, all found again by run and body, whoever comes first."""
    said = [
        chat(text)
        for name in ("one", "two", "three")
        for text in (f"1. Look at {name}", f"So is {name}.", f"In all {name}.", "Answer: yes")
    ]
    path = tmp_path / "tape.json"

    async def held(url: str, concurrency: int) -> str:
        verdict = await fanin.vote(
            "Is it?",
            mode=as_mode("quick", max_iterations=1),
            runs=3,
            backend="openai",
            model="m",
            base_url=url,
            concurrency=concurrency,
        )
        assert verdict.votes == {"yes": 3}
        return verdict.to_json()

    with StandIn(said) as server, fanin.tape(path, mode="all"):
        first = anyio.run(held, server.url, 1)
        assert len(server.seen) == 12
    for concurrency in (1, 3):
        with fanin.tape(path, mode="none"):
            assert anyio.run(held, server.url, concurrency) == first
