"""`fanin vote`: one question, many runs, one answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from fanin.cli.answer_types import OPTIONS, answer_type_options
from fanin.cli.options import answer_of, check_answer_options, check_escalation, leave, plan_of, shared
from fanin.cli.parameters import Duration, comma_list
from fanin.errors import FaninError, InputError

if TYPE_CHECKING:
    from fanin.answers import Answer
    from fanin.cli.progress import Progress
    from fanin.verdict import Verdict

_RENAMED = {name: f"{name}_s" for name in ("timeout", "deadline", "max_wait", "stagger")}
_OWN = frozenset(
    {"question", "answer", "choices", "tolerance", "require", "record", "replay", "prompt", "as_json"}
    | {"record_new", "quiet", "verbose", "modes", "log", "cluster", "select", *OPTIONS}
)
"""Options that are the command's own; all others are parameters of `fanin.vote`."""

_EPILOG = """\b
Exit codes: 0 decided; 1 nothing usable came back; 2 usage, input or configuration;
3 no consensus (tie, no quorum, or below --require); 5 a key is missing or refused;
6 a deadline, a budget or a daily limit came first; 130 interrupted."""


@click.command(name="vote", epilog=_EPILOG, context_settings={"show_default": True})
@shared("question", "runs", "answer", "choices", "tolerance", "backend", "model", "base_url", "system")
@answer_type_options
@shared("cluster", "select", "judge", "embed")
@shared("temperature", "temperature_step", "seed", "max_tokens", "structured", "quorum")
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
@shared("escalate", "escalate_when")
@click.option(
    "--mode",
    metavar="MODE",
    help="Every run is an analysis of several calls: quick, balanced, thorough or research (fanin analyze "
    "--modes); the vote is over their focused answers.",
)
@click.option("--modes", metavar="A,B,C", help="The same, in several modes that the runs go round.")
@shared("concurrency", "timeout")
@click.option("--deadline", type=Duration(), help="The longest the whole vote may take.")
@shared("rpm", "tpm", "stagger", "pace")
@shared("max_wait", "hedge", "retries", "price", "record", "record_new", "replay", "log")
@click.option(
    "--weights",
    type=click.Path(),
    multiple=True,
    metavar="FILE",
    help="Weigh the votes as fanin calibrate found; repeated, the file of the models that decide counts. "
    "--stop decided goes on while they could still turn the answer. "
    "logprob: by how probable the model found its own answer, where the backend tells (openai, ollama).",
)
@click.option(
    "--calibration",
    type=click.Path(),
    multiple=True,
    metavar="FILE",
    help="Make the confidence the chance of being right, by a file that fanin calibrate made; repeated, "
    "the file of the models that decide counts.",
)
@click.option("--prompt", is_flag=True, help="Print the first run's messages and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print one object, fanin.vote/1.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")
@click.option(
    "-v", "--verbose", is_flag=True, help="Every call on stderr, every reply, and what the votes are worth."
)
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
    from fanin.cli.keeping import keep_run, tell_kept
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
    kept = keep_run(options, verdict)
    if options["as_json"]:
        print_json(verdict)
    print_verdict(verdict, quiet=quiet, verbose=options["verbose"], answer_too=not options["as_json"])
    if options["mode"] is not None and not quiet:
        from fanin.cli.analyses import print_analyses

        for tier in verdict.tiers or (verdict,):
            print_analyses(tier.analyses, verdict.answer)
    if options["verbose"] and not quiet:
        print_sureness(verdict, len(answer.options) or None, options["calibration"])
    tell_kept(options, kept)
    return exit_code(verdict, options["require"])


def _check_pairs(options: dict[str, Any]) -> None:
    from fanin.cli.taping import check_tapes

    check_tapes(options)
    check_escalation(options)
    if options["modes"] is not None:
        if options["mode"] is not None:
            raise click.UsageError("--mode and --modes exclude one another")
        options["mode"] = _named_modes(options["modes"])
    check_answer_options(options)


def _named_modes(text: str) -> tuple[str, ...]:
    from fanin.policy.analysing import as_modes

    names = comma_list(text)
    try:
        as_modes(names)
    except InputError as error:
        raise InputError("modes", error.bound, error.value, mend=error.mend) from None
    return names


def _print_prompt(options: dict[str, Any], answer: Answer, context: str | None) -> None:
    from fanin.show import clean
    from fanin.stages.fan_out import fan_out
    from fanin.stages.isolate import isolate

    plan = plan_of(options, answer, context)
    request = isolate(plan, fan_out(plan)[0])
    if options["mode"] is not None:
        from fanin.inquiry import first_request
        from fanin.policy.analysing import as_modes

        request = first_request(plan, as_modes(options["mode"])[0])
    for message in request.messages:
        click.echo(f"[{message.role}]\n{clean(message.content)}\n")


def _ask(options: dict[str, Any], answer: Answer, context: str | None) -> Verdict:
    """Holds the vote under the tape that was asked for. An interrupted one keeps no tape."""
    import anyio

    from fanin.cli.taping import under_tape

    return under_tape(
        options,
        lambda: anyio.run(_hold, options, answer, context),
        interrupted=lambda verdict: verdict.stopped.by == "interrupt",
    )


def _parameters(options: dict[str, Any]) -> dict[str, Any]:
    """What `fanin.vote` is given; an option that may be repeated and was left out is None."""
    return {
        _RENAMED.get(option, option): None if value == () else value
        for option, value in options.items()
        if option not in _OWN
    }


def _progress(options: dict[str, Any]) -> Progress:
    how = {"terminal": sys.stderr.isatty(), "quiet": options["quiet"], "verbose": options["verbose"]}
    if options["mode"] is not None:
        from fanin.cli.steps import Steps

        return Steps(options["runs"], **how)
    from fanin.cli.progress import progress

    return progress(options["runs"], **how)


async def _hold(options: dict[str, Any], answer: Answer, context: str | None) -> Verdict:
    from fanin.cli.interrupts import stop_on_ctrl_c
    from fanin.terms import Interrupt
    from fanin.voting import vote

    interrupt = Interrupt()
    shown = _progress(options)
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
