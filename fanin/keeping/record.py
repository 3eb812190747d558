"""One kept run as a value and as text, `fanin.run/1`: a JSON object on one line, in ASCII.

Beside `schema`, `id`, `kind`, `kept_at`, `versions` and `decided` the object has one member that bears the
name of its kind and holds the evidence: `vote`, `analysis` or `panel`. Their fields are those of the classes
here and of `fanin.values`. A change that a reader of version 1 would misread makes a new version.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from operator import is_
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs

from fanin.clusters import Judging
from fanin.errors import FaninError, InputError, RecordError
from fanin.keeping.answer_types import ForeignAnswer
from fanin.keeping.plain import Misfit, from_plain, to_plain
from fanin.policy.pricing import Price
from fanin.stages.isolate import isolate
from fanin.values import Event, Failure, Message, Plan, Run, Sample, Stopped
from fanin.verdict import Verdict

if TYPE_CHECKING:
    from fanin.analysed import Analysis
    from fanin.calibration import Calibration
    from fanin.report import Report

SCHEMA = "fanin.run/1"
_READ = (SCHEMA,)
"""The versions that are read here, the newest last."""

Kind: TypeAlias = Literal["vote", "analysis", "panel"]
Kept: TypeAlias = "Verdict | Analysis | Report"
"""What can be kept."""

_CONTEXT = "(the context of the plan)"


@attrs.frozen
class KeptTier:
    """A vote, or one tier of a cascade, as it came."""

    plan: Plan
    """What was decided before the first call."""
    runs: tuple[Run, ...]
    """The plan's runs, by index."""
    prompt: tuple[Message, ...]
    """What run 0 was sent, with a mark for the context; empty where its runs were analyses."""
    samples: tuple[Sample, ...]
    """What came back, by index, word for word; without the rate-limit headers, which were for the moment."""
    failures: tuple[Failure, ...]
    """What gave nothing, by index."""
    cancelled: int
    """Runs that a satisfied stop rule called back."""
    unasked: int
    """Planned runs that were never asked."""
    stopped: Stopped
    """What ended the asking."""
    remarks: tuple[str, ...]
    """Sentences that the advice says because of the stop rule."""
    backend: str
    """The backend's name."""
    models: tuple[str, ...]
    """The models as the verdict names them."""
    events: tuple[Event, ...] = ()
    """What happened on the way, waits and all."""
    judging: Judging | None = None
    """Of free texts: what a judge or an embedding told of them; None where nothing did."""
    analyses: tuple[Analysis, ...] = ()
    """Of a vote over analyses: every one that was begun, by index."""


@attrs.frozen
class KeptVote:
    """A vote: one tier, or those of a cascade that were asked."""

    tiers: tuple[KeptTier, ...]
    """In the order in which they were asked; at least one."""
    planned: tuple[tuple[str, ...], ...] = ()
    """Of a cascade: the models of every planned tier."""
    prices: tuple[tuple[str | None, Price], ...] = ()
    """(model, its price); None stands for all others."""
    weights: tuple[str, ...] = ()
    """What weighted the votes: `logprob`, or the texts of calibration files."""
    calibrations: tuple[str, ...] = ()
    """The texts of the calibration files that were there for the confidence."""


@attrs.frozen
class Decided:
    """What came of it, in short."""

    outcome: str
    """Of a vote and a panel their outcome; of an analysis `decided` or `failed`."""
    answer: str | None = None
    """The answer; of a panel the one that was voted for. None where there is none."""
    grade: str | None = None
    """The grade of the vote; None where none was held."""
    cost_usd: float | None = None
    """US dollars; None is unknown."""


@attrs.frozen
class Record:
    """A kept run."""

    id: str
    """Tells it from all others."""
    kind: Kind
    """What it is a record of."""
    kept_at: str
    """When it was kept, in UTC: `2026-11-21T07:54:23Z`."""
    versions: dict[str, str]
    """Program -> version: `fanin` and `python`."""
    decided: Decided
    """What came of it when it was kept."""
    vote: KeptVote | None = None
    """The evidence of a vote."""
    analysis: Analysis | None = None
    """The evidence of an analysis."""
    panel: Report | None = None
    """The evidence of a panel."""

    def __attrs_post_init__(self) -> None:
        given = [kind for kind in ("vote", "analysis", "panel") if getattr(self, kind) is not None]
        if given != [self.kind]:
            raise InputError("kind", "the one kind of which there is evidence", (self.kind, given))
        if self.vote is not None and not self.vote.tiers:
            raise InputError("tiers", "at least one", self.vote.tiers)

    @property
    def question(self) -> str:
        """What was asked, in words."""
        if self.vote is not None:
            return self.vote.tiers[0].plan.question.text
        return self.analysis.question if self.analysis is not None else _there(self.panel).query


def record_of(kept: Kept, id: str, kept_at: str, versions: Mapping[str, str]) -> Record:  # noqa: A002
    """The record of a result. Raises InputError for one that does not hold what it was concluded from."""
    if isinstance(kept, Verdict):
        return Record(id, "vote", kept_at, dict(versions), decided(kept), vote=_kept_vote(kept))
    from fanin.analysed import Analysis
    from fanin.report import Report

    if isinstance(kept, Report):
        return Record(id, "panel", kept_at, dict(versions), decided(kept), panel=kept)
    if not isinstance(kept, Analysis):
        raise InputError("kept", "a Verdict, an Analysis or a Report", kept)
    if kept.basis is None:
        raise InputError("kept", "an analysis with its basis", kept.question)
    return Record(id, "analysis", kept_at, dict(versions), decided(kept), analysis=kept)


def decided(kept: Kept) -> Decided:
    """What came of it, in short."""
    if isinstance(kept, Verdict):
        return Decided(kept.outcome, kept.answer, kept.grade, kept.cost_usd)
    from fanin.report import Report
    from fanin.stages.grade import grade

    if not isinstance(kept, Report):
        outcome = "decided" if kept.success else "failed"
        return Decided(outcome, kept.focused_answer, cost_usd=kept.cost_usd)
    if kept.tally is None:
        return Decided(kept.outcome, cost_usd=kept.cost_usd)
    return Decided(kept.outcome, kept.tally.winner, grade(kept.tally.tally), kept.cost_usd)


def _kept_vote(verdict: Verdict) -> KeptVote:
    basis = verdict.basis
    if basis is None:
        raise InputError("kept", "a verdict with its basis, as fanin.vote gives it", verdict.question)
    weights = (basis.weights,) if isinstance(basis.weights, str) else basis.weights
    return KeptVote(
        tiers=tuple(_kept_tier(tier) for tier in verdict.tiers or (verdict,)),
        planned=basis.tiers,
        prices=tuple(basis.prices.items()),
        weights=_texts(weights),
        calibrations=_texts(basis.calibrations),
    )


def _texts(files: tuple[Any, ...]) -> tuple[str, ...]:
    """Calibrations as the texts of their files; a name stays one."""
    if not files or isinstance(files[0], str):
        return files
    from fanin.calibration import text_of

    return tuple(map(text_of, files))


def _kept_tier(verdict: Verdict) -> KeptTier:
    basis = verdict.basis
    if basis is None:
        raise InputError("kept", "a verdict with the basis of every tier", verdict.question)
    return KeptTier(
        plan=basis.plan,
        runs=basis.runs,
        prompt=() if verdict.analyses else prompt_of(basis.plan, basis.runs[0]),
        samples=tuple(
            attrs.evolve(sample, completion=attrs.evolve(sample.completion, headers=()))
            for sample in basis.gathered.samples
        ),
        failures=basis.gathered.failures,
        cancelled=basis.gathered.cancelled,
        unasked=basis.gathered.unasked,
        stopped=verdict.stopped,
        remarks=basis.remarks,
        backend=verdict.backend,
        models=verdict.models,
        events=verdict.events,
        judging=basis.judging,
        analyses=tuple(attrs.evolve(each, basis=None) for each in verdict.analyses),
    )


def prompt_of(plan: Plan, run: Run) -> tuple[Message, ...]:
    """What that run is sent, with a mark in place of the context; nothing for a type of one's own."""
    if isinstance(plan.answer, ForeignAnswer):
        return ()
    if plan.question.context is not None:
        plan = attrs.evolve(plan, question=attrs.evolve(plan.question, context=_CONTEXT))
    return isolate(plan, run).messages


def record_text(record: Record) -> str:
    """The record as one line of JSON, without its line end."""
    found = to_plain(record)
    of_kind = {record.kind: found[record.kind]}
    head = {name: found[name] for name in ("id", "kind", "kept_at", "versions", "decided")}
    return json.dumps({"schema": SCHEMA, **head, **of_kind}, separators=(",", ":"))


def read_record(text: str, where: str) -> Record:
    """The record that `record_text` wrote; `where` names it in errors.

    Raises RecordError: no JSON, another or a newer format, or a field that is missing or does not fit.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise RecordError(f"{where}: it is not JSON") from None
    check_schema(found, where)
    try:
        record: Record = from_plain(Record, found)
    except Misfit as problem:
        raise RecordError(f"{where}: it is damaged: {problem}") from None
    except RecursionError:
        raise RecordError(f"{where}: it is damaged: it is nested too deep") from None
    return record


def check_schema(found: Any, where: str) -> None:
    """Raises RecordError unless that is an object of a version of the format that is read here."""
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema in _READ:
        return
    family, _, version = str(schema).rpartition("/")
    if family == SCHEMA.rpartition("/")[0] and version.isdigit():
        raise RecordError(
            f"{where}: it is {schema}, and this fanin reads up to {SCHEMA}",
            mend="Read it with a newer fanin: pip install --upgrade fanin",
        )
    raise RecordError(f"{where}: it is no kept run ({SCHEMA})")


def scrubbed(record: Record, scrub: Callable[[str], str]) -> Record:
    """The record with every text in it as `scrub` leaves it: keys are taken out."""
    cleaned: Record = _scrub(record, scrub)
    return attrs.evolve(cleaned, id=record.id, kind=record.kind, kept_at=record.kept_at)


def _scrub(value: Any, scrub: Callable[[str], str]) -> Any:
    """The value itself where nothing in it changes, which is nearly always."""
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, tuple | list):
        found = tuple([_scrub(each, scrub) for each in value])
        return value if all(map(is_, found, value)) else found
    if isinstance(value, dict):
        return {key: _scrub(each, scrub) for key, each in value.items()}
    if not attrs.has(type(value)):
        return value
    changed = {}
    for field in attrs.fields(type(value)):
        if field.init and (new := _scrub(old := getattr(value, field.name), scrub)) is not old:
            changed[field.name] = new
    return attrs.evolve(value, **changed) if changed else value


def calibrations_of(texts: tuple[str, ...], where: str) -> tuple[Calibration, ...]:
    """The calibrations of these texts. Raises RecordError."""
    if not texts:
        return ()
    from fanin.calibration import calibration_from

    try:
        return tuple(calibration_from(text, where) for text in texts)
    except FaninError as error:
        raise RecordError(error.message) from None


def _there(report: Report | None) -> Report:
    assert report is not None, "a record holds the evidence of its kind"
    return report
