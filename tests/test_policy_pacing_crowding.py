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
