"""`fanin show`: one kept run, all of it or what speaks against its answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from fanin.show import clean, count, headline, one_line

if TYPE_CHECKING:
    from fanin.analysed import Analysis
    from fanin.keeping.record import Kept, KeptTier, Record
    from fanin.report import Report
    from fanin.values import Ballot, Event
    from fanin.verdict import Verdict


@click.command(name="show")
@click.argument("run")
@click.option("--dissent", is_flag=True, help="The minority report: who says something else, and why.")
@click.option("--json", "as_json", is_flag=True, help="Print the record, fanin.run/1.")
@click.option("-v", "--verbose", is_flag=True, help="Every reply whole, the prompt, and every event.")
def command(run: str, dissent: bool, as_json: bool, verbose: bool) -> None:
    """Show a kept RUN: an id, the beginning of one, `last`, a file of runs, a tape, stored votes, rows of a
    batch or its journal. FILE#ID is one of those in a file or a journal.

    \b
      fanin show last
      fanin show last --dissent
      fanin show verdicts.jsonl.journal#17 --dissent
    """
    from fanin.cli.options import leave
    from fanin.errors import FaninError

    try:
        _show(run, dissent=dissent, as_json=as_json, verbose=verbose)
    except FaninError as error:
        raise leave(error, command) from None


def _show(run: str, *, dissent: bool, as_json: bool, verbose: bool) -> None:
    from fanin.evidence import evidence_of
    from fanin.keeping.record import record_text
    from fanin.recounting import recount

    for place, record in enumerate(evidence_of(run)):
        if place and not as_json:
            click.echo()
        if as_json:
            click.echo(record_text(record))
            continue
        kept = recount(record)
        lines = _minority(record, kept) if dissent else _whole(record, kept, verbose=verbose)
        for line in lines:
            click.echo(clean(line))


def _whole(record: Record, kept: Kept, *, verbose: bool) -> Iterator[str]:
    from fanin.analysed import Analysis
    from fanin.verdict import Verdict

    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    yield f"{record.kind} {record.id}" + (f", kept at {record.kept_at} by {versions}" if versions else "")
    yield f"question: {record.question}"
    if isinstance(kept, Verdict):
        assert record.vote is not None, "a verdict comes of a kept vote"
        for place, (tier, came) in enumerate(zip(record.vote.tiers, kept.tiers or (kept,), strict=True), 1):
            if len(record.vote.tiers) > 1:
                yield f"tier {place}"
            yield from _asked(tier, verbose=verbose)
            yield from _came(came, verbose=verbose)
            yield from _events(tier.events, verbose=verbose)
        yield from _fields(kept)
        yield f"answer: {'none' if kept.answer is None else one_line(kept.answer, 2000)}"
        yield headline(kept)
        yield kept.advice
    elif isinstance(kept, Analysis):
        yield from _analysis(kept, verbose=verbose)
    else:
        yield from _panel(kept, verbose=verbose)


def _asked(tier: KeptTier, *, verbose: bool) -> Iterator[str]:
    plan = tier.plan
    if plan.question.context is not None:
        yield f"context: {count(len(plan.question.context), 'character')}"
    options = f" ({', '.join(plan.answer.options)})" if plan.answer.options else ""
    yield f"asked: {count(plan.runs, 'run')} of {', '.join(tier.models)} at {tier.backend}"
    yield f"answers: {plan.answer.name}{options}; stop rule {tier.stopped.rule}; seed {plan.variation.seed}"
    if verbose:
        yield from (f"[{message.role}]\n{message.content}" for message in tier.prompt)


def _run(cast: Ballot) -> str:
    heat = "" if cast.temperature is None else f", temperature {cast.temperature:g}"
    return f"run {cast.index} ({clean(cast.model)}{heat})"


def _came(verdict: Verdict, *, verbose: bool) -> Iterator[str]:
    for cast in verdict.ballots:
        read = cast.choice if cast.choice is not None else f"spoiled, {cast.spoiled}"
        yield f"{_run(cast)}: {one_line(read, 200)}"
        yield cast.text.strip() if verbose else f"    {one_line(cast.text, 160)}"
    for lost in verdict.failures:
        yield f"run {lost.index}: failed ({lost.kind}): {one_line(lost.message, 300)}"


def _fields(verdict: Verdict) -> Iterator[str]:
    for place, field in verdict.fields.items():
        votes = ", ".join(f"{one_line(choice, 60)}: {cast}" for choice, cast in field.votes.items())
        came = field.grade if field.reason is None else field.reason
        tier = f"; tier {field.tier}" if field.tier is not None and verdict.tiers else ""
        what = "" if field.what == "value" else f" ({field.what})"
        yield f"field {place or '(the whole)'}{what}: {votes or 'no vote'}; {came}{tier}"


def _events(events: tuple[Event, ...], *, verbose: bool) -> Iterator[str]:
    from fanin.cli.progress import detail

    if verbose:
        yield from map(detail, events)
    waits = [event.wait_s for event in events if event.wait_s]
    if waits:
        yield f"waited {count(len(waits), 'time')}, {sum(waits):.2f} s in all"


def _analysis(analysis: Analysis, *, verbose: bool) -> Iterator[str]:
    yield f"asked: {analysis.model} at {analysis.backend}, mode {analysis.mode.name}"
    for step in analysis.steps:
        yield f"step {step.index + 1} ({step.status}): {one_line(step.task, 160)}"
        if verbose:
            yield step.text
    if analysis.final_answer is not None:
        yield analysis.final_answer
    yield f"answer: {analysis.focused_answer or analysis.problem}"
    yield from _events(analysis.events, verbose=verbose)


def _panel(report: Report, *, verbose: bool) -> Iterator[str]:
    for run in report.agents:
        said = run.text if run.failure is None else f"failed: {run.failure.message}"
        yield f"{run.name} ({run.model}): {run.answer or run.status}"
        for use in run.tool_calls:
            came = use.result if use.error is None else f"failed: {use.error}"
            yield f"    {one_line(f'{use.name}{use.arguments}', 100)}: {one_line(came or '', 100)}"
        yield said if verbose else f"    {one_line(said, 160)}"
    yield report.text
    yield from _events(report.events, verbose=verbose)


def _minority(record: Record, kept: Kept) -> Iterator[str]:
    from fanin.errors import RecordError
    from fanin.verdict import Verdict

    if not isinstance(kept, Verdict) or record.vote is None:
        raise RecordError(f"run {record.id} is no vote but a kept {record.kind}: nobody dissents in it")
    from fanin.keeping.dissent import minority, still_open

    yield f"{record.question}\n{headline(kept)}"
    if kept.fields:
        yield from _minority_by_fields(kept)
        return
    found = minority(kept)
    if not found:
        yield "Nobody who cast a vote dissents."
    several = len({cast.model for cast in kept.ballots}) > 1
    for one in found:
        yield f"{count(one.votes, 'vote')} for {one_line(one.choice, 200)}"
        if several:
            yield f"  by model: {'; '.join(f'{model} {mine} of {all_}' for model, mine, all_ in one.models)}"
        if one.temperatures:
            heats = "; ".join(f"{heat:g}: {mine} of {all_}" for heat, mine, all_ in one.temperatures)
            yield f"  by temperature: {heats}"
        yield from (f"  {one_line(text, 1000)}" for text in one.reasons)
    yield still_open(kept)


def _minority_by_fields(verdict: Verdict) -> Iterator[str]:
    """Every field of which two runs differ, and which of them silent runs could still have changed."""
    from fanin.keeping.dissent import fields_still_open, thoughts, who_said

    told = False
    for place, field in verdict.fields.items():
        if len(field.votes) < 2:
            continue
        told = True
        votes = ", ".join(
            f"{one_line(choice, 200)} ({count(cast, 'vote')})" for choice, cast in field.votes.items()
        )
        yield f"{place or 'the whole'}: {votes}" + ("" if field.reason is None else f"; {field.reason}")
        winner = next(iter(field.votes)) if field.reason is None else None
        for choice, casts in who_said(verdict, place).items():
            if choice != winner:
                yield f"  {one_line(choice, 200)}: {', '.join(map(_run, casts))}"
                if reasons := sorted(filter(None, {thoughts(cast.text) for cast in casts}), key=len):
                    yield f"    {one_line(reasons[0], 300)}"
    if not told:
        yield "Nobody dissents on any field."
    if verdict.tiers:
        yield "Each field is told by the tier that decides it; without --dissent every tier is."
    yield fields_still_open(verdict)
