"""Stop rules in a vote: what is asked, what is spared, and that the full vote would say the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import LOOPS, costly, run_virtual

import fanin

SCRIPTS = st.lists(st.sampled_from(["yes", "no", "!empty", "!500"]), min_size=1, max_size=9)
RULES = ["decided", "posterior:0.9", "ahead:2", "window:2", "start:2,step:1", "predictive:0.9", "voi"]


def vote(script: list[str], loop: str = "asyncio", **options: Any) -> fanin.Verdict:
    """The vote of as many runs as the script has items."""

    async def ask() -> fanin.Verdict:
        fake = fanin.Fake(script)
        asked = {"answer": fanin.YesNo(), "backend": fake, "runs": len(script), "retries": 0}
        return await fanin.vote("Is it?", **{**asked, **options})

    return run_virtual(loop, ask)


def adds_up(verdict: fanin.Verdict) -> bool:
    runs = verdict.runs
    return runs.planned == runs.valid + runs.spoiled + runs.failed + runs.cancelled + runs.unasked


@costly
@given(script=SCRIPTS, loop=st.sampled_from(LOOPS), waves=st.sampled_from(["one", "fit", "all"]))
def test_decided_says_what_the_full_vote_says(script: list[str], loop: str, waves: str) -> None:
    full, spared = vote(script), vote(script, loop, stop="decided", waves=waves)
    assert (spared.outcome, spared.answer, spared.grade) == (full.outcome, full.answer, full.grade)
    assert adds_up(spared)


@costly
@given(
    script=st.lists(st.sampled_from(["yes", "no", "!empty"]), min_size=5, max_size=9),
    rule=st.sampled_from(RULES),
    latencies=st.lists(st.integers(0, 3), min_size=9, max_size=9),
    waves=st.sampled_from(["one", "fit"]),
)
def test_who_answers_first_changes_no_byte(
    script: list[str], rule: str, latencies: list[int], waves: str
) -> None:
    late = [f"{item}@{seconds}" for item, seconds in zip(script, latencies, strict=False)]
    told = vote(script, stop=rule, waves=waves).to_json()
    assert told == vote(late, stop=rule, waves=waves).to_json()
    assert told == vote(script, stop=rule, waves=waves, concurrency=1).to_json()


def test_spared_runs_do_not_count_against_the_answer() -> None:
    verdict = vote(["yes"] * 5, stop="decided")
    assert (verdict.stopped.by, verdict.stopped.rule) == ("rule", "decided")
    assert (verdict.runs.valid, verdict.runs.unasked) == (4, 1)
    assert (verdict.confidence, verdict.pattern) == (1.0, "unanimous")


@pytest.mark.parametrize(("rule", "asked"), [("decided", 4), ("decided:winner", 3), ("all", 5)])
def test_no_more_runs_are_asked_than_needed(rule: str, asked: int) -> None:
    verdict = vote(["yes"] * 5, stop=rule)
    assert sum(event.kind == "asked" for event in verdict.events) == asked


def test_all_at_once_calls_back_what_no_longer_matters() -> None:
    verdict = vote(["yes", "yes", "yes", "yes", "no@60"], stop="decided", waves="all")
    assert (verdict.runs.valid, verdict.runs.cancelled, verdict.runs.failed) == (4, 1, 0)
    assert verdict.confidence == 1.0


def test_a_deadline_ends_a_vote_in_waves_too() -> None:
    verdict = vote(["yes@2", "no@2"] * 4, stop="decided", waves="one", deadline_s=5)
    assert verdict.stopped.by == "deadline"
    assert (verdict.runs.valid, verdict.runs.failed, verdict.runs.unasked) == (2, 1, 5)


def test_a_certificate_says_what_it_is_worth_and_shuffles_the_members() -> None:
    options: dict[str, Any] = {"stop": "certified:0.05", "model": ["a", "b"], "system": ["x", "y"]}
    verdict = vote(["yes"] * 15, **options)
    assert "ertified" in verdict.advice
    models = [ballot.model for ballot in verdict.ballots]
    assert models != ["a", "b"] * (len(models) // 2) + ["a"] * (len(models) % 2)
    assert models == [ballot.model for ballot in vote(["yes"] * 15, **options).ballots]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"stop": "decide"}, "Did you mean decided"),
        ({"stop": "certified:0.05", "runs": 3}, "runs must be 6 or more"),
        ({"stop": "ahead:0"}, "ahead:K"),
        ({"stop": "decided", "waves": "two"}, "waves must be one of one, fit, all"),
        ({"stop": "decided", "answer": fanin.Number(abs_tol=1)}, "tolerance"),
    ],
)
def test_what_is_wrong_with_a_rule_is_told_before_any_call(options: dict[str, Any], said: str) -> None:
    with pytest.raises(fanin.InputError, match=said):
        vote(["yes"] * 5, **options)
