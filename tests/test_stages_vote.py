"""The count: every planned run is accounted for, and nothing but the votes decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_votes import (
    CHOICES,
    FAILED,
    SPOILED,
    Plain,
    ballots_of,
    decided,
    gathered_of,
    results,
    tallies,
    tally_of,
)

from fanin.stages.vote import count, vote
from fanin.values import Tally


@given(results(), st.integers(0, 5), st.integers(0, 5), st.booleans())
def test_every_planned_run_is_accounted_for(
    came_to: list[str], cancelled: int, unasked: int, spared: bool
) -> None:
    runs = tally_of(came_to, cancelled=cancelled, unasked=unasked, spared=spared).runs
    assert runs.valid + runs.spoiled + runs.failed + runs.cancelled + runs.unasked == runs.planned
    assert runs.planned == len(came_to) + cancelled + unasked
    assert (runs.spoiled, runs.failed) == (came_to.count(SPOILED), came_to.count(FAILED))
    assert (runs.cancelled, runs.unasked) == (cancelled, unasked)


@given(tallies())
def test_only_the_runs_that_a_stop_rule_spared_do_not_count(tally: Tally) -> None:
    spared = tally.runs.planned - tally.counting
    assert spared in (0, tally.runs.cancelled + tally.runs.unasked)


@given(results(), st.integers(0, 5), st.integers(0, 5))
def test_what_was_cut_counts_unless_a_rule_was_satisfied(
    came_to: list[str], cancelled: int, unasked: int
) -> None:
    cut = vote(ballots_of(came_to), gathered_of(came_to, cancelled, unasked), Plain())
    assert cut.counting == cut.runs.planned
    ruled = tally_of(came_to, cancelled=cancelled, unasked=unasked, spared=True)
    assert ruled.counting == len(came_to)


@given(results(), st.randoms())
def test_the_order_of_the_ballots_does_not_matter(came_to: list[str], random: object) -> None:
    ballots = list(ballots_of(came_to))
    random.shuffle(ballots)  # type: ignore[attr-defined]
    assert vote(ballots, gathered_of(came_to), Plain()) == tally_of(came_to)


@given(results(), st.permutations(CHOICES), st.booleans())
def test_relabelling_the_choices_relabels_the_tally_and_nothing_else(
    came_to: list[str], renamed: Sequence[str], declared: bool
) -> None:
    names = dict(zip(CHOICES, renamed, strict=True))
    options = CHOICES if declared else ()
    before = tally_of(came_to, options=options)
    after = tally_of(
        [names.get(result, result) for result in came_to],
        options=tuple(names[option] for option in options),
    )
    assert dict(after.counts) == {names[choice]: votes for choice, votes in before.counts}
    assert after.winner == (None if before.winner is None else names[before.winner])
    assert attrs.evolve(after, counts=before.counts) == before
    if declared:  # then even the order of equals is carried over
        assert after.counts == tuple((names[choice], votes) for choice, votes in before.counts)


@given(decided())
def test_one_more_vote_for_the_winner_keeps_the_winner(came_to: list[str]) -> None:
    winner = tally_of(came_to).winner
    assert winner is not None
    more = tally_of([*came_to, winner])
    assert more.winner == winner
    assert more.support >= tally_of(came_to).support


@given(decided())
def test_a_vote_for_a_leader_of_a_tie_decides_for_it(came_to: list[str]) -> None:
    rival = [CHOICES[-1]] * (came_to.count(CHOICES[0]) - came_to.count(CHOICES[-1]))
    came_to = [*came_to, *rival]
    tally = tally_of(came_to)
    assert tally.outcome == "tie"
    for leader in tally.leaders:
        assert tally_of([*came_to, leader]).winner == leader


@given(tallies())
def test_support_is_the_exact_share_of_the_runs_that_count(tally: Tally) -> None:
    assert isinstance(tally.support, Fraction)
    if tally.winner is None:
        assert tally.support == 0
    else:
        assert tally.support == Fraction(dict(tally.counts)[tally.winner], tally.counting)
    assert 0 <= tally.support <= 1


@given(tallies())
def test_the_outcome_is_what_its_name_says(tally: Tally) -> None:
    most = max((votes for _, votes in tally.counts), default=0)
    leaders = [choice for choice, votes in tally.counts if votes == most]
    if not tally.counts:
        assert tally.outcome == "failed"
    elif tally.runs.valid < tally.quorum:
        assert tally.outcome == "no_quorum"
    elif len(leaders) > 1:
        assert tally.outcome == "tie"
    else:
        assert (tally.outcome, tally.winner) == ("decided", leaders[0])
    assert (tally.winner is None) == (tally.outcome != "decided")


@given(results())
def test_counts_are_sorted_by_votes_then_declared_order_or_text(came_to: list[str]) -> None:
    declared = ("c", "a", "d", "b")
    votes = Counter(result for result in came_to if result in CHOICES)
    by_place = tally_of(came_to, options=declared).counts
    assert list(by_place) == sorted(votes.items(), key=lambda item: (-item[1], declared.index(item[0])))
    by_text = tally_of(came_to).counts
    assert list(by_text) == sorted(votes.items(), key=lambda item: (-item[1], item[0]))


def test_an_undeclared_choice_stands_after_the_declared_ones_by_text() -> None:
    assert count(["z", "x", "b", "a"], Plain(("b", "a"))) == (("b", 1), ("a", 1), ("x", 1), ("z", 1))


def test_answers_that_are_one_are_counted_together() -> None:
    class Rounded(Plain):
        def same(self, choices: Sequence[str]) -> Mapping[str, str]:
            return {choice: choice[0] for choice in choices}

    assert count(["12", "1", "3", "19"], Rounded()) == (("1", 3), ("3", 1))


@pytest.mark.parametrize(
    ("came_to", "options", "outcome", "winner", "support"),
    [
        ("a a a a a", {}, "decided", "a", Fraction(1)),
        ("a a b", {}, "decided", "a", Fraction(2, 3)),
        ("a a b b c", {}, "tie", None, Fraction(0)),
        ("a b", {}, "tie", None, Fraction(0)),
        (f"{SPOILED} {SPOILED} {FAILED}", {}, "failed", None, Fraction(0)),
        ("", {"unasked": 5}, "failed", None, Fraction(0)),
        # More than half of five has to be valid: two are not enough, three are.
        (f"a a {FAILED} {FAILED} {FAILED}", {}, "no_quorum", None, Fraction(0)),
        (f"a a {SPOILED} {SPOILED} {SPOILED}", {}, "no_quorum", None, Fraction(0)),
        (f"a a a {FAILED} {FAILED}", {}, "decided", "a", Fraction(3, 5)),
        # Exactly half is not more than half.
        (f"a a {FAILED} {FAILED}", {}, "no_quorum", None, Fraction(0)),
        (f"a a {FAILED} {FAILED}", {"quorum": 2}, "decided", "a", Fraction(1, 2)),
        ("a a a a", {"quorum": 5, "unasked": 1}, "no_quorum", None, Fraction(0)),
        # A rule that stopped after 4 of 40 still decides; a deadline that did so does not.
        ("a a a a", {"cancelled": 4, "unasked": 32, "spared": True}, "decided", "a", Fraction(1)),
        ("a a a a", {"unasked": 36}, "no_quorum", None, Fraction(0)),
        # The quorum is asked before the tie.
        (f"a b {FAILED} {FAILED} {FAILED}", {}, "no_quorum", None, Fraction(0)),
        ("a", {}, "decided", "a", Fraction(1)),
    ],
)
def test_outcomes(
    came_to: str, options: dict[str, int], outcome: str, winner: str | None, support: Fraction
) -> None:
    tally = tally_of(came_to.split(), **options)  # type: ignore[arg-type]
    assert (tally.outcome, tally.winner, tally.support) == (outcome, winner, support)


@pytest.mark.parametrize(("counting", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (40, 21)])
def test_the_default_quorum_is_more_than_half_of_the_runs_that_count(counting: int, quorum: int) -> None:
    assert tally_of(["a"] * counting).quorum == quorum
    assert tally_of([FAILED] * counting).quorum == quorum
    assert tally_of(["a"] * counting, cancelled=3, unasked=7, spared=True).quorum == quorum
