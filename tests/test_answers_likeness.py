"""Likeness by letters: groups are a partition that no order changes, and each has its medoid first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.answers import Text
from fanin.answers.likeness import ALIKE, components, lexical_groups, likeness_among, medoid_first

_WORDS = ["the tower", "tower", "the towers", "a tower of 1912", "a tower of 1913", "no tower", "\u5854"]

texts = st.lists(
    st.lists(st.sampled_from([*_WORDS, "eiffel", "x", ""]), max_size=3).map(" ".join)
    | st.text("ab\u5854 1", max_size=12),
    max_size=8,
)
thresholds = st.sampled_from([0.01, 0.3, 0.5, ALIKE, 0.9, 1.0])


def groups_of(forms: list[str], threshold: float = ALIKE) -> tuple[tuple[str, ...], ...]:
    return lexical_groups(tuple((form, forms.count(form)) for form in sorted(set(forms))), threshold)


def plain_likeness(one: str, other: str) -> float:
    """The definition, on plain sets."""
    of_each = [
        {f" {text} "[place : place + 3] for place in range(max(1, len(text)))} for text in (one, other)
    ]
    return 2 * len(of_each[0] & of_each[1]) / (len(of_each[0]) + len(of_each[1]))


@given(texts)
def test_the_likeness_is_that_of_dice(forms: list[str]) -> None:
    near = likeness_among(forms)
    for one in forms:
        assert near(one, one) == 1
        for other in forms:
            assert near(one, other) == near(other, one) == plain_likeness(one, other)


@given(texts, thresholds)
def test_groups_are_a_partition(forms: list[str], threshold: float) -> None:
    groups = groups_of(forms, threshold)
    assert sorted(form for group in groups for form in group) == sorted(set(forms))


@given(texts, thresholds)
def test_who_is_alike_shares_a_group_and_each_is_alike_to_one_of_its_group(
    forms: list[str], threshold: float
) -> None:
    home = {form: group for group in groups_of(forms, threshold) for form in group}
    linked = {
        (one, other)
        for one in home
        for other in home
        if one != other and len(groups_of([one, other], threshold)) == 1
    }
    assert all(home[one] is home[other] for one, other in linked)
    assert all(any((one, other) in linked for other in home[one]) for one in home if len(home[one]) > 1)


@given(texts)
def test_a_higher_threshold_only_parts_groups(forms: list[str]) -> None:
    loose = {form: group for group in groups_of(forms, 0.5) for form in group}
    assert all(len({loose[form] for form in group}) == 1 for group in groups_of(forms, 0.9))


@given(st.data(), texts)
def test_clusters_do_not_depend_on_the_order_of_answers(data: st.DataObject, forms: list[str]) -> None:
    answer = Text("lexical")
    choices = [choice for form in forms if isinstance(choice := answer.read(form, ()), str)]
    assert answer.same(data.draw(st.permutations(choices))) == answer.same(choices)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("the eiffel tower", "eiffel tower", True),
        ("niger", "nigeria", False),
        ("the treaty was signed in the year 1912", "the treaty was signed in the year 1913", False),
        ("the contract renews by itself", "the contract does not renew by itself", False),
        ("it isn't certain that it renews", "it is certain that it renews", False),
        ("it cannot be renewed without notice", "it cannot be renewed with a notice", False),
        ("version 1.5 of the file", "the version 1.5 of the file", True),
        ("a", "b", False),
        ("", "a", False),
    ],
)
def test_numbers_and_negations_keep_texts_apart(one: str, other: str, alike: bool) -> None:
    assert (len(groups_of([one, other])) == 1) == alike


def test_neighbours_share_a_group_though_its_ends_are_not_alike() -> None:
    assert components(5, lambda one, other: abs(one - other) == 2) == [[0, 2, 4], [1, 3]]
    assert components(0, lambda one, other: True) == []


def test_the_medoid_is_nearest_to_all_votes() -> None:
    near = likeness_among(["the eiffel tower", "eiffel tower", "big eiffel tower"])
    votes = {"the eiffel tower": 1, "eiffel tower": 1, "big eiffel tower": 1}
    assert medoid_first(votes, near)[0] == "eiffel tower"
    assert medoid_first({**votes, "big eiffel tower": 9}, near)[0] == "big eiffel tower"
    assert medoid_first({"b": 1, "a": 1}, lambda one, other: 0.5) == ("a", "b")
    assert medoid_first({"b": 2, "a": 1}, lambda one, other: 1.0) == ("b", "a")
    assert medoid_first({"b": 2}, near) == ("b",)


@given(st.dictionaries(st.sampled_from(_WORDS), st.integers(1, 4), min_size=1))
def test_the_medoid_has_the_most_likeness_to_all_ballots(votes: dict[str, int]) -> None:
    near = likeness_among(list(votes))
    ballots = [text for text, number in votes.items() for _ in range(number)]

    def nearness(text: str) -> float:
        return sum(near(text, other) for other in ballots)

    first, *others = medoid_first(votes, near)
    assert sorted([first, *others]) == sorted(votes)
    assert nearness(first) == pytest.approx(max(map(nearness, votes)))
