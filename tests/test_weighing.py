"""Weights: what they may depend on, that they find the good voters, and that they are no votes."""

from __future__ import annotations

from math import isclose, log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.errors import InputError
from fanin.policy.weighing import (
    Cast,
    Record,
    Voter,
    chances,
    leaders,
    scores,
    weights_from_labels,
    weights_from_votes,
)

VOTERS: tuple[Voter, ...] = (("a", ""), ("b", "p"), ("c", "q"))
VOTES = st.lists(st.tuples(st.sampled_from(VOTERS), st.sampled_from(["x", "y", "z"])), max_size=12)
WEIGHTS = st.fixed_dictionaries({voter: st.floats(-3, 3) for voter in VOTERS})


@given(VOTES, WEIGHTS, st.randoms())
def test_the_order_of_the_votes_does_not_matter(
    votes: list[Cast], weights: dict[Voter, float], random: Random
) -> None:
    before = scores(votes, weights)
    random.shuffle(votes)
    assert scores(votes, weights) == before
    assert list(before) == sorted(before)


@given(VOTES, WEIGHTS)
def test_other_names_give_the_same_with_other_names(votes: list[Cast], weights: dict[Voter, float]) -> None:
    other = {"x": "u", "y": "t", "z": "s"}
    renamed = scores([(voter, other[choice]) for voter, choice in votes], weights)
    assert renamed == {other[choice]: score for choice, score in scores(votes, weights).items()}
    assert set(leaders(renamed)) == {other[choice] for choice in leaders(scores(votes, weights))}


@given(VOTES, st.floats(0.1, 3))
def test_equal_weights_are_the_majority(votes: list[Cast], weight: float) -> None:
    counts = {choice: sum(one == choice for _, one in votes) for _, choice in votes}
    most = max(counts.values(), default=0)
    assert leaders(scores(votes, dict.fromkeys(VOTERS, weight))) == tuple(
        sorted(choice for choice in counts if counts[choice] == most)
    )


@given(VOTES, WEIGHTS, st.floats(2, 6))
def test_chances_are_those_of_answers_and_rise_with_the_score(
    votes: list[Cast], weights: dict[Voter, float], alternatives: float
) -> None:
    scored = scores(votes, weights)
    found = chances(scored, alternatives)
    assert sum(found.values()) <= 1 + 1e-9
    assert all(found[a] <= found[b] for a in found for b in found if scored[a] < scored[b])


def test_a_voter_without_a_weight_is_no_silent_zero() -> None:
    with pytest.raises(KeyError):
        scores([(("d", ""), "x")], {})


def test_log_odds_count_valid_votes_only() -> None:
    [record] = weights_from_labels([([(("a", ""), "yes")], "yes")] * 8 + [([], "yes")] * 5).records
    assert record == Record(("a", ""), 8, 8)
    assert record.accuracy == 0.9
    weights = weights_from_labels([([(("a", ""), "yes")], "yes")] * 8)
    assert isclose(weights.log_odds["a", ""], log(9))


def test_alternatives_are_two_where_all_errors_agree_and_more_where_not() -> None:
    def of(*wrong: str) -> float:
        return weights_from_labels(
            [([(VOTERS[place], one) for place, one in enumerate(wrong)], "g")]
        ).alternatives

    assert of("x", "x", "x") == 2
    assert of("x", "y", "z") > 3
    assert of("x") == 2


def asked(
    random: Random, questions: int, accuracies: list[float], options: str = "yn"
) -> list[tuple[list[Cast], str]]:
    made = []
    for _ in range(questions):
        gold = random.choice(options)
        others = [option for option in options if option != gold]
        votes = [
            ((str(place), ""), gold if random.random() < accuracy else random.choice(others))
            for place, accuracy in enumerate(accuracies)
        ]
        made.append((votes, gold))
    return made


@pytest.mark.parametrize("options", ["yn", "abcde"])
def test_both_ways_find_the_voters_that_know_and_beat_the_majority(options: str) -> None:
    accuracies = [0.95, 0.9, *([0.55] * 7)] if options == "yn" else [0.9, 0.85, *([0.3] * 7)]
    questions = asked(Random(3), 250, accuracies, options)
    labelled, others = questions[:50], questions[50:]
    fits = (weights_from_labels(labelled), weights_from_votes([votes for votes, _ in questions]))

    def accuracy(log_odds: dict[Voter, float]) -> float:
        return sum(leaders(scores(votes, log_odds)) == (gold,) for votes, gold in others) / len(others)

    majority = accuracy({(str(place), ""): 1.0 for place in range(9)})
    for weights in fits:
        best = sorted(weights.log_odds, key=lambda voter: -weights.log_odds[voter])[:2]
        assert {voter for voter, _ in best} == {"0", "1"}
        assert accuracy(dict(weights.log_odds)) > majority + 0.05


def test_votes_alone_are_weighed_until_nothing_changes() -> None:
    questions = [votes for votes, _ in asked(Random(2), 80, [0.9, 0.75, 0.6, 0.55])]
    weights = weights_from_votes(questions)
    right = dict.fromkeys(weights.log_odds, 0.0)
    for votes in questions:
        belief = chances(scores(votes, weights.log_odds), 0)
        for voter, choice in votes:
            right[voter] += belief[choice]
    assert [record.right for record in weights.records] == pytest.approx([*right.values()], rel=1e-3)


def test_votes_alone_give_the_same_in_any_order() -> None:
    questions = [votes for votes, _ in asked(Random(1), 60, [0.9, 0.7, 0.6])]
    turned = [list(reversed(votes)) for votes in questions]
    assert weights_from_votes(questions) == weights_from_votes(turned)


def test_without_a_vote_there_is_nothing_to_fit() -> None:
    with pytest.raises(InputError):
        weights_from_labels([([], "yes")])
    with pytest.raises(InputError):
        weights_from_votes([[]])


@pytest.mark.parametrize(
    ("scored", "alternatives", "found"),
    [
        ({"a": log(3)}, 2, {"a": 3 / 4}),
        ({"a": log(6)}, 4, {"a": 6 / 9}),
        ({"a": -log(4)}, 3, {"a": (1 / 4) / (2 + 1 / 4)}),
        ({"a": log(2), "b": 0.0}, 3, {"a": 2 / 4, "b": 1 / 4}),
        ({"a": 0.0, "b": 0.0, "c": 0.0}, 2, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}),
        ({"a": 900.0, "b": -900.0}, 5, {"a": 1.0, "b": 0.0}),
        ({}, 2, {}),
    ],
)
def test_answers_that_nobody_gave_share_the_rest(
    scored: dict[str, float], alternatives: float, found: dict[str, float]
) -> None:
    assert chances(scored, alternatives) == pytest.approx(found)


def test_leaders_are_all_that_are_as_good_as_the_best() -> None:
    assert leaders({}) == ()
    assert leaders({"a": -2.0, "b": -2.0, "c": -3.0}) == ("a", "b")
    assert leaders({"a": 0.3, "b": 0.1 + 0.2}) == ("a", "b")


def test_voters_without_a_weight_are_named_in_order() -> None:
    weights = weights_from_labels([([(("b", "p"), "x")], "x")])
    assert weights.unknown([("c", ""), ("b", "p"), ("a", "z"), ("c", "")]) == (("a", "z"), ("c", ""))
    assert weights.unknown([]) == ()


def test_weights_say_what_they_were_fitted_to() -> None:
    agreed: list[list[Cast]] = [[(("a", ""), "x"), (("b", ""), "x")]] * 3
    blind = weights_from_votes(agreed)
    assert (blind.source, blind.alternatives) == ("votes", 2.0)
    assert weights_from_votes([[(VOTERS[place], one) for place, one in enumerate("xyz")]]).alternatives == 3
    assert weights_from_labels([(agreed[0], "x")]).source == "labels"
    with pytest.raises(InputError, match="labels must be questions with a valid vote, not 1"):
        weights_from_labels([([], "yes")])
    with pytest.raises(InputError, match="votes must be questions with a valid vote, not 2"):
        weights_from_votes([[], []])
