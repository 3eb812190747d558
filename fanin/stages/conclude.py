"""The last step: from what came back to the Verdict, without asking anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from fanin.answers.protocol import Parted, is_parted
from fanin.policy.pricing import Price, Prices, as_prices, total_usd
from fanin.stages.ballot import ballot
from fanin.stages.grade import ADVICE, grade, pattern
from fanin.stages.group import UNSETTLED, clusters_of, is_unsettled
from fanin.stages.vote import vote
from fanin.values import Ballot, Event, Gathered, Plan, Run, Stopped, Tally, Usage
from fanin.verdict import Basis, Verdict

if TYPE_CHECKING:
    from fanin.stages.field_votes import Polled

_NAMED = 5
"""So many fields without an answer are named."""


def conclude(
    plan: Plan,
    runs: Sequence[Run],
    gathered: Gathered,
    *,
    stopped: Stopped,
    backend: str,
    price: Price | Prices | None = None,
    events: tuple[Event, ...] = (),
    remarks: Sequence[str] = (),
) -> Verdict:
    """The verdict on the outcomes of a plan; `runs` are the plan's own, by index.

    `remarks` are sentences that the advice says too.

    The same outcomes give the same verdict in any order of arrival (`events` apart).
    """
    read = [ballot(sample, runs[sample.index], plan) for sample in gathered.samples]
    ballots = _counted_as(read, plan)
    tally = vote(read, gathered, plan.answer, quorum=plan.quorum, spared=stopped.by == "rule")
    used = [sample.completion.usage for sample in gathered.samples]
    usage = sum(used[1:], used[0]) if used else Usage()
    shape, winner, prices = pattern(tally), tally.winner, as_prices(price)
    verdict = Verdict(
        question=plan.question.text,
        outcome=tally.outcome,
        answer=None if winner is None else plan.answer.show(winner),
        grade=grade(tally),
        confidence=float(tally.support),
        confidence_kind="agreement",
        pattern=shape,
        advice=" ".join([ADVICE[shape], *remarks, *_remarks(plan, runs, tally, ballots, gathered)]),
        stopped=stopped,
        votes={plan.answer.show(choice): votes for choice, votes in tally.counts},
        runs=tally.runs,
        ballots=ballots,
        failures=gathered.failures,
        usage=usage,
        cost_usd=total_usd(
            [(runs[sample.index].model, sample.completion.usage) for sample in gathered.samples],
            prices,
        ),
        backend=backend,
        models=plan.variation.models,
        events=events,
        basis=Basis(plan, tuple(runs), gathered, prices, tuple(remarks)),
        clusters=clusters_of(read, tally, plan.answer),
    )
    return _by_parts(verdict, read, tally, plan.answer) if is_parted(plan.answer) else verdict


def _by_parts(verdict: Verdict, read: Sequence[Ballot], whole: Tally, answer: Parted) -> Verdict:
    """The verdict on an answer that is voted on part by part: as good as its weakest required part."""
    from fanin.stages.field_votes import poll

    polled = poll([cast.choice for cast in read if cast.choice is not None], whole, answer)
    rest = verdict.advice.removeprefix(ADVICE[verdict.pattern]).strip()
    return with_parts(verdict, polled, answer, rest)


def with_parts(verdict: Verdict, polled: Polled, answer: Parted, rest: str) -> Verdict:
    """The verdict with what the vote on its parts came to; `rest` is what its advice says beside that."""
    if polled.weakest is None:
        return verdict
    part, tally = polled.fields[polled.weakest], polled.tallies[polled.weakest]
    shape = pattern(tally)
    return attrs.evolve(
        verdict,
        outcome="tie" if part.outcome == "invalid" else part.outcome,
        answer=answer.written(polled.document) if polled.decided else None,
        grade=part.grade,
        confidence=part.confidence,
        pattern=shape,
        advice=" ".join(filter(None, [ADVICE[shape], *on_parts(polled), rest])),
        document=polled.document,
        fields=dict(polled.fields),
    )


def on_parts(polled: Polled) -> list[str]:
    """Which part is the weakest, and which have no answer."""
    if len(polled.fields) == 1:
        return []
    remarks = []
    if polled.weakest is not None and polled.fields[polled.weakest].confidence < 1:
        remarks.append(f"That is the weakest field, {polled.weakest or 'the whole'}.")
    open_at = [place or "the whole" for place, part in polled.fields.items() if part.reason is not None]
    if open_at:
        more = f" and {len(open_at) - _NAMED} more" if len(open_at) > _NAMED else ""
        remarks.append(f"No answer for {', '.join(open_at[:_NAMED])}{more}.")
    return remarks


def _counted_as(ballots: Sequence[Ballot], plan: Plan) -> tuple[Ballot, ...]:
    """The ballots, each with the choice it is counted as and as it is shown: they add up to the votes."""
    same = plan.answer.same([cast.choice for cast in ballots if cast.choice is not None])
    shown = {choice: plan.answer.show(counted) for choice, counted in same.items()}
    return tuple(
        cast
        if cast.choice is None or cast.choice == shown[cast.choice]
        else attrs.evolve(cast, choice=shown[cast.choice])
        for cast in ballots
    )


def _remarks(
    plan: Plan, runs: Sequence[Run], tally: Tally, ballots: Sequence[Ballot], gathered: Gathered
) -> list[str]:
    remarks = []
    asked = {run.model for run in runs}
    if left_out := [model for model in dict.fromkeys(plan.variation.models) if model not in asked]:
        remarks.append(f"There are too few runs to ask {', '.join(left_out)} as well.")
    if tally.outcome == "no_quorum":
        remarks.append(
            f"Only {tally.runs.valid} of {tally.counting} runs cast a vote; {tally.quorum} are needed."
        )
    if is_unsettled(plan.answer, tally):
        remarks.append(UNSETTLED)
    by_model = _winners_by_model(plan, ballots)
    if len(set(by_model.values())) > 1:
        named = "; ".join(f"{model} says {winner}" for model, winner in by_model.items())
        remarks.append(f"The models differ: {named}.")
    for parameter, refusing in _left_out(ballots, gathered, plan.variation.models).items():
        instead = "with max_completion_tokens instead of" if parameter == "max_tokens" else "without"
        remarks.append(f"Asked {instead} {parameter}, which is refused by {', '.join(refusing)}.")
    return remarks


def _winners_by_model(plan: Plan, ballots: Sequence[Ballot]) -> dict[str, str]:
    winners: dict[str, str] = {}
    if len(plan.variation.models) == 1:
        return winners
    for model in dict.fromkeys(plan.variation.models):
        votes = Counter(cast.choice for cast in ballots if cast.model == model and cast.choice is not None)
        if votes:
            most = max(votes.values())
            winners[model] = " and ".join(sorted(choice for choice in votes if votes[choice] == most))
    return winners


def _left_out(ballots: Sequence[Ballot], gathered: Gathered, models: Sequence[str]) -> dict[str, list[str]]:
    refusing: dict[str, set[str]] = {}
    for cast, sample in zip(ballots, gathered.samples, strict=True):
        for parameter in sample.without:
            refusing.setdefault(parameter, set()).add(cast.model)
    return {
        parameter: [model for model in dict.fromkeys(models) if model in refusing[parameter]]
        for parameter in sorted(refusing)
    }
