"""A verdict on stdout, and what led to it on stderr."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from fanin import show
from fanin.cli.progress import say
from fanin.verdict import Verdict, escape_unprintable

if TYPE_CHECKING:
    from rich.table import Table

_MOST_LINES = 40
"""So many fields of a document are shown."""


def print_json(verdict: Verdict) -> None:
    """The object fanin.vote/1, one line. Pure ASCII where stdout cannot take more."""
    text = verdict.to_json()
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        text = json.dumps(verdict.to_dict())
    click.echo(text)


def print_rules() -> None:
    """Every stop rule, how it is written, and what it costs."""
    from fanin.policy.stopping.parsing import PRICED, RULES

    formatter = click.HelpFormatter(width=100)
    formatter.write_dl([(kind.form, kind.price) for kind in RULES.values()])
    formatter.write_paragraph()
    formatter.write_text(PRICED)
    click.echo(formatter.getvalue(), nl=False)


def print_verdict(verdict: Verdict, *, quiet: bool, verbose: bool, answer_too: bool) -> None:
    """The answer on stdout (a table on a terminal, a bare line elsewhere), the rest on stderr."""
    terminal = sys.stdout.isatty()
    if answer_too and terminal:
        _print_table(verdict)
    elif answer_too and verdict.answer is not None:
        # White space within a document's texts is part of them.
        whole = escape_unprintable(verdict.answer) if verdict.fields else None
        click.echo(whole or show.one_line(verdict.answer, 100_000))
    if quiet:
        return
    if verbose:
        for tier in verdict.tiers or (verdict,):
            _print_replies(tier)
    for line in (*show.reasons(verdict), *show.clusters(verdict)):
        say(line)
    for line in show.open_fields(verdict)[:_MOST_LINES]:
        say(line)
    headline = show.headline(verdict)
    if terminal and answer_too:
        headline = ""
    say(
        "; ".join(
            part for part in (headline, show.stopping(verdict), show.costs(verdict, _calls(verdict))) if part
        )
    )
    if not (terminal and answer_too):
        for line in show.tiers(verdict):
            say(line)
        say(verdict.advice)


def _calls(verdict: Verdict) -> int:
    return sum(event.kind == "asked" for event in verdict.events)


def _print_replies(verdict: Verdict) -> None:
    for ballot in verdict.ballots:
        read = ballot.choice if ballot.choice is not None else f"spoiled, {ballot.spoiled}"
        temperature = "" if ballot.temperature is None else f", temperature {ballot.temperature:g}"
        click.echo(
            f"--- run {ballot.index} ({show.clean(ballot.model)}{temperature}): {show.one_line(read)}",
            err=True,
        )
        click.echo(show.clean(ballot.text.strip()), err=True)


def _print_table(verdict: Verdict) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    if verdict.answer is not None:
        console.print(Text(show.one_line(verdict.answer, 2000), style="bold"))
    console.print(Text(show.headline(verdict)))
    if verdict.fields:
        console.print(_fields_table(verdict))
    elif verdict.votes or show.endings(verdict.runs):
        console.print(_table(verdict))
    for choice, text in [] if verdict.fields else show.dissent(verdict):
        if verdict.answer is not None:
            console.print(Text(f"dissent, {choice}: {text}", style="dim"))
    for line in show.tiers(verdict):
        console.print(Text(line))
    console.print(Text(show.clean(verdict.advice)))


def _fields_table(verdict: Verdict) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    table = Table("field", "grade", "votes", box=SIMPLE, pad_edge=False)
    for pointer, field in list(verdict.fields.items())[:_MOST_LINES]:
        votes = ", ".join(
            f"{show.one_line(look, 40)} {number}" for look, number in list(field.votes.items())[:4]
        )
        what = f" ({field.what})" if field.what != "value" else ""
        table.add_row(Text(f"{show.one_line(pointer, 60) or '(whole)'}{what}"), field.grade, Text(votes))
    if len(verdict.fields) > _MOST_LINES:
        table.add_row(Text(f"and {len(verdict.fields) - _MOST_LINES} more fields"), "", "")
    return table


def _table(verdict: Verdict) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("answer", overflow="fold")
    table.add_column("votes", justify="right")
    table.add_column("")
    most = max(verdict.votes.values(), default=1)
    for choice, votes in list(verdict.votes.items())[:20]:
        table.add_row(
            Text(show.one_line(choice, 120)), str(votes), Text("\u2588" * max(1, 20 * votes // most))
        )
    if len(verdict.votes) > 20:
        table.add_row(Text(f"and {len(verdict.votes) - 20} more answers"), "", "")
    runs = verdict.runs
    for what, number in (
        ("spoiled", runs.spoiled),
        ("failed", runs.failed),
        ("cancelled", runs.cancelled),
        ("never asked", runs.unasked),
    ):
        if number:
            table.add_row(Text(what, style="dim"), str(number), "")
    return table
