"""What a calibration file makes of a verdict: weighted votes, and a confidence that is a chance.

Both say what they did in the advice, and where they cannot be used they say why and change nothing.
"""

from __future__ import annotations

from fractions import Fraction

import attrs

from fanin.calibration import ENOUGH_VOTES, Calibration
from fanin.policy.calibrating import Shape
from fanin.policy.weighing import Cast, Voter, Weights, chances, leaders, scores
from fanin.stages.fan_out import fan_out
from fanin.stages.grade import ENOUGH_BALLOTS, MEDIUM
from fanin.values import Plan
from fanin.verdict import Verdict


def judged(
    verdict: Verdict,
    plan: Plan,
    *,
    weights: Calibration | None = None,
    calibration: Calibration | None = None,
) -> Verdict:
    """The verdict with its votes weighted, and its confidence calibrated, as far as that can be done.

    The votes and the pattern stay the unweighted ones. Where the weights decide against the majority, or
    decide a tie, the grade is `low`: no more than half of the votes are for the answer.
    """
    if verdict.tiers and (weights or calibration):
        return _told(verdict, "Neither weighted nor calibrated: no file speaks for a cascade.")
    chance = None
    if weights is not None:
        verdict, chance = _weighted(verdict, plan, weights)
    if calibration is not None:
        same = weights is not None and weights.weights == calibration.weights
        verdict = _calibrated(verdict, plan, calibration, chance, same_weights=same)
    return verdict


def _told(verdict: Verdict, sentence: str) -> Verdict:
    return attrs.evolve(verdict, advice=f"{verdict.advice} {sentence}")


def _weighted(verdict: Verdict, plan: Plan, weights: Calibration) -> tuple[Verdict, float | None]:
    """The verdict, and the chance of its answer by the weights; None where they were not used."""
    if verdict.outcome not in ("decided", "tie"):
        return verdict, None
    fitted = weights.weights
    if fitted is None:
        return _told(verdict, "Not weighted: the file holds no weights."), None
    if problem := weights.foreign(plan.answer.name, verdict.models):
        return _told(verdict, f"Not weighted: {problem}."), None
    runs = fan_out(plan)
    cast: list[Cast] = [
        (_voter(ballot.model, runs[ballot.index].system, fitted), ballot.choice)
        for ballot in verdict.ballots
        if ballot.choice is not None
    ]
    if unknown := fitted.unknown(voter for voter, _ in cast):
        named = ", ".join(f"{model} with this prompt" if prompt else model for model, prompt in unknown)
        return _told(verdict, f"Not weighted: there is no weight for {named}."), None
    scored = scores(cast, fitted.log_odds)
    first = leaders(scored)
    if len(first) != 1:
        return _told(verdict, "Not weighted: the weights leave a tie."), None
    chance = chances(scored, fitted.alternatives)[first[0]]
    if first[0] == verdict.answer:
        return _told(verdict, "Weighted, the answer is the same."), chance
    return _overruled(verdict, first[0]), chance


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


def _calibrated(
    verdict: Verdict, plan: Plan, calibration: Calibration, chance: float | None, *, same_weights: bool
) -> Verdict:
    if verdict.answer is None:
        return verdict
    shape = Shape(tuple(verdict.votes.values()), verdict.runs.spoiled + verdict.runs.failed)
    problem = calibration.unfit(plan.answer.name, verdict.models, shape.runs)
    if not problem and verdict.stopped.by != "all":
        problem = "the past votes were not cut short, and this one was"
    if problem:
        return _told(verdict, f"Not calibrated: {problem}.")
    if chance is not None:
        if not same_weights or calibration.scores is None:
            return _told(verdict, "Not calibrated: the calibration was made without these weights.")
        past, confidence = calibration.scores.past(chance), calibration.scores(chance)
        if past.votes < ENOUGH_VOTES:
            return _told(verdict, f"Not calibrated: only {past.votes:.0f} past votes had such weights.")
    else:
        found = calibration.past(shape)
        if isinstance(found, str):
            return _told(verdict, f"Not calibrated: {found}.")
        past, confidence = found, found.chance
    told = str(past)
    return _told(
        attrs.evolve(verdict, confidence=confidence, confidence_kind="calibrated"),
        f"{told[0].upper()}{told[1:]}.",
    )
