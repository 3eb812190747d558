"""What weights and a calibration file make of a verdict: weighted votes, and a confidence that is a chance.

Both say what they did in the advice, and where they cannot be used they say why and change nothing. Of a
cascade it is the tier that decides whose models a file has to have been made with.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import fsum
from typing import Literal, TypeAlias

import attrs

from fanin.calibration import ENOUGH_VOTES, Calibration
from fanin.policy.calibrating import Past, Shape
from fanin.policy.weighing import Cast, Voter, Weights, chances, leaders, logprob_scores, scores
from fanin.stages.ballot import ballot
from fanin.stages.cascade import deciding
from fanin.stages.fan_out import fan_out
from fanin.stages.gather import gather
from fanin.stages.grade import ENOUGH_BALLOTS, MEDIUM
from fanin.stages.vote import vote
from fanin.values import Ballot, Outcome, Plan, Run
from fanin.verdict import Verdict

Weighing: TypeAlias = Literal["logprob"] | tuple[Calibration, ...]
"""By the log-probabilities of the answers, or by the files, of which the one that fits is taken."""


@attrs.frozen
class _Weighed:
    """A verdict whose votes were weighted, or were not."""

    verdict: Verdict
    by: Calibration | Literal["logprob"] | None = None
    """What weighted them; None where nothing did."""
    chance: float = 0.0
    """The chance of the answer by a file's weights."""


def judged(
    verdict: Verdict,
    plans: Sequence[Plan],
    *,
    weights: Weighing = (),
    calibrations: tuple[Calibration, ...] = (),
) -> Verdict:
    """The verdict with its votes weighted, and its confidence calibrated, as far as that can be done.

    `plans` are those of the tiers, the one plan where there are none. The votes and the pattern stay the
    unweighted ones. Where the weights decide against the majority, or decide a tie, the grade is `low`: no
    more than half of the votes are for the answer.
    """
    if verdict.basis is not None:
        basis = attrs.evolve(verdict.basis, weights=weights, calibrations=calibrations)
        verdict = attrs.evolve(verdict, basis=basis)
    if not verdict.tiers:
        return _judged(verdict, plans[0], weights, calibrations)
    place = deciding(verdict.tiers)
    tier = verdict.tiers[place]
    found = _judged(tier, plans[place], weights, calibrations)
    advice = verdict.advice + found.advice.removeprefix(tier.advice)
    if place and found.confidence_kind == "calibrated":
        advice += (
            " But the past votes were on all questions, and those that a tier passes on are harder: the"
            " chance is rather lower."
        )
    return attrs.evolve(
        verdict,
        outcome=found.outcome,
        answer=found.answer,
        grade=found.grade,
        confidence=found.confidence,
        confidence_kind=found.confidence_kind,
        advice=advice,
    )


def _judged(
    verdict: Verdict, plan: Plan, weights: Weighing, calibrations: tuple[Calibration, ...]
) -> Verdict:
    if weights == "logprob":
        weighed = _by_logprob(verdict)
    else:
        weighed = _by_file(verdict, plan, weights) if weights else _Weighed(verdict)
    return _calibrated(weighed, plan, calibrations) if calibrations else weighed.verdict


def agreed(plan: Plan, runs: Sequence[Run], outcomes: Sequence[Outcome], *, weights: Weighing) -> bool:
    """Whether the weights decide as the count of these outcomes does, whatever the other runs come to.

    At worst each of them gives its weight to another answer, or where that is below 0 to the winner; an
    answer that nobody gave so far has none. Where nothing can be weighted, the count decides alone.
    """
    gathered = gather(outcomes, plan.runs)
    read = [ballot(sample, runs[sample.index], plan) for sample in gathered.samples]
    winner = vote(read, gathered, plan.answer, quorum=plan.quorum, spared=True).winner
    ended = {outcome.index for outcome in outcomes}
    left = [run for run in runs if run.index not in ended]
    same = plan.answer.same([cast.choice for cast in read if cast.choice is not None])
    valid = [attrs.evolve(cast, choice=same[cast.choice]) for cast in read if cast.choice is not None]
    found = _scored(valid, left, runs, plan, weights)
    if winner is None or found is None:
        return True
    scored, most = found
    rival = max([0.0, *(score for choice, score in scored.items() if choice != winner)])
    return scored[winner] - rival > most + 1e-9


def _scored(
    valid: Sequence[Ballot], left: Sequence[Run], runs: Sequence[Run], plan: Plan, weights: Weighing
) -> tuple[dict[str, float], float] | None:
    """The weight of every answer, and the most that the runs that are left can move; None without weights."""
    if weights == "logprob":
        cast = [(each.choice or "", each.logprob) for each in valid if each.logprob is not None]
        return (logprob_scores(cast), float(len(left))) if len(cast) == len(valid) else None
    file = _fitting(weights, plan, plan.variation.models)
    fitted = None if isinstance(file, str) else file.weights
    if fitted is None:
        return None
    votes = _votes(valid, runs, fitted)
    if fitted.unknown(voter for voter, _ in votes):
        return None
    voters = [_voter(run.model, run.system, fitted) for run in left]
    # The vote of one who is not known makes the count decide alone.
    most = fsum(abs(fitted.log_odds.get(voter, 0.0)) for voter in voters)
    return scores(votes, fitted.log_odds), most


def _votes(ballots: Sequence[Ballot], runs: Sequence[Run], fitted: Weights) -> list[Cast]:
    return [
        (_voter(each.model, runs[each.index].system, fitted), each.choice)
        for each in ballots
        if each.choice is not None
    ]


def _told(verdict: Verdict, sentence: str) -> Verdict:
    return attrs.evolve(verdict, advice=f"{verdict.advice} {sentence}")


def _fitting(files: tuple[Calibration, ...], plan: Plan, models: Sequence[str]) -> Calibration | str:
    """The first file that was made with these models and this type of answer, or why none was."""
    kind = plan.answer.name
    problems = []
    for file in files:
        if not (problem := file.foreign(kind, models)):
            return file
        problems.append(problem)
    if len(problems) == 1:
        return problems[0]
    return f"none of the {len(files)} files was made with {', '.join(models)} for answers of the type {kind}"


def _by_logprob(verdict: Verdict) -> _Weighed:
    if verdict.outcome not in ("decided", "tie"):
        return _Weighed(verdict)
    valid = [each for each in verdict.ballots if each.choice is not None]
    cast = [
        (each.choice, each.logprob) for each in valid if each.choice is not None and each.logprob is not None
    ]
    if missing := len(valid) - len(cast):
        came = f"{missing} of {len(valid)} votes came without a log-probability"
        return _Weighed(_told(verdict, f"Not weighted: {came}."))
    return _decided(verdict, logprob_scores(cast), "logprob")


def _by_file(verdict: Verdict, plan: Plan, files: tuple[Calibration, ...]) -> _Weighed:
    if verdict.outcome not in ("decided", "tie"):
        return _Weighed(verdict)
    file = _fitting(files, plan, verdict.models)
    if isinstance(file, str):
        return _Weighed(_told(verdict, f"Not weighted: {file}."))
    fitted = file.weights
    if fitted is None:
        return _Weighed(_told(verdict, "Not weighted: the file holds no weights."))
    runs = fan_out(plan) if verdict.basis is None else verdict.basis.runs
    cast = _votes(verdict.ballots, runs, fitted)
    if unknown := fitted.unknown(voter for voter, _ in cast):
        named = ", ".join(f"{model} with this prompt" if prompt else model for model, prompt in unknown)
        return _Weighed(_told(verdict, f"Not weighted: there is no weight for {named}."))
    scored = scores(cast, fitted.log_odds)
    weighed = _decided(verdict, scored, file)
    if weighed.by is None or weighed.verdict.answer is None:
        return weighed
    return attrs.evolve(weighed, chance=chances(scored, fitted.alternatives)[weighed.verdict.answer])


def _decided(verdict: Verdict, scored: dict[str, float], by: Calibration | Literal["logprob"]) -> _Weighed:
    first = leaders(scored)
    if len(first) != 1:
        return _Weighed(_told(verdict, "Not weighted: the weights leave a tie."))
    if first[0] == verdict.answer:
        return _Weighed(_told(verdict, "Weighted, the answer is the same."), by)
    return _Weighed(_overruled(verdict, first[0]), by)


def _voter(model: str, system: str | None, weights: Weights) -> Voter:
    """Whose weight counts: the model's with this prompt, else the model's with whatever prompt."""
    exact = (model, system or "")
    return exact if exact in weights.log_odds else (model, "")


def _overruled(verdict: Verdict, answer: str) -> Verdict:
    counting = verdict.runs.planned
    if verdict.stopped.by == "rule":
        counting -= verdict.runs.cancelled + verdict.runs.unasked
    support = Fraction(verdict.votes[answer], counting)
    most = max(verdict.votes.values())
    ahead = " and ".join(choice for choice, votes in verdict.votes.items() if votes == most)
    return _told(
        attrs.evolve(
            verdict,
            outcome="decided",
            answer=answer,
            grade="medium" if support > MEDIUM and verdict.runs.valid >= ENOUGH_BALLOTS else "low",
            confidence=float(support),
        ),
        f"Decided by the weights; unweighted, {ahead} would lead with {most} of {counting}.",
    )


def _calibrated(weighed: _Weighed, plan: Plan, files: tuple[Calibration, ...]) -> Verdict:
    verdict = weighed.verdict
    if verdict.answer is None:
        return verdict
    past, confidence = None, 0.0
    file = _fitting(files, plan, verdict.models)
    problem = file if isinstance(file, str) else _unfit(file, verdict, plan)
    if isinstance(file, Calibration) and not problem:
        past, confidence, problem = _past(file, weighed)
    if past is None:
        return _told(verdict, f"Not calibrated: {problem}.")
    told = str(past)
    return _told(
        attrs.evolve(verdict, confidence=confidence, confidence_kind="calibrated"),
        f"{told[0].upper()}{told[1:]}.",
    )


def _shape(verdict: Verdict) -> Shape:
    return Shape(tuple(verdict.votes.values()), verdict.runs.spoiled + verdict.runs.failed)


def _unfit(file: Calibration, verdict: Verdict, plan: Plan) -> str | None:
    problem = file.unfit(plan.answer.name, verdict.models, _shape(verdict).runs)
    if not problem and verdict.stopped.by != "all":
        return "the past votes were not cut short, and this one was"
    return problem


def _past(file: Calibration, weighed: _Weighed) -> tuple[Past | None, float, str]:
    """The past votes like this one and the chance that they give it; None with the reason why not."""
    if weighed.by is None:
        found = file.past(_shape(weighed.verdict))
        return (None, 0.0, found) if isinstance(found, str) else (found, found.chance, "")
    same = isinstance(weighed.by, Calibration) and weighed.by.weights == file.weights
    if not same or file.scores is None:
        return None, 0.0, "the calibration was made without these weights"
    past = file.scores.past(weighed.chance)
    if past.votes < ENOUGH_VOTES:
        return None, 0.0, f"only {past.votes:.0f} past votes had such weights"
    return past, file.scores(weighed.chance), ""
