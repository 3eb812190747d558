"""The Verdict: one answer, its grade, and the evidence; and its versioned JSON object.

The object `fanin.vote/1` holds no wall-clock and is the same to the byte for the same outcomes in
any order of arrival.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import attrs

from fanin.clusters import Cluster, Judging, semantic_entropy
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
class FieldVote:
    """What came of the vote on one field of a document."""

    what: Literal["value", "length", "presence"]
    """What was voted on: the field's value, how many items a list has, or whether an object is there."""
    outcome: Literal["decided", "tie", "no_quorum", "failed", "invalid"]
    """As that of a vote; `invalid`: there is a winner, but beside the other fields it is not valid."""
    answer: Any
    """The winner as JSON has it; None where there is none, where it is null, and where it is `(absent)`."""
    grade: Grade
    """As that of a vote."""
    confidence: float
    """Votes for the winner / runs that count, 0.0 to 1.0; 0.0 where there is none."""
    votes: dict[str, int]
    """Choice -> votes, most first; `(absent)` is a choice too."""
    required: bool
    """Whether every document has it, or this one is not valid for want of it: these fields make the grade of
    the whole."""
    reason: str | None = None
    """Why it has no answer; None where it has."""
    tier: int | None = None
    """Of a cascade: the tier that it was voted on in, from 1. None where there is one tier."""


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
    judging: Judging | None = None
    """What was found out about free texts after they had come; None where nothing was."""


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
    cost; in no comparison, and in the object without its ballots. Empty where nothing was to be escalated."""
    analyses: tuple[Any, ...] = attrs.field(default=(), eq=False, repr=False)
    """Of a vote over analyses: the `fanin.Analysis` of every run that was begun, by index, failed ones too;
    in no comparison. Empty where each run was one call. Of a cascade: those of the tier that decides, and in
    the object those of all tiers."""
    basis: Basis | None = attrs.field(default=None, eq=False, repr=False)
    """What it was concluded from; in no object and in no comparison. None where nobody tells."""
    document: Any = None
    """Of a vote on parts: the winners of the fields put together, as `json.loads` has it. There where no
    answer is, too: then a required field without a winner is None."""
    fields: dict[str, FieldVote] = attrs.field(factory=dict)
    """Of a vote on parts: the vote on each field by its JSON Pointer, in the order of the document."""
    clusters: tuple[Cluster, ...] = ()
    """Of a vote on texts that are not compared word for word: what was counted as one, most votes first."""
    judging: Judging | None = None
    """What a judge or an embedding told of the texts, and whom a judge picked; None where none was asked."""

    @property
    def semantic_entropy(self) -> float | None:
        """The entropy of the answers over their clusters, in nats, 0.0 or more; None where there are none.

        The discrete estimate of Farquhar et al. 2024: high where the answers mean many things.
        """
        return semantic_entropy([each.votes for each in self.clusters]) if self.clusters else None

    def to_dict(self) -> dict[str, Any]:
        """The object `fanin.vote/1`: plain values, keys in their documented order.

        `tiers` is there only of a cascade, `analyses` only where the runs were analyses, `document` and
        `fields` only where the answer was voted on part by part, `clusters` and `semantic_entropy` only where
        texts were clustered, and `judging` only where a judge or an embedding was asked.
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
            **({"tiers": [_plain_tier(tier) for tier in self.tiers]} if self.tiers else {}),
            **({"analyses": analyses} if analyses else {}),
            **({"document": self.document, "fields": _plain_fields(self.fields)} if self.fields else {}),
            **self._on_texts(),
        }

    def _on_texts(self) -> dict[str, Any]:
        """What the object says of clusters and of the judge."""
        found: dict[str, Any] = {}
        if self.clusters:
            found["clusters"] = [
                {**attrs.asdict(each), "members": list(each.members)} for each in self.clusters
            ]
            found["semantic_entropy"] = self.semantic_entropy
        if self.judging is not None:
            told = attrs.asdict(self.judging)
            del told["groups"]  # the clusters, word for word
            if told["selection"] is not None:
                told["selection"]["shown"] = list(told["selection"]["shown"])
            found["judging"] = told
        return found

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


def _plain_tier(tier: Verdict) -> dict[str, Any]:
    """A tier in the object: whom it asked, what it came to and what that took."""
    return {
        "models": list(tier.models),
        "outcome": tier.outcome,
        "answer": tier.answer,
        "grade": tier.grade,
        "pattern": tier.pattern,
        "stopped": attrs.asdict(tier.stopped, recurse=False),
        "votes": dict(tier.votes),
        "runs": attrs.asdict(tier.runs, recurse=False),
        "usage": attrs.asdict(tier.usage, recurse=False),
        "cost_usd": tier.cost_usd,
    }


def _plain_fields(fields: dict[str, FieldVote]) -> dict[str, dict[str, Any]]:
    """The fields in the object: the answer, its grade, confidence and votes first."""
    return {
        pointer: {
            "answer": field.answer,
            "grade": field.grade,
            "confidence": field.confidence,
            "votes": dict(field.votes),
            "what": field.what,
            "outcome": field.outcome,
            "required": field.required,
            "reason": field.reason,
            **({} if field.tier is None else {"tier": field.tier}),
        }
        for pointer, field in fields.items()
    }


def escape_unprintable(text: str) -> str:
    """JSON text with `\\uXXXX` for every character outside printable text (`str.isprintable`).

    Takes one line as json.dumps gives it, where such characters stand inside strings only. Lone
    surrogates come out as the escape they are, so nothing is lost.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)
