"""`fanin eval`: how well ways of deciding do on questions with known answers."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from fanin.cli.asking import asking_options, questions_of
from fanin.errors import FaninError

if TYPE_CHECKING:
    from fanin.evaluation import Calibrated, Evaluation, Measured

SCHEMA = "fanin.eval/1"


@click.command(name="eval", context_settings={"show_default": True})
@click.argument("labelled", type=click.Path())
@click.option("--runs", type=int, default=5, help="Runs that are asked, and those of votes that are graded.")
@click.option("--labels", type=int, default=50, help="Questions that weights are fitted to.")
@click.option("--draws", type=int, default=20, help="Shuffles, choices of labels and random halves.")
@click.option(
    "--stop",
    multiple=True,
    metavar="RULE",
    help="A stop rule to measure; repeated, several.  [default: one of each sort]",
)
@asking_options
@click.option("--plots", type=click.Path(), metavar="DIR", help="Draw plots there, PNG and SVG.")
@click.option("--json", "as_json", is_flag=True, help="Print one object, fanin.eval/1.")
def command(**options: Any) -> None:
    """Measure on LABELLED, questions with known answers, how well votes do.

    One JSON object a line: {"question", "label", "answer", "choices", "context", "id"}, of which all but
    the first two may be left out. With a --backend (or a tape) they are asked, and --save keeps the votes.
    Without one nothing is asked, and the votes are stored: {"id", "kind", "question", "gold", "samples":
    [{"answer", "model", "prompt", "cost"}]}; gzip is fine. Stop rules see the samples in shuffled orders;
    weights and the best single voter are chosen on some questions and measured on the others.

    \b
      fanin eval labelled.jsonl --backend ollama --runs 9 --save votes.jsonl
      fanin eval votes.jsonl --plots plots
      fanin eval votes.jsonl.gz --runs 9 --stop voi --stop certified:0.05 --json
    """
    from fanin.cli.options import leave

    try:
        _eval(options)
    except FaninError as error:
        raise leave(error, command) from None


def _eval(options: dict[str, Any]) -> None:
    from fanin.cli.progress import say
    from fanin.cli.writable import check_folder
    from fanin.evaluating import check, evaluate
    from fanin.show import clean

    if options["plots"]:
        from fanin.plotting import require_matplotlib

        require_matplotlib()
        check_folder("plots", options["plots"])
    how = {name: options[name] for name in ("runs", "labels", "draws")} | {"stops": options["stop"] or None}

    def check_before(golds: list[str | None]) -> None:
        check(sum(gold is not None for gold in golds), budget=options["runs"], **how)

    evaluation = evaluate(questions_of(options, check_before), **how)
    if options["as_json"]:
        click.echo(to_json(evaluation))
    elif sys.stdout.isatty():
        _print_tables(evaluation)
    else:
        for _, header, rows in _tables(evaluation):
            for row in (header, *rows):
                click.echo("\t".join(row))
            click.echo()
    for remark in evaluation.remarks:
        say(clean(remark))
    if options["logprobs"] and not any(one.name == "weights, logprob" for one in evaluation.methods):
        say("not every vote came with a log-probability, so weights by them are not measured")
    if options["plots"]:
        from fanin.plotting import plot

        say(f"drawn: {', '.join(map(clean, plot(evaluation, options['plots'])))}")


def to_json(evaluation: Evaluation) -> str:
    """The object fanin.eval/1, one line of ASCII; shares from 0 to 1, costs in US dollars."""
    import attrs

    return json.dumps({"schema": SCHEMA, **attrs.asdict(evaluation)})


_Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _fine(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _tables(evaluation: Evaluation) -> list[_Table]:
    """(title, header, rows) of every table."""
    from fanin.show import count

    models, votes = count(len(evaluation.models), "model"), f"votes of {count(evaluation.runs, 'run')}"
    return [
        (
            f"{evaluation.questions:,} questions, {evaluation.kind}, {models}",
            ("way of deciding", "accuracy %", "+-", "Brier", "ECE", "runs", "US$ a question"),
            [_method(one) for one in evaluation.methods],
        ),
        (
            f"By grade, {votes}",
            ("grade", "of the votes %", "accuracy %", "from", "to"),
            [
                (one.grade, _percent(one.share), _percent(one.accuracy), *map(_percent, one.interval))
                for one in evaluation.grades
            ],
        ),
        (
            f"Confidence, {votes}, on the half that it was not fitted to",
            ("confidence", "labels", "ECE", "+-", "by chance", "Brier", "enough labels"),
            [_confidence(one) for one in evaluation.calibrations],
        ),
    ]


def _method(one: Measured) -> tuple[str, ...]:
    cost = "unknown" if one.cost_usd is None else f"{one.cost_usd:.5f}"
    return (
        *(one.name, _percent(one.accuracy), _percent(one.spread), _fine(one.brier), _fine(one.ece)),
        *(f"{one.runs:.2f}", cost),
    )


def _confidence(one: Calibrated) -> tuple[str, ...]:
    enough = "" if not one.labels else "yes" if one.enough else "no"
    errors = map(_fine, (one.ece, one.spread, one.floor, one.brier))
    return one.name, str(one.labels), *errors, enough


def _print_tables(evaluation: Evaluation) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for title, header, rows in _tables(evaluation):
        table = Table(box=SIMPLE, pad_edge=False, title=Text(title), title_justify="left")
        for place, name in enumerate(header):
            table.add_column(name, justify="right" if place else "left")
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table)
