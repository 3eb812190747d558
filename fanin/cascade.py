"""The cascade: a vote of the cheap model, and one of the next tier only where it is called for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from fanin.conductor import Conductor
from fanin.policy.escalating import When, escalates
from fanin.policy.pricing import Prices
from fanin.stages.cascade import cascade
from fanin.values import Plan
from fanin.verdict import Verdict


async def hold_cascade(
    plans: Sequence[Plan],
    when: When,
    conductor: Callable[[float], Conductor],
    hold: Callable[[Plan, Conductor], Awaitable[Verdict]],
    prices: Prices,
) -> Verdict:
    """Holds the votes of `plans` one after the other, as long as `when` calls for the next one.

    Every tier is a vote of its own, held by `hold`, with all its runs and the stop rule afresh;
    `conductor(after_s)` gives it a conductor of its own, whose events count on from `after_s`. Raises
    FaninError where a vote does.
    """
    asked: list[Verdict] = []
    for plan in plans:
        after_s = asked[-1].events[-1].at_s if asked and asked[-1].events else 0.0
        held = await hold(plan, conductor(after_s))
        asked.append(held)
        if not escalates(held, when):
            break
    return cascade(asked, [plan.variation.models for plan in plans], prices)
