"""How many requests a server takes at once, found from how long its answers take."""

from __future__ import annotations

import heapq
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.policy.pacing.crowding import Crowd, answered, entered, left, overrun


def served(slots: int, start: int, answers: int, spread: float = 0.0) -> tuple[Crowd, list[int]]:
    """The crowd, and every width it had, after so many answers of a server that takes `slots` at once."""
    crowd, rng, now_s, widths = Crowd(start), Random(7), 0.0, [start]
    free_s = [0.0] * slots
    inside: list[tuple[float, float, int]] = []
    for _ in range(answers):
        while not crowd.full:
            crowd = entered(crowd)
            begins_s = max(now_s, heapq.heappop(free_s))
            ends_s = begins_s + rng.uniform(1 - spread, 1 + spread)
            heapq.heappush(free_s, ends_s)
            heapq.heappush(inside, (ends_s, now_s, crowd.inside))
        now_s, sent_s, beside = heapq.heappop(inside)
        crowd = left(answered(crowd, now_s - sent_s, beside))
        widths.append(crowd.width)
    return crowd, widths


@pytest.mark.parametrize("slots", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("start", [1, 4])
@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_the_places_of_a_server_are_found(slots: int, start: int, spread: float) -> None:
    _, widths = served(slots, start, 40 * max(slots, start), spread)
    settled = widths[len(widths) // 2 :]
    usual = sorted(settled)[len(settled) // 2]
    assert usual >= 0.6 * slots  # nearly all of its places are used,
    assert usual <= max(start, 2.5 * slots + 1)  # and not many wait inside


@given(st.lists(st.sampled_from(["in", "answered", "left", "overrun"]), max_size=80), st.integers(1, 20))
def test_there_is_always_a_place_and_nobody_is_counted_twice(happenings: list[str], start: int) -> None:
    crowd, inside = Crowd(start), 0
    for happening in happenings:
        if happening == "in":
            if crowd.full:
                continue
            crowd, inside = entered(crowd), inside + 1
        elif inside:
            if happening == "answered":
                crowd = answered(crowd, 1.0, inside)
            elif happening == "overrun":
                crowd = overrun(crowd)
            crowd, inside = left(crowd), inside - 1
        assert crowd.inside == inside
        assert crowd.width >= 1


def test_a_server_that_is_too_busy_is_asked_half_as_much() -> None:
    crowd = Crowd(8)
    for _ in range(6):
        crowd = entered(crowd)
    assert overrun(crowd).width == 3
    assert overrun(Crowd(1)).width == 1


def test_after_a_while_a_wider_crowd_is_tried_again() -> None:
    _, widths = served(2, 2, 400)
    assert max(widths[200:]) > 2


def after(crowd: Crowd, answers: int, took_s: float) -> Crowd:
    """The crowd after so many answers to requests that went with all places taken."""
    for _ in range(answers):
        crowd = answered(crowd, took_s, crowd.width)
    return crowd


def test_a_width_is_judged_by_four_answers_for_each_place() -> None:
    begun = Crowd(4)
    assert begun == Crowd(4, inside=0, answers=0, busy_s=0.0, narrower=None, holding=False)
    nearly = after(begun, 15, 2.0)
    assert nearly == Crowd(4, answers=15, busy_s=30.0)
    assert after(nearly, 1, 2.0) == Crowd(6, narrower=(4, 2.0))
    assert after(Crowd(1), 3, 0.5) == Crowd(1, answers=3, busy_s=1.5)
    assert after(Crowd(1), 4, 0.5) == Crowd(2, narrower=(1, 2.0))
    assert after(Crowd(9_999), 4 * 9_999, 1.0).width == 10_000


def test_only_answers_with_all_places_taken_are_timed() -> None:
    crowd = Crowd(4, inside=4)
    assert answered(crowd, 2.0, 3) == crowd
    assert answered(crowd, 0.0, 4) == crowd
    assert answered(crowd, 2.0, 5) == Crowd(4, inside=4, answers=1, busy_s=2.0)


def test_a_wider_crowd_stays_where_it_brings_a_tenth_more_and_is_narrowed_where_not() -> None:
    wider = Crowd(6, narrower=(4, 2.0))
    assert after(wider, 24, 2.5) == Crowd(9, narrower=(6, 2.4))
    assert after(wider, 24, 3.0) == Crowd(4, narrower=(4, 2.0), holding=True)
    assert after(wider, 24, 2.8) == Crowd(4, narrower=(4, 2.0), holding=True)


def test_a_crowd_that_was_narrowed_is_held_for_thirty_answers_a_place() -> None:
    held = Crowd(4, narrower=(4, 2.0), holding=True)
    assert after(held, 119, 2.0) == Crowd(4, answers=119, busy_s=238.0, narrower=(4, 2.0), holding=True)
    assert after(held, 120, 9.0) == Crowd(6, narrower=(4, 2.0))
    # After an overrun nothing is known of any width, so the one that was held is measured.
    overran = overrun(Crowd(8, 6, 3, 2.0, (4, 2.0)))
    assert overran == Crowd(3, inside=6, holding=True)
    assert after(overran, 90, 1.5) == Crowd(4, inside=6, narrower=(3, 2.0))
