"""`fanin import`: votes on what a provider's batch API answered."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from fanin.cli.batch_inputs import reader_of
from fanin.cli.offline import check_answers, vote_options, votes_elsewhere
from fanin.cli.options import check_answer_options, leave, shared
from fanin.errors import FaninError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fanin.batching.inflow import Inflow
    from fanin.batching.items import BadItem, Item
    from fanin.batching.offline import Answers, Desk
    from fanin.batching.rows import Row
    from fanin.batching.voted import Voting
    from fanin.cli.batch_files import Files

_EPILOG = """\b
Exit codes: 0 every row has an object; 1 rows failed; 2 usage or input."""


@click.command(name="import", epilog=_EPILOG, context_settings={"show_default": True})
@vote_options
@click.argument("answers", type=click.Path(), nargs=-1, required=True)
@click.option(
    "-o", "--output", type=click.Path(), default="-", metavar="FILE", help="Where the rows go; - is stdout."
)
@click.option(
    "--format",
    type=click.Choice(["jsonl", "csv", "parquet", "openai"]),
    help="How the rows are written.  [default: by the file's name, else jsonl]",
)
@click.option("--overwrite", is_flag=True, help="Replace the file that is there.")
@shared("price")
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")
def command(**options: Any) -> None:
    """Vote on ANSWERS, the files that a batch API gave for what fanin export wrote of QUESTIONS.

    QUESTIONS and the options have to be those of the export: an answer counts only for the very request
    that it was given to. A run without an answer has failed. The price is not looked up, since batch APIs
    have their own: give it with --price. A judge (--cluster judge, --select judge) is asked now, with calls
    that are no batch's; all else is sent nowhere.

    \b
      fanin import questions.jsonl answers.jsonl errors.jsonl --runs 5 -m gpt-4o-mini -o verdicts.jsonl
    """
    try:
        sys.exit(_import(options))
    except FaninError as error:
        raise leave(error, command) from None


def _import(options: dict[str, Any]) -> int:
    import anyio

    from fanin.batching.inflow import open_inflow
    from fanin.batching.offline import open_answers
    from fanin.cli.batch_files import files_of

    check_answer_options(options)
    check_answers(options)
    with open_inflow(options["questions"]) as inflow, open_answers(options["answers"]) as answers:
        files = files_of({**options, "resume": False, "journal": None}, inflow)
        rows, failed = anyio.run(_vote, options, inflow, answers, files)
    if not options["quiet"]:
        _tell(rows, failed, answers)
    return 1 if failed else 0


def _tell(rows: int, failed: int, answers: Answers) -> None:
    from fanin.cli.progress import say
    from fanin.show import count

    say(f"{count(rows, 'row')} ({failed:,} failed) by {answers.used:,} of {count(len(answers), 'answer')}")
    if answers.used < len(answers):
        strange = len(answers) - answers.used
        say(
            f"{count(strange, 'answer')} to no request of these: are the questions and the options those"
            " of the export?"
        )
    if answers.unreadable:
        say(f"{count(answers.unreadable, 'line')} of the answers could not be read")


async def _vote(options: dict[str, Any], inflow: Inflow, answers: Answers, files: Files) -> tuple[int, int]:
    """Writes a row for every item; how many there are, and how many failed."""
    from fanin.batching.readers import read_items
    from fanin.batching.writers import writer_of

    rows = failed = 0
    sink = files.sink(durable=False)
    try:
        writer = writer_of(files.written, sink)
        async with votes_elsewhere(options, judged=True) as (voting, desk):
            row_of = _row_by(voting, desk, answers, options["price"] or {})
            async for item in read_items(inflow, reader_of(options)):
                row = await row_of(item)
                writer.write(row)
                rows += 1
                failed += row.failed
        writer.end()
    except BaseException:
        sink.discard()
        raise
    sink.close(complete=True)
    return rows, failed


def _row_by(voting: Voting, desk: Desk, answers: Answers, prices: Any) -> Callable[[Item | BadItem], Any]:
    from fanin.batching.items import BadItem
    from fanin.batching.offline import verdict_on
    from fanin.batching.rows import Row

    async def row_of(item: Item | BadItem) -> Row:
        if isinstance(item, BadItem):
            return Row(item.number, item.id, None, item.message)
        try:
            verdict = await verdict_on(item, voting, desk, answers, prices)
        except FaninError as error:
            return Row(item.number, item.id, None, error.message)
        return Row(item.number, item.id, verdict.to_dict())

    return row_of
