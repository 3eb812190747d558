"""The grade never flatters: what failed counts, and the pattern is the first that fits."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_votes import CHOICES, FAILED, SPOILED, decided, results, tallies, tally_of

from fanin.stages.grade import ADVICE, grade, pattern
from fanin.values import Grade, Pattern, Tally

ORDER = ("none", "low", "medium", "high")


def rank(given_grade: Grade) -> int:
    return ORDER.index(given_grade)


@given(decided(min_votes=3).map(tally_of), decided(min_votes=3).map(tally_of))
def test_with_enough_ballots_more_support_is_never_a_lower_grade(one: Tally, other: Tally) -> None:
    if one.support <= other.support:
        assert rank(grade(one)) <= rank(grade(other))
    if one.support == other.support:
        assert grade(one) == grade(other)


@given(decided(), st.data())
def test_one_more_run_for_the_winner_never_lowers_the_grade(came_to: list[str], data: st.DataObject) -> None:
    tally = tally_of(came_to)
    assert tally.winner is not None
    assert rank(grade(tally_of([*came_to, tally.winner]))) >= rank(grade(tally))
    index = data.draw(st.integers(0, len(came_to) - 1))
    turned = [*came_to[:index], tally.winner, *came_to[index + 1 :]]
    assert rank(grade(tally_of(turned))) >= rank(grade(tally))


@given(decided() | results().filter(len), st.data())
def test_a_ballot_that_becomes_a_failure_never_raises_the_grade(
    came_to: list[str], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(came_to) - 1))
    before = tally_of(came_to)
    after = tally_of([*came_to[:index], data.draw(st.sampled_from([FAILED, SPOILED])), *came_to[index + 1 :]])
    if before.outcome != "tie":
        assert rank(grade(after)) <= rank(grade(before))
    else:
        # A vote less for one of two leaders leaves the other, with half the runs at the very most.
        assert rank(grade(after)) <= rank("low")


@given(results(), st.integers(0, 4), st.booleans())
def test_a_run_that_is_missing_or_fails_on_top_never_raises_the_grade(
    came_to: list[str], unasked: int, spared: bool
) -> None:
    before = tally_of(came_to, unasked=unasked, spared=spared)
    assert rank(grade(tally_of([*came_to, FAILED], unasked=unasked, spared=spared))) <= rank(grade(before))
    if unasked:
        failed = tally_of([*came_to, FAILED], unasked=unasked - 1, spared=spared)
        assert rank(grade(failed)) <= rank(grade(before))


@given(tallies())
def test_there_is_a_grade_exactly_where_there_is_a_winner(tally: Tally) -> None:
    assert (grade(tally) == "none") == (tally.winner is None)


@given(tallies())
def test_fewer_than_three_valid_ballots_are_low_at_most(tally: Tally) -> None:
    if tally.runs.valid < 3:
        assert grade(tally) in ("low", "none")


@pytest.mark.parametrize(
    ("came_to", "expected"),
    [
        ("a a a a a", "high"),
        ("a a a a b", "high"),  # exactly 4/5
        ("a a a a a a a b b", "medium"),  # 7/9, just below
        ("a a a b b", "medium"),
        ("a a a b b c", "low"),  # exactly 1/2
        ("a a b c d", "low"),
        ("a a a", "high"),
        ("a a", "low"),
        ("a", "low"),
        ("a b", "none"),
        (f"a {FAILED} {FAILED} {FAILED} {FAILED}", "none"),  # one valid of five: not even a quorum
        (f"a a a {FAILED} {FAILED}", "medium"),  # three of three, and two more failed: never high
        (f"a a a {SPOILED} {SPOILED}", "medium"),
        (f"a a a a {FAILED}", "high"),
        (f"a a a a {FAILED} {FAILED}", "medium"),
        ("", "none"),
    ],
)
def test_grades(came_to: str, expected: Grade) -> None:
    assert grade(tally_of(came_to.split())) == expected


def test_one_valid_of_five_is_low_even_where_the_quorum_is_one() -> None:
    tally = tally_of(["a", *[FAILED] * 4], quorum=1)
    assert (tally.winner, grade(tally)) == ("a", "low")


@given(tallies())
def test_the_pattern_is_the_first_that_fits(tally: Tally) -> None:
    most = max((votes for _, votes in tally.counts), default=0)
    share = Fraction(most, tally.counting) if tally.counting else Fraction(0)
    of_valid = Fraction(most, tally.runs.valid) if tally.runs.valid else Fraction(0)
    fits: list[tuple[Pattern, bool]] = [
        ("none", tally.runs.valid == 0),
        ("single", tally.runs.planned == 1),
        ("divergent", most < 2),
        ("unanimous", share == 1),
        ("strong", share >= Fraction(4, 5)),
        ("incomplete", of_valid >= Fraction(4, 5)),
        ("split", True),
    ]
    assert pattern(tally) == next(name for name, holds in fits if holds)


@pytest.mark.parametrize(
    ("came_to", "expected"),
    [
        ("", "none"),
        (f"{SPOILED} {FAILED}", "none"),
        (f"{FAILED}", "none"),
        ("a", "single"),
        ("a b", "divergent"),
        (f"a {FAILED} {FAILED}", "divergent"),
        ("a b c d", "divergent"),
        ("a a", "unanimous"),
        ("a a a a a", "unanimous"),
        ("a a a a b", "strong"),
        (f"a a a a {SPOILED}", "strong"),
        (f"a a a {FAILED} {FAILED}", "incomplete"),
        (f"a a a a b {FAILED}", "incomplete"),  # 4/5 of the valid ones
        (f"a a a {SPOILED} {SPOILED} {SPOILED} {SPOILED}", "incomplete"),  # without a quorum too
        ("a a a b b", "split"),
        (f"a a a b {FAILED}", "split"),
        ("a a b b", "split"),
    ],
)
def test_patterns(came_to: str, expected: Pattern) -> None:
    assert pattern(tally_of(came_to.split())) == expected


def test_one_planned_run_is_single_but_one_run_before_a_rule_stopped_is_not() -> None:
    assert pattern(tally_of(["a"])) == "single"
    assert pattern(tally_of(["a"], unasked=4, spared=True)) == "divergent"
    assert pattern(tally_of(["a", "a"], unasked=4, spared=True)) == "unanimous"
    assert pattern(tally_of(["a", "a"], unasked=4)) == "incomplete"


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ("single", "ask more"),
        ("divergent", "vague or ambiguous, hard, truly uncertain, or beyond the model"),
        ("divergent", "Add context or use a larger model"),
        ("unanimous", "proceed"),
        ("strong", "look at the dissent"),
        ("incomplete", "see why they failed"),
        ("split", "reformulate the question, or add runs"),
    ],
)
def test_every_pattern_advises(shape: Pattern, words: str) -> None:
    assert words in ADVICE[shape]


@given(results(choices=CHOICES[:2]))
def test_every_pattern_has_its_advice(came_to: list[str]) -> None:
    assert ADVICE[pattern(tally_of(came_to))]
