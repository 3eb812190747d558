"""Stage 1: one plan becomes its runs."""

from __future__ import annotations

from fanin.policy.variation import places_of, vary
from fanin.values import Plan, Run


def fan_out(plan: Plan) -> tuple[Run, ...]:
    """The runs of a plan, index 0 to runs - 1, each with what sets it apart from the others."""
    places = places_of(plan.variation, plan.runs)
    return tuple(
        vary(plan.variation, index, plan.answer.options, place) for index, place in enumerate(places)
    )


def identical_runs(plan: Plan) -> bool:
    """Whether several runs are asked the very same thing, but for their seeds.

    Models that ignore the seed then give one answer many times, and its votes count as many.
    """
    runs = fan_out(plan)
    asked = {(run.model, run.system, run.temperature, run.order) for run in runs}
    return len(runs) > 1 and len(asked) == 1
