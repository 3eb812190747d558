"""Questions with known answers for `eval` and `calibrate`: stored with their votes, or asked now."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import click

from fanin.cli.options import settings_for, shared

if TYPE_CHECKING:
    from fanin.asking import Asked
    from fanin.labelled import Labelled
    from fanin.stored_votes import StoredQuestion
    from fanin.values import Event

_NAMED = ("backend", "model", "base_url", "record", "record_new", "replay")
"""Options of which one asks for calls."""
_FROM_FILES = (
    *("system", "temperature", "temperature_step", "seed", "max_tokens", "structured", "concurrency"),
    *("timeout", "max_wait", "retries", "price"),
)
"""Settings that hold here as well; `runs` does not, since it is what is measured."""


def asking_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator: the options with which a command asks the questions that it measures on."""
    for option in reversed(
        (
            click.option(
                "--answer",
                type=click.Choice(["yes/no", "number", "choice", "text"]),
                help="The type of the answers, for lines that name none.",
            ),
            shared("choices", "backend", "model", "base_url"),
            click.option(
                "--save",
                type=click.Path(),
                metavar="FILE",
                callback=settings_for(_FROM_FILES),
                is_eager=True,
                help="Keep what is asked as stored votes, question by question; what FILE holds is not asked "
                "again.",
            ),
            shared("system", "temperature", "temperature_step", "seed", "max_tokens", "structured"),
            click.option(
                "--logprobs", is_flag=True, help="Ask for log-probabilities too, to weigh votes by."
            ),
            shared(
                "concurrency", "timeout", "max_wait", "retries", "price", "record", "record_new", "replay"
            ),
        )
    ):
        function = option(function)
    return function


def questions_of(
    options: dict[str, Any], check: Callable[[list[str | None]], None], *, quiet: bool = False
) -> tuple[StoredQuestion, ...]:
    """The questions with their votes: stored ones, or, where a backend or a tape is named, asked now.

    `check` is told the right answers before anything is asked. Raises FaninError for what is wrong before
    the first call, click.UsageError for options that do not agree, and click's Exit where the asking ended
    early.
    """
    from fanin.cli.taping import check_tapes
    from fanin.stored_votes import read_stored, stored_from

    if not any(options[name] for name in _NAMED):
        if options["save"]:
            raise click.UsageError("--save keeps what is asked: name a --backend")
        return read_stored(options["labelled"], options["answer"])
    check_tapes(options)
    from fanin.cli.parameters import comma_list
    from fanin.labelled import read_labelled

    choices = None if options["choices"] is None else comma_list(options["choices"])
    questions = read_labelled(options["labelled"], options["answer"], choices)
    check([one.gold for one in questions])
    asked = _ask(options, questions, quiet=quiet)
    _tell(asked, len(questions), options["save"], quiet=quiet)
    return stored_from(enumerate(asked.lines, 1), options["save"] or options["labelled"])


def _ask(options: dict[str, Any], questions: tuple[Labelled, ...], *, quiet: bool) -> Asked:
    import anyio

    from fanin.asking import Calls, ask_labelled
    from fanin.cli.interrupts import stop_on_ctrl_c
    from fanin.cli.taping import under_tape
    from fanin.terms import Interrupt

    calls = Calls(
        runs=options["runs"],
        concurrency=options["concurrency"],
        system=options["system"],
        temperature=options["temperature"],
        temperature_step=options["temperature_step"],
        seed=options["seed"],
        logprobs=options["logprobs"],
        rest={
            "max_tokens": options["max_tokens"],
            "structured": options["structured"],
            "timeout_s": options["timeout"],
            "max_wait_s": options["max_wait"],
            "retries": options["retries"],
        },
    )

    async def ask() -> Asked:
        interrupt = Interrupt()
        with _Counting(len(questions), shown=sys.stderr.isatty() and not quiet) as counting:
            stop_on_ctrl_c(interrupt, counting)
            return await ask_labelled(
                questions,
                calls,
                backend=options["backend"],
                model=options["model"],
                base_url=options["base_url"],
                price=options["price"],
                save=options["save"],
                interrupt=interrupt,
                done=counting.done,
            )

    return under_tape(options, lambda: anyio.run(ask), interrupted=_interrupted)


def _interrupted(asked: Asked) -> bool:
    return asked.ended is not None and asked.ended.stopped.by == "interrupt"


class _Counting:
    """How many questions are answered, on a line of a terminal that is rewritten in place."""

    def __init__(self, questions: int, *, shown: bool) -> None:
        self._questions = questions
        self._shown = shown

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            click.echo(err=True)

    def watch(self, event: Event) -> None:
        """Single calls are not shown."""

    def done(self, kept: int) -> None:
        """So many questions have their votes."""
        if self._shown:
            click.echo(f"\rfanin: {kept:,} of {self._questions:,} questions", nl=False, err=True)

    def stopping(self) -> None:
        """The first Ctrl-C came."""
        click.echo("\nfanin: stopping; answered questions are kept", err=True)


def _tell(asked: Asked, questions: int, save: str | None, *, quiet: bool) -> None:
    """What was asked. Raises click's Exit, with the reason on stderr, where not all questions were."""
    from fanin.cli.exits import exit_code
    from fanin.cli.progress import say
    from fanin.show import clean, count, reasons, stopping

    if not quiet and asked.new:
        lost = sum(verdict.runs.spoiled + verdict.runs.failed for verdict in asked.verdicts)
        runs = sum(verdict.runs.planned for verdict in asked.verdicts)
        say(f"asked {count(asked.new, 'question')}, {count(runs, 'run')}, {lost:,} of them without a vote")
    if asked.ended is None:
        return
    why = [stopping(asked.ended), *reasons(asked.ended)]
    for line in filter(None, why):
        say(line)
    kept = f"{len(asked.lines):,} of {count(questions, 'question')} are answered"
    mend = f"kept in {clean(save)}: run the same again to go on" if save else "with --save they would be kept"
    say(f"{kept}, {mend}")
    # A question of which nothing came back decides nothing, so this is never 0.
    raise click.exceptions.Exit(exit_code(asked.ended) or 1)
