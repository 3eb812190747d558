"""From outcomes to the verdict: the same outcomes give the same bytes in any order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from strategies_votes import FAILED, SPOILED, Plain, results

from fanin.answers import Choice, Number, Text, YesNo
from fanin.policy.pricing import Price
from fanin.stages.conclude import conclude
from fanin.stages.fan_out import fan_out
from fanin.stages.gather import gather
from fanin.values import (
    Completion,
    Event,
    Failure,
    Finish,
    Outcome,
    Plan,
    Question,
    Sample,
    Stopped,
    StoppedBy,
    Usage,
    Variation,
)
from fanin.verdict import Verdict


def plan_of(runs: int, answer: Any = None, models: tuple[str, ...] = ("m",), **options: Any) -> Plan:
    return Plan(Question("Which?"), answer or Plain(), Variation(models), runs, **options)


def concluded(plan: Plan, outcomes: Sequence[Outcome], cancelled: int = 0, **options: Any) -> Verdict:
    gathered = gather(outcomes, plan.runs, cancelled)
    stopped = options.pop("stopped", Stopped())
    return conclude(plan, fan_out(plan), gathered, stopped=stopped, backend="b", **options)


def sample(index: int, text: str, **options: Any) -> Sample:
    return Sample(index, Completion(f"Answer: {text}", usage=Usage(10, 5)), **options)


def outcomes_of(came_to: Sequence[str]) -> list[Outcome]:
    """As `strategies_votes` names what runs came to."""
    return [
        Failure(index, "server", "it failed", 5) if result == FAILED else sample(index, result)
        for index, result in enumerate(came_to)
    ]


replies = st.sampled_from(
    ["yes", "no", "12", "12.0", "1,200", "Paris.", "**Paris**", SPOILED, "", "x\ud800\u202e"]
)
completions = st.builds(
    Completion,
    replies.map(lambda text: f"Thinking.\nAnswer: {text}") | st.text(max_size=20),
    st.sampled_from(["stop", "stop", "stop", "length", "refusal"]),
    st.builds(Usage, st.none() | st.integers(0, 99), st.none() | st.integers(0, 99)),
)


@st.composite
def votes_held(draw: st.DrawFn) -> tuple[Plan, list[Outcome]]:
    """A plan and what came of its runs; some of them were never asked."""
    answer = draw(
        st.sampled_from([Text(), YesNo(), Number(), Number(abs_tol=0.5), Choice(["yes", "no", "Paris"])])
    )
    runs = draw(st.integers(1, 8))
    plan = plan_of(runs, answer, draw(st.sampled_from([("m",), ("x", "y")])))
    outcomes: list[Outcome] = []
    for index in draw(st.lists(st.integers(0, runs - 1), unique=True)):
        if draw(st.booleans()) or draw(st.booleans()):
            without = draw(st.sampled_from([(), (), ("seed", "temperature")]))
            outcomes.append(Sample(index, draw(completions), 1, without))
        else:
            outcomes.append(Failure(index, "server", draw(st.text(max_size=5))))
    return plan, outcomes


@given(votes_held(), st.randoms(), st.sampled_from(["all", "rule", "deadline"]))
def test_the_same_outcomes_in_any_order_give_the_same_bytes(
    held: tuple[Plan, list[Outcome]], random: Any, by: Any
) -> None:
    plan, outcomes = held
    expected = concluded(plan, outcomes, stopped=Stopped(by)).to_json()
    shuffled = list(outcomes)
    random.shuffle(shuffled)
    assert concluded(plan, shuffled, stopped=Stopped(by)).to_json() == expected


@given(votes_held())
def test_every_planned_run_and_every_vote_is_accounted_for(held: tuple[Plan, list[Outcome]]) -> None:
    plan, outcomes = held
    verdict = concluded(plan, outcomes)
    runs = verdict.runs
    assert runs.planned == plan.runs
    assert runs.valid + runs.spoiled + runs.failed + runs.cancelled + runs.unasked == runs.planned
    assert Counter(ballot.choice for ballot in verdict.ballots if ballot.choice is not None) == verdict.votes
    assert sum(verdict.votes.values()) == runs.valid
    assert len(verdict.ballots) == runs.valid + runs.spoiled
    assert len(verdict.failures) == runs.failed
    for listed in (verdict.ballots, verdict.failures):
        indexes = [entry.index for entry in listed]
        assert indexes == sorted(indexes)


@given(votes_held())
def test_an_answer_stands_exactly_where_it_was_decided(held: tuple[Plan, list[Outcome]]) -> None:
    verdict = concluded(*held)
    assert (verdict.answer is not None) == (verdict.outcome == "decided") == (verdict.grade != "none")
    if verdict.answer is None:
        assert verdict.confidence == 0.0
    else:
        assert verdict.confidence == verdict.votes[verdict.answer] / verdict.runs.planned
        assert verdict.votes[verdict.answer] == max(verdict.votes.values())
        assert verdict.answer == next(iter(verdict.votes))


@given(votes_held())
def test_the_json_says_what_the_verdict_says(held: tuple[Plan, list[Outcome]]) -> None:
    verdict = concluded(*held)
    line = verdict.to_json()
    assert line.isprintable()
    assert json.loads(line) == verdict.to_dict()


@given(results(max_size=8).filter(len), st.permutations("abcd"))
def test_relabelling_the_answers_relabels_the_verdict(came_to: list[str], renamed: Sequence[str]) -> None:
    names = dict(zip("abcd", renamed, strict=True))
    before = concluded(plan_of(len(came_to)), outcomes_of(came_to))
    after = concluded(plan_of(len(came_to)), outcomes_of([names.get(one, one) for one in came_to]))
    assert after.votes == {names[choice]: votes for choice, votes in before.votes.items()}
    assert after.answer == (None if before.answer is None else names[before.answer])
    for field in ("outcome", "grade", "confidence", "pattern", "advice", "runs"):
        assert getattr(after, field) == getattr(before, field)


def test_a_verdict_as_a_whole() -> None:
    plan = plan_of(5, YesNo())
    events = (Event("asked", 0, 0.0),)
    verdict = concluded(
        plan,
        [
            sample(3, "no"),
            sample(1, "yes"),
            Failure(4, "timeout", "No answer within 120 s.", 5),
            sample(0, "Yes!"),
            sample(2, "yes"),
        ],
        price=Price(1.0, 2.0),
        events=events,
    )
    assert verdict == Verdict(
        question="Which?",
        outcome="decided",
        answer="yes",
        grade="medium",
        confidence=0.6,
        confidence_kind="agreement",
        pattern="split",
        advice="The runs are split: reformulate the question, or add runs.",
        stopped=Stopped(),
        votes={"yes": 3, "no": 1},
        runs=attrs.evolve(verdict.runs, planned=5, valid=4, spoiled=0, failed=1, cancelled=0, unasked=0),
        ballots=verdict.ballots,
        failures=(Failure(4, "timeout", "No answer within 120 s.", 5),),
        usage=Usage(40, 20),
        cost_usd=0.00008,
        backend="b",
        models=("m",),
    )
    assert verdict.events == events
    assert [(b.index, b.choice, b.model, b.temperature, b.text) for b in verdict.ballots] == [
        (0, "yes", "m", 0.6, "Answer: Yes!"),
        (1, "yes", "m", 0.7, "Answer: yes"),
        (2, "yes", "m", 0.8, "Answer: yes"),
        (3, "no", "m", 0.9, "Answer: no"),
    ]


def test_a_vote_of_which_nothing_came_back() -> None:
    verdict = concluded(plan_of(3), [], price=Price(1, 1), stopped=Stopped("interrupt"))
    assert (verdict.outcome, verdict.answer, verdict.grade, verdict.pattern) == (
        "failed",
        None,
        "none",
        "none",
    )
    assert (verdict.usage, verdict.cost_usd, verdict.votes) == (Usage(None, None), None, {})
    assert (verdict.runs.unasked, verdict.stopped.by) == (3, "interrupt")


def test_only_a_satisfied_rule_spares_runs() -> None:
    outcomes = [sample(index, "a") for index in range(4)]
    ruled = concluded(plan_of(40), outcomes, cancelled=6, stopped=Stopped("rule", "first:4"))
    assert (ruled.outcome, ruled.confidence, ruled.grade, ruled.pattern) == (
        "decided",
        1.0,
        "high",
        "unanimous",
    )
    assert (ruled.runs.cancelled, ruled.runs.unasked) == (6, 30)
    others: list[StoppedBy] = ["all", "deadline", "budget", "limit", "interrupt"]
    for by in others:
        cut = concluded(plan_of(40), outcomes, cancelled=6, stopped=Stopped(by))
        assert (cut.outcome, cut.confidence) == ("no_quorum", 0.0)


def test_a_missing_quorum_says_how_many_are_needed() -> None:
    verdict = concluded(plan_of(5), outcomes_of(["a", "a", FAILED, FAILED, SPOILED]), stopped=Stopped())
    assert (verdict.outcome, verdict.answer) == ("no_quorum", None)
    assert "Only 2 of 5 runs cast a vote; 3 are needed." in verdict.advice
    given_quorum = concluded(plan_of(5, quorum=4), outcomes_of(["a", "a", "a", FAILED, FAILED]))
    assert "Only 3 of 5 runs cast a vote; 4 are needed." in given_quorum.advice


def test_models_that_there_are_too_few_runs_for_are_named() -> None:
    verdict = concluded(plan_of(2, models=("x", "y", "z", "x", "w")), outcomes_of(["a", "a"]))
    assert verdict.advice.endswith("There are too few runs to ask z, w as well.")
    assert "too few" not in concluded(plan_of(2, models=("x", "y")), outcomes_of(["a", "a"])).advice


def test_models_whose_winners_differ_are_named_with_theirs() -> None:
    plan = plan_of(6, models=("x", "y"))
    differing = concluded(plan, outcomes_of(["a", "b", "a", "b", "a", "c"]))
    assert differing.advice.endswith("The models differ: x says a; y says b.")
    tied = concluded(plan, outcomes_of(["a", "b", "a", "c", "a", SPOILED]))
    assert tied.advice.endswith("The models differ: x says a; y says b and c.")
    agreed = concluded(plan, outcomes_of(["a", "a", "a", "b", "a", "a"]))
    assert "models" not in agreed.advice
    silent = concluded(plan, outcomes_of(["a", FAILED, "a", FAILED, "a", SPOILED]))
    assert "models" not in silent.advice
    one = concluded(plan_of(3), outcomes_of(["a", "b", "c"]))
    assert "models" not in one.advice


def test_a_parameter_that_was_left_out_is_said_and_no_temperature_is_claimed() -> None:
    plan = plan_of(4, models=("x", "y"))
    outcomes = [
        sample(0, "a", without=("seed", "temperature")),
        sample(1, "a", without=("temperature",)),
        sample(2, "a"),
        sample(3, "a"),
    ]
    verdict = concluded(plan, outcomes)
    assert verdict.advice == (
        "Every run says the same: proceed. Asked without seed, which is refused by x. "
        "Asked without temperature, which is refused by x, y."
    )
    assert [ballot.temperature for ballot in verdict.ballots] == [None, None, 0.7, 0.7]


def test_one_unknown_usage_makes_the_sum_and_the_cost_unknown() -> None:
    known, unknown = sample(0, "a"), Sample(1, Completion("Answer: a", usage=Usage(10, None)))
    verdict = concluded(plan_of(2), [known, unknown], price=Price(1, 1))
    assert (verdict.usage, verdict.cost_usd) == (Usage(20, None), None)
    assert concluded(plan_of(1), [known]).cost_usd is None


def test_answers_are_shown_as_they_are_counted_and_ballots_add_up_to_the_votes() -> None:
    class Loud(Plain):
        def show(self, choice: str) -> str:
            return choice.upper()

        def same(self, choices: Sequence[str]) -> Mapping[str, str]:
            return {choice: choice[0] for choice in choices}

    verdict = concluded(plan_of(4, Loud()), outcomes_of(["ab", "a", "b", "ac"]))
    assert (verdict.answer, verdict.votes) == ("A", {"A": 3, "B": 1})
    assert [ballot.choice for ballot in verdict.ballots] == ["A", "A", "B", "A"]


def test_a_structured_reply_is_read_as_the_json_it_is() -> None:
    reply = '{"reasoning": "It is an a.\\nAnswer: b", "answer": "a"}'
    outcomes = [Sample(0, Completion(reply))]
    assert concluded(plan_of(1, Text(), structured=True), outcomes).answer == "a"
    assert concluded(plan_of(1, Text()), outcomes).answer != "a"


def test_nothing_is_shown_where_there_is_no_winner() -> None:
    class Picky(Plain):
        def show(self, choice: str) -> str:
            assert choice in ("a", "b")
            return choice

    verdict = concluded(plan_of(2, Picky()), outcomes_of(["a", "b"]))
    assert (verdict.outcome, verdict.answer) == ("tie", None)


def test_a_reply_that_was_cut_off_is_no_vote_whatever_it_says() -> None:
    finishes: list[Finish] = ["stop", "length", "refusal", "content_filter"]
    outcomes = [Sample(i, Completion("Answer: a", finish)) for i, finish in enumerate(finishes)]
    verdict = concluded(plan_of(4, Text()), outcomes)
    assert [ballot.choice for ballot in verdict.ballots] == ["a", None, None, None]
    assert verdict.runs.spoiled == 3
