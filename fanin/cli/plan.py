"""`fanin plan`: what a vote would take, before anything is spent."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import attrs
import click

from fanin.cli.options import answer_of, check_answer_options, leave, plan_of, shared
from fanin.cli.parameters import Duration
from fanin.errors import FaninError

if TYPE_CHECKING:
    from fanin.policy.planning import Assumed, Expected
    from fanin.policy.pricing import Prices
    from fanin.policy.stopping import Rule
    from fanin.values import Plan

SCHEMA = "fanin.plan/1"


@click.command(name="plan", context_settings={"show_default": True})
@shared("question", "runs", "answer", "choices", "tolerance", "backend", "model", "base_url", "system")
@shared("max_tokens", "structured", "quorum", "stop", "concurrency", "price")
@click.option(
    "--output-tokens", type=int, default=300, help="What one call is taken to write, --max-tokens at most."
)
@click.option("--seconds-per-call", type=Duration(), default="5", help="What one call is taken to last.")
@click.option("--json", "as_json", is_flag=True, help="Print one object, fanin.plan/1.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")
def command(**options: Any) -> None:
    """Tell what `fanin vote QUESTION` would take, and ask nothing.

    For an easy question (95 % of the runs give the common answer), a usual one (80 %) and a close one
    (55 %), with two answers: the mean of runs, tokens, US$ and seconds. The prompt is taken to have a
    token for every four bytes. Failed calls and waits for rate limits come on top; the limits
    themselves are unknown before the first call.

    \b
      fanin plan "Is 1009 a prime number?" --runs 9 --stop certified:0.05 --price 0.15/0.60
    """
    try:
        _plan(options)
    except FaninError as error:
        raise leave(error, command) from None


def _plan(options: dict[str, Any]) -> None:
    from fanin.cli.output import print_rules
    from fanin.cli.reading import piped_context
    from fanin.policy.planning import expected

    if options["stop"] == "help":
        print_rules()
        return
    check_answer_options(options)
    answer = answer_of(options, quiet=options["quiet"])
    backend, base_url, models = _chosen(options)
    plan = plan_of(options | {"model": models}, answer, piped_context(quiet=options["quiet"]))
    rule = _rule(plan, options["stop"])
    assumed = _assumed(plan, options, options["price"] or _listed(backend, base_url, models))
    rows = expected(rule, assumed, plan.max_tokens)
    if options["as_json"]:
        _print_json(plan, rule, backend, models, assumed, rows)
        return
    click.echo(_table(rows), nl=False)
    if not options["quiet"]:
        for line in _notes(assumed, models):
            click.echo(f"fanin: {line}", err=True)


def _chosen(options: dict[str, Any]) -> tuple[str | None, str | None, tuple[str, ...]]:
    """The backend, the address and the models, as far as they are named or configured; no key is needed."""
    from fanin.settings import backend_settings, read_settings

    settings = read_settings()
    named = options["backend"] or os.environ.get("FANIN_BACKEND") or settings.values.get("backend")
    if named is None:
        return None, options["base_url"], options["model"]
    chosen = backend_settings(named, base_url=options["base_url"], model=options["model"], settings=settings)
    return chosen.name, chosen.base_url, chosen.models


def _rule(plan: Plan, stop: str) -> Rule:
    from fanin.answers import Number
    from fanin.policy.stopping import parse_rule

    tolerant = isinstance(plan.answer, Number) and bool(plan.answer.abs_tol)
    return parse_rule(stop, runs=plan.runs, quorum=plan.quorum, tolerance=tolerant)


def _listed(backend: str | None, base_url: str | None, models: tuple[str, ...]) -> Prices:
    from fanin.price_table import listed_prices

    if backend is None or not models:
        return {}
    if backend == "openai":
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
    return listed_prices(backend, base_url, models)


def _assumed(plan: Plan, options: dict[str, Any], prices: Prices) -> Assumed:
    from fanin.policy.planning import Assumed, estimated_tokens
    from fanin.policy.pricing import price_of
    from fanin.stages.fan_out import fan_out
    from fanin.stages.isolate import isolate

    runs = fan_out(plan)
    read = sum(estimated_tokens(isolate(plan, run).messages) for run in runs) / len(runs)
    return Assumed(
        input_tokens=round(read, 3),
        output_tokens=min(options["output_tokens"], plan.max_tokens),
        seconds_per_call=options["seconds_per_call"],
        concurrency=options["concurrency"],
        prices=tuple(price_of(model, prices) for model in plan.variation.models),
    )


def _print_json(
    plan: Plan,
    rule: Rule,
    backend: str | None,
    models: tuple[str, ...],
    assumed: Assumed,
    rows: tuple[Expected, ...],
) -> None:
    told = {
        "schema": SCHEMA,
        "question": plan.question.text,
        "runs": plan.runs,
        "stop": rule.text,
        "backend": backend,
        "models": list(models),
        "per_call": {
            "input_tokens": assumed.input_tokens,
            "output_tokens": assumed.output_tokens,
            "max_tokens": plan.max_tokens,
            "seconds": assumed.seconds_per_call,
        },
        "concurrency": assumed.concurrency,
        "limits": None,
        "expected": [attrs.asdict(row) for row in rows],
    }
    click.echo(json.dumps(told))


def _table(rows: tuple[Expected, ...]) -> str:
    from fanin.policy.planning import QUESTIONS

    shares = dict(QUESTIONS)
    cells = [("question", "runs", "tokens in + out", "US$", "seconds", "stops early", "wrongly")]
    for row in rows:
        share = shares.get(row.question)
        cells.append(
            (
                row.question if share is None else f"{row.question} ({share:.0%})".replace("%", " %"),
                f"{row.runs:.1f}",
                f"{row.input_tokens:,.0f} + {row.output_tokens:,.0f}",
                "unknown" if row.cost_usd is None else f"{row.cost_usd:.6f}",
                f"{row.seconds:.1f}",
                "" if share is None else f"{100 * row.stopped:.1f} %",
                "" if share is None else f"{100 * row.wrong:.1f} %",
            )
        )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        + "\n"
        for line in cells
    )


def _notes(assumed: Assumed, models: tuple[str, ...]) -> list[str]:
    from fanin.show import count

    notes = [
        f"taken for one call: about {assumed.input_tokens:,.0f} tokens in, {assumed.output_tokens:,} out "
        f"(--output-tokens), {assumed.seconds_per_call:g} s (--seconds-per-call), "
        f"{count(assumed.concurrency, 'call')} in flight",
        "limits: unknown before the first call; failed calls and waits come on top",
    ]
    if None in assumed.prices:
        where = "" if models else ": name the model (-m)"
        notes.append(f"price unknown{where}; --price IN/OUT gives one")
    return notes
