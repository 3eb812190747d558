"""`fanin recount`: decide again from what is kept, in the same or another way, and ask nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from fanin.cli.answer_types import answer_type_options, typed_answer
from fanin.cli.batch_inputs import reading_options
from fanin.cli.options import check_answer_options, leave, settings_for, shared
from fanin.errors import FaninError, InputError

if TYPE_CHECKING:
    from fanin.answers import Answer
    from fanin.keeping.record import Kept, Record

_EPILOG = """\b
Exit codes: those of fanin vote; of several votes 1 where one gave nothing usable, else 3 where one is
below --require, else 0."""
_ASKED = ("runs", "system", "temperature", "temperature_step", "seed", "max_tokens", "structured")
_OF_BATCH = (*_ASKED, "model", "backend", "base_url")
_OF_QUESTIONS = ("input_format", "column", "allow_duplicates")


@click.command(name="recount", epilog=_EPILOG, context_settings={"show_default": True})
@click.argument("source", callback=settings_for(_ASKED), is_eager=True)
@click.option("--rule", metavar="RULE", help="Another stop rule, the runs taken in their order (--stop).")
@click.option(
    "--answer",
    type=click.Choice(["yes/no", "number", "text", "date", "quantity"]),
    help="Read the replies as this type.",
)
@shared("choices", "tolerance")
@answer_type_options
@click.option(
    "--cluster",
    metavar="HOW",
    help="Read them as texts, and count as one what is: exact, or lexical, or lexical:0.8.",
)
@click.option("--quorum", type=int, metavar="K", help="Valid ballots needed.")
@click.option(
    "--weights",
    multiple=True,
    metavar="FILE",
    help="Weigh the votes by a file of fanin calibrate, or by logprob; none: every vote counts as one.",
)
@click.option("--require", type=click.Choice(["high", "medium"]), help="Exit 3 where the agreement is lower.")
@click.option(
    "--questions",
    type=click.Path(),
    metavar="FILE",
    help="For a journal that does not say what was asked (an older fanin's): the batch's questions. They "
    "and the options below have to be the batch's.",
)
@reading_options
@shared("runs", "backend", "model", "base_url", "system", "temperature", "temperature_step", "seed")
@shared("max_tokens", "structured")
@click.option("--json", "as_json", is_flag=True, help="Print the object: of several, one a line.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")
@click.option("-v", "--verbose", is_flag=True, help="Every reply on stderr.")
def command(**options: Any) -> None:
    """Decide again from SOURCE, and ask nothing: a kept run (an id, the beginning of one, `last`), a file of
    runs, a tape of one vote, a file of votes or of rows of a batch, or a batch's journal. FILE#ID is one of
    the votes in a file or a journal; `-` is a file on standard input.

    With nothing changed what comes out is what was decided, to the byte.

    \b
      fanin recount last --rule certified:0.05
      fanin recount cassettes/demo.json --choices whale,shark,tuna --quorum 4
      fanin recount verdicts.jsonl --answer number --tolerance 0.5 --json
      fanin recount verdicts.jsonl.journal#17 --quorum 4
    """
    try:
        sys.exit(_recount(options))
    except FaninError as error:
        if isinstance(error, InputError) and error.field == "stop":
            error = InputError("rule", error.bound, error.value, mend=error.mend)
        raise leave(error, command) from None


def _recount(options: dict[str, Any]) -> int:
    from fanin.recounting import recount

    _check_journal_options(options)
    answer = _answer(options)
    codes: set[int] = set()
    for place, record in enumerate(_records(options, answer)):
        kept = recount(
            record,
            # The questions of a journal say it: its answers are found by what was asked.
            answer=answer if options["questions"] is None else None,
            stop=options["rule"],
            quorum=options["quorum"],
            weights=options["weights"] or None,
        )
        if place == 0:
            before = (record, kept)
            continue
        if place == 1:
            codes.add(_row(*before, options))
        codes.add(_row(record, kept, options))
    return min(codes - {0}, default=0) if codes else _only(before[1], options)


def _check_journal_options(options: dict[str, Any]) -> None:
    """Raises click.UsageError for options that only a journal needs, without the questions to one."""
    if options["questions"] is not None:
        return
    ctx = click.get_current_context()
    for name in (*_OF_BATCH, *_OF_QUESTIONS):
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"--{name.replace('_', '-')} goes with --questions: nothing is asked again"
            )


def _answer(options: dict[str, Any]) -> Answer | None:
    """The type of answer that is named; None where none is. Raises FaninError and click.UsageError."""
    from fanin import answers
    from fanin.answers.auto import parse_answer
    from fanin.cli.parameters import comma_list

    named = {**options, "answer": options["answer"] or "auto", "cluster": options["cluster"] or "exact"}
    check_answer_options(named)
    if options["choices"] is not None:
        return answers.Choice(comma_list(options["choices"]))
    if options["cluster"] is not None:
        return _clustered(options["cluster"])
    if (typed := typed_answer(named)) is not None:
        return typed
    if options["answer"] == "number":
        return answers.Number(abs_tol=options["tolerance"] or 0.0)
    return None if options["answer"] is None else parse_answer(options["answer"])


def _clustered(spec: str) -> Answer:
    from fanin.answers import Text
    from fanin.answers.text import parse_cluster

    cluster, threshold = parse_cluster(spec)
    if cluster not in ("exact", "lexical"):
        mend = "What a judge or an embedding told once is kept, and holds where --cluster is left out."
        raise InputError("cluster", "exact or lexical, since nobody is asked again", spec, mend=mend)
    return Text(cluster, threshold)


def _records(options: dict[str, Any], answer: Answer | None) -> Iterable[Record]:
    if options["questions"] is None:
        from fanin.evidence import evidence_of

        return evidence_of(options["source"], answer)
    import anyio

    return anyio.run(_journalled, options, answer)


async def _journalled(options: dict[str, Any], answer: Answer | None) -> tuple[Record, ...]:
    """The records of a batch's journal. Raises FaninError where it holds no answer to these questions."""
    import os
    from contextlib import aclosing
    from pathlib import Path

    from fanin.batching.inflow import open_inflow
    from fanin.batching.items import Item
    from fanin.batching.jobs import Asking
    from fanin.batching.journal import read_journal
    from fanin.batching.journalled import Journalled
    from fanin.batching.readers import read_items
    from fanin.batching.voted import Voting
    from fanin.cli.batch_inputs import reader_of
    from fanin.connecting import open_backend
    from fanin.settings import backend_settings
    from fanin.terms import Terms

    chosen = backend_settings(options["backend"], base_url=options["base_url"], model=options["model"])
    backend = open_backend(chosen.name, base_url=chosen.base_url, environ=os.environ, replaying=True)
    asked = {name: options[name] for name in (*_ASKED, "quorum")}
    asking = Asking(answer=answer, model=chosen.models, **asked)
    voting = Voting(asking, backend, Terms(), {}, None, options["rule"] or "all", "fit")
    records = []
    with read_journal(Path(options["source"])) as journal, open_inflow(options["questions"]) as inflow:
        kept = Journalled(journal, voting, f"{backend.name} {backend.base_url or ''}")
        async with aclosing(read_items(inflow, reader_of(options))) as items:
            async for item in items:
                record = await kept.record(item) if isinstance(item, Item) else None
                if record is not None:
                    records.append(record)
    await backend.aclose()
    if not records:
        raise FaninError(
            f"{options['source']}: it holds no answer to these questions",
            mend="They, the backend and the options have to be those of the batch.",
        )
    return tuple(records)


def _only(kept: Kept, options: dict[str, Any]) -> int:
    """Prints the one result as the command that made it does; gives its exit code."""
    from fanin.analysed import Analysis
    from fanin.report import Report

    how = {"quiet": options["quiet"], "verbose": options["verbose"]}
    if isinstance(kept, Analysis):
        from fanin.cli.analyses import exit_code as of_analysis
        from fanin.cli.analyses import print_analysis

        print_analysis(kept, as_json=options["as_json"], **how)
        return of_analysis(kept)
    if isinstance(kept, Report):
        from fanin.cli.panel import exit_code as of_panel
        from fanin.cli.panel import print_report

        print_report(kept, as_json=options["as_json"], quiet=options["quiet"])
        return of_panel(kept)
    from fanin.cli.exits import exit_code
    from fanin.cli.output import print_json, print_verdict

    if options["as_json"]:
        print_json(kept)
    print_verdict(kept, answer_too=not options["as_json"], **how)
    return exit_code(kept, options["require"])


def _row(record: Record, kept: Kept, options: dict[str, Any]) -> int:
    """Prints one of several: its id and what it came to; 1 where nothing usable did, 3 below --require."""
    from fanin.cli.exits import NO_CONSENSUS, NOTHING_USABLE, exit_code
    from fanin.keeping.record import decided
    from fanin.show import one_line
    from fanin.verdict import Verdict, escape_unprintable

    came = decided(kept)
    if options["as_json"]:
        text = json.dumps({"id": record.id, **kept.to_dict()}, ensure_ascii=False)
        click.echo(escape_unprintable(text))
    else:
        answer = came.outcome if came.answer is None else one_line(came.answer, 200)
        click.echo(f"{one_line(record.id, 80)}  {answer}{'' if came.grade is None else f'  ({came.grade})'}")
    if came.outcome == "failed":
        return NOTHING_USABLE
    if options["require"] is None or not isinstance(kept, Verdict):
        return 0
    return NO_CONSENSUS if exit_code(kept, options["require"]) == NO_CONSENSUS else 0
