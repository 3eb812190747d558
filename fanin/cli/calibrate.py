"""`fanin calibrate`: what past votes with known answers say about the votes to come."""

from __future__ import annotations

import sys

import click

from fanin.errors import FaninError


@click.command(name="calibrate", context_settings={"show_default": True})
@click.argument("labelled", type=click.Path())
@click.option("-o", "--output", type=click.Path(), required=True, metavar="FILE", help="Where it is kept.")
@click.option("--runs", type=int, default=5, help="The runs of the votes that it is for.")
@click.option(
    "--answer",
    type=click.Choice(["yes/no", "number", "choice", "text"]),
    help="The type of the answers, for lines that name no kind.",
)
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")
def command(labelled: str, output: str, runs: int, answer: str | None, quiet: bool) -> None:
    """Learn from LABELLED, questions with stored answers, how much to trust this ensemble's votes.

    One JSON object a line: {"id", "kind", "question", "gold", "samples": [{"answer", "model", "prompt"}]};
    gzip is fine. Where no right answer is known (gold null), only weights are fitted, from the votes alone.

    \b
      fanin calibrate labelled.jsonl -o cal.json
      fanin vote "Is it so?" --calibration cal.json --weights cal.json
    """
    from fanin.cli.options import leave

    try:
        _calibrate(labelled, output, runs, answer, quiet=quiet)
    except FaninError as error:
        raise leave(error, command) from None


def _calibrate(labelled: str, output: str, runs: int, answer: str | None, *, quiet: bool) -> None:
    from fanin.calibration import ENOUGH_LABELS, calibrate, write_calibration
    from fanin.cli.progress import say
    from fanin.show import clean, count
    from fanin.stored_votes import read_stored

    made = calibrate(read_stored(labelled, answer), runs)
    write_calibration(made, output)
    if quiet:
        return
    for shape, past in made.shapes.items():
        say(f"{shape}: {past}")
    for record in made.weights.records if made.weights else ():
        prompt = f", prompt {clean(record.voter[1])}" if record.voter[1] else ""
        say(f"{clean(record.voter[0])}{prompt}: accuracy {100 * record.accuracy:.0f} %")
    if not made.labels:
        say("no right answer is known: weights only, fitted to the votes alone")
    elif made.labels < ENOUGH_LABELS:
        say(
            f"{count(made.labels, 'label')} {'is' if made.labels == 1 else 'are'} not enough to calibrate: "
            f"it takes {ENOUGH_LABELS}. The weights can be used, the confidence stays the agreement."
        )
    say(f"{clean(output)}: made from {count(made.labels, 'label')} for votes of {count(made.runs, 'run')}")
    sys.stderr.flush()
