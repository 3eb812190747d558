"""`fanin vote`: one question, many runs, one answer."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import attrs
import click

from fanin.cli.options import answer_of, check_answer_options, leave, plan_of, shared
from fanin.cli.parameters import Duration
from fanin.errors import FaninError, InputError

if TYPE_CHECKING:
    from fanin.answers import Answer
    from fanin.verdict import Verdict

_RENAMED = {"timeout": "timeout_s", "deadline": "deadline_s", "max_wait": "max_wait_s"}
_OWN = frozenset(
    {"question", "answer", "choices", "tolerance", "require", "record", "replay", "prompt", "as_json"}
    | {"record_new", "quiet", "verbose"}
)
"""Options that are the command's own; all others are parameters of `fanin.vote`."""

_EPILOG = """\b
Exit codes: 0 decided; 1 nothing usable came back; 2 usage, input or configuration;
3 no consensus (tie, no quorum, or below --require); 5 a key is missing or refused;
6 a deadline, a budget or a daily limit came first; 130 interrupted."""


@click.command(name="vote", epilog=_EPILOG, context_settings={"show_default": True})
@shared("question", "runs", "answer", "choices", "tolerance", "backend", "model", "base_url", "system")
@click.option("--temperature", type=float, default=0.6, help="The lowest of five rungs that runs climb.")
@click.option("--temperature-step", type=float, default=0.1, help="The height of a rung.")
@click.option("--seed", type=int, default=0, help="What the runs' seeds and orders of choices derive from.")
@shared("max_tokens", "structured", "quorum")
@click.option(
    "--require",
    type=click.Choice(["high", "medium"]),
    help="Exit 3 where the agreement is lower.",
)
@shared("stop")
@click.option(
    "--waves",
    type=click.Choice(["one", "fit", "all"]),
    default="fit",
    help="Runs between two looks at --stop: one, as many as could settle it, or all (and what no longer "
    "matters is cancelled, so that the bytes depend on who answers first).",
)
@click.option(
    "--escalate",
    multiple=True,
    metavar="MODEL",
    help="The next tier: a model that is asked, by a vote of its own, only where the vote before has no "
    "winner or --escalate-when holds; repeated, several tiers.",
)
@click.option(
    "--escalate-when",
    type=click.Choice(["split", "not-high", "any-dissent"]),
    default="split",
    help="split: answers differ, and less than 4/5 of the votes are for one; not-high: the agreement is "
    "not high; any-dissent: two votes differ.",
)
@shared("concurrency")
@click.option("--timeout", type=Duration(), default="120", help="The longest one call may take, as a whole.")
@click.option("--deadline", type=Duration(), help="The longest the whole vote may take.")
@click.option("--max-wait", type=Duration(), default="10m", help="A longer told wait is not waited out.")
@click.option("--retries", type=int, default=4, help="Calls after the first that errors may cost.")
@shared("price")
@click.option("--record", type=click.Path(), metavar="FILE", help="Keep the HTTP traffic as a tape.")
@click.option(
    "--record-new", type=click.Path(), metavar="FILE", help="Answer from a tape, and add what it lacks."
)
@click.option("--replay", type=click.Path(), metavar="FILE", help="Answer from a tape: no key, no network.")
@click.option(
    "--weights", type=click.Path(), metavar="FILE", help="Weigh the votes as fanin calibrate found."
)
@click.option(
    "--calibration",
    type=click.Path(),
    metavar="FILE",
    help="Make the confidence the chance of being right, by a file that fanin calibrate made.",
)
@click.option("--prompt", is_flag=True, help="Print the first run's messages and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print one object, fanin.vote/1.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")
@click.option("-v", "--verbose", is_flag=True, help="Every call on stderr, and every reply.")
def command(**options: Any) -> None:
    """Ask QUESTION in several runs that know nothing of one another, and give one answer.

    The answer goes to stdout, all else to stderr. Text piped to stdin is what the question is about.

    \b
      fanin vote "Is 1009 a prime number?" --runs 5 --backend ollama
      cat contract.txt | fanin vote "Does this contract renew by itself?" --backend groq --json
      fanin vote "Which one is a mammal?" --choices whale,shark,tuna --replay cassettes/demo.json
    """
    try:
        sys.exit(_vote(options))
    except FaninError as error:
        raise leave(error, command) from None


def _vote(options: dict[str, Any]) -> int:
    from fanin.cli.exits import exit_code
    from fanin.cli.output import print_json, print_rules, print_verdict
    from fanin.cli.reading import piped_context
    from fanin.cli.sureness import print_sureness

    if options["stop"] == "help":
        print_rules()
        return 0
    _check_pairs(options)
    quiet = options["quiet"]
    answer = answer_of(options, quiet=quiet)
    question = options["question"]
    if not question.strip():
        raise InputError("question", "a text that is not blank", question)
    context = piped_context(quiet=quiet)
    if options["prompt"]:
        _print_prompt(options, answer, context)
        return 0
    verdict = _ask(options, answer, context)
    if options["as_json"]:
        print_json(verdict)
    print_verdict(verdict, quiet=quiet, verbose=options["verbose"], answer_too=not options["as_json"])
    if options["verbose"] and not quiet:
        print_sureness(verdict, len(answer.options) or None, options["calibration"])
    return exit_code(verdict, options["require"])


def _check_pairs(options: dict[str, Any]) -> None:
    if sum(options[name] is not None for name in ("record", "record_new", "replay")) > 1:
        raise click.UsageError("--record, --record-new and --replay exclude one another")
    given = click.get_current_context().get_parameter_source("escalate_when")
    if given is click.core.ParameterSource.COMMANDLINE and not options["escalate"]:
        raise click.UsageError("--escalate-when goes with --escalate")
    check_answer_options(options)


def _print_prompt(options: dict[str, Any], answer: Answer, context: str | None) -> None:
    from fanin.show import clean
    from fanin.stages.fan_out import fan_out
    from fanin.stages.isolate import isolate

    plan = plan_of(options, answer, context)
    for message in isolate(plan, fan_out(plan)[0]).messages:
        click.echo(f"[{message.role}]\n{clean(message.content)}\n")


@attrs.define
class _InterruptedVote(BaseException):
    """Leaves the tape's block without saving; carries what there is. BaseException: nobody catches it."""

    verdict: Verdict


def _ask(options: dict[str, Any], answer: Answer, context: str | None) -> Verdict:
    """Holds the vote under the tape that was asked for. An interrupted one keeps no tape."""
    import anyio

    try:
        with _taped(options):
            verdict = anyio.run(_hold, options, answer, context)
            if verdict.stopped.by == "interrupt":
                raise _InterruptedVote(verdict)
            return verdict
    except _InterruptedVote as interrupted:
        return interrupted.verdict


def _taped(options: dict[str, Any]) -> Any:
    if options["record"] is options["record_new"] is options["replay"] is None:
        return nullcontext()
    from fanin.taping import tape

    if options["record"] is not None:
        return tape(options["record"], mode="all")
    if options["record_new"] is not None:
        return tape(options["record_new"], mode="new")
    return tape(options["replay"], mode="none")


def _parameters(options: dict[str, Any]) -> dict[str, Any]:
    """What `fanin.vote` is given; an option that may be repeated and was left out is None."""
    return {
        _RENAMED.get(option, option): None if value == () else value
        for option, value in options.items()
        if option not in _OWN
    }


async def _hold(options: dict[str, Any], answer: Answer, context: str | None) -> Verdict:
    from fanin.cli.interrupts import stop_on_ctrl_c
    from fanin.cli.progress import progress
    from fanin.conductor import Interrupt
    from fanin.voting import vote

    interrupt = Interrupt()
    shown = progress(
        options["runs"],
        terminal=sys.stderr.isatty(),
        quiet=options["quiet"],
        verbose=options["verbose"],
    )
    with shown:
        stop_on_ctrl_c(interrupt, shown)
        return await vote(
            options["question"],
            context=context,
            answer=answer,
            watch=shown.watch,
            interrupt=interrupt,
            **_parameters(options),
        )
