"""How deep an analysis goes, what it does next, and what it may spend: decided purely.

    plan (candidates in parallel) -> judge -> step ... step -> assess -> step ... -> synthesize -> focus

A call is asked only where its answer can change what is done: no judging call for one plan, and no
assessment after the last round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import attrs

from fanin.analysed import Course, Mode
from fanin.errors import InputError
from fanin.policy.estimating import estimated_tokens
from fanin.policy.pricing import Price, cost_usd
from fanin.policy.variation import places_of
from fanin.values import Failure, Plan, Request, Usage

Action: TypeAlias = Literal["plan", "judge", "step", "assess", "synthesize", "focus", "end"]

_COLUMNS = (
    "min_iterations",
    "max_iterations",
    "candidate_plans",
    "max_steps",
    "temperature_offset",
    "reasoning_effort",
)
_TABLE: dict[str, tuple[Any, ...]] = {
    #           rounds  plans  steps  offset  effort
    "quick":    (1, 2,   1,     2,     0.0,    "low"),
    "balanced": (2, 3,   2,     3,     0.0,    None),
    "thorough": (3, 4,   3,     4,     0.1,    None),
    "research": (4, 5,   4,     5,     0.2,    "high"),
}  # fmt: skip
"""One line a mode, one column a setting; nothing else knows what a mode's name means."""

MODES: Mapping[str, Mode] = {
    name: Mode(name, **dict(zip(_COLUMNS, settings, strict=True))) for name, settings in _TABLE.items()
}
"""The modes by name, from the shallowest to the deepest."""

HOPELESS = frozenset({"auth", "quota", "deadline", "interrupted", "budget"})
"""Failures after which every other call of the analysis would fail too."""


def as_mode(mode: Mode | str, **overrides: Any) -> Mode:
    """The mode of that name, or the one given, with every override that is not None in its place.

    Where a bound of the rounds is overridden alone and crosses the mode's other bound, that one follows.
    Raises InputError for an unknown name (with the nearest one) or a setting out of its range.
    """
    base = mode if isinstance(mode, Mode) else _named(mode)
    wanted = {field: value for field, value in overrides.items() if value is not None}
    low, high = wanted.get("min_iterations"), wanted.get("max_iterations")
    if isinstance(low, int) and high is None and low > base.max_iterations:
        wanted["max_iterations"] = low
    if isinstance(high, int) and low is None and 1 <= high < base.min_iterations:
        wanted["min_iterations"] = high
    return attrs.evolve(base, **wanted)


def _named(name: str) -> Mode:
    if isinstance(name, str) and name.strip().casefold() in MODES:
        return MODES[name.strip().casefold()]
    from difflib import get_close_matches

    near = get_close_matches(str(name).strip().casefold(), MODES, n=1)
    mend = f"Did you mean {near[0]}?" if near else None
    raise InputError("mode", f"one of {', '.join(MODES)}", name, mend=mend)


def as_modes(mode: Mode | str | Sequence[Mode | str] | None) -> tuple[Mode, ...]:
    """The modes that are meant, in order; none for None. Raises InputError."""
    if mode is None:
        return ()
    given = (mode,) if isinstance(mode, (Mode, str)) else mode
    if not isinstance(given, Sequence) or not given:
        raise InputError("mode", "a mode's name, or several", mode)
    return tuple(as_mode(each) for each in given)


def next_action(course: Course) -> Action:
    """What is to be done now. Comes to `end` after a bounded number of actions, whatever the replies are."""
    if course.failure is not None or course.focused is not None:
        return "end"
    if not course.drafts:
        return "plan"
    if course.chosen is None:
        return "judge"
    if course.ended is None:
        return "step" if course.todo else "assess"
    if not course.findings:
        return "end"
    return "synthesize" if course.synthesis is None else "focus"


def most_calls(mode: Mode) -> int:
    """The most requests that an analysis in that mode makes."""
    judging = 1 if mode.candidate_plans > 1 else 0
    rounds = mode.max_iterations * mode.max_steps + mode.max_iterations - 1
    return mode.candidate_plans + judging + rounds + 2


def modes_of(plan: Plan, modes: Sequence[Mode]) -> tuple[Mode, ...]:
    """The mode of every run of a vote over analyses, by index.

    Runs go round the models first, then round the modes and the system prompts, so that every model is
    asked in every mode; `systems_for` makes the plan's temperatures wait until all have gone round.
    """
    each = len(plan.variation.systems) // len(modes)
    return tuple(
        modes[place // len(plan.variation.models) // each % len(modes)]
        for place in places_of(plan.variation, plan.runs)
    )


def systems_for(modes: Sequence[Mode], systems: Sequence[str | None]) -> tuple[str | None, ...]:
    """The system prompts of a plan whose runs go round those modes too: all of them once for each mode."""
    return (tuple(systems) or (None,)) * max(1, len(modes))


def worst_usd(requests: Sequence[Request], price: Price) -> float:
    """About the most that these calls can cost in US dollars: every one writes all it may.

    Tokens read are estimated (`estimated_tokens`), so that the true cost may lie a little above.
    """
    return sum(
        cost_usd(Usage(estimated_tokens(request.messages), request.max_tokens or 0), price) or 0.0
        for request in requests
    )


def fits(course: Course, requests: Sequence[Request], synthesis: Request, price: Price, spent: float) -> bool:
    """Whether these calls leave enough of the cost limit for the answer that is still to be given.

    `synthesis` is that request as it would be now; what the calls write is read by it too. While nothing
    was found, a first step is kept in reserve as well. The limit is reached by estimate: see `worst_usd`.
    """
    limit = course.mode.cost_limit_usd
    if limit is None:
        return True
    if course.synthesis is not None:
        return spent + worst_usd(requests, price) <= limit
    later = (2 if course.findings else 3) - (synthesis in requests)
    written = (synthesis.max_tokens or 0) * (len(requests) + later - 1)
    grown = cost_usd(Usage(written, 0), price) or 0.0
    return spent + worst_usd(requests, price) + later * worst_usd([synthesis], price) + grown <= limit


def unaffordable(course: Course, action: Action, index: int) -> Course:
    """The course where the cost limit leaves no room for that action."""
    match action:
        case "judge":
            first = next(draft for draft in course.drafts if draft.steps)
            note = "No plan was judged, since the cost limit left no room; the first usable one was taken."
            return attrs.evolve(
                course,
                chosen=first.index,
                chosen_by="first",
                todo=first.steps,
                iteration=1,
                notes=(*course.notes, note),
            )
        case "step" | "assess":
            return attrs.evolve(course, ended="budget")
    limit = course.mode.cost_limit_usd
    message = f"The cost limit of US$ {limit:g} left no room for the next call ({action})."
    return attrs.evolve(course, failure=Failure(index, "budget", message))
