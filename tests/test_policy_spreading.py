"""Where the next run goes: everybody first, then the closest votes; and that it is worth it."""

from __future__ import annotations

import heapq
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from fanin.policy.spreading import FIRST_WAVE, first_wave, turn
from fanin.policy.stopping import Seen

counts = st.lists(st.integers(0, 9), min_size=1, max_size=4).map(
    lambda votes: tuple(sorted(filter(None, votes), reverse=True))
)
seen = st.builds(Seen, counts, st.integers(0, 5))


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 1000))
def test_the_first_wave_is_within_the_budget(budget: int, questions: int, runs: int) -> None:
    first = first_wave(budget, questions, runs)
    assert 0 <= first <= min(runs, FIRST_WAVE)
    assert first * questions <= budget
    assert first or budget < questions


@given(seen, seen)
def test_everybody_is_asked_before_anybody_is_looked_at(one: Seen, other: Seen) -> None:
    if one.asked < 3 <= other.asked:
        assert turn(one, 3) < turn(other, 3)


@given(seen, seen)
def test_the_closest_votes_are_next(one: Seen, other: Seen) -> None:
    if one.lead - one.second < other.lead - other.second:
        assert turn(one, 0) < turn(other, 0)


def test_of_two_as_close_the_one_that_was_asked_less_is_next() -> None:
    assert turn(Seen((2, 1)), 0) < turn(Seen((3, 2)), 0) < turn(Seen((3, 2), lost=1), 0)
    assert turn(Seen((9, 9)), 0) < turn(Seen((1,)), 0)


def test_a_question_has_its_three_runs_before_its_votes_are_looked_at() -> None:
    assert (first_wave(10, 2, 5), first_wave(5, 2, 5), first_wave(10, 2, 1)) == (3, 2, 1)
    assert turn(Seen((2,)), 3) == (-1, 2)
    assert turn(Seen((3,)), 3) == (3, 3)


def found(spread: bool, seed: int) -> float:
    """The share of 300 questions whose most common answer leads after 6 runs each in the mean."""
    random = Random(seed)
    shares = [0.5 + random.random() / 2 for _ in range(300)]
    votes = [[0, 0] for _ in shares]
    line = [((0, 0), place) for place in range(300)]
    for _ in range(6 * 300):
        _, place = heapq.heappop(line)
        votes[place][random.random() > shares[place]] += 1
        now = Seen(tuple(sorted(votes[place], reverse=True)))
        heapq.heappush(line, (turn(now, 3) if spread else (now.asked, 0), place))
    return sum((yes > no) + (yes == no) / 2 for yes, no in votes) / 300


def test_spreading_finds_more_than_the_same_for_everybody() -> None:
    gained = sum(found(True, seed) - found(False, seed) for seed in range(8)) / 8
    assert gained > 0.03
