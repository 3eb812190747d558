"""`fanin runs`: the runs that are kept: list, show, remove, hand over, take in."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fanin.cli.options import leave
from fanin.errors import FaninError, InputError, OutputError

if TYPE_CHECKING:
    from fanin.keeping.log import Entry


@click.group(name="runs")
def command() -> None:
    """Every vote, panel and analysis is kept, with all that came back; nothing of it leaves this machine.

    RUN is an id, as much of it as tells it from the others, `last`, a file that `export` wrote, or a batch's
    journal (FILE#ID for one of several in it). Where the runs lie: FANIN_HOME, else the folder that the
    system has for data.

    \b
      fanin runs list
      fanin runs show last --dissent
      fanin runs export last -o run.jsonl
    """


def leaving(function: Callable[..., int]) -> Callable[..., None]:
    """Ends the command with the code that `function` gives, or with that of the error it raises."""

    @wraps(function)
    def left(**options: Any) -> None:
        try:
            sys.exit(function(**options))
        except FaninError as error:
            raise leave(error, click.get_current_context().command) from None

    return left


@command.command("list")
@click.option(
    "-n", "--most", type=click.IntRange(1), default=20, show_default=True, help="So many, the last ones."
)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--json", "as_json", is_flag=True, help="Print one object a line.")
@leaving
def list_runs(most: int, everything: bool, as_json: bool) -> int:
    """List the kept runs, the last one first: id, time (UTC), kind, answer, question."""
    from fanin.cli.progress import say
    from fanin.keeping.log import Log

    log = Log()
    found = log.entries(None if everything else most)
    lines = [_as_json(entry) if as_json else _as_line(entry) for entry in found]
    if lines:
        click.echo("\n".join(lines))
    else:
        say(f"no run is kept in {log.path}")
    return 0


def _as_json(entry: Entry) -> str:
    import attrs

    from fanin.verdict import escape_unprintable

    return escape_unprintable(json.dumps(attrs.asdict(entry), ensure_ascii=False))


def _as_line(entry: Entry) -> str:
    from fanin.show import one_line

    answer = entry.outcome.replace("_", " ") if entry.answer is None else one_line(entry.answer, 40)
    graded = f"{answer} ({entry.grade})" if entry.grade not in (None, "none") else answer
    when = entry.kept_at[:16].replace("T", " ")
    return f"{entry.id}  {when}  {entry.kind:8}  {graded:24}  {one_line(entry.question, 80)}"


@command.command("rm")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@leaving
def remove(runs: tuple[str, ...]) -> int:
    """Remove runs for good. Where one of them is not there, those before it are removed."""
    from fanin.cli.progress import say
    from fanin.keeping.log import Log

    log = Log()
    for run in runs:
        say(f"removed {log.remove(run)}")
    return 0


@command.command("export")
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them, the oldest first.")
@click.option("-o", "--output", metavar="FILE", default="-", help="Where they go; - is stdout.")
@leaving
def export(runs: tuple[str, ...], everything: bool, output: str) -> int:
    """Write runs as one file, a JSON object (fanin.run/1) a line: to be read elsewhere, whole and alone.

    RUN is one in the log, or a file: of a batch's journal every vote is written. Keys are taken out.
    """
    from fanin.evidence import evidence_of
    from fanin.keeping.log import Log
    from fanin.keeping.record import record_text, scrubbed
    from fanin.taping.scrub import Scrubber, known_secrets

    if everything == bool(runs):
        raise click.UsageError("name the runs, or all of them with --all")
    log = Log()
    wanted = tuple(entry.id for entry in reversed(log.entries())) if everything else runs
    if any(_is_same(run, output) for run in wanted):
        raise InputError("output", "another file than what is exported", output)
    scrub = Scrubber(known_secrets(os.environ))
    records = (record for run in wanted for record in evidence_of(run, log=log))
    lines = (f"{record_text(scrubbed(record, scrub))}\n" for record in records)
    if output == "-":
        for line in lines:
            click.echo(line, nl=False)
        return 0
    try:
        _write(lines, Path(output))
    except (OSError, ValueError) as error:
        raise OutputError(output, getattr(error, "strerror", None) or str(error)) from None
    return 0


def _is_same(run: str, output: str) -> bool:
    from fanin.keeping.sources import file_and_id

    path, _ = file_and_id(run)
    return path is not None and Path(output).exists() and Path(path).samefile(output)


def _write(lines: Iterable[str], path: Path) -> None:
    """Writes them, once the first is there: what cannot be read leaves no empty file."""
    lines = iter(lines)
    first = next(lines, "")
    with path.open("w", encoding="ascii") as file:
        file.write(first)
        file.writelines(lines)


@command.command("import")
@click.argument("file", type=click.Path())
@leaving
def import_runs(file: str) -> int:
    """Take the runs of FILE, as `export` wrote it, into the log. One that is there already stays as it is."""
    from fanin.cli.progress import say
    from fanin.errors import RecordError
    from fanin.keeping.log import Log
    from fanin.keeping.sources import records_in
    from fanin.show import count

    records = tuple(records_in(file))
    if not all(record.kept_at for record in records):
        raise RecordError(
            f"{file}: it holds no kept runs, but a tape or votes",
            mend="fanin recount, show and diff read it as it is.",
        )
    log = Log()
    added = sum(log.add(record) for record in records)
    there = len(records) - added
    say(f"{count(added, 'run')} taken in{f', {there} there already' if there else ''}")
    return 0


def show_in_group() -> None:
    """Gives the group the command that stands alone too."""
    from fanin.cli.show_run import command as show

    command.add_command(show, "show")


show_in_group()
