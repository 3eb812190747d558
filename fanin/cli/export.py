"""`fanin export`: the requests of many votes, for a provider's batch API."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from fanin.cli.batch_inputs import reader_of
from fanin.cli.offline import check_answers, vote_options, votes_elsewhere
from fanin.cli.options import check_answer_options, leave
from fanin.errors import FaninError

if TYPE_CHECKING:
    from fanin.batching.inflow import Inflow
    from fanin.batching.offline import RequestFiles


@click.command(name="export", context_settings={"show_default": True})
@vote_options
@click.option(
    "--to", type=click.Choice(["openai-batch"]), default="openai-batch", help="Whose format the files have."
)
@click.option(
    "-o", "--output", type=click.Path(), required=True, metavar="FILE", help="Where the requests go."
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@click.option(
    "--per-file", type=click.IntRange(1, 50_000), default=50_000, help="Requests in one file at most."
)
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")
def command(**options: Any) -> None:
    """Write every run of every question as a request of a batch API, which takes its time and less money.

    Nothing is sent. Hand the files to the provider; when it has answered, the same options with fanin
    import make the votes. There is one model in a file, and no more than a provider takes; what does not
    fit goes to FILE-2, FILE-3 and so on.

    \b
      fanin export questions.jsonl --to openai-batch --runs 5 -m gpt-4o-mini -o requests.jsonl
      fanin import questions.jsonl answers.jsonl --runs 5 -m gpt-4o-mini -o verdicts.jsonl
    """
    try:
        sys.exit(_export(options))
    except FaninError as error:
        raise leave(error, command) from None


def _export(options: dict[str, Any]) -> int:
    import anyio

    from fanin.batching.inflow import is_same_file, open_inflow
    from fanin.batching.offline import RequestFiles
    from fanin.cli.progress import say
    from fanin.show import clean, count

    check_answer_options(options)
    check_answers(options)
    with open_inflow(options["questions"]) as inflow:
        if is_same_file(options["output"], inflow):
            raise FaninError(f"{options['output']}: the requests would be written over the questions")
        files = RequestFiles(
            options["output"], overwrite=options["overwrite"], most_requests=options["per_file"]
        )
        try:
            bad = anyio.run(_write, options, inflow, files)
            files.close()
        except BaseException:
            files.discard()
            raise
    for line in bad:
        say(line)
    if not options["quiet"]:
        for path, model, requests in files.made:
            say(f"{clean(path)}: {count(requests, 'request')} to {clean(model)}")
    return 1 if bad else 0


async def _write(options: dict[str, Any], inflow: Inflow, files: RequestFiles) -> list[str]:
    """Writes the requests; what could not be asked, a line each."""
    from fanin.batching.items import BadItem
    from fanin.batching.offline import requests_of
    from fanin.batching.readers import read_items
    from fanin.show import one_line

    bad = []
    async with votes_elsewhere(options, judged=False) as (voting, desk):
        async for item in read_items(inflow, reader_of(options)):
            try:
                if isinstance(item, BadItem):
                    raise FaninError(item.message)
                requests = await requests_of(item, voting, desk)
            except FaninError as error:
                bad.append(f"line {item.number}: {one_line(error.message, 200)}")
                continue
            for model, line in requests:
                files.write(model, line)
    return bad
