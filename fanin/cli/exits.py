"""What the command ends with."""

from __future__ import annotations

from fanin.verdict import Verdict

DECIDED = 0
NOTHING_USABLE = 1
NO_CONSENSUS = 3
KEY = 5
CUT_SHORT = 6
INTERRUPTED = 130

_RANK = {"none": 0, "low": 1, "medium": 2, "high": 3}


def exit_code(verdict: Verdict, require: str | None = None) -> int:
    """The exit code of a vote; `require` is the lowest grade that is good enough.

    Where several fit: interrupted, decided, the key, cut short, nothing usable, no consensus.
    """
    if verdict.stopped.by == "interrupt":
        return INTERRUPTED
    if verdict.answer is not None and _RANK[verdict.grade] >= _RANK[require or "none"]:
        return DECIDED
    if verdict.failures and all(failure.kind == "auth" for failure in verdict.failures):
        return KEY
    if verdict.stopped.by in ("deadline", "budget", "limit"):
        return CUT_SHORT
    return NO_CONSENSUS if verdict.runs.valid else NOTHING_USABLE
