"""When the next tier of a cascade is asked: a decision on the votes of the tier before."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Literal, TypeAlias

import attrs

from fanin.errors import InputError
from fanin.values import Decision, Grade, Pattern
from fanin.verdict import Verdict

When: TypeAlias = Literal["split", "not-high", "any-dissent"]


@attrs.frozen
class Came:
    """What a tier came to, as far as it matters for the next one: counts, never which answer."""

    outcome: Decision
    """Decided, or why there is no winner."""
    answers: int
    """Different answers with a vote."""
    pattern: Pattern
    """The shape of the votes."""
    grade: Grade
    """How much agreement there is."""


def _split(came: Came) -> bool:
    # A divergent vote of several answers is a tie, and so passed on without being asked for here.
    return came.pattern == "split"


def _not_high(came: Came) -> bool:
    return came.grade != "high"


def _any_dissent(came: Came) -> bool:
    return came.answers > 1


_HOLDS: dict[str, Callable[[Came], bool]] = {
    "split": _split,
    "not-high": _not_high,
    "any-dissent": _any_dissent,
}
WHEN = tuple(_HOLDS)
"""The conditions by name, as the command line has them."""


def escalates(verdict: Verdict, when: When) -> bool:
    """Whether the tier that came to this verdict is followed by the next one.

    A tier without a winner (tie, no quorum, nothing usable) is, under every condition. One with a
    winner is, under

    - `split`: where its answers differ and less than 4/5 of its votes are for one (the patterns
      `split` and `divergent`);
    - `not-high`: where its grade is below high, so for lost or too few runs as well;
    - `any-dissent`: where two of its votes differ.

    So what `split` passes on, both others pass on. A tier that a deadline, a budget or an interrupt
    ended is the last one. It sees the counts only: the same votes under other names escalate alike.
    """
    if was_cut(verdict):
        return False
    return calls_for_next(Came(verdict.outcome, len(verdict.votes), verdict.pattern, verdict.grade), when)


def was_cut(verdict: Verdict) -> bool:
    """Whether a deadline, a budget or an interrupt ended that tier, so that it is the last one."""
    return verdict.stopped.by in ("deadline", "budget", "interrupt")


def calls_for_next(came: Came, when: When) -> bool:
    """Whether a tier that came to this, and was not cut short, is followed by the next one (`escalates`)."""
    return came.outcome != "decided" or _HOLDS[when](came)


def check_when(when: str) -> When:
    """The condition of that name. Raises InputError with the list, and the nearest."""
    for known in _HOLDS:
        if known == when:
            return known  # type: ignore[return-value]
    near = get_close_matches(str(when), WHEN, n=1)
    mend = f"Did you mean {near[0]}?" if near else None
    raise InputError("escalate_when", f"one of {', '.join(WHEN)}", when, mend=mend)


def check_tiers(tiers: tuple[tuple[str, ...], ...]) -> None:
    """Raises InputError where a tier asks a model that is blank, or that a tier before it asks."""
    asked: set[str] = set(tiers[0])
    for models in tiers[1:]:
        for model in models:
            if not isinstance(model, str) or not model.strip():
                raise InputError("escalate", "a model's name", model)
            if model in asked:
                raise InputError(
                    "escalate",
                    "a model that no tier before it asks",
                    model,
                    mend="Name every tier's model once, the cheapest first: -m small --escalate large.",
                )
        asked |= set(models)
