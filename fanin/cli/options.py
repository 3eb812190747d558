"""Options that several commands share, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from fanin.cli.parameters import Duration, ModelPrice, comma_list
from fanin.errors import FaninError, InputError

if TYPE_CHECKING:
    from fanin.answers import Answer
    from fanin.policy.pricing import Price, Prices
    from fanin.values import Plan

_NOT_FROM_FILES = frozenset({"backend", "model", "base_url"})
"""Settings that belong together and are put together by `fanin.settings`, not one by one."""


def settings_for(names: Sequence[str] | None = None) -> Callable[..., Any]:
    """A callback that puts what the configuration files say behind what the command line says.

    Of the options `names`; None: of all.
    """

    def put(ctx: click.Context, _: click.Parameter, value: Any) -> Any:
        from fanin.settings import read_settings

        try:
            found = read_settings().values
        except FaninError as error:
            raise leave(error, ctx.command) from None
        repeated = {param.name for param in ctx.command.params if getattr(param, "multiple", False)}
        ctx.default_map = {
            name: [setting] if name in repeated and isinstance(setting, str) else setting
            for name, setting in found.items()
            if name not in _NOT_FROM_FILES and (names is None or name in names)
        }
        return value

    return put


def _prices(
    ctx: click.Context, param: click.Parameter, given: tuple[tuple[str | None, Price], ...]
) -> Prices | None:
    """The price of each model that one is given for; None where there is none."""
    prices = dict(given)
    if len(prices) < len(given):
        raise click.BadParameter("one price for each model, and one for all others", ctx, param)
    return prices or None


_SHARED = {
    "question": click.argument("question", callback=settings_for(), is_eager=True),
    "runs": click.option("--runs", type=int, default=5, help="How many times to ask, 1 to 1000."),
    "answer": click.option(
        "--answer",
        type=click.Choice(["auto", "yes/no", "number", "text", "date", "quantity"]),
        default="auto",
        help="The type of the answer; auto: yes/no for a question that opens like one, else text.",
    ),
    "choices": click.option(
        "--choices", metavar="A,B,C", help=r"The answers to choose from (\, is a comma inside one)."
    ),
    "tolerance": click.option(
        "--tolerance",
        type=float,
        metavar="X",
        help="Numbers this close are equal (with number, quantity, --schema).",
    ),
    "cluster": click.option(
        "--cluster",
        default="exact",
        metavar="HOW",
        help="Which texts are one: exact (word for word), lexical or lexical:0.8 (nearly so by letters), "
        "judge (a model says so), embedding or embedding:0.9 (near in meaning by --embed).",
    ),
    "select": click.option(
        "--select",
        type=click.Choice(["votes", "judge"]),
        default="votes",
        help="judge: the whole reply is the answer, and a model picks the one most consistent with the rest.",
    ),
    "judge": click.option(
        "--judge", metavar="MODEL", help="The model that judges.  [default: the first that is asked]"
    ),
    "embed": click.option(
        "--embed",
        type=click.Path(),
        metavar="FOLDER",
        help="A Model2Vec model for --cluster embedding: pip install 'fanin[embed]'.",
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
    "temperature": click.option(
        "--temperature", type=float, default=0.6, help="The lowest of five rungs that runs climb."
    ),
    "temperature_step": click.option(
        "--temperature-step", type=float, default=0.1, help="The height of a rung."
    ),
    "seed": click.option(
        "--seed", type=int, default=0, help="What the runs' seeds and orders of choices derive from."
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
    "escalate": click.option(
        "--escalate",
        multiple=True,
        metavar="MODEL",
        help="The next tier: a model that is asked, by a vote of its own, only where the vote before has no "
        "winner or --escalate-when holds; repeated, several tiers. With --schema or --labels it is asked for "
        "the fields of which that is true, and no others.",
    ),
    "escalate_when": click.option(
        "--escalate-when",
        type=click.Choice(["split", "not-high", "any-dissent"]),
        default="split",
        help="split: answers differ, and less than 4/5 of the votes are for one; not-high: the agreement is "
        "not high; any-dissent: two votes differ.",
    ),
    "concurrency": click.option("-j", "--concurrency", type=int, default=8, help="Calls in flight at once."),
    "timeout": click.option(
        "--timeout", type=Duration(), default="120", help="The longest one call may take, as a whole."
    ),
    "max_wait": click.option(
        "--max-wait", type=Duration(), default="10m", help="A longer told wait is not waited out."
    ),
    "rpm": click.option("--rpm", type=float, metavar="N", help="Requests a minute and model, at most."),
    "tpm": click.option("--tpm", type=float, metavar="N", help="Tokens a minute and model, at most."),
    "stagger": click.option(
        "--stagger",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="Calls of a model begin so far apart at least.",
    ),
    "pace": click.option(
        "--pace",
        default="file",
        metavar="WHERE",
        help="Who shares the pace. file: your processes on this machine; redis://HOST/0: all who name it; "
        "off: this one alone.",
    ),
    "hedge": click.option(
        "--hedge",
        is_flag=True,
        help="Make a call that takes twice as long as the others a second time, while its vote can matter.",
    ),
    "retries": click.option(
        "--retries", type=int, default=4, help="Calls after the first that errors may cost."
    ),
    "record": click.option(
        "--record", type=click.Path(), metavar="FILE", help="Keep the HTTP traffic as a tape."
    ),
    "record_new": click.option(
        "--record-new", type=click.Path(), metavar="FILE", help="Answer from a tape, and add what it lacks."
    ),
    "replay": click.option(
        "--replay", type=click.Path(), metavar="FILE", help="Answer from a tape: no key, no network."
    ),
    "log": click.option(
        "--log/--no-log",
        default=None,
        help="Keep the run, to show, compare and recount it later (fanin runs).  [default: keep it, unless a "
        "tape is replayed]",
    ),
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


def paced(options: dict[str, Any]) -> dict[str, Any]:
    """What the options say of the pace, as `fanin.terms.Terms` names it."""
    names = {"rpm": "rpm", "tpm": "tpm", "stagger": "stagger_s", "pace": "pace"}
    return {names[option]: value for option, value in options.items() if option in names}


def leave(error: FaninError, command: click.Command) -> click.exceptions.Exit:
    """Says an error on stderr, with the option that it is about; what is given back is to be raised."""
    from fanin.show import clean

    message = error.message
    if isinstance(error, InputError):
        message = message.replace(error.field, _option(error.field, command), 1)
    click.echo(f"fanin: {clean(message)}", err=True)
    if error.mend is not None:
        click.echo(clean(error.mend), err=True)
    return click.exceptions.Exit(error.exit_code)


_SAID_BY = {"abs_tol": ("tolerance",), "options": ("choices", "labels")}
"""Field -> the options that set it, where they bear other names."""


def _option(field: str, command: click.Command) -> str:
    """The option that sets a field: of its own name, or one that was given and sets it as well."""
    there = {name for each in command.params for name in each.opts}
    own = field.removesuffix("_s").replace("_", "-")
    if f"--{own}" in there:
        return f"--{own}"
    given = click.get_current_context().params
    said = (name for name in _SAID_BY.get(field, ()) if f"--{name}" in there and given.get(name) is not None)
    return next((f"--{name}" for name in said), f"the {own}")


def check_answer_options(options: dict[str, Any]) -> None:
    """Raises click.UsageError where the options do not agree on the type of the answer."""
    from fanin.cli.answer_types import check_answer_types

    check_answer_types(options)
    measured = options["answer"] in ("number", "quantity") or options.get("schema") is not None
    if options["tolerance"] is not None and not measured:
        raise click.UsageError("--tolerance goes with --answer number")
    _check_text_options(options)


def _check_text_options(options: dict[str, Any]) -> None:
    given = [name for name, usual in _ON_TEXTS.items() if options.get(name, usual) != usual]
    other = [name for name in ("choices", "schema", "labels") if options.get(name)]
    if given and (other or options["answer"] not in ("auto", "text")):
        instead = f"--{other[0]}" if other else f"--answer {options['answer']}"
        raise click.UsageError(f"--{given[0]} goes with texts (--answer text), not with {instead}")


_ON_TEXTS = {"cluster": "exact", "select": "votes"}
"""Options that say the answer is a text, with what they are unless given."""


def check_escalation(options: dict[str, Any]) -> None:
    """Raises click.UsageError for a condition without a tier that it could call for."""
    given = click.get_current_context().get_parameter_source("escalate_when")
    if given is click.core.ParameterSource.COMMANDLINE and not options["escalate"]:
        raise click.UsageError("--escalate-when goes with --escalate")


def answer_of(options: dict[str, Any], *, quiet: bool) -> Answer:
    """The type of answer that the options ask for; says which one `auto` came to."""
    from fanin import answers
    from fanin.cli.answer_types import typed_answer
    from fanin.cli.progress import say
    from fanin.voting import as_answer

    if options["choices"] is not None:
        return answers.Choice(comma_list(options["choices"]))
    if (text := text_answer(options)) is not None:
        return text
    typed = typed_answer(options)
    if typed is not None:
        return typed
    if options["answer"] == "number":
        return answers.Number(abs_tol=options["tolerance"] or 0.0)
    answer = as_answer(options["answer"], options["question"])
    if options["answer"] == "auto" and not quiet:
        say(f"answer type: {answer.name} (--answer sets another)")
    return answer


def text_answer(options: dict[str, Any]) -> Answer | None:
    """The type of text that the options ask for; None where they say nothing of texts. Raises InputError."""
    if all(options.get(name, usual) == usual for name, usual in _ON_TEXTS.items()):
        return None
    from fanin.answers import Text
    from fanin.answers.text import parse_cluster

    return Text(*parse_cluster(options["cluster"]), options["select"])


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
