"""The cascade: a vote of the cheap model, and one of the next tier only where it is called for."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence

import attrs

from fanin.answers import Labels
from fanin.answers.document import Document
from fanin.answers.json_shape import Array, Node, Object
from fanin.answers.json_text import Path
from fanin.answers.narrowing import narrowed_schema
from fanin.answers.protocol import Parted
from fanin.conductor import Conductor
from fanin.policy.escalating import When, escalates, was_cut
from fanin.policy.pricing import Prices
from fanin.stages.cascade import cascade
from fanin.stages.tiered_fields import merged, open_parts
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
    `conductor(after_s)` gives it a conductor of its own, whose events count on from `after_s`. Where the
    answer is voted on part by part, each next one is asked for the parts alone that call for it. Raises
    FaninError where a vote does.
    """
    asked: list[Verdict] = []
    for place, plan in enumerate(plans):
        if asked and isinstance(plan.answer, Parted):
            plan = attrs.evolve(plan, answer=_narrowed(plan.answer, open_parts(merged(asked), when)))
        after_s = asked[-1].events[-1].at_s if asked and asked[-1].events else 0.0
        held = await hold(plan, conductor(after_s))
        asked.append(held)
        if place + 1 == len(plans) or not _calls_for_next(asked, when):
            break
    return cascade(asked, [plan.variation.models for plan in plans], prices)


def _calls_for_next(asked: Sequence[Verdict], when: When) -> bool:
    last = asked[-1]
    if last.basis is None or not isinstance(last.basis.plan.answer, Parted):
        return escalates(last, when)
    return not was_cut(last) and bool(open_parts(merged(asked), when))


def _narrowed(answer: Parted, places: Sequence[Path]) -> Parted:
    """The answer that is asked for at these places alone; itself where they cannot be asked for apart."""
    if isinstance(answer, Labels):
        still = [label for label in answer.labels if (label,) in places]
        return Labels(still) if len(still) > 1 else answer
    if not isinstance(answer, Document):
        return answer
    schema = narrowed_schema(json.loads(answer.schema_text), places)
    if schema is None:
        return answer
    from fanin.documents import Json

    tolerance = answer.tolerance
    narrow = Json(schema, rel_tol=tolerance.rel_tol, abs_tol=tolerance.abs_tol)
    keys = {path: key for path, key in answer.keys if _has_list(narrow.shape, path)}
    return Json(schema, keys=keys, rel_tol=tolerance.rel_tol, abs_tol=tolerance.abs_tol) if keys else narrow


def _has_list(node: Node, path: str) -> bool:
    for step in path.strip("/").split("/"):
        if isinstance(node, Array):
            node = node.item
        elif isinstance(node, Object):
            inner = [member.node for member in node.members if member.name == step]
            if not inner:
                return False
            node = inner[0]
    return isinstance(node, Array)
