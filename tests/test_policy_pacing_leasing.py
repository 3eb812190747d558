"""Sharing a pace with others who are not seen: a part of every rate, and what it holds."""

from __future__ import annotations

import pytest

from fanin.policy import pacing
from fanin.policy.pacing import Pace
from fanin.policy.pacing.leasing import PART
from fanin.policy.pacing.mirror import Bucket


def parts(pace: Pace) -> list[Bucket]:
    """The buckets that are a part of others."""
    return [bucket for bucket in pace.buckets if bucket.limit.name.startswith(PART)]


def test_a_part_is_that_of_the_size_and_of_the_rate_and_begins_empty() -> None:
    whole = pacing.limited(Pace(), 0.0, rpm=60, tpm=6000)
    halves = parts(pacing.divided(whole, 0.5, 10.0))
    assert [(b.limit.size, b.limit.rate) for b in halves] == [
        (b.limit.size / 2, b.limit.rate / 2) for b in whole.buckets
    ]
    assert [b.level(10.0) for b in halves] == [0.0, 0.0]
    assert [b.level(14.0) for b in halves] == pytest.approx([2.0, 200.0])


def test_a_part_of_another_size_holds_what_it_held() -> None:
    whole = pacing.limited(Pace(), 0.0, rpm=60, tpm=6000)
    halved = pacing.divided(whole, 0.5, 0.0)
    again = pacing.divided(halved, 0.25, 8.0)
    assert [b.level(8.0) for b in parts(again)] == pytest.approx([b.level(8.0) for b in parts(halved)])
    assert [b.level(12.0) for b in parts(again)] == pytest.approx([4.0 + 1.0, 400.0 + 100.0])
    assert pacing.divided(again, 1, 9.0) == whole


def test_a_part_of_requests_has_room_for_one_at_least() -> None:
    [half] = parts(pacing.divided(pacing.limited(Pace(), 0.0, rpm=1), 0.25, 0.0))
    assert half.limit.size == 1.0
    assert half.limit.rate * 60 == pytest.approx(0.25)
