"""`fanin vote`: one question, many runs, one answer."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import attrs
import click

from fanin.cli.parameters import Duration, PricePair, comma_list
from fanin.errors import FaninError, InputError

if TYPE_CHECKING:
    from fanin.answers import Answer
    from fanin.verdict import Verdict

_NOT_FROM_FILES = frozenset({"backend", "model", "base_url"})
"""Settings that belong together and are put together by `fanin.settings`, not one by one."""

_RENAMED = {"timeout": "timeout_s", "deadline": "deadline_s", "max_wait": "max_wait_s"}
_OWN = frozenset(
    {"question", "answer", "choices", "tolerance", "require", "record", "replay", "prompt", "as_json"}
    | {"quiet", "verbose"}
)
"""Options that are the command's own; all others are parameters of `fanin.vote`."""

_EPILOG = """\b
Exit codes: 0 decided; 1 nothing usable came back; 2 usage, input or configuration;
3 no consensus (tie, no quorum, or below --require); 5 a key is missing or refused;
6 a deadline, a budget or a daily limit came first; 130 interrupted."""


def _settings(ctx: click.Context, _: click.Parameter, value: Any) -> Any:
    """Puts what the configuration files say behind what the command line says."""
    from fanin.settings import read_settings

    try:
        found = read_settings().values
    except FaninError as error:
        raise _leave(error) from None
    ctx.default_map = {name: setting for name, setting in found.items() if name not in _NOT_FROM_FILES}
    return value


@click.command(name="vote", epilog=_EPILOG, context_settings={"show_default": True})
@click.argument("question", callback=_settings, is_eager=True)
@click.option("--runs", type=int, default=5, help="How many times to ask, 1 to 1000.")
@click.option(
    "--answer",
    type=click.Choice(["auto", "yes/no", "number", "text"]),
    default="auto",
    help="The type of the answer; auto: yes/no for a question that opens like one, else text.",
)
@click.option("--choices", metavar="A,B,C", help=r"The answers to choose from (\, is a comma inside one).")
@click.option("--tolerance", type=float, metavar="X", help="Numbers this close are equal (with number).")
@click.option(
    "--backend", metavar="NAME", help="groq, openai, ollama, litellm, fake, or another installed one."
)
@click.option("-m", "--model", multiple=True, help="The model; repeated, the runs go round.")
@click.option("--base-url", metavar="URL", help="Another address of the backend's kind of API.")
@click.option("--system", multiple=True, metavar="TEXT", help="A system prompt; repeated, the runs go round.")
@click.option("--temperature", type=float, default=0.6, help="The lowest of five rungs that runs climb.")
@click.option("--temperature-step", type=float, default=0.1, help="The height of a rung.")
@click.option("--seed", type=int, default=0, help="What the runs' seeds and orders of choices derive from.")
@click.option("--max-tokens", type=int, default=2048, help="The longest output of one call.")
@click.option("--structured", is_flag=True, help="Ask for the backend's JSON schema output.")
@click.option("--quorum", type=int, metavar="K", help="Valid ballots needed.  [default: more than half]")
@click.option(
    "--require",
    type=click.Choice(["high", "medium"]),
    help="Exit 3 where the agreement is lower.",
)
@click.option(
    "--stop",
    default="all",
    metavar="RULE",
    help="When to stop asking, as decided or certified:0.05; --stop help lists the rules and their prices.",
)
@click.option(
    "--waves",
    type=click.Choice(["one", "fit", "all"]),
    default="fit",
    help="Runs between two looks at --stop: one, as many as could settle it, or all (and what no longer "
    "matters is cancelled, so that the bytes depend on who answers first).",
)
@click.option("-j", "--concurrency", type=int, default=8, help="Calls in flight at once.")
@click.option("--timeout", type=Duration(), default="120", help="The longest one call may take, as a whole.")
@click.option("--deadline", type=Duration(), help="The longest the whole vote may take.")
@click.option("--max-wait", type=Duration(), default="10m", help="A longer told wait is not waited out.")
@click.option("--retries", type=int, default=4, help="Calls after the first that errors may cost.")
@click.option("--price", type=PricePair(), help="US$ per million tokens, read/written, as 0.15/0.60.")
@click.option("--record", type=click.Path(), metavar="FILE", help="Keep the HTTP traffic as a tape.")
@click.option("--replay", type=click.Path(), metavar="FILE", help="Answer from a tape: no key, no network.")
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
        raise _leave(error) from None


def _leave(error: FaninError) -> click.exceptions.Exit:
    from fanin.show import clean

    message = error.message
    if isinstance(error, InputError):
        field = error.field.removesuffix("_s").replace("_", "-")
        option = f"--{field}" if any(f"--{field}" in p.opts for p in command.params) else f"the {field}"
        message = message.replace(error.field, option, 1)
    click.echo(f"fanin: {clean(message)}", err=True)
    if error.mend is not None:
        click.echo(clean(error.mend), err=True)
    return click.exceptions.Exit(error.exit_code)


def _vote(options: dict[str, Any]) -> int:
    from fanin.cli.exits import exit_code
    from fanin.cli.output import print_json, print_rules, print_verdict
    from fanin.cli.reading import piped_context

    if options["stop"] == "help":
        print_rules()
        return 0
    _check_pairs(options)
    quiet = options["quiet"]
    answer = _answer(options, quiet)
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
    return exit_code(verdict, options["require"])


def _check_pairs(options: dict[str, Any]) -> None:
    if options["record"] is not None and options["replay"] is not None:
        raise click.UsageError("--record and --replay exclude one another")
    if options["choices"] is not None and options["answer"] != "auto":
        raise click.UsageError("--choices already says what the answers are: leave --answer out")
    if options["tolerance"] is not None and options["answer"] != "number":
        raise click.UsageError("--tolerance goes with --answer number")


def _answer(options: dict[str, Any], quiet: bool) -> Answer:
    from fanin.answers import Choice, Number
    from fanin.cli.progress import say
    from fanin.voting import as_answer

    if options["choices"] is not None:
        return Choice(comma_list(options["choices"]))
    if options["answer"] == "number":
        return Number(abs_tol=options["tolerance"] or 0.0)
    answer = as_answer(options["answer"], options["question"])
    if options["answer"] == "auto" and not quiet:
        say(f"answer type: {answer.name} (--answer sets another)")
    return answer


def _print_prompt(options: dict[str, Any], answer: Answer, context: str | None) -> None:
    from fanin.show import clean
    from fanin.stages.fan_out import fan_out
    from fanin.stages.isolate import isolate
    from fanin.values import Plan, Question, Variation

    variation = Variation(
        options["model"] or ("?",),
        options["system"],
        options["temperature"],
        options["temperature_step"],
        seed=options["seed"],
    )
    plan = Plan(
        Question(options["question"], context),
        answer,
        variation,
        runs=options["runs"],
        structured=options["structured"],
    )
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
    if options["record"] is None and options["replay"] is None:
        return nullcontext()
    from fanin.taping import tape

    if options["record"] is not None:
        return tape(options["record"], mode="all")
    return tape(options["replay"], mode="none")


def _parameters(options: dict[str, Any]) -> dict[str, Any]:
    """What `fanin.vote` is given; an option that may be repeated and was left out is None."""
    return {
        _RENAMED.get(option, option): None if value == () else value
        for option, value in options.items()
        if option not in _OWN
    }


async def _hold(options: dict[str, Any], answer: Answer, context: str | None) -> Verdict:
    import anyio

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
    result: Verdict | FaninError
    async with anyio.create_task_group() as group:
        group.start_soon(_listen, interrupt, shown)
        with shown:
            try:
                result = await vote(
                    options["question"],
                    context=context,
                    answer=answer,
                    watch=shown.watch,
                    interrupt=interrupt,
                    **_parameters(options),
                )
            except FaninError as error:
                # Raised again outside, where no exception group is put around it.
                result = error
        group.cancel_scope.cancel()
    if interrupt.requested:
        # Nobody listens any more, and the second Ctrl-C may come while the report is being written.
        signal.signal(signal.SIGINT, _leave_at_once)
    if isinstance(result, FaninError):
        raise result
    return result


def _leave_at_once(*_: object) -> None:
    sys.stderr.flush()
    os._exit(130)


async def _listen(interrupt: Any, shown: Any) -> None:
    """Ctrl-C once stops the asking, twice leaves at once."""
    import anyio

    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            if interrupt.requested:
                shown.__exit__(None, None, None)
                _leave_at_once()
            interrupt.stop()
            shown.stopping()
