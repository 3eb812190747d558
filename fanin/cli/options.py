"""Options that several commands share, and what they mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from fanin.cli.parameters import ModelPrice, comma_list
from fanin.errors import FaninError, InputError

if TYPE_CHECKING:
    from fanin.answers import Answer
    from fanin.policy.pricing import Price, Prices
    from fanin.values import Plan

_NOT_FROM_FILES = frozenset({"backend", "model", "base_url"})
"""Settings that belong together and are put together by `fanin.settings`, not one by one."""


def _settings(ctx: click.Context, _: click.Parameter, value: Any) -> Any:
    """Puts what the configuration files say behind what the command line says."""
    from fanin.settings import read_settings

    try:
        found = read_settings().values
    except FaninError as error:
        raise leave(error, ctx.command) from None
    repeated = {param.name for param in ctx.command.params if getattr(param, "multiple", False)}
    ctx.default_map = {
        name: [setting] if name in repeated and isinstance(setting, str) else setting
        for name, setting in found.items()
        if name not in _NOT_FROM_FILES
    }
    return value


def _prices(
    ctx: click.Context, param: click.Parameter, given: tuple[tuple[str | None, Price], ...]
) -> Prices | None:
    """The price of each model that one is given for; None where there is none."""
    prices = dict(given)
    if len(prices) < len(given):
        raise click.BadParameter("one price for each model, and one for all others", ctx, param)
    return prices or None


_SHARED = {
    "question": click.argument("question", callback=_settings, is_eager=True),
    "runs": click.option("--runs", type=int, default=5, help="How many times to ask, 1 to 1000."),
    "answer": click.option(
        "--answer",
        type=click.Choice(["auto", "yes/no", "number", "text"]),
        default="auto",
        help="The type of the answer; auto: yes/no for a question that opens like one, else text.",
    ),
    "choices": click.option(
        "--choices", metavar="A,B,C", help=r"The answers to choose from (\, is a comma inside one)."
    ),
    "tolerance": click.option(
        "--tolerance", type=float, metavar="X", help="Numbers this close are equal (with number)."
    ),
    "backend": click.option(
        "--backend", metavar="NAME", help="groq, openai, ollama, litellm, fake, or another installed one."
    ),
    "model": click.option("-m", "--model", multiple=True, help="The model; repeated, the runs go round."),
    "base_url": click.option(
        "--base-url", metavar="URL", help="Another address of the backend's kind of API."
    ),
    "system": click.option(
        "--system", multiple=True, metavar="TEXT", help="A system prompt; repeated, the runs go round."
    ),
    "max_tokens": click.option(
        "--max-tokens", type=int, default=2048, help="The longest output of one call."
    ),
    "structured": click.option(
        "--structured", is_flag=True, help="Ask for the backend's JSON schema output."
    ),
    "quorum": click.option(
        "--quorum", type=int, metavar="K", help="Valid ballots needed.  [default: more than half]"
    ),
    "stop": click.option(
        "--stop",
        default="all",
        metavar="RULE",
        help="When to stop asking, as decided or certified:0.05; --stop help lists the rules and their "
        "prices.",
    ),
    "concurrency": click.option("-j", "--concurrency", type=int, default=8, help="Calls in flight at once."),
    "price": click.option(
        "--price",
        type=ModelPrice(),
        multiple=True,
        callback=_prices,
        help="US$ per million tokens, read/written, as 0.15/0.60, or of one model, as NAME=0.15/0.60; "
        "repeated for several.  [default: litellm's list, where it is installed]",
    ),
}


def shared(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that gives a command these options, in this order; each is named by its parameter."""

    def with_options(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(names):
            function = _SHARED[name](function)
        return function

    return with_options


def leave(error: FaninError, command: click.Command) -> click.exceptions.Exit:
    """Says an error on stderr, with the option that it is about; what is given back is to be raised."""
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


def check_answer_options(options: dict[str, Any]) -> None:
    """Raises click.UsageError where the options do not agree on the type of the answer."""
    if options["choices"] is not None and options["answer"] != "auto":
        raise click.UsageError("--choices already says what the answers are: leave --answer out")
    if options["tolerance"] is not None and options["answer"] != "number":
        raise click.UsageError("--tolerance goes with --answer number")


def answer_of(options: dict[str, Any], *, quiet: bool) -> Answer:
    """The type of answer that the options ask for; says which one `auto` came to."""
    from fanin import answers
    from fanin.cli.progress import say
    from fanin.voting import as_answer

    if options["choices"] is not None:
        return answers.Choice(comma_list(options["choices"]))
    if options["answer"] == "number":
        return answers.Number(abs_tol=options["tolerance"] or 0.0)
    answer = as_answer(options["answer"], options["question"])
    if options["answer"] == "auto" and not quiet:
        say(f"answer type: {answer.name} (--answer sets another)")
    return answer


def plan_of(options: dict[str, Any], answer: Answer, context: str | None) -> Plan:
    """The plan of the vote as far as the options say it, for what is shown of it before it is held.

    Raises InputError.
    """
    from fanin.values import Plan, Question, Variation

    variation = Variation(
        options["model"] or ("?",),
        options["system"],
        options.get("temperature"),
        options.get("temperature_step", 0.0),
        seed=options.get("seed", 0),
    )
    return Plan(
        Question(options["question"], context),
        answer,
        variation,
        runs=options["runs"],
        quorum=options["quorum"],
        max_tokens=options["max_tokens"],
        structured=options["structured"],
    )
