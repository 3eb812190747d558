"""Outcomes are put in order by index, and no run votes twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_votes import FAILED, gathered_of, results

from fanin.stages.gather import gather
from fanin.values import Completion, Failure, Outcome, Sample


@given(results(), st.randoms(), st.integers(0, 4), st.integers(0, 4))
def test_the_order_of_arrival_does_not_matter(
    came_to: list[str], random: object, cancelled: int, unasked: int
) -> None:
    expected = gathered_of(came_to, cancelled, unasked)
    arrived: list[Outcome] = [*expected.samples, *expected.failures]
    random.shuffle(arrived)  # type: ignore[attr-defined]
    assert gather(arrived, len(came_to) + cancelled + unasked, cancelled) == expected


@given(results())
def test_any_iterable_will_do_and_every_outcome_is_kept_once(came_to: list[str]) -> None:
    gathered = gathered_of(came_to)
    arrived: list[Outcome] = [*gathered.failures, *gathered.samples]
    again = gather(iter(arrived), len(came_to))
    assert len(again.failures) == came_to.count(FAILED)
    assert len(again.samples) + len(again.failures) + again.cancelled + again.unasked == len(came_to)


def test_a_run_must_not_vote_twice() -> None:
    twice: list[Outcome] = [
        Sample(0, Completion("a")),
        Sample(1, Completion("b")),
        Failure(0, "server", "it failed"),
    ]
    with pytest.raises(ValueError, match=r"^two outcomes bear the same index$"):
        gather(twice, 3)


@pytest.mark.parametrize(("planned", "cancelled"), [(1, 0), (2, 1)])
def test_more_outcomes_than_were_planned_are_refused(planned: int, cancelled: int) -> None:
    with pytest.raises(ValueError, match="planned"):
        gather([Sample(0, Completion("a")), Sample(1, Completion("b"))], planned, cancelled)


@pytest.mark.parametrize("index", [-1, 3])
def test_a_run_that_was_not_planned_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match="planned"):
        gather([Sample(index, Completion("a"))], 3)
