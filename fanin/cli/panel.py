"""`fanin panel`: specialists in parallel, then one report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fanin.cli.options import leave, paced, shared
from fanin.cli.parameters import Duration
from fanin.errors import FaninError

if TYPE_CHECKING:
    from fanin.report import Report
    from fanin.seating import Panel

_NO_REPORT = 4

_EPILOG = """\b
Exit codes: 0 a report (who is missing is said in it); 1 no specialist gave anything, or not all did
and --require-all; 2 usage, input or configuration; 4 the aggregator gave no report (what the specialists
said is printed); 5 a key is missing or refused; 6 a deadline or a limit came first; 130 interrupted."""


@click.command(name="panel", epilog=_EPILOG, context_settings={"show_default": True})
@click.argument("file", type=click.Path())
@shared("question", "backend")
@click.option("-m", "--model", metavar="MODEL", help="The model of agents that name none.")
@shared("base_url")
@click.option(
    "--temperature", type=float, metavar="X", help="Of agents that name none, before the default in FILE."
)
@click.option("--max-tokens", type=int, metavar="N", help="The longest output of one call, likewise.")
@shared("seed")
@click.option(
    "--require-all", is_flag=True, help="Exit 1, and ask no aggregator, where a specialist is missing."
)
@click.option(
    "--max-chars",
    type=int,
    metavar="N",
    help="Cut the middle out of longer outputs before the aggregator gets them.  [default: 20000]",
)
@shared("concurrency", "timeout")
@click.option("--deadline", type=Duration(), help="The longest the whole panel may take.")
@shared("rpm", "tpm", "stagger", "pace")
@shared("max_wait", "retries", "price", "record", "record_new", "replay", "log")
@click.option("--out", type=click.Path(), metavar="FILE", help="Write the report there too.")
@click.option("--json", "as_json", is_flag=True, help="Print one object, fanin.panel/1.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")
@click.option("-v", "--verbose", is_flag=True, help="Every call and every tool on stderr.")
def command(**options: Any) -> None:
    """Ask the specialists in FILE the QUESTION, each by itself, and make one report of what they say.

    FILE is TOML: [[agents]] with name, system and, if wanted, backend, model, temperature, max_tokens,
    answer and tools = ["module:function"] (looked up beside the file first: that code is run); one
    [aggregator] likewise; defaults at the top. -m, --temperature and --max-tokens go before these defaults,
    and what an agent has of its own before both. Text piped to stdin is given to every specialist.

    \b
      fanin panel panel.toml "Analyse NVIDIA Corp. (NVDA) stock." --backend groq
      fanin panel panel.toml "Analyse AAPL." --out report.md --json
    """
    try:
        sys.exit(_panel(options))
    except FaninError as error:
        raise leave(error, command) from None


def _panel(options: dict[str, Any]) -> int:
    import anyio
    import attrs

    from fanin.cli.keeping import keep_run, tell_kept
    from fanin.cli.reading import piped_context
    from fanin.cli.taping import check_tapes, under_tape
    from fanin.cli.writable import check_file
    from fanin.panel_file import read_panel

    check_tapes(options)
    if options["out"] is not None:
        check_file("out", options["out"])
    panel = read_panel(options["file"], panel_defaults(options))
    changed: dict[str, Any] = {"require_all": True} if options["require_all"] else {}
    if options["max_chars"] is not None:
        changed["max_chars"] = options["max_chars"]
    panel = attrs.evolve(panel, **changed)
    context = piped_context(quiet=options["quiet"])
    report = under_tape(
        options,
        lambda: anyio.run(_hold, options, panel, context),
        interrupted=lambda report: report.stopped_by == "interrupt",
    )
    kept = keep_run(options, report)
    print_report(report, as_json=options["as_json"], quiet=options["quiet"], out=options["out"])
    tell_kept(options, kept)
    return exit_code(report)


def panel_defaults(options: dict[str, Any]) -> dict[str, Any]:
    """What goes before the defaults of the file. Raises InputError for what no agent can have."""
    from fanin.agent import Agent

    ctx = click.get_current_context()
    # What a configuration says of votes is further from a panel than what its own file says.
    told = [
        name
        for name in ("temperature", "max_tokens")
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    Agent("agent", "system", **{name: options[name] for name in told})
    return {name: options[name] for name in ("backend", "model", *told) if options[name] is not None}


async def _hold(options: dict[str, Any], panel: Panel, context: str | None) -> Report:
    from fanin.cli.interrupts import stop_on_ctrl_c
    from fanin.cli.panel_view import panel_view
    from fanin.panels import panel as hold_panel
    from fanin.seating import arranged
    from fanin.terms import Interrupt

    interrupt = Interrupt()
    shown = panel_view(
        [seat.path for seat in arranged(panel).seats()],
        terminal=sys.stderr.isatty(),
        quiet=options["quiet"],
        verbose=options["verbose"],
    )
    with shown:
        stop_on_ctrl_c(interrupt, shown)
        return await hold_panel(
            panel,
            options["question"],
            context=context or (),
            backend=options["backend"],
            model=options["model"],
            base_url=options["base_url"],
            seed=options["seed"],
            concurrency=options["concurrency"],
            timeout_s=options["timeout"],
            deadline_s=options["deadline"],
            retries=options["retries"],
            max_wait_s=options["max_wait"],
            **paced(options),
            price=options["price"],
            watch=shown.watch,
            interrupt=interrupt,
        )


def exit_code(report: Report) -> int:
    """The exit code of a panel. Where several fit: interrupted, a report, the key, cut short, the others."""
    from fanin.cli.exits import CUT_SHORT, DECIDED, INTERRUPTED, KEY, NOTHING_USABLE

    if report.stopped_by == "interrupt":
        return INTERRUPTED
    if report.report is not None:
        return DECIDED
    if report.missing and all(each.kind == "auth" for each in report.missing):
        return KEY
    if report.stopped_by in ("deadline", "limit"):
        return CUT_SHORT
    return NOTHING_USABLE if report.outcome == "failed" else _NO_REPORT


def print_report(report: Report, *, as_json: bool, quiet: bool, out: str | None = None) -> None:
    """The report, or its object, on stdout and in the file `out`; what it took on stderr."""
    from fanin.cli.progress import say
    from fanin.show import clean

    there = report.report is not None or bool(report.parts)
    # First, since whoever reads stdout may leave before the end.
    problem = _written(report, out) if there and out is not None else None
    if as_json:
        _print_json(report)
    elif there:
        click.echo(clean(report.text))
    else:
        click.echo(f"fanin: {clean(report.text)}", err=True)
    if problem is not None:
        raise problem
    if quiet:
        return
    for remark in report.remarks:
        say(clean(remark))
    say(summary(report))


def _written(report: Report, out: str) -> FaninError | None:
    """Writes the report to the file; gives back why it could not be."""
    try:
        Path(out).write_text(f"{report.text}\n", "utf-8", errors="backslashreplace")
    except OSError as error:
        return FaninError(f"{out} cannot be written: {error.strerror}")
    return None


def summary(report: Report) -> str:
    """One line: how many gave something, what the votes were, and what it took."""
    from fanin.show import clean, count

    gave = f"{len(report.parts)} of {count(len(report.agents), 'specialist')}"
    parts = [f"{report.outcome.replace('_', ' ')}: {gave}"]
    if report.tally is not None:
        parts.append(f"votes {clean(report.tally.words)}")
    if report.usage.input_tokens is not None and report.usage.output_tokens is not None:
        parts.append(f"{report.usage.input_tokens:,} + {report.usage.output_tokens:,} tokens")
    parts.append("price unknown" if report.cost_usd is None else f"US$ {report.cost_usd:.6f}")
    return ", ".join(parts)


def _print_json(report: Report) -> None:
    """The object fanin.panel/1, one line. Pure ASCII where stdout cannot take more."""
    text = report.to_json()
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        text = json.dumps(report.to_dict())
    click.echo(text)
