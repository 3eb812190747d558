"""`fanin plan`: what a vote would take, before anything is spent."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import attrs
import click

from fanin.cli.answer_types import answer_type_options
from fanin.cli.options import answer_of, check_answer_options, check_escalation, leave, plan_of, shared
from fanin.cli.parameters import Duration
from fanin.errors import FaninError

if TYPE_CHECKING:
    from fanin.answers import Answer
    from fanin.foreseeing import Foreseen
    from fanin.policy.planning import Assumed, Expected, Told
    from fanin.policy.pricing import Prices
    from fanin.policy.stopping import Rule
    from fanin.values import Plan

SCHEMA = "fanin.plan/1"


@click.command(name="plan", context_settings={"show_default": True})
@shared("question", "runs", "answer", "choices", "tolerance", "backend", "model", "base_url", "system")
@answer_type_options
@shared("cluster", "select", "judge", "embed")
@shared("max_tokens", "structured", "quorum", "stop", "escalate", "escalate_when", "concurrency", "price")
@click.option(
    "--output-tokens", type=int, default=300, help="What one call is taken to write, --max-tokens at most."
)
@click.option("--seconds-per-call", type=Duration(), default="5", help="What one call is taken to last.")
@click.option("--rpm", type=float, metavar="N", help="Requests a minute that a model lets pass.")
@click.option("--tpm", type=float, metavar="N", help="Tokens a minute, in and out, that a model lets pass.")
@click.option("--json", "as_json", is_flag=True, help="Print one object, fanin.plan/1.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")
def command(**options: Any) -> None:
    """Tell what `fanin vote QUESTION` would take, and ask nothing.

    For an easy question (95 % of the runs give the common answer), a usual one (80 %) and a close one
    (55 %), with two answers: the mean of runs, tokens, US$ and seconds. The prompt is taken to have a
    token for every four bytes. With --escalate every tier is taken to meet the same question, and the
    table tells how often each next one is asked. Limits count that you know (--rpm, --tpm) or that earlier
    calls were told (fanin limits); failed calls and waits for others come on top.

    \b
      fanin plan "Is 1009 a prime number?" --runs 9 --stop certified:0.05 --price 0.15/0.60
      fanin plan "Is it so?" --runs 9 -m small --escalate large --rpm 30 --tpm 6000
    """
    try:
        _plan(options)
    except FaninError as error:
        raise leave(error, command) from None


def _plan(options: dict[str, Any]) -> None:
    from fanin.cli.output import print_rules
    from fanin.cli.reading import piped_context
    from fanin.cli.told_limits import told_limits
    from fanin.foreseeing import foresee
    from fanin.policy.escalating import check_tiers

    if options["stop"] == "help":
        print_rules()
        return
    check_answer_options(options)
    check_escalation(options)
    answer = answer_of(options, quiet=options["quiet"])
    backend, base_url, models = _chosen(options)
    tiers = (models, *((model,) for model in options["escalate"]))
    check_tiers(tiers)
    plan = plan_of(options | {"model": models}, answer, piped_context(quiet=options["quiet"]))
    judged = _judge_calls(options, answer, plan.runs)
    rule = _rule(plan, options["stop"])
    named = tuple(model for tier in tiers for model in tier)
    prices = options["price"] or _listed(backend, base_url, named)
    told = [told_limits(backend, base_url, tier) for tier in tiers]
    assumed = [
        _assumed(plan, options, prices, tier or plan.variation.models, limits)
        for tier, limits in zip(tiers, told, strict=True)
    ]
    seen = foresee(rule, assumed, plan.max_tokens, when=options["escalate_when"], quorum=options["quorum"])
    if options["as_json"]:
        _print_json(plan, rule, backend, tiers, options | {"judged": judged}, assumed[0], seen)
        return
    click.echo(_table(seen), nl=False)
    if not options["quiet"]:
        for line in _notes(assumed, tiers, seen, judged):
            click.echo(f"fanin: {line}", err=True)


def _chosen(options: dict[str, Any]) -> tuple[str | None, str | None, tuple[str, ...]]:
    """The backend, the address and the models, as far as they are named or configured; no key is needed."""
    from fanin.connecting import check_known
    from fanin.settings import backend_settings, read_settings

    settings = read_settings()
    named = options["backend"] or os.environ.get("FANIN_BACKEND") or settings.values.get("backend")
    if named is None:
        return None, options["base_url"], options["model"]
    check_known(named)
    chosen = backend_settings(named, base_url=options["base_url"], model=options["model"], settings=settings)
    return chosen.name, chosen.base_url, chosen.models


def _rule(plan: Plan, stop: str) -> Rule:
    from fanin.policy.stopping import parse_rule
    from fanin.voting import stopping_of

    stopping = stopping_of(stop, "fit", plan.runs, plan.quorum, plan.answer)
    return parse_rule("all", runs=plan.runs) if stopping is None else stopping.rule


def _judge_calls(options: dict[str, Any], answer: Answer, runs: int) -> int:
    """The most calls of a judge: those where every run says something else. Raises InputError."""
    from fanin.answers import Text
    from fanin.settling import settlement_of

    settlement_of(answer, judge=options["judge"], embed=options["embed"], runs=runs)
    if not isinstance(answer, Text):
        return 0
    pairs = runs * (runs - 1) // 2 if answer.cluster == "judge" else 0
    return 2 * pairs + answer.whole  # each pair is asked the other way round where the judge is unsure


def _listed(backend: str | None, base_url: str | None, models: tuple[str, ...]) -> Prices:
    from fanin.price_table import listed_prices

    if backend is None or not models:
        return {}
    if backend == "openai":
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
    return listed_prices(backend, base_url, models)


def _assumed(
    plan: Plan, options: dict[str, Any], prices: Prices, models: tuple[str, ...], told: tuple[Told, ...]
) -> Assumed:
    from fanin.policy.estimating import estimated_tokens
    from fanin.policy.planning import Assumed, Limits
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
        prices=tuple(price_of(model, prices) for model in models),
        limits=Limits(options["rpm"], options["tpm"], told),
    )


def _print_json(
    plan: Plan,
    rule: Rule,
    backend: str | None,
    tiers: tuple[tuple[str, ...], ...],
    options: dict[str, Any],
    assumed: Assumed,
    seen: Foreseen,
) -> None:
    limits: dict[str, Any] = {"requests_per_minute": options["rpm"], "tokens_per_minute": options["tpm"]}
    if assumed.limits.told:
        limits["told"] = [attrs.asdict(each) for each in assumed.limits.told]
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "question": plan.question.text,
        "runs": plan.runs,
        "stop": rule.text,
        "backend": backend,
        "models": list(tiers[0]),
        "per_call": {
            "input_tokens": assumed.input_tokens,
            "output_tokens": assumed.output_tokens,
            "max_tokens": plan.max_tokens,
            "seconds": assumed.seconds_per_call,
        },
        "concurrency": assumed.concurrency,
        "limits": limits if any(limits.values()) else None,
        "expected": [attrs.asdict(row) for row in seen.in_all],
    }
    if options["judged"]:
        found["judge_calls_at_most"] = options["judged"]
    if len(tiers) > 1:
        found["escalate_when"] = options["escalate_when"]
        found["tiers"] = [
            {"models": list(models), "asked": list(chances), "expected": [attrs.asdict(row) for row in rows]}
            for models, chances, rows in zip(tiers, seen.reached, seen.tiers, strict=True)
        ]
    click.echo(json.dumps(found))


def _told(limit: Told) -> str:
    return f"{limit.size:,g} {limit.counts} at once and {60 * limit.per_s:,.4g} a minute, as was told before"


def _table(seen: Foreseen) -> str:
    cells = [("question", "runs", "tokens in + out", "US$", "seconds", *_last_heads(seen))]
    for place, row in enumerate(seen.in_all):
        cells.append(
            (
                _question(row),
                f"{row.runs:.1f}",
                f"{row.input_tokens:,.0f} + {row.output_tokens:,.0f}",
                "unknown" if row.cost_usd is None else f"{row.cost_usd:.6f}",
                f"{row.seconds:.1f}",
                *_last_cells(seen, row, place),
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


def _question(row: Expected) -> str:
    from fanin.policy.planning import QUESTIONS

    share = dict(QUESTIONS).get(row.question)
    return row.question if share is None else f"{row.question} ({share:.0%})".replace("%", " %")


def _last_heads(seen: Foreseen) -> tuple[str, ...]:
    if len(seen.tiers) == 1:
        return "stops early", "wrongly"
    return tuple(f"asks tier {number}" for number in range(2, len(seen.tiers) + 1))


def _last_cells(seen: Foreseen, row: Expected, place: int) -> tuple[str, ...]:
    if len(seen.tiers) > 1:
        return tuple(f"{100 * chances[place]:.1f} %" for chances in seen.reached[1:])
    if row.share is None:
        return "", ""
    return f"{100 * row.stopped:.1f} %", f"{100 * row.wrong:.1f} %"


def _notes(
    assumed: list[Assumed], tiers: tuple[tuple[str, ...], ...], seen: Foreseen, judged: int
) -> list[str]:
    from fanin.show import clean, count

    first = assumed[0]
    limits = [
        f"{limit:,g} {what} a minute"
        for limit, what in ((first.limits.rpm, "requests"), (first.limits.tpm, "tokens"))
        if limit is not None
    ]
    known = [f"{' and '.join(limits)} for each model"] if limits else []
    known += [_told(each) for tier in assumed for each in tier.limits.told]
    notes = [
        f"taken for one call: about {first.input_tokens:,.0f} tokens in, {first.output_tokens:,} out "
        f"(--output-tokens), {first.seconds_per_call:g} s (--seconds-per-call), "
        f"{count(first.concurrency, 'call')} in flight",
        f"limits: {'; '.join(dict.fromkeys(known)) or 'unknown before the first call'}; failed calls and "
        f"{'other ' if known else ''}waits come on top",
    ]
    if len(tiers) > 1:
        usual = next(row for row in seen.tiers[-1] if row.question == "usual")
        cost = "price unknown" if usual.cost_usd is None else f"US$ {usual.cost_usd:.6f}"
        notes.append(
            f"{clean(tiers[-1][0])} at once, for a usual question: {usual.runs:.1f} runs, {cost}, "
            f"{usual.seconds:.1f} s"
        )
    if judged:
        notes.append(f"a judge is asked on top: {count(judged, 'call')} at most, none where the runs agree")
    if any(None in tier.prices for tier in assumed):
        where = "" if tiers[0] else ": name the model (-m)"
        notes.append(f"price unknown{where}; --price IN/OUT gives one")
    return notes
