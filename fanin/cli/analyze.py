"""`fanin analyze`: one question worked on in several steps, as deep as the mode says."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from fanin.cli.answer_types import OPTIONS, answer_type_options
from fanin.cli.options import answer_of, check_answer_options, leave, shared
from fanin.cli.parameters import Duration
from fanin.errors import FaninError, InputError

if TYPE_CHECKING:
    from fanin.analysed import Analysis, Mode
    from fanin.answers import Answer

_RENAMED = {name: f"{name}_s" for name in ("timeout", "deadline", "max_wait", "stagger")}
_OWN = frozenset(
    {"question", "answer", "choices", "tolerance", "record", "record_new", "replay", "as_json"}
    | {"quiet", "verbose", "list_modes", "log", *OPTIONS}
)
"""Options that are the command's own; all others are parameters of `fanin.analyze`."""

_EPILOG = """\b
Exit codes: 0 there is a focused answer; 1 nothing usable came back; 2 usage, input or configuration;
5 a key is missing or refused; 6 a deadline, the cost limit or a daily limit came first; 130 interrupted."""


def _print_modes(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from fanin.policy.analysing import MODES

        click.echo(mode_table(tuple(MODES.values())), nl=False)
        ctx.exit()


@click.command(name="analyze", epilog=_EPILOG, context_settings={"show_default": True})
@shared("question")
@click.option("--mode", default="balanced", help="quick, balanced, thorough or research; see --modes.")
@click.option(
    "--modes",
    "list_modes",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_modes,
    help="Print the table of modes and stop.",
)
@click.option(
    "--min-iterations", type=int, metavar="N", help="At least so many rounds.  [default: the mode's]"
)
@click.option(
    "--max-iterations", type=int, metavar="N", help="At most so many rounds.  [default: the mode's]"
)
@click.option("--candidate-plans", type=int, metavar="N", help="Plans to choose from.  [default: the mode's]")
@click.option("--max-steps", type=int, metavar="N", help="Steps of one round.  [default: the mode's]")
@click.option(
    "--temperature-offset", type=float, metavar="X", help="Added to --temperature.  [default: the mode's]"
)
@click.option(
    "--reasoning-effort",
    metavar="EFFORT",
    help="none, minimal, low, medium, high or xhigh.  [default: the mode's]",
)
@click.option(
    "--cost-limit-usd",
    type=float,
    metavar="X",
    help="What it may cost in all, by an estimate of each next call; needs a known price.",
)
@shared("answer", "choices", "tolerance")
@answer_type_options
@shared("backend")
@click.option("-m", "--model", multiple=True, help="The model.")
@shared("base_url")
@click.option("--system", multiple=True, metavar="TEXT", help="A system prompt for every call.")
@click.option("--temperature", type=float, default=0.6, help="Of plans, steps and the final answer.")
@shared("seed", "max_tokens", "structured", "concurrency", "timeout")
@click.option("--deadline", type=Duration(), help="The longest the whole analysis may take.")
@shared("rpm", "tpm", "stagger", "pace")
@shared("max_wait", "retries", "price", "record", "record_new", "replay", "log")
@click.option("--json", "as_json", is_flag=True, help="Print one object, fanin.analysis/1.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")
@click.option("-v", "--verbose", is_flag=True, help="Every call on stderr, and what every step found.")
def command(**options: Any) -> None:
    """Work on QUESTION in several steps, and give a final answer and a focused one of the asked type.

    A plan is made and carried out, what is missing is assessed, and so on for as many rounds as the mode
    has; then the final answer is written, and the focused answer taken from it. Both go to stdout, all
    else to stderr. Text piped to stdin is what the question is about.

    \b
      fanin analyze "Should we move to a monorepo?" --mode quick --backend ollama
      cat change.diff | fanin analyze "Does this change break callers?" --mode thorough --json
    """
    try:
        sys.exit(_analyze(options))
    except FaninError as error:
        raise leave(error, command) from None


def mode_table(modes: tuple[Mode, ...]) -> str:
    """The modes as people are shown them: one line each, one column a setting."""
    from fanin.policy.analysing import most_calls

    cells = [("mode", "rounds", "plans", "steps a round", "temperature", "effort", "calls at most")]
    cells += [
        (
            mode.name,
            f"{mode.min_iterations}-{mode.max_iterations}",
            str(mode.candidate_plans),
            str(mode.max_steps),
            f"{mode.temperature_offset:+g}" if mode.temperature_offset else "as asked",
            mode.reasoning_effort or "the model's",
            str(most_calls(mode)),
        )
        for mode in modes
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n"
        for line in cells
    )


def _one_of(options: dict[str, Any], name: str) -> str | None:
    """The one value of an option that may be repeated elsewhere. Raises click.UsageError for several."""
    given: tuple[str, ...] = options[name]
    if len(given) > 1:
        raise click.UsageError(f"an analysis has one --{name}; fanin vote --mode goes round several")
    return given[0] if given else None


def _analyze(options: dict[str, Any]) -> int:
    import anyio

    from fanin.cli.analyses import exit_code, print_analysis
    from fanin.cli.keeping import keep_run, tell_kept
    from fanin.cli.reading import piped_context
    from fanin.cli.taping import check_tapes, under_tape

    check_tapes(options)
    check_answer_options(options)
    options |= {name: _one_of(options, name) for name in ("model", "system")}
    if not options["question"].strip():
        raise InputError("question", "a text that is not blank", options["question"])
    answer = answer_of(options, quiet=options["quiet"])
    context = piped_context(quiet=options["quiet"])
    analysis = under_tape(
        options,
        lambda: anyio.run(_hold, options, answer, context),
        interrupted=lambda made: made.failure is not None and made.failure.kind == "interrupted",
    )
    kept = keep_run(options, analysis)
    print_analysis(analysis, as_json=options["as_json"], quiet=options["quiet"], verbose=options["verbose"])
    tell_kept(options, kept)
    return exit_code(analysis)


async def _hold(options: dict[str, Any], answer: Answer, context: str | None) -> Analysis:
    from fanin.analysis import analyze
    from fanin.cli.interrupts import stop_on_ctrl_c
    from fanin.cli.steps import Steps
    from fanin.terms import Interrupt

    interrupt = Interrupt()
    shown = Steps(1, terminal=sys.stderr.isatty(), quiet=options["quiet"], verbose=options["verbose"])
    given = {_RENAMED.get(name, name): value for name, value in options.items() if name not in _OWN}
    with shown:
        stop_on_ctrl_c(interrupt, shown)
        return await analyze(
            options["question"],
            context=context,
            answer=answer,
            watch=shown.watch,
            tell=shown.tell,
            interrupt=interrupt,
            **given,
        )
