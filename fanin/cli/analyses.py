"""Analyses as text for people, and what the command ends with."""

from __future__ import annotations

import json
import sys

import click

from fanin.analysed import Analysis
from fanin.cli import exits
from fanin.cli.progress import say
from fanin.show import clean, count, one_line

_ENDED = {
    "complete": "nothing was missing",
    "iterations": "the last round is done",
    "unassessed": "nobody could tell what was missing",
    "budget": "the cost limit was near",
    None: "it did not get to the end",
}


def print_analysis(analysis: Analysis, *, as_json: bool, quiet: bool, verbose: bool) -> None:
    """The final and the focused answer on stdout, or one object; how it came about on stderr."""
    if as_json:
        click.echo(_json(analysis))
    else:
        if analysis.final_answer is not None:
            click.echo(clean(analysis.final_answer))
        if analysis.focused_answer is not None:
            click.echo(f"\nAnswer: {one_line(analysis.focused_answer, 100_000)}")
    if quiet:
        if analysis.problem is not None:
            say(clean(analysis.problem))
        return
    if verbose:
        for step in analysis.steps:
            click.echo(f"--- round {step.iteration}, step {step.index + 1}: {clean(step.task)}", err=True)
            click.echo(clean(step.text) or f"({step.status})", err=True)
    for note in analysis.notes:
        say(clean(note))
    for step in analysis.steps:
        if step.failure is not None:
            why = one_line(step.failure.message, 300)
            say(f"step {step.index + 1} failed ({step.failure.kind}): {why}")
    if analysis.problem is not None:
        say(clean(analysis.problem))
    say(f"{analysis.mode.name}: {summary(analysis)}; {cost(analysis)}")


def print_analyses(analyses: tuple[Analysis, ...], answer: str | None) -> None:
    """A line on stderr for each analysis of a vote, with those that differ from `answer` marked."""
    for analysis in analyses:
        temperature = "" if analysis.temperature is None else f", temperature {analysis.temperature:g}"
        said = one_line(analysis.focused_answer or f"failed: {analysis.problem}", 160).removesuffix(".")
        differs = analysis.success and answer is not None and analysis.focused_answer != answer
        say(
            f"analysis {analysis.index} ({analysis.mode.name}, {clean(analysis.model)}{temperature}): {said}"
            f"{' (differs)' if differs else ''}; {summary(analysis)}, {count(analysis.calls, 'call')}"
        )


def summary(analysis: Analysis) -> str:
    """Rounds and steps, how many of them found nothing, and why there were no more."""
    found = sum(step.usable for step in analysis.steps)
    lost = f", {len(analysis.steps) - found} of them in vain" if found < len(analysis.steps) else ""
    steps = f"{count(analysis.iterations, 'round')}, {count(len(analysis.steps), 'step')}{lost}"
    return f"{steps} ({_ENDED[analysis.ended]})"


def cost(analysis: Analysis) -> str:
    """Calls, tokens and US dollars."""
    parts = [count(analysis.calls, "call")]
    usage = analysis.usage
    if usage.input_tokens is not None and usage.output_tokens is not None:
        parts.append(f"{usage.input_tokens:,} + {usage.output_tokens:,} tokens")
    parts.append("price unknown" if analysis.cost_usd is None else f"US$ {analysis.cost_usd:.6f}")
    return ", ".join(parts)


def exit_code(analysis: Analysis) -> int:
    """0 where there is a focused answer; 130 interrupted, 5 the key, 6 cut short, else 1."""
    if analysis.success:
        return exits.DECIDED
    failure = analysis.failure
    if failure is None:
        return exits.NOTHING_USABLE
    if failure.kind == "interrupted":
        return exits.INTERRUPTED
    if failure.kind == "auth":
        return exits.KEY
    if failure.exhausted or failure.kind in ("deadline", "budget", "quota"):
        return exits.CUT_SHORT
    return exits.NOTHING_USABLE


def _json(analysis: Analysis) -> str:
    """One line; pure ASCII where stdout cannot take more."""
    text = analysis.to_json()
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return json.dumps(analysis.to_dict())
    return text
