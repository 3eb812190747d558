"""What a batch does for each question: a vote, an analysis or a panel; and which options go with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from fanin.cli.answer_types import OPTIONS as ANSWER_TYPES
from fanin.cli.parameters import comma_list

if TYPE_CHECKING:
    from fanin.batching.jobs import BatchJob

_OF_VOTES = ("runs", "temperature_step", "quorum", "stop", "waves")
_NOT_OF_ANALYSES = (*_OF_VOTES, "cluster", "select", "judge", "embed", "budget_runs", "warm_prefix")
_NOT_OF_PANELS = (
    *(*_NOT_OF_ANALYSES, "answer", "choices", "tolerance", *ANSWER_TYPES),
    *("system", "structured"),
)
_VOTE_OVER_SEVERAL = {"panel": "", "mode": " (--runs N is a vote over N analyses)"}
_OF_ITS_FILE = ("temperature", "max_tokens")
"""What goes before the defaults of a panel's file, as of fanin panel."""
_OF_THE_ASKING = (
    *("runs", "model", "system", "temperature", "temperature_step", "seed", "max_tokens", "structured"),
    *("judge", "embed", "quorum", "stop", "waves", "budget_runs", "warm_prefix"),
)


def job_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator: the options that put another job in the place of the vote."""
    for option in (
        click.option(
            "--panel",
            type=click.Path(),
            metavar="FILE",
            help="The panel in FILE, as of fanin panel, on every question; a row is a fanin.panel/1. -m,"
            " --temperature and --max-tokens go before the defaults in FILE.",
        ),
        click.option(
            "--mode",
            metavar="MODE",
            help="An analysis of every question, as of fanin analyze: quick, balanced, thorough or research; "
            "a row is a fanin.analysis/1. With --runs N a vote over N of them, as of fanin vote.",
        ),
        click.option(
            "--modes",
            metavar="A,B,C",
            help="A vote over --runs analyses, in several modes that the runs go round.",
        ),
    ):
        function = option(function)
    return function


def check_job(options: dict[str, Any]) -> None:
    """Raises click.UsageError for what was asked for on the command line and does not go with the job."""
    named = [name for name in ("panel", "mode", "modes") if options[name] is not None]
    if len(named) > 1:
        raise click.UsageError(f"--{named[0]} and --{named[1]} exclude one another")
    job = _named(options)
    if job is None:
        return
    _check_given(job)
    for name in ("model", "system"):
        if len(options[name]) > 1:
            raise click.UsageError(
                f"--{job} goes with one --{name}: no runs go round several{_VOTE_OVER_SEVERAL[job]}"
            )
    _check_format(options, job)


def _named(options: dict[str, Any]) -> str | None:
    """What is done in the place of a vote: `panel`, or `mode` for a single analysis."""
    if options["panel"] is not None:
        return "panel"
    return "mode" if options["mode"] is not None and not _given("runs") else None


def _given(name: str) -> bool:
    """Whether the option stands on the command line, and not in a configuration alone."""
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


def _check_given(job: str) -> None:
    for name in _NOT_OF_PANELS if job == "panel" else _NOT_OF_ANALYSES:
        if _given(name):
            flag = f"--{name.replace('_', '-')}"
            why = "its agents have their own" if name not in _NOT_OF_ANALYSES else "it is about votes"
            raise click.UsageError(f"{flag} does not go with --{job}: {why}{_VOTE_OVER_SEVERAL[job]}")


def _check_format(options: dict[str, Any], job: str) -> None:
    from fanin.batching.writers import output_format_of

    written = options["format"] or output_format_of(options["output"])
    if written != "jsonl":
        raise click.UsageError(f"the rows of --{job} are JSON Lines and cannot be written as {written}")


def job_of(options: dict[str, Any]) -> BatchJob | None:
    """What is done for every question; None: a vote. Raises FaninError for a panel or a mode that is none."""
    if options["panel"] is not None:
        from fanin.batching.panelling import PanelJob
        from fanin.cli.panel import panel_defaults
        from fanin.panel_file import read_panel

        defaults = panel_defaults({**options, "model": next(iter(options["model"]), None)})
        return PanelJob(read_panel(options["panel"], defaults))
    if _named(options) == "mode":
        from fanin.batching.analysing import AnalysisJob

        return AnalysisJob(options["mode"])
    return _analyses_of(options)


def _analyses_of(options: dict[str, Any]) -> BatchJob | None:
    modes = options["mode"] if options["modes"] is None else comma_list(options["modes"])
    if modes is None:
        return None
    from fanin.batching.analysing import AnalysesJob

    return AnalysesJob(modes)


def asking_of(options: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the batch that say how a question is asked, without those that a configuration file
    may hold and that say nothing to the job."""
    from fanin.cli.batch_inputs import answer_for_all

    job = _named(options)
    left = {"panel": (*_NOT_OF_PANELS, *_OF_ITS_FILE), "mode": _NOT_OF_ANALYSES}.get(job or "", ())
    given = {name: options[name] for name in _OF_THE_ASKING if name not in left}
    return given if job == "panel" else given | {"answer": answer_for_all(options)}
