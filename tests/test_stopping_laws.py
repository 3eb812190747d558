"""What holds for every stop rule."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stopping_cases import (
    BY_LEAD,
    COUNTING,
    LOST,
    PLANNED,
    RULES,
    asked_of,
    came_to,
    quorums,
    rules_of,
    seen_after,
    waves_of,
)
from strategies_votes import SPOILED, tally_of

from fanin.policy.stopping import WAVES, Seen, Waves, next_wave, parse_rule, seen_of

each_rule = pytest.mark.parametrize("text", RULES)
fewer = settings(max_examples=max(10, settings().max_examples // 3))
"""For laws that are tried on every rule."""


@given(came_to, st.randoms(use_true_random=False), st.integers(0, PLANNED))
def test_what_is_seen_depends_on_the_indexes_and_not_on_arrival(
    results: list[str | None], random: object, ended: int
) -> None:
    arrived = list(enumerate(results))
    random.shuffle(arrived)  # type: ignore[attr-defined]
    arrived = arrived[:ended]
    seen = seen_of(dict(arrived))
    assert seen == seen_of(dict(sorted(arrived)))
    votes = [result for _, result in arrived if result is not LOST]
    assert (seen.asked, seen.valid, seen.lost) == (ended, len(votes), ended - len(votes))
    assert sorted(seen.counts, reverse=True) == list(seen.counts)
    assert (seen.lead, seen.second) == tuple([*seen.counts, 0, 0][:2])
    assert list(seen.order) == results[: len(seen.order)]
    assert len(seen.order) not in dict(arrived)


@each_rule
@fewer
@given(came_to, quorums, st.permutations(["a", "b", "c"]), st.integers(0, PLANNED), st.sampled_from(WAVES))
def test_relabelling_changes_nothing(
    text: str,
    results: list[str | None],
    quorum: int | None,
    renamed: Sequence[str],
    ended: int,
    waves: Waves,
) -> None:
    rule = parse_rule(text, runs=PLANNED, quorum=quorum)
    names = dict(zip("abc", renamed, strict=True))
    before, after = (
        seen_after(some[:ended])
        for some in (results, [None if result is None else names[result] for result in results])
    )
    assert rule.satisfied(before) == rule.satisfied(after)
    assert next_wave(rule, before, waves) == next_wave(rule, after, waves)


@pytest.mark.parametrize("text", COUNTING)
@fewer
@given(came_to, quorums, st.randoms(use_true_random=False), st.integers(0, PLANNED), st.sampled_from(WAVES))
def test_only_the_counts_matter(
    text: str, results: list[str | None], quorum: int | None, random: object, ended: int, waves: Waves
) -> None:
    rule = parse_rule(text, runs=PLANNED, quorum=quorum)
    some = results[:ended]
    before = next_wave(rule, seen_after(some), waves)
    random.shuffle(some)  # type: ignore[attr-defined]
    assert next_wave(rule, seen_after(some), waves) == before


@each_rule
@fewer
@given(came_to, quorums)
def test_waves_that_fit_ask_what_one_at_a_time_asks(
    text: str, results: list[str | None], quorum: int | None
) -> None:
    rule = parse_rule(text, runs=PLANNED, quorum=quorum)
    assert asked_of(rule, results, "fit") == asked_of(rule, results, "one")
    assert len(list(waves_of(rule, results, "fit"))) <= len(list(waves_of(rule, results, "one")))


@each_rule
@fewer
@given(came_to, quorums, st.integers(0, PLANNED))
def test_a_wave_ends_with_the_rule_or_the_plan(
    text: str, results: list[str | None], quorum: int | None, ended: int
) -> None:
    rule = parse_rule(text, runs=PLANNED, quorum=quorum)
    seen = seen_after(results[:ended])
    waves = {kind: next_wave(rule, seen, kind) for kind in WAVES}
    if ended == PLANNED or rule.satisfied(seen):
        assert set(waves.values()) == {0}
    else:
        assert 1 == waves["one"] <= waves["fit"] <= waves["all"] == PLANNED - ended


@pytest.mark.parametrize("text", [text for text in RULES if not text.startswith(("all", "decided"))])
@fewer
@given(came_to, quorums)
def test_a_rule_that_stops_early_leaves_a_winner_and_keeps_the_quorum(
    text: str, results: list[str | None], quorum: int | None
) -> None:
    rule = parse_rule(text, runs=PLANNED, quorum=quorum)
    asked = asked_of(rule, results)
    if asked < PLANNED:
        ended = [result or SPOILED for result in results[:asked]]
        tally = tally_of(ended, unasked=PLANNED - asked, quorum=quorum, spared=True)
        assert tally.outcome == "decided"
        assert tally.runs.valid >= (quorum or 0)


@pytest.mark.parametrize("text", [text for text in COUNTING if not text.startswith("start")])
@pytest.mark.parametrize("quorum", [None, 5])
def test_a_wave_that_fits_is_as_short_as_can_be(text: str, quorum: int | None) -> None:
    """Against every outcome of the next runs: a choice that leads, one that follows, a new one, or lost."""
    planned = 8
    rule = parse_rule(text, runs=planned, quorum=quorum)

    def outcomes(seen: Seen) -> set[Seen]:
        grown = {
            tuple(sorted((*seen.counts[:i], votes + 1, *seen.counts[i + 1 :]), reverse=True))
            for i, votes in enumerate((*seen.counts, 0))
        }
        # A zero that did not grow is no choice.
        after = {Seen(tuple(filter(None, counts)), seen.lost) for counts in grown}
        return {*after, Seen(seen.counts, seen.lost + 1)}

    def fewest(seen: Seen) -> int:
        states = {seen}
        for more in range(1, planned - seen.asked):
            states = {after for state in states for after in outcomes(state)}
            if any(rule.satisfied(state) for state in states):
                return more
        return planned - seen.asked

    for lead, second, third, lost in product(range(6), range(4), range(3), range(4)):
        seen = Seen(tuple(filter(None, (lead, second, third))), lost)
        if not lead >= second >= third or seen.asked >= planned or rule.satisfied(seen):
            continue
        assert next_wave(rule, seen) == fewest(seen), seen


@pytest.mark.parametrize("text", [*BY_LEAD])
@pytest.mark.parametrize("planned", [7, 20])
def test_more_votes_for_the_leader_never_unsettle(text: str, planned: int) -> None:
    [rule] = rules_of([text], planned, quorum=1)
    for lead, second, lost in product(range(planned + 1), range(planned // 2 + 1), range(0, planned, 3)):
        if lead >= second and lead + second + lost < planned:
            before, after = (
                rule.satisfied(Seen(tuple(filter(None, (votes, second))), lost)) for votes in (lead, lead + 1)
            )
            assert after or not before


@pytest.mark.parametrize(("waves", "rounds"), [("one", 5), ("fit", 1), ("all", 1)])
def test_all_asks_every_run(waves: Waves, rounds: int) -> None:
    rule = parse_rule("all", runs=5)
    assert not rule.satisfied(seen_after("aaaaa"))
    assert len(list(waves_of(rule, "aaaaa", waves))) == rounds + 1


def test_no_rule_but_decided_stops_before_a_quorum_that_was_asked_for() -> None:
    for rule in rules_of([text for text in RULES if text not in ("all", "decided")], quorum=11):
        assert asked_of(rule, "a" * PLANNED) == 11, rule.text
