"""Stage 6: how much agreement there is, the shape it has, and what to do about it."""

from __future__ import annotations

from fractions import Fraction

from fanin.values import Grade, Pattern, Tally, share

HIGH = Fraction(4, 5)
"""From this support on, agreement is `high` and the pattern `strong`."""
MEDIUM = Fraction(1, 2)
"""Above this support, agreement is `medium`."""
ENOUGH_BALLOTS = 3
"""With fewer valid ballots no agreement is worth more than `low`."""

ADVICE: dict[Pattern, str] = {
    "none": "No run gave a usable answer: see why they failed before asking again.",
    "single": "One run only, so nothing confirms it: ask more runs.",
    "divergent": (
        "No two runs agree: the question may be vague or ambiguous, hard, truly uncertain, or beyond the "
        "model. Add context or use a larger model."
    ),
    "unanimous": "Every run says the same: proceed.",
    "strong": "Nearly every run says the same: look at the dissent before you proceed.",
    "incomplete": "The runs that answered agree, but too many gave nothing usable: see why they failed.",
    "split": "The runs are split: reformulate the question, or add runs.",
}


def grade(tally: Tally) -> Grade:
    """`high`: support of 4/5 or more; `medium`: more than 1/2; else `low`; `none` without a winner.

    Fewer than three valid ballots are never more than `low`. Failed and spoiled runs are part of
    what support is measured against, so they can only lower the grade.
    """
    if tally.winner is None:
        return "none"
    if tally.runs.valid < ENOUGH_BALLOTS:
        return "low"
    support = tally.support
    if support >= HIGH:
        return "high"
    return "medium" if support > MEDIUM else "low"


def pattern(tally: Tally) -> Pattern:
    """The shape of the votes: the first of the seven patterns that fits."""
    if not tally.counts:
        return "none"
    if tally.runs.planned == 1:
        return "single"
    most = tally.counts[0][1]
    if most < 2:
        return "divergent"
    if most == tally.counting:
        return "unanimous"
    if share(most, tally.counting) >= HIGH:
        return "strong"
    return "incomplete" if share(most, tally.runs.valid) >= HIGH else "split"
