"""When the next tier of a cascade is asked: a decision on the votes of the tier before."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Literal, TypeAlias

from fanin.errors import InputError
from fanin.verdict import Verdict

When: TypeAlias = Literal["split", "not-high", "any-dissent"]


def _split(verdict: Verdict) -> bool:
    return len(verdict.votes) > 1 and verdict.pattern in ("split", "divergent")


def _not_high(verdict: Verdict) -> bool:
    return verdict.grade != "high"


def _any_dissent(verdict: Verdict) -> bool:
    return len(verdict.votes) > 1


_HOLDS: dict[str, Callable[[Verdict], bool]] = {
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
    if verdict.stopped.by in ("deadline", "budget", "interrupt"):
        return False
    return verdict.outcome != "decided" or _HOLDS[when](verdict)


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
