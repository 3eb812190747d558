"""One plan becomes its runs, all of them decided before the first call."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_votes import Plain

from fanin.errors import InputError
from fanin.policy.variation import vary
from fanin.stages.fan_out import fan_out, identical_runs
from fanin.values import Plan, Question, Variation

ONE_MODEL = Variation(("m",))


def plan_of(runs: int, variation: Variation = ONE_MODEL, options: tuple[str, ...] = ()) -> Plan:
    return Plan(Question("Which?"), Plain(options), variation, runs)


@given(st.integers(1, 40), st.integers(0, 2**63 - 1), st.integers(1, 3))
def test_there_is_one_run_an_index_and_each_is_its_own(runs: int, seed: int, models: int) -> None:
    plan = plan_of(runs, Variation(tuple("xyz"[:models]), seed=seed), ("a", "b", "c"))
    fanned = fan_out(plan)
    assert [run.index for run in fanned] == list(range(runs))
    assert len({run.seed for run in fanned}) == runs
    assert list(fanned) == [vary(plan.variation, index, ("a", "b", "c")) for index in range(runs)]


@given(st.integers(1, 40), st.integers(0, 2**63 - 1))
def test_shuffled_runs_are_the_same_runs_in_other_places(runs: int, seed: int) -> None:
    variation = Variation(("x", "y"), ("s", None), seed=seed)
    in_turn = fan_out(plan_of(runs, variation))
    shuffled = fan_out(plan_of(runs, attrs.evolve(variation, shuffled=True)))
    assert [(run.index, run.seed) for run in shuffled] == [(run.index, run.seed) for run in in_turn]
    told_apart = [
        [(run.model, str(run.system), run.temperature) for run in fanned] for fanned in (in_turn, shuffled)
    ]
    assert sorted(told_apart[0]) == sorted(told_apart[1])


@given(st.integers(1, 39), st.integers(1, 40))
def test_more_runs_change_none_of_the_first_ones(fewer: int, more: int) -> None:
    assert fan_out(plan_of(fewer))[:more] == fan_out(plan_of(fewer + more))[: min(fewer, more)]


@pytest.mark.parametrize(
    ("variation", "options", "identical"),
    [
        (Variation(("m",)), (), False),
        (Variation(("m",), temperature_step=0), (), True),
        (Variation(("m",), temperature=None), (), True),
        (Variation(("m",), max_temperature=0.5), (), True),
        (Variation(("m", "n"), temperature_step=0), (), False),
        (Variation(("m",), ("s", None), temperature_step=0), (), False),
        (Variation(("m",), temperature_step=0), ("a", "b"), False),
    ],
)
def test_runs_are_identical_where_nothing_but_the_seed_differs(
    variation: Variation, options: tuple[str, ...], identical: bool
) -> None:
    assert identical_runs(plan_of(6, variation, options)) is identical
    assert identical_runs(plan_of(2, ONE_MODEL)) is False


def test_two_runs_can_be_identical() -> None:
    assert identical_runs(plan_of(2, Variation(("m",), temperature_step=0)))


def test_one_run_is_not_identical_to_any_other() -> None:
    assert not identical_runs(plan_of(1, Variation(("m",), temperature_step=0)))


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"runs": 0}, "runs"),
        ({"runs": 1001}, "runs"),
        ({"runs": True}, "runs"),
        ({"runs": 2.0}, "runs"),
        ({"runs": None}, "runs"),
        ({"quorum": 0}, "quorum"),
        ({"quorum": 6}, "quorum"),
        ({"quorum": True}, "quorum"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": None}, "max_tokens"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_names_what_is_wrong(
    options: dict[str, object], field: str
) -> None:
    with pytest.raises(InputError) as caught:
        Plan(Question("Which?"), Plain(), Variation(("m",)), **options)  # type: ignore[arg-type]
    assert (caught.value.field, caught.value.value) == (field, options[field])


@pytest.mark.parametrize("runs", [1, 1000])
def test_a_plan_has_1_to_1000_runs(runs: int) -> None:
    assert len(fan_out(plan_of(runs))) == runs


@pytest.mark.parametrize(
    ("text", "context", "field"),
    [("", None, "question"), (" \n\t", None, "question"), (None, None, "question"), ("Why?", 3, "context")],
)
def test_a_question_is_a_text_that_is_not_blank(text: object, context: object, field: str) -> None:
    with pytest.raises(InputError) as caught:
        Question(text, context)  # type: ignore[arg-type]
    assert caught.value.field == field
