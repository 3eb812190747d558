"""Calibration: monotone where fitted monotone, zero error for what is right, and honest intervals."""

from __future__ import annotations

from math import isclose, pi
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.policy.calibrating import (
    Bin,
    Foretold,
    Past,
    Shape,
    brier,
    calibration_error,
    count_shapes,
    isotonic,
    noise_floor,
    reliability,
)

POINTS = st.lists(
    st.tuples(st.sampled_from([0.2, 0.4, 0.5, 0.6, 0.8, 1.0]), st.booleans(), st.just(1.0)),
    min_size=1,
    max_size=40,
)
FORETOLD = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


@given(POINTS, st.lists(st.floats(0, 1), min_size=2))
def test_isotonic_chances_never_fall(points: list[tuple[float, bool, float]], at: list[float]) -> None:
    fitted = isotonic(points)
    assert fitted is not None
    levels = [fitted(score) for score in sorted(at)]
    assert levels == sorted(levels)
    assert all(0 < level < 1 for level in levels)


@given(POINTS)
def test_isotonic_steps_hold_every_vote(points: list[tuple[float, bool, float]]) -> None:
    fitted = isotonic(points)
    assert fitted is not None
    assert isclose(sum(step.votes for step in fitted.steps), len(points))
    assert isclose(sum(step.right for step in fitted.steps), sum(right for _, right, _ in points))


@given(POINTS, st.randoms())
def test_isotonic_does_not_depend_on_order(points: list[tuple[float, bool, float]], random: Random) -> None:
    fitted = isotonic(points)
    random.shuffle(points)
    assert isotonic(points) == fitted


def test_isotonic_pools_what_falls() -> None:
    fitted = isotonic([(0.2, False, 1), (0.4, True, 1), (0.6, False, 1), (0.8, True, 1)])
    assert fitted is not None
    assert fitted.starts == (0.2, 0.4, 0.8)
    assert fitted.steps == (Past(1, 0), Past(2, 1), Past(1, 1))
    assert [fitted(score) for score in (0, 0.5, 0.9)] == [pytest.approx(p) for p in (1 / 6, 1 / 2, 5 / 6)]
    assert isotonic([]) is None


def test_shapes_are_counted_in_parts() -> None:
    votes = [(Shape((4, 1)), True, 0.5), (Shape((4, 1)), False, 0.5), (Shape((3,), 2), True, 1.0)]
    counted = count_shapes(votes)
    assert counted == {Shape((3,), 2): Past(1, 1), Shape((4, 1)): Past(1, 0.5)}
    assert list(counted) == sorted(counted)


def test_a_past_in_words() -> None:
    assert str(Past(0.05, 0.05)).startswith("of less than one past vote like this one, 100 % [")
    assert str(Past(1.2, 0.6)).startswith("of 1 past vote like this one, 50 % [")
    assert str(Past(120, 104)) == "of 120 past votes like this one, 87 % [79, 92] were right"
    assert "99.6 %" in str(Past(500, 498))
    assert "100 % [99" in str(Past(500, 500))
    assert Past(8, 8).chance == 0.9
    assert (str(Shape((4, 1))), str(Shape((3,), 2))) == ("4-1", "3, 2 lost")
    assert (Shape((4, 1)).runs, Shape((3,), 2).runs) == (5, 5)


@given(FORETOLD)
def test_scores_lie_between_0_and_1(foretold: list[Foretold]) -> None:
    for score in (brier(foretold), calibration_error(foretold), noise_floor(foretold)):
        assert 0 <= score <= 1
    assert sum(held.answers for held in reliability(foretold)) == len(foretold)


def test_the_error_of_what_is_right_and_of_what_is_wrong() -> None:
    right = [(0.75, place % 4 != 0) for place in range(400)]
    assert calibration_error(right) == 0
    assert calibration_error([(1.0, False)] * 3) == brier([(1.0, False)]) == 1
    assert calibration_error([]) == brier([]) == noise_floor([]) == 0
    assert reliability([(1.0, True), (0.95, False)]) == (Bin(2, 0.975, 0.5),)


def test_the_noise_floor_is_the_error_of_chance_alone() -> None:
    random = Random(5)
    sure = [random.choice([0.55, 0.75, 0.9]) for _ in range(400)]
    errors = [calibration_error([(p, random.random() < p) for p in sure]) for _ in range(200)]
    floor = noise_floor([(p, True) for p in sure])
    assert isclose(floor, sum(errors) / len(errors), rel_tol=0.1)


def test_bins_are_of_equal_width_and_the_last_one_holds_certainty() -> None:
    foretold = [((place + 0.5) / 10, place % 2 == 0) for place in range(10)]
    assert [held.answers for held in reliability(foretold)] == [1] * 10
    assert reliability([(0.85, True), (0.9, True), (1.0, False)]) == (
        Bin(1, 0.85, 1.0),
        Bin(2, 0.95, 0.5),
    )
    assert [held.answers for held in reliability(foretold, 2)] == [5, 5]
    # In halves the misses of both sides cancel out, in tenths they do not.
    assert calibration_error([(0.1, True), (0.3, False)], 2) == pytest.approx(0.3)
    assert calibration_error([(0.1, True), (0.3, False)]) == pytest.approx(0.6)
    assert calibration_error([(0.3, True)]) == pytest.approx(0.7)
    assert noise_floor([(0.5, True)]) == pytest.approx((2 / pi * 0.25) ** 0.5)
    assert noise_floor([(0.1, True), (0.3, False)], 2) == pytest.approx((2 / pi * 0.3) ** 0.5 / 2)


def test_equal_scores_are_one_step_and_equal_shares_are_pooled() -> None:
    fitted = isotonic([(0.2, True, 1), (0.2, False, 1), (0.5, True, 2), (0.5, False, 2)])
    assert fitted is not None
    assert (fitted.starts, fitted.steps) == ((0.2,), (Past(6, 3),))


def test_nearly_all_is_not_all() -> None:
    assert "99.5 %" in str(Past(200, 199))
    assert "100 %" in str(Past(2000, 1999))
