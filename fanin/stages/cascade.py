"""The verdict of a cascade: which tier decides, what the others came to, and what was saved."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import attrs

from fanin.answers.json_text import pointer
from fanin.answers.narrowing import parts_of
from fanin.answers.protocol import Parted, is_parted
from fanin.policy.pricing import Prices, cost_usd, price_of, sum_usd
from fanin.show import count, endings, one_line
from fanin.stages.conclude import on_parts, with_parts
from fanin.stages.grade import ADVICE
from fanin.stages.tiered_fields import merged
from fanin.values import Usage
from fanin.verdict import Basis, Verdict

_NAMED = 5
"""So many fields that a tier was asked for are named."""


def cascade(asked: Sequence[Verdict], tiers: Sequence[Sequence[str]], prices: Prices) -> Verdict:
    """One verdict on the tiers that were asked, in order; `tiers` are the models of all planned ones.

    Votes, ballots, failures and runs are those of the tier that decides: the last one asked, or, where
    that one has no quorum, the last one that has (else the last one with a vote). Usage and cost are those
    of all tiers together, and `stopped` tells of the last one where it was cut short. `tiers` of the
    verdict keeps them all.

    Of an answer that is voted on part by part each part is from the last tier that was asked for it and has
    a quorum on it; ballots are those of the first tier with a valid one, which was asked for the whole.
    """
    if asked[0].basis is not None and is_parted(asked[0].basis.plan.answer):
        decided, remarks = _by_parts(asked, asked[0].basis.plan.answer, tiers)
    else:
        place = deciding(asked)
        decided, remarks = asked[place], _remarks(asked, place, tiers)
    last = asked[-1]
    cut = last.stopped.by in ("deadline", "budget", "limit", "interrupt")
    return attrs.evolve(
        decided,
        advice=" ".join([decided.advice, *remarks, _saved(asked, tiers, prices)]),
        stopped=last.stopped if cut else decided.stopped,
        usage=_sum([tier.usage for tier in asked]),
        cost_usd=sum_usd([tier.cost_usd for tier in asked]),
        models=tuple(dict.fromkeys(model for tier in asked for model in tier.models)),
        events=tuple(event for tier in asked for event in tier.events),
        tiers=tuple(asked),
        basis=_planned(decided.basis, tiers, prices),
    )


def _planned(basis: Basis | None, tiers: Sequence[Sequence[str]], prices: Prices) -> Basis | None:
    if basis is None:
        return None
    return attrs.evolve(basis, tiers=tuple(tuple(models) for models in tiers), prices=prices)


def deciding(asked: Sequence[Verdict]) -> int:
    """The place, from 0, of the tier that decides: the last with a quorum; where none has one, the last
    with a vote; else the last."""
    quorate = [place for place, tier in enumerate(asked) if tier.outcome in ("decided", "tie")]
    voted = [place for place, tier in enumerate(asked) if tier.runs.valid]
    return (quorate or voted or [len(asked) - 1])[-1]


def _sum(usages: Sequence[Usage]) -> Usage:
    return list(accumulate(usages))[-1]


def _by_parts(
    asked: Sequence[Verdict], answer: Parted, tiers: Sequence[Sequence[str]]
) -> tuple[Verdict, list[str]]:
    """The verdict on all parts, and which tier was asked for which."""
    first = next((tier for tier in asked if tier.runs.valid), asked[-1])
    told = " ".join([ADVICE[first.pattern], *on_parts(merged([first]))])
    polled = merged(asked)
    verdict = with_parts(first, polled, answer, first.advice.removeprefix(told).strip())
    remarks = []
    for number, tier in enumerate(asked[1:], 2):
        kept = sum(field.tier == number for field in polled.fields.values())
        parts = _asked_for(tier, asked[0])
        remarks.append(
            f"Tier {number} of {len(tiers)} ({', '.join(tiers[number - 1])}) was asked for {_some(parts)}: "
            f"{count(kept, 'field')} of {len(polled.fields)} {'is' if kept == 1 else 'are'} from there."
        )
    return verdict, remarks


def _asked_for(tier: Verdict, first: Verdict) -> tuple[str, ...]:
    """The pointers of the parts that a tier was asked for of what the first one was; the empty one is the
    whole."""
    if first.basis is None or tier.basis is None or not is_parted(first.basis.plan.answer):
        return ("",)
    return tuple(map(pointer, parts_of(first.basis.plan.answer.shape, tier.basis.plan.answer.shape)))


def _some(pointers: Sequence[str]) -> str:
    if "" in pointers:
        return "the whole"
    more = f" and {len(pointers) - _NAMED} more" if len(pointers) > _NAMED else ""
    return f"{', '.join(pointers[:_NAMED])}{more}"


def _remarks(asked: Sequence[Verdict], decider: int, tiers: Sequence[Sequence[str]]) -> list[str]:
    names = [", ".join(models) for models in tiers]
    remarks = [f"Tier {decider + 1} of {len(tiers)} ({names[decider]}) decides."]
    for place, tier in enumerate(asked):
        if place < decider:
            remarks.append(f"Tier {place + 1} ({names[place]}) before it: {_came_to(tier)}.")
        elif place > decider:
            remarks.append(
                f"Tier {place + 1} ({names[place]}) was asked and has no quorum: {_came_to(tier)}."
            )
    return remarks


def _came_to(tier: Verdict) -> str:
    votes = [f"{number} for {one_line(choice, 60)}" for choice, number in list(tier.votes.items())[:3]]
    if len(tier.votes) > 3:
        votes.append(f"{count(sum(list(tier.votes.values())[3:]), 'vote')} for others")
    return ", ".join(filter(None, [*votes, endings(tier.runs)])) or "no vote"


def _saved(asked: Sequence[Verdict], tiers: Sequence[Sequence[str]], prices: Prices) -> str:
    """What the cascade saved, or cost, against a vote of the last tier alone.

    What the last tier would have used is unknown where it is not asked, or not for the whole: it is taken to
    be what the first tier used, at the last tier's own price.
    """
    last, first = ", ".join(tiers[-1]), asked[0]
    if len(asked) == len(tiers) and "" in _asked_for(asked[-1], first):
        before = _spent(asked[:-1])
        return f"Nothing was saved: {last} was asked as well, and the tiers before it took {before}."
    usd = cost_usd(first.usage, price_of(tiers[-1][0], prices))
    at_once = f"about {_amount(_runs([first]), first.usage, usd)} of {last}"
    spent = f"{_spent(asked)} of {', '.join(model for tier in asked for model in tier.models)}"
    spent_usd = sum_usd([tier.cost_usd for tier in asked])
    dearer = usd is not None and spent_usd is not None and spent_usd >= usd
    if len(asked) < len(tiers) and not dearer:
        return f"Saved against asking {last} at once: {at_once}, for {spent}."
    gain = "Nothing was saved" if dearer else "What was saved is unknown"
    if usd is not None and spent_usd is not None and not dearer:
        gain = f"About US$ {usd - spent_usd:.6f} were saved"
    return f"{gain}: {last} at once and for the whole would have been {at_once}, and this was {spent}."


def _spent(asked: Sequence[Verdict]) -> str:
    usage = _sum([tier.usage for tier in asked])
    return _amount(_runs(asked), usage, sum_usd([tier.cost_usd for tier in asked]))


def _runs(asked: Sequence[Verdict]) -> int:
    return sum(tier.runs.planned - tier.runs.unasked for tier in asked)


def _amount(runs: int, usage: Usage, usd: float | None) -> str:
    parts = [count(runs, "run")]
    if usage.input_tokens is not None and usage.output_tokens is not None:
        parts.append(f"{usage.input_tokens:,} + {usage.output_tokens:,} tokens")
    parts.append("price unknown" if usd is None else f"US$ {usd:.6f}")
    return f"{parts[0]} ({', '.join(parts[1:])})"
