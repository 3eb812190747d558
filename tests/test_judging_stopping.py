"""`decided` with weights: what is spared could not have changed what the weights decide either."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from math import exp
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fanin
from fanin.answers import Choice
from fanin.calibration import Calibration, write_calibration
from fanin.ensemble import Stopping, next_size
from fanin.judging import Weighing, agreed, judged
from fanin.policy.stopping import WAVES, parse_rule
from fanin.policy.weighing import Record, Weights
from fanin.stages.conclude import conclude
from fanin.stages.fan_out import fan_out
from fanin.stages.gather import gather
from fanin.values import Completion, Failure, Outcome, Plan, Question, Sample, Stopped, Variation
from fanin.verdict import Verdict

MODELS = tuple("pqrstuv")
CAME_TO = ("a", "b", "c", "spoiled", "failed")


def plan_of(runs: int, models: Sequence[str] = MODELS, quorum: int | None = None) -> Plan:
    return Plan(Question("Which?"), Choice(["a", "b", "c"]), Variation(tuple(models)), runs, quorum)


def file_of(rights: Sequence[float], models: Sequence[str] = MODELS) -> Calibration:
    """Weights of voters that were right so many times of 98."""
    records = tuple(Record((model, ""), right, 98) for model, right in zip(models, rights, strict=False))
    return Calibration("choice", tuple(sorted(models)), 7, 200, {}, Weights("labels", 3.0, records))


def outcome_of(index: int, came_to: str, logprob: float | None) -> Outcome:
    if came_to == "failed":
        return Failure(index, "server", "It broke.")
    return Sample(index, Completion("" if came_to == "spoiled" else f"Answer: {came_to}", logprob=logprob))


def concluded(plan: Plan, outcomes: Sequence[Outcome], weights: Weighing) -> Verdict:
    stopped = Stopped("all" if len(outcomes) == plan.runs else "rule", "decided")
    gathered = gather(outcomes, plan.runs)
    verdict = conclude(plan, fan_out(plan), gathered, stopped=stopped, backend="fake")
    return judged(verdict, [plan], weights=weights)


def ended(plan: Plan, outcomes: Sequence[Outcome], weights: Weighing, **options: Any) -> list[Outcome]:
    """The outcomes that are asked for."""
    rule = parse_rule(options.pop("rule", "decided"), runs=plan.runs, quorum=plan.quorum)
    stopping = Stopping(rule, agreed=partial(agreed, weights=weights), **options)
    came: list[Outcome] = []
    while size := next_size(plan, fan_out(plan), came, stopping):
        came += outcomes[len(came) : len(came) + size]
    return came


rights = st.sampled_from([2, 33, 50, 60, 97]) | st.integers(0, 98)
weighings = st.one_of(
    st.just("logprob"),
    st.tuples(st.lists(rights, min_size=7, max_size=7).map(file_of)),
    st.tuples(st.lists(rights, min_size=3, max_size=7).map(file_of)),
    st.just((file_of([90] * 7, "abcdefg"),)),
)
logprobs = st.floats(-5, 0) | st.sampled_from([None, -4.0, 0.0])
agreeing = st.lists(st.tuples(st.just("a"), logprobs), min_size=3, max_size=9)
any_votes = st.lists(st.tuples(st.sampled_from(CAME_TO), logprobs), max_size=4)


@given(
    weights=weighings,
    agreeing=agreeing,
    others=any_votes,
    quorum=st.none() | st.integers(1, 14),
    waves=st.sampled_from(WAVES),
    rule=st.sampled_from(["decided", "decided:winner"]),
)
def test_weighted_too_it_says_what_the_full_vote_says(
    weights: Weighing,
    agreeing: list[tuple[str, float | None]],
    others: list[tuple[str, float | None]],
    quorum: int | None,
    waves: Any,
    rule: str,
) -> None:
    came = agreeing + others
    plan = plan_of(len(came), quorum=None if quorum is None else min(quorum, len(came)))
    outcomes = [outcome_of(index, *each) for index, each in enumerate(came)]
    full = concluded(plan, outcomes, weights)
    some = concluded(plan, ended(plan, outcomes, weights, waves=waves, rule=rule), weights)
    assert (some.outcome, some.answer) == (full.outcome, full.answer)
    assert rule != "decided" or some.grade == full.grade


@pytest.mark.parametrize("rights", [[50, 50, 50, 50, 97], [2, 97, 33, 2, 60]])
@pytest.mark.parametrize("rule", ["decided", "decided:winner"])
def test_on_every_sequence(rights: list[float], rule: str) -> None:
    plan, weights = plan_of(5, MODELS[:5]), (file_of(rights, MODELS[:5]),)
    spared = turned = 0
    for came in product(["a", "b", "spoiled"], repeat=5):
        outcomes = [outcome_of(index, each, None) for index, each in enumerate(came)]
        asked = ended(plan, outcomes, weights, rule=rule)
        full, some = (concluded(plan, each, weights) for each in (outcomes, asked))
        assert (some.outcome, some.answer) == (full.outcome, full.answer), came
        assert rule != "decided" or some.grade == full.grade, came
        spared += len(asked) < 5
        turned += "Decided by the weights" in full.advice
    assert spared
    assert turned


LEVEL, HEAVY, LIGHT, CONTRARY = 60.0, 97.0, 33.0, 2.0
"""Of 98, with three answers: log-odds of 1.1, 4.5, about 0 and -2.9."""


@pytest.mark.parametrize(
    ("rights", "asked"),
    [
        ([LEVEL] * 7, 6),
        ([LEVEL] * 6 + [HEAVY], 6),
        ([LEVEL] * 3 + [LIGHT] * 3 + [HEAVY], 7),
        ([LEVEL] * 6 + [LIGHT], 6),
        ([CONTRARY] * 7, 7),
        ([LEVEL] * 3, 6),
    ],
)
def test_it_asks_whom_the_weights_could_still_turn_it_by(rights: list[float], asked: int) -> None:
    """All say the same; six of seven are what the count needs. Whoever is not known turns nothing."""
    outcomes = [outcome_of(index, "a", None) for index in range(7)]
    assert len(ended(plan_of(7), outcomes, (file_of(rights),))) == asked


def test_an_unlikely_answer_may_still_be_outweighed_by_a_likely_one() -> None:
    plan = plan_of(5)
    unlikely = [outcome_of(index, "a", -3.0) for index in range(4)]
    assert 4 * exp(-3.0) < 1
    last = outcome_of(4, "b", 0.0)
    assert ended(plan, [*unlikely, last], "logprob") == [*unlikely, last]
    assert concluded(plan, [*unlikely, last], "logprob").answer == "b"
    likely = [outcome_of(index, "a", -0.5) for index in range(4)]
    assert ended(plan, [*likely, last], "logprob") == likely
    told_nothing = [outcome_of(index, "a", None) for index in range(4)]
    assert ended(plan, [*told_nothing, last], "logprob") == told_nothing


@pytest.mark.parametrize("waves", WAVES)
def test_a_vote_keeps_the_promise(waves: Any) -> None:
    models = ("yes", "yes,yes", "yes,yes,yes", "yes,yes,yes,yes", "no")
    file = Calibration(
        "yes/no",
        tuple(sorted(models)),
        5,
        200,
        {},
        Weights("labels", 2.0, tuple(Record((m, ""), 95 if m == "no" else 52, 98) for m in sorted(models))),
    )
    write_calibration(file, "cal.json")
    options: dict[str, Any] = {"backend": "fake", "model": models, "weights": "cal.json"}
    full = fanin.vote_sync("Is it so?", **options)
    spared = fanin.vote_sync("Is it so?", **options, stop="decided", waves=waves)
    assert full.answer == spared.answer == "no"
    assert spared.runs == full.runs
    assert fanin.vote_sync("Is it so?", **{**options, "weights": None}, stop="decided").runs.unasked == 1


def test_a_recount_keeps_it_too(tmp_path: Path) -> None:
    from fanin.keeping import Log
    from fanin.recounting import recount

    log = Log(tmp_path)
    verdict = fanin.vote_sync("Is it so?", backend=fanin.Fake("yes,yes,yes,yes,no"))
    kept = log.find(log.keep(verdict))
    assert recount(kept, stop="decided").runs.unasked == 1
    write_calibration(
        Calibration(
            "yes/no",
            verdict.models,
            5,
            200,
            {},
            Weights("labels", 2.0, (Record((verdict.models[0], ""), 20, 98),)),
        ),
        "contrary.json",
    )
    again = recount(kept, stop="decided", weights="contrary.json")
    assert (again.answer, again.runs.unasked) == ("no", 0)
