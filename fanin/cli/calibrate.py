"""`fanin calibrate`: what past votes with known answers say about the votes to come."""

from __future__ import annotations

import sys
from typing import Any

import click

from fanin.cli.asking import asking_options, questions_of
from fanin.errors import FaninError


@click.command(name="calibrate", context_settings={"show_default": True})
@click.argument("labelled", type=click.Path())
@click.option("-o", "--output", type=click.Path(), required=True, metavar="FILE", help="Where it is kept.")
@click.option("--runs", type=int, default=5, help="Runs that are asked, and those of the votes it is for.")
@asking_options
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")
def command(**options: Any) -> None:
    """Learn from LABELLED, questions with known answers, how much to trust this ensemble's votes.

    One JSON object a line: {"question", "label", "answer", "choices", "context", "id"}, of which all but
    the first two may be left out. With a --backend (or a tape) they are asked, and --save keeps the votes.
    Without one nothing is asked, and the votes are stored: {"id", "kind", "question", "gold", "samples":
    [{"answer", "model", "prompt"}]}; gzip is fine. Where no right answer is known (gold null), only weights
    are fitted, from the votes alone.

    \b
      fanin calibrate labelled.jsonl -o cal.json --backend ollama --save votes.jsonl
      fanin calibrate votes.jsonl -o cal.json
      fanin vote "Is it so?" --calibration cal.json --weights cal.json
    """
    from fanin.cli.options import leave

    try:
        _calibrate(options)
    except FaninError as error:
        raise leave(error, command) from None


def _calibrate(options: dict[str, Any]) -> None:
    from fanin.calibration import ENOUGH_LABELS, calibrate, check_golds, write_calibration
    from fanin.cli.progress import say
    from fanin.cli.writable import check_file
    from fanin.show import clean, count

    output, quiet = options["output"], options["quiet"]
    check_file("output", output)
    made = calibrate(questions_of(options, check_golds, quiet=quiet), options["runs"])
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
