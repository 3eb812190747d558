"""`decided` is lossless: on every sequence what it stops with is what the full vote gives."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import combinations_with_replacement, product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stopping_cases import asked_of, seen_after, waves_of
from strategies_votes import FAILED, SPOILED, tally_of

from fanin.policy.stopping import Rule, Seen, next_wave, parse_rule
from fanin.stages.grade import grade

Counts = tuple[int, ...]
"""Votes for a, b, c, d, then spoiled and failed runs."""
RESULTS = ("a", "b", "c", "d", SPOILED, FAILED)


@cache
def verdict(counts: Counts, unasked: int, quorum: int | None) -> tuple[str, str | None, str]:
    """Outcome, winner and grade, as the stages give them; runs that are left were spared by the rule."""
    came_to = [result for result, times in zip(RESULTS, counts, strict=True) for _ in range(times)]
    tally = tally_of(came_to, unasked=unasked, quorum=quorum, spared=True)
    return tally.outcome, tally.winner, grade(tally)


def counts_of(came_to: tuple[str, ...]) -> Counts:
    return tuple(came_to.count(result) for result in RESULTS)


def seen_with(counts: Counts) -> Seen:
    votes = tuple(sorted(filter(None, counts[:4]), reverse=True))
    return Seen(votes, lost=counts[4] + counts[5])


@pytest.mark.parametrize(
    ("alphabet", "planned"), [(("a", "b", SPOILED), 9), (("a", "b", "c", SPOILED), 7)], ids=["3^9", "4^7"]
)
@pytest.mark.parametrize("quorum", [None, 3])
def test_every_sequence_is_decided_as_the_full_vote(
    alphabet: tuple[str, ...], planned: int, quorum: int | None
) -> None:
    whole = parse_rule("decided", runs=planned, quorum=quorum)
    winner = parse_rule("decided:winner", runs=planned, quorum=quorum)
    stops = {
        rule.text: cache(lambda counts, rule=rule: rule.satisfied(seen_with(counts)))
        for rule in (whole, winner)
    }
    for came_to in product(alphabet, repeat=planned):
        letters = [result for result in dict.fromkeys(came_to) if result is not SPOILED]
        if letters != sorted(letters):
            continue  # the same with other names, which no rule knows: that is a law of its own
        full = verdict(counts_of(came_to), 0, quorum)
        for text, compared in (("decided", 3), ("decided:winner", 2)):
            for asked in range(1, planned):
                counts = counts_of(came_to[:asked])
                if stops[text](counts):
                    assert verdict(counts, planned - asked, quorum)[:compared] == full[:compared], came_to
                    break


def completions(left: int, kinds: int = 6) -> Iterator[Counts]:
    """Every way in which `left` runs may be shared out."""
    if kinds == 1:
        yield (left,)
        return
    for first in range(left + 1):
        yield from ((first, *rest) for rest in completions(left - first, kinds - 1))


@pytest.mark.parametrize("planned", [1, 2, 3, 5, 6])
@pytest.mark.parametrize("quorum", [None, 1, 2, 5])
def test_it_stops_as_soon_as_no_completion_differs_and_never_before(planned: int, quorum: int | None) -> None:
    if quorum is not None and quorum > planned:
        return
    rules = {
        compared: parse_rule(text, runs=planned, quorum=quorum)
        for text, compared in (("decided", 3), ("decided:winner", 2))
    }
    for asked in range(planned + 1):
        for counts in completions(asked):
            here = verdict(counts, planned - asked, quorum)
            ends = {
                verdict(tuple(map(sum, zip(counts, more, strict=True))), 0, quorum)
                for more in completions(planned - asked)
            }
            for compared, rule in rules.items():
                certain = {end[:compared] for end in ends} == {here[:compared]}
                assert rule.satisfied(seen_with(counts)) == certain, counts


@given(
    st.lists(st.sampled_from(["a", "a", "a", "b", "c", SPOILED, FAILED]), min_size=1, max_size=60),
    st.sampled_from(["decided", "decided:winner"]),
    st.none() | st.integers(1, 60),
)
def test_longer_votes_are_decided_as_the_full_vote(came_to: list[str], text: str, quorum: int | None) -> None:
    planned = len(came_to)
    quorum = None if quorum is None else min(quorum, planned)
    rule = parse_rule(text, runs=planned, quorum=quorum)
    asked = asked_of(rule, [None if result in (SPOILED, FAILED) else result for result in came_to])
    compared = 3 if text == "decided" else 2
    stopped = verdict(counts_of(tuple(came_to[:asked])), planned - asked, quorum)
    assert stopped[:compared] == verdict(counts_of(tuple(came_to)), 0, quorum)[:compared]


@pytest.mark.parametrize(
    ("text", "results", "asked"),
    [
        ("decided", "aaaaa", [0, 4]),
        ("decided", "aaaba", [0, 4, 5]),
        ("decided", "aabba", [0, 4, 5]),
        ("decided:winner", "aaaaa", [0, 3]),
        ("decided:winner", "aabaa", [0, 3, 4]),
        ("decided:winner", "abaab", [0, 3, 4]),
        ("decided:winner", "ababa", [0, 3, 4, 5]),
        # Two runs that were lost leave three that have to agree; one more lost, and there is no quorum.
        ("decided:winner", [None, None, "a", "a", "a"], [0, 3, 4, 5]),
        ("decided:winner", [None, None, "a", None, "a"], [0, 3, 4]),
        # With four lost no quorum can come together, and that is decided too.
        ("decided", [None, None, None, "a", "a"], [0, 4]),
        ("decided", [None, None, None, None, None], [0, 4, 5]),
    ],
)
def test_waves_of_five(text: str, results: list[str | None], asked: list[int]) -> None:
    assert list(waves_of(parse_rule(text, runs=5), results)) == asked


def test_a_quorum_out_of_reach_is_decided() -> None:
    rule = parse_rule("decided", runs=9, quorum=8)
    assert next_wave(rule, seen_after(["a", None])) > 0
    assert rule.satisfied(seen_after(["a", None, None]))
    assert verdict((1, 0, 0, 0, 2, 0), 6, 8) == ("no_quorum", None, "none")


@pytest.mark.parametrize("text", ["decided", "decided:winner"])
@pytest.mark.parametrize("quorum", [None, 1, 3, 5])
def test_a_wave_is_as_many_runs_as_could_settle_it_and_no_more(text: str, quorum: int | None) -> None:
    rule = parse_rule(text, runs=6, quorum=quorum)
    for asked in range(6):
        for said in combinations_with_replacement("abc_", asked):
            seen = seen_after([None if one == "_" else one for one in said])
            if not rule.satisfied(seen):
                settling = (more for more in range(1, 6 - asked) if _settled(rule, said, more))
                assert rule.soonest(seen) == next(settling, 6 - asked)


def _settled(rule: Rule, said: tuple[str, ...], more: int) -> bool:
    """Whether some outcome of `more` further runs satisfies the rule."""
    further = combinations_with_replacement("abcd_", more)
    return any(
        rule.satisfied(seen_after([None if one == "_" else one for one in (*said, *after)]))
        for after in further
    )
