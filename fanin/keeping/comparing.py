"""What sets kept runs apart: what was asked, what came back, what was decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from fanin.analysed import Analysis
from fanin.answers.json_text import without_broken
from fanin.answers.protocol import is_parted
from fanin.keeping.plain import to_plain
from fanin.keeping.record import Kept, KeptTier, KeptVote, Record
from fanin.report import Report
from fanin.verdict import Verdict

Aspects: TypeAlias = dict[str, dict[str, Any]]
"""`asked`, `came back` and `decided`, each name -> plain value."""
Differences: TypeAlias = dict[str, dict[str, tuple[Any, Any]]]
"""The same with (first, second) of what differs; None stands for what one of them has not."""

_DECIDED = (
    *("outcome", "answer", "grade", "confidence", "confidence_kind", "pattern", "stopped", "votes", "runs"),
    *("success", "final_answer", "focused_answer", "problem", "iterations", "ended", "report", "missing"),
)


def differences(one: tuple[Record, Kept], other: tuple[Record, Kept]) -> Differences:
    """What differs between two runs, each with what it comes to; sections without a difference are empty."""
    first, second = aspects(*one), aspects(*other)
    return {
        section: {
            name: (first[section].get(name), second[section].get(name))
            for name in (first[section] | second[section])
            if first[section].get(name) != second[section].get(name)
        }
        for section in first
    }


def aspects(record: Record, kept: Kept) -> Aspects:
    """What was asked, what came back and what was decided, name by name."""
    asked: dict[str, Any] = {"kind": record.kind, "question": record.question}
    came: dict[str, Any] = {}
    if record.vote is not None and isinstance(kept, Verdict):
        for name, tier, verdict in _tiers(record.vote, kept):
            asked |= {f"{name}{key}": value for key, value in _asked(tier).items()}
            came |= {f"{name}run {run}": value for run, value in _came(tier, verdict).items()}
        asked |= _flat("prices", to_plain(record.vote.prices))
        asked |= _flat("weights", list(record.vote.weights))
    elif isinstance(kept, Report):
        for run in kept.agents:
            asked[f"{run.name} model"] = run.model
            asked[f"{run.name} was sent"] = to_plain(run.messages[:2])
            came[run.name] = run.text if run.failure is None else f"failed: {run.failure.message}"
    elif isinstance(kept, Analysis):
        asked |= {"mode": kept.mode.name, "model": kept.model, "temperature": kept.temperature}
        came |= {f"step {step.index + 1}": step.text or step.status for step in kept.steps}
    found = kept.to_dict()
    cost = {"usage": found["usage"], "cost_usd": found["cost_usd"]}
    decided = {name: found[name] for name in _DECIDED if name in found}
    if isinstance(kept, Verdict) and kept.fields:
        decided |= _by_fields(kept, found)
        del decided["votes"]
    if isinstance(kept, Report):
        decided |= {"tally": found["tally"]}
    return {"asked": asked, "came back": came, "decided": decided | cost}


def _by_fields(kept: Verdict, found: Mapping[str, Any]) -> dict[str, Any]:
    """The answer as a document, and the vote on every field."""
    answer = None if kept.answer is None else kept.document
    return {"answer": answer} | {
        f"field {place or '(the whole)'}": vote for place, vote in found["fields"].items()
    }


def _tiers(kept: KeptVote, verdict: Verdict) -> Iterator[tuple[str, KeptTier, Verdict]]:
    verdicts = verdict.tiers or (verdict,)
    for place, (tier, came) in enumerate(zip(kept.tiers, verdicts, strict=True), 1):
        yield f"tier {place} " if len(verdicts) > 1 else "", tier, came


def _asked(tier: KeptTier) -> dict[str, Any]:
    plain = to_plain(tier.plan)
    variation = plain.pop("variation")
    question = plain.pop("question")
    found = {"context": question["context"], **plain, **variation}
    return {**found, "backend": tier.backend, "stop rule": tier.stopped.rule}


def _came(tier: KeptTier, verdict: Verdict) -> Mapping[int, Any]:
    """By run: what was read and the text it stands in, or why there is nothing."""
    answer = tier.plan.answer
    found: dict[int, Any] = {
        cast.index: {
            # Of a document the parts that differ are what is to be told.
            "choice": without_broken(answer.parts(cast.choice))[0]
            if cast.choice is not None and is_parted(answer)
            else cast.choice,
            "spoiled": cast.spoiled,
            "text": cast.text,
        }
        for cast in verdict.ballots
    }
    return found | {each.index: {"failed": each.kind, "why": each.message} for each in verdict.failures}


def _flat(name: str, values: list[Any]) -> dict[str, Any]:
    return {name: values} if values else {}
