"""`fanin batch`: many questions, a row for each."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click

from fanin.cli.answer_types import answer_type_options
from fanin.cli.batch_inputs import questions_options, reader_of
from fanin.cli.batch_jobs import asking_of, check_job, job_of, job_options
from fanin.cli.options import check_answer_options, leave, paced, shared
from fanin.cli.parameters import Duration
from fanin.errors import FaninError, InputError, MissingExtraError, OutputError

if TYPE_CHECKING:
    from fanin.backend import Backend
    from fanin.batching.engines import Engine
    from fanin.batching.inflow import Inflow
    from fanin.batching.items import BadItem, Item
    from fanin.batching.jobs import BatchJob
    from fanin.batching.outlet import Rows
    from fanin.batching.readers import Reader
    from fanin.batching.standing import Standing
    from fanin.cli.batch_display import Display, Watching
    from fanin.cli.batch_files import Files
    from fanin.cli.batch_report import Report
    from fanin.values import Event

_EPILOG = """\b
Exit codes: 0 every row has an object (ties and missing quorums too); 1 rows failed, or
the disk is full; 2 usage, input or configuration; 5 a key is missing or refused;
6 a deadline, a budget or a daily limit came first; 130 interrupted."""

_OF_THE_BATCH = ("resume", "overwrite", "durable", "ordered", "retries", "price")


@click.command(name="batch", epilog=_EPILOG, context_settings={"show_default": True})
@questions_options
@job_options
@shared("runs", "answer", "choices", "tolerance", "backend", "model", "base_url", "system")
@answer_type_options
@shared("cluster", "select", "judge", "embed")
@shared("temperature", "temperature_step", "seed", "max_tokens", "structured", "quorum", "stop")
@click.option(
    "--waves",
    type=click.Choice(["one", "fit", "all"]),
    default="fit",
    help="Runs between two looks at --stop.",
)
@click.option(
    "-o", "--output", type=click.Path(), default="-", metavar="FILE", help="Where the rows go; - is stdout."
)
@click.option(
    "--format",
    type=click.Choice(["jsonl", "csv", "parquet", "openai"]),
    help="How the rows are written; openai: as the answers of its batch API.  [default: by the file's name, "
    "else jsonl]",
)
@click.option("--ordered", is_flag=True, help="Rows in the order of the questions, not as they finish.")
@click.option("--resume", is_flag=True, help="Go on with a batch: what its journal holds is not asked again.")
@click.option("--overwrite", is_flag=True, help="Begin anew: the rows and the journal that are there go.")
@click.option(
    "--journal",
    type=click.Path(),
    metavar="FILE",
    help="Where every finished call is kept.  [default: OUTPUT.journal; none for stdout]",
)
@click.option("--durable", is_flag=True, help="Lose no answer to a loss of power either; slower.")
@click.option("--max-cost", type=float, metavar="USD", help="The most that all calls may cost.")
@click.option(
    "--max-total-tokens", type=int, metavar="N", help="The most tokens, read and written, of all calls."
)
@click.option("--max-calls", type=int, metavar="N", help="The most calls, repeated ones too.")
@click.option(
    "--budget-runs",
    type=int,
    metavar="N",
    help="One budget of runs for all questions: after a first wave the next run goes where the votes are "
    "closest, up to --runs for one question.",
)
@click.option("--warm-prefix", is_flag=True, help="The first call of each context ahead of its siblings.")
@shared("concurrency", "timeout")
@click.option("--deadline", type=Duration(), help="The longest the whole batch may take.")
@shared("rpm", "tpm", "stagger", "pace")
@shared("max_wait", "retries", "price", "record", "record_new", "replay")
@click.option(
    "--engine",
    type=click.Choice(["here", "ray"]),
    default="here",
    help="Who makes the calls: this process, or the workers of a Ray cluster (the extra fanin[ray]).",
)
@click.option(
    "--address",
    metavar="ADDRESS",
    help="The Ray cluster, HOST:PORT or auto.  [default: one is started on this machine, and ended]",
)
@click.option(
    "--workers",
    type=int,
    metavar="N",
    help="Workers on the Ray cluster.  [default: one for each of its CPUs]",
)
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")
@click.option("-v", "--verbose", is_flag=True, help="Every call on stderr.")
def command(**options: Any) -> None:
    """Vote on every one of QUESTIONS, a file or - for standard input; one row for each.

    A line is a question, or a JSON object: {"id", "question", "context", "answer", "choices",
    "tolerance", "runs", "model", ...}, where only the question is needed and the rest holds for it
    alone. gzip is fine. A row is the object fanin.vote/1 with the id, or what --mode or --panel gives; a
    line that cannot be used is a row {"id", "line", "error"}. Every answered call stands in the journal
    at once: after Ctrl-C (once: calls in flight are waited for; twice: they are cut), a crash or a spent
    budget, --resume goes on.

    \b
      fanin batch questions.jsonl -o verdicts.jsonl --runs 5 --backend groq -j 64 --max-cost 5
      fanin batch questions.jsonl -o verdicts.jsonl --runs 5 --backend groq -j 64 --max-cost 5 --resume
      fanin batch questions.jsonl -o reports.jsonl --panel panel.toml --max-cost 20
      fanin batch table.csv --column text --answer yes/no -o verdicts.csv --backend ollama
      gunzip -c huge.jsonl.gz | fanin batch - --backend fake -m yes > verdicts.jsonl
    """
    try:
        sys.exit(_batch(options))
    except FaninError as error:
        raise leave(error, command) from None


def _batch(options: dict[str, Any]) -> int:
    import anyio

    from fanin.batching.inflow import open_inflow
    from fanin.cli.batch_files import files_of, resume_command
    from fanin.cli.batch_report import Report, exit_code
    from fanin.cli.output import print_rules
    from fanin.cli.taping import check_tapes, under_tape

    if options["stop"] == "help":
        print_rules()
        return 0
    check_tapes(options)
    check_answer_options(options)
    check_job(options)
    engine, job = _engine(options), job_of(options)
    report = Report()
    with open_inflow(options["questions"]) as inflow:
        files = files_of(options, inflow)
        again = resume_command(files, sys.argv[1:])
        try:
            standing = under_tape(
                options,
                lambda: anyio.run(_run, options, inflow, files, report, (engine, job)),
                interrupted=lambda standing: standing.ended == "interrupt",
            )
        except OutputError as error:
            mend = None if again is None else f"To go on, when there is room: {again}"
            raise OutputError(error.path, error.problem, mend=mend) from None
    if not options["quiet"] or standing.ended != "all":
        report.say(standing, again)
    return exit_code(standing)


def _engine(options: dict[str, Any]) -> Engine | None:
    """Who makes the calls; None for this process. Raises FaninError for options that do not go together."""
    if options["engine"] == "here":
        for name in ("address", "workers"):
            if options[name] is not None:
                raise InputError(f"--{name}", "left out without --engine ray", options[name])
        return None
    for name in ("record", "record_new", "replay"):
        if options[name] is not None:
            flag = f"--{name.replace('_', '-')}"
            raise InputError(flag, "left out with --engine ray, which tapes nothing", options[name])
    from fanin.batching.engines.on_ray import RayEngine

    engine = RayEngine(options["address"], options["workers"])
    # Before a journal is made or erased for it.
    if find_spec("ray") is None:
        raise MissingExtraError("the engine ray", "ray")
    return engine


async def _run(
    options: dict[str, Any],
    inflow: Inflow,
    files: Files,
    report: Report,
    how: tuple[Engine | None, BatchJob | None],
) -> Standing:
    """Asks everything and writes every row; how it ended."""
    from fanin.batching.readers import read_items

    reader = reader_of(options)
    async with aclosing(read_items(inflow, reader)) as items:
        # What is wrong with the input as a whole is said before anything is made or erased.
        first = await anext(items)
        async with (
            _opened(options) as backend,
            _asked(options, backend, _from(first, items), files, how) as (rows, shown),
        ):
            await _written(rows, files, report, shown, _share_of(inflow, reader), options)
            return rows.standing


@asynccontextmanager
async def _opened(options: dict[str, Any]) -> AsyncIterator[Backend | str | None]:
    """The backend; of a panel, whose agents may have others, its name or None.

    Raises FaninError where it cannot be opened, or not so often at once as is asked for.
    """
    from fanin.cli.open_files import make_room_for
    from fanin.connecting import connect

    if options["panel"] is not None:
        make_room_for(options["concurrency"])
        yield options["backend"]
        return
    async with connect(options["backend"], model=options["model"], base_url=options["base_url"]) as backend:
        if backend.capabilities.http:
            make_room_for(options["concurrency"])
        yield backend


@asynccontextmanager
async def _asked(
    options: dict[str, Any],
    backend: Backend | str | None,
    items: AsyncIterator[Item | BadItem],
    files: Files,
    how: tuple[Engine | None, BatchJob | None],
) -> AsyncIterator[tuple[Rows, Display]]:
    """The rows of the batch, and what shows how it goes; Ctrl-C ends it from now on."""
    from fanin.batching.interrupts import BatchInterrupt
    from fanin.batching.runner import batch
    from fanin.cli.batch_display import display
    from fanin.cli.interrupts import on_ctrl_c
    from fanin.policy.budget import Limits

    interrupt = BatchInterrupt()
    terminal = sys.stderr.isatty() and not files.read_along
    shown = display(terminal=terminal, quiet=options["quiet"])
    engine, job = how
    rest: dict[str, Any] = {name: options[name] for name in _OF_THE_BATCH}
    asking = batch(
        items,
        journal=files.journal,
        backend=backend,
        job=job,
        base_url=options["base_url"] if options["panel"] is not None else None,
        jobs=options["concurrency"],
        limits=Limits(options["max_cost"], options["max_total_tokens"], options["max_calls"]),
        timeout_s=options["timeout"],
        deadline_s=options["deadline"],
        max_wait_s=options["max_wait"],
        **paced(options),
        interrupt=interrupt,
        engine=engine,
        watch=partial(_print_event, shown) if options["verbose"] and not options["quiet"] else None,
        **asking_of(options),
        **rest,
    )
    async with asking as rows:

        def drain() -> None:
            waited = rows.standing.asked
            interrupt.drain()
            shown.tell(f"stopping: {waited} calls in flight are waited for (Ctrl-C again cuts them)")

        def stop() -> None:
            interrupt.stop()
            shown.tell("stopping now")

        with shown:
            on_ctrl_c([drain, stop], lambda: shown.__exit__(None, None, None))
            yield rows, shown


async def _written(
    rows: Rows,
    files: Files,
    report: Report,
    shown: Display,
    share: Callable[[], float | None],
    options: dict[str, Any],
) -> None:
    """Writes the rows as they come. Raises OutputError where the disk is full: nothing is asked then."""
    from fanin.batching.writers import writer_of
    from fanin.cli.batch_display import Watching
    from fanin.show import clean

    sink = files.sink(durable=options["durable"])
    written = 0
    try:
        writer = writer_of(files.written, sink)
        async with _meanwhile(shown.show, Watching(lambda: rows.standing, share)):
            async for row in rows:
                writer.write(row)
                report.row(row)
                written += 1
        complete = rows.standing.ended == "all"
        if written or complete:
            writer.end()
    except BaseException:
        if written and files.written != "parquet":
            sink.close(complete=False)
        else:
            sink.discard()
        raise
    if not written and not complete:
        sink.discard()
    elif not sink.close(complete=complete):
        shown.tell(f"{clean(files.output)} stays as it was: it holds more rows than were written anew")


@asynccontextmanager
async def _meanwhile(
    function: Callable[[Watching], Coroutine[Any, Any, None]], watching: Watching
) -> AsyncIterator[None]:
    """Runs a function beside the block, and ends it with the block."""
    import anyio

    failed: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(function, watching)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised below: a task group would wrap it
            failed = error
        group.cancel_scope.cancel()
    if failed is not None:
        raise failed


async def _from(first: Item | BadItem, rest: AsyncIterator[Item | BadItem]) -> AsyncIterator[Item | BadItem]:
    yield first
    async for item in rest:
        yield item


def _share_of(inflow: Inflow, reader: Reader) -> Callable[[], float | None]:
    """Tells how much of the input has been made into items; None where its length is unknown."""

    def share() -> float | None:
        return reader.share * min(1.0, inflow.read / inflow.size) if inflow.size else None

    return share


def _print_event(shown: Display, number: int, event: Event) -> None:
    from fanin.cli.progress import detail

    shown.event(f"item {number}: {detail(event)}")
