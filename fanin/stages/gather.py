"""Stage 3: the outcomes of the runs, put in order."""

from __future__ import annotations

from collections.abc import Iterable

from fanin.values import Failure, Gathered, Outcome, Sample


def gather(outcomes: Iterable[Outcome], planned: int, cancelled: int = 0) -> Gathered:
    """The outcomes by index, apart as samples and failures, whatever order they arrived in.

    What is missing of the planned runs was cancelled by a stop rule (as many as are told) or never
    asked. Raises ValueError where two outcomes bear one index, or one that was not planned, or where
    there are more than were planned: a run must not vote twice.
    """
    ordered = sorted(outcomes, key=lambda outcome: outcome.index)
    indexes = [outcome.index for outcome in ordered]
    if len(set(indexes)) != len(indexes):
        raise ValueError("two outcomes bear the same index")
    if indexes and not 0 <= indexes[0] <= indexes[-1] < planned:
        raise ValueError(f"indexes {indexes[0]} to {indexes[-1]}, but {planned} runs were planned")
    unasked = planned - len(ordered) - cancelled
    if unasked < 0:
        raise ValueError(
            f"{len(ordered)} outcomes and {cancelled} cancelled runs, but {planned} were planned"
        )
    return Gathered(
        samples=tuple(outcome for outcome in ordered if isinstance(outcome, Sample)),
        failures=tuple(outcome for outcome in ordered if isinstance(outcome, Failure)),
        cancelled=cancelled,
        unasked=unasked,
    )
