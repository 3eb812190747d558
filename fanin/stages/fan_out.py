"""Stage 1: one plan becomes its runs."""

from __future__ import annotations

from functools import lru_cache

from fanin.policy.variation import places_of, vary
from fanin.values import Plan, Run, Variation


def fan_out(plan: Plan) -> tuple[Run, ...]:
    """The runs of a plan, index 0 to runs - 1, each with what sets it apart from the others."""
    return _runs(plan.variation, plan.runs, plan.answer.options)


@lru_cache(maxsize=16)  # the items of a batch are asked in the same runs
def _runs(variation: Variation, runs: int, options: tuple[str, ...]) -> tuple[Run, ...]:
    places = places_of(variation, runs)
    return tuple(vary(variation, index, options, place) for index, place in enumerate(places))


def identical_runs(plan: Plan) -> bool:
    """Whether several runs are asked the very same thing, but for their seeds.

    Models that ignore the seed then give one answer many times, and its votes count as many.
    """
    runs = fan_out(plan)
    asked = {(run.model, run.system, run.temperature, run.order) for run in runs}
    return len(runs) > 1 and len(asked) == 1
