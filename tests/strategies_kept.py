"""Results of every kind as they may be kept, made without asking anybody."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from hypothesis import strategies as st

from fanin.answers import Answer, Choice, Number, Text, YesNo
from fanin.judging import judged
from fanin.policy.pricing import Price, Prices
from fanin.stages.cascade import cascade
from fanin.stages.conclude import conclude
from fanin.stages.fan_out import fan_out
from fanin.stages.gather import gather
from fanin.values import (
    Completion,
    Event,
    Failure,
    Outcome,
    Plan,
    Question,
    Sample,
    Stopped,
    Usage,
    Variation,
)
from fanin.verdict import Verdict

ANSWERS: tuple[Answer, ...] = (
    YesNo(),
    Choice(("whale", "shark", "A* search")),
    Number(abs_tol=0.5),
    Number(rel_tol=0.01),
    Text(),
)
REPLIES = (
    "Answer: yes",
    "no",
    "Answer: B",
    "Answer: 12",
    "12.4",
    "**Answer:** The Hague.",
    "",
    "who knows?",
    "\ud800",
)

texts = st.text(
    st.characters(codec=None, categories=["L", "N", "P", "Zs", "Cs"]), min_size=1, max_size=12
).filter(str.strip)
_tokens = st.none() | st.integers(0, 10**6)


@st.composite
def plans(draw: st.DrawFn, models: Sequence[str] = ("small", "other")) -> Plan:
    """Plans with every kind of answer."""
    runs = draw(st.integers(1, 7))
    return Plan(
        Question(draw(texts), draw(st.none() | texts)),
        draw(st.sampled_from(ANSWERS)),
        Variation(
            draw(st.lists(st.sampled_from(models), min_size=1, max_size=2, unique=True)),
            draw(st.lists(st.none() | texts, max_size=2)),
            draw(st.none() | st.floats(0, 2)),
            seed=draw(st.integers(0, 99)),
            shuffled=draw(st.booleans()),
        ),
        runs,
        draw(st.none() | st.integers(1, runs)),
        structured=draw(st.booleans()),
    )


@st.composite
def votes(draw: st.DrawFn, plan: Plan | None = None, prices: Prices | None = None) -> Verdict:
    """Verdicts of one tier, with all that may come back; `prices` are those of the tiers before it."""
    plan = plan or draw(plans())
    stopped = draw(st.sampled_from([Stopped(), Stopped("rule", "decided"), Stopped("deadline", "decided")]))
    asked = range(plan.runs) if stopped.by == "all" else range(draw(st.integers(0, plan.runs)))
    outcomes: list[Outcome] = [
        draw(
            st.builds(
                Failure,
                st.just(index),
                st.sampled_from(["server", "auth", "deadline"]),
                texts,
                st.integers(1, 5),
                st.booleans(),
            )
            | st.builds(
                Sample,
                st.just(index),
                st.builds(
                    Completion,
                    st.sampled_from(REPLIES) | texts,
                    st.sampled_from(["stop", "length", "refusal"]),
                    st.builds(Usage, _tokens, _tokens),
                    logprob=st.none() | st.floats(-9, 0),
                ),
                st.integers(1, 3),
                st.sampled_from([(), ("temperature",), ("max_tokens", "seed")]),
            )
        )
        for index in asked
    ]
    return conclude(
        plan,
        fan_out(plan),
        gather(outcomes, plan.runs),
        stopped=stopped,
        backend=draw(st.sampled_from(["fake", "groq"])),
        price=draw(st.none() | st.just(Price(0.15, 0.6))) if prices is None else prices,
        events=tuple(Event("retry", index, 0.1 * index, 2, 1.5, "slow down") for index in asked),
        remarks=draw(st.lists(st.just("It is certified."), max_size=1)),
    )


@st.composite
def verdicts(draw: st.DrawFn) -> Verdict:
    """Verdicts of votes and of cascades, weighted by log-probability or not."""
    first = draw(votes())
    assert first.basis is not None
    verdict = first
    if draw(st.booleans()):
        changed = attrs.evolve(
            first.basis.plan, variation=attrs.evolve(first.basis.plan.variation, models=("large",))
        )
        tiers = (first.models, ("large",), ("never asked",))
        prices = first.basis.prices
        verdict = cascade([first, draw(votes(changed, prices))], tiers, prices)
    if draw(st.booleans()):
        return judged(verdict, [first.basis.plan] * 2, weights="logprob")
    return verdict
