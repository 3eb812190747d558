"""The Verdict: one answer, its grade, and the evidence; and its versioned JSON object.

The object `fanin.vote/1` holds no wall-clock and is the same to the byte for the same outcomes in
any order of arrival.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import attrs

from fanin.values import (
    Ballot,
    Decision,
    Event,
    Failure,
    Gathered,
    Grade,
    Pattern,
    Plan,
    Run,
    Runs,
    Stopped,
    Usage,
)

SCHEMA = "fanin.vote/1"


@attrs.frozen
class Basis:
    """What a verdict was concluded from: enough to conclude again, and nothing has to be asked for it."""

    plan: Plan
    """What was decided before the first call; of a cascade by the tier that decides."""
    runs: tuple[Run, ...]
    """The plan's runs, by index."""
    gathered: Gathered
    """What came back of them, and what did not."""
    prices: Mapping[str | None, Any] = attrs.field(factory=dict)
    """The `fanin.Price` of each model by its name; None stands for all others."""
    remarks: tuple[str, ...] = ()
    """Sentences that the advice says because of the stop rule."""
    tiers: tuple[tuple[str, ...], ...] = ()
    """Of a cascade: the models of every planned tier, asked or not."""
    weights: Any = ()
    """What weighted the votes: `logprob`, or calibrations."""
    calibrations: tuple[Any, ...] = ()
    """What was there to calibrate the confidence."""


@attrs.frozen
class Verdict:
    """What came of a vote: every outcome is one, a tie and a total failure too."""

    question: str
    """The question in words."""
    outcome: Decision
    """`decided`, `tie`, `no_quorum` (too few valid ballots) or `failed` (none)."""
    answer: str | None
    """The winner; None unless decided."""
    grade: Grade
    """`high`, `medium` or `low` agreement; `none` where there is no winner."""
    confidence: float
    """The support: votes for the winner / runs that count, 0.0 to 1.0; 0.0 where there is none. Another
    number where `confidence_kind` says so."""
    confidence_kind: Literal["agreement", "calibrated"]
    """`agreement`: the share of runs that agree, not a probability of being right; `calibrated`: the chance
    of being right, by past votes of this ensemble with known answers."""
    pattern: Pattern
    """The shape of the votes."""
    advice: str
    """What the pattern suggests to do, and what was out of the ordinary, in words."""
    stopped: Stopped
    """What ended the asking."""
    votes: dict[str, int]
    """Choice -> votes: choices with a vote, most first, then in declared order or by text."""
    runs: Runs
    """How the planned runs ended."""
    ballots: tuple[Ballot, ...]
    """Every run that came back, by index."""
    failures: tuple[Failure, ...]
    """Every run that gave nothing, by index."""
    usage: Usage
    """Tokens of all runs that came back, of all tiers; None where one of them is unknown."""
    cost_usd: float | None
    """US dollars; None is unknown."""
    backend: str
    """The backend's name."""
    models: tuple[str, ...]
    """The models that were planned, in order; of a cascade those of the tiers that were asked."""
    events: tuple[Event, ...] = attrs.field(default=(), eq=False)
    """What happened on the way, with times: in no object and in no comparison."""
    tiers: tuple[Verdict, ...] = attrs.field(default=(), eq=False, repr=False)
    """Of a cascade: the verdict of every tier that was asked, in order, with its own votes, usage and
    cost; in no object and in no comparison. Empty where nothing was to be escalated."""
    analyses: tuple[Any, ...] = attrs.field(default=(), eq=False, repr=False)
    """Of a vote over analyses: the `fanin.Analysis` of every run that was begun, by index, failed ones too;
    in no comparison. Empty where each run was one call. Of a cascade: those of the tier that decides, and in
    the object those of all tiers."""
    basis: Basis | None = attrs.field(default=None, eq=False, repr=False)
    """What it was concluded from; in no object and in no comparison. None where nobody tells."""

    def to_dict(self) -> dict[str, Any]:
        """The object `fanin.vote/1`: plain values, keys in their documented order.

        `analyses` is there only where the runs were analyses.
        """
        analyses = [each.to_dict() for tier in self.tiers or (self,) for each in tier.analyses]
        return {
            "schema": SCHEMA,
            "question": self.question,
            "outcome": self.outcome,
            "answer": self.answer,
            "grade": self.grade,
            "confidence": self.confidence,
            "confidence_kind": self.confidence_kind,
            "pattern": self.pattern,
            "advice": self.advice,
            "stopped": attrs.asdict(self.stopped, recurse=False),
            "votes": dict(self.votes),
            "runs": attrs.asdict(self.runs, recurse=False),
            "ballots": [_plain(ballot) for ballot in self.ballots],
            "failures": [
                {"index": f.index, "kind": f.kind, "message": f.message, "attempts": f.attempts}
                for f in self.failures
            ],
            "usage": attrs.asdict(self.usage, recurse=False),
            "cost_usd": self.cost_usd,
            "backend": self.backend,
            "models": list(self.models),
            **({"analyses": analyses} if analyses else {}),
        }

    def to_json(self) -> str:
        """The object as one line of JSON; every character that is not printable is escaped."""
        return escape_unprintable(json.dumps(self.to_dict(), ensure_ascii=False))


def _plain(ballot: Ballot) -> dict[str, Any]:
    """The ballot in the object: its usage is part of the verdict's, and `logprob` is there where known."""
    found = {
        "index": ballot.index,
        "choice": ballot.choice,
        "spoiled": ballot.spoiled,
        "model": ballot.model,
        "temperature": ballot.temperature,
        "text": ballot.text,
    }
    return found if ballot.logprob is None else {**found, "logprob": ballot.logprob}


def escape_unprintable(text: str) -> str:
    """JSON text with `\\uXXXX` for every character outside printable text (`str.isprintable`).

    Takes one line as json.dumps gives it, where such characters stand inside strings only. Lone
    surrogates come out as the escape they are, so nothing is lost.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)
