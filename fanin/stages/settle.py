"""After a vote on texts: what a judge or an embedding told of them becomes part of the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from fanin.answers.likeness import Likeness, components, medoid_first
from fanin.answers.normal import quote
from fanin.answers.text import SettledText, Text
from fanin.clusters import Judging, Selection
from fanin.policy.pricing import cost_usd, price_of, sum_usd
from fanin.show import count
from fanin.stages.account import with_analyses
from fanin.stages.conclude import conclude
from fanin.values import Stopped
from fanin.verdict import Basis, Verdict


@attrs.frozen
class Comparing:
    """A partition of texts in the making: the first one left is compared with all others left.

    A judge is asked far less often so than for every pair, and as the texts come in an order of their own
    (most votes first, then by text), nothing depends on which answer arrived first.
    """

    left: tuple[str, ...]
    """Texts that are in no group yet."""
    groups: tuple[tuple[str, ...], ...] = ()
    """Groups that are complete."""

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """What is to be compared now, all at once."""
        return tuple((self.left[0], other) for other in self.left[1:])

    def after(self, same: Sequence[bool]) -> Comparing:
        """What follows when it is known of each pair whether its two are the same."""
        told = list(zip(self.left[1:], same, strict=True))
        group = (self.left[0], *(text for text, is_same in told if is_same))
        return Comparing(tuple(text for text, is_same in told if not is_same), (*self.groups, group))


def with_medoids(
    groups: Sequence[Sequence[str]], votes: Mapping[str, int], near: Likeness
) -> tuple[tuple[str, ...], ...]:
    """The groups, in each the text first that is nearest to all others of it."""
    return tuple(medoid_first({text: votes[text] for text in group}, near) for group in groups)


def groups_near(votes: Mapping[str, int], near: Likeness, threshold: float) -> tuple[tuple[str, ...], ...]:
    """Connected groups of texts that are at least so near to one another, the medoid of each first."""
    texts = sorted(votes)
    found = components(len(texts), lambda one, other: near(texts[one], texts[other]) >= threshold)
    return with_medoids([[texts[place] for place in group] for group in found], votes, near)


def settled(verdict: Verdict, judging: Judging) -> Verdict:
    """The verdict with what was found out about its texts; nothing is asked.

    `verdict` is one that was concluded without it, with its basis. The same judging gives the same verdict.
    """
    basis = verdict.basis
    assert basis is not None, "a verdict that is settled holds what it was concluded from"
    again = _counted_again(verdict, basis, judging)
    again = attrs.evolve(again, judging=judging, basis=attrs.evolve(basis, judging=judging))
    if judging.calls:
        again = _with_costs(again, basis, judging)
    if judging.stopped in ("deadline", "limit", "interrupt"):
        again = attrs.evolve(again, stopped=Stopped(judging.stopped, again.stopped.rule))
    again = _told(again, _remarks(judging, basis.plan.max_tokens))
    return again if judging.selection is None else _picked(again, judging.selection)


def settled_answer(answer: Text, judging: Judging) -> Text:
    """The type of answer that compares by what was found out; word for word where that is nothing."""
    known: dict[str, Any] = attrs.asdict(answer)
    return SettledText(**known, groups=judging.groups)


def _counted_again(verdict: Verdict, basis: Basis, judging: Judging) -> Verdict:
    answer = basis.plan.answer
    if judging.by is None or judging.problem is not None or not isinstance(answer, Text):
        return verdict
    plan = attrs.evolve(basis.plan, answer=settled_answer(answer, judging))
    again = conclude(
        plan,
        basis.runs,
        basis.gathered,
        stopped=verdict.stopped,
        backend=verdict.backend,
        price=basis.prices,
        events=verdict.events,
        remarks=basis.remarks,
    )
    again = attrs.evolve(again, models=verdict.models)
    return with_analyses(again, verdict.analyses) if verdict.analyses else again


def _with_costs(verdict: Verdict, basis: Basis, judging: Judging) -> Verdict:
    """The verdict with the judge's tokens and what they cost."""
    assert judging.model is not None, "who was called has a name"
    judge_usd = cost_usd(judging.usage, price_of(judging.model, basis.prices))
    return attrs.evolve(
        verdict,
        usage=verdict.usage + judging.usage,
        cost_usd=sum_usd([verdict.cost_usd, judge_usd]),
    )


def _remarks(judging: Judging, max_tokens: int) -> list[str]:
    if judging.problem is not None:
        return [f"Which answers mean the same could not be found out: {judging.problem}"]
    if judging.by == "embedding":
        return ["Which answers mean the same was told from an embedding."]
    if judging.by != "judge":
        return []
    asked = judging.calls - (judging.selection is not None)
    if not asked and not judging.unread:
        return []
    remarks = [f"Which answers mean the same was judged by {judging.model} ({count(asked, 'call')})."]
    if judging.unread:
        unread = f"{count(judging.unread, 'comparison')} gave nothing usable and counted as different"
        # No reply is longer, so all of them were.
        cut = judging.calls > 0 and judging.usage.output_tokens == judging.calls * max_tokens
        remarks.append(f"{unread}{f': every reply was cut off at {max_tokens} tokens' if cut else ''}.")
    return remarks


def _picked(verdict: Verdict, selection: Selection) -> Verdict:
    """The verdict with the answer that was picked; its grade is `low` where the votes alone would not win."""
    picked = selection.picked
    if picked is None or picked not in verdict.votes:
        why = f"{selection.model} was asked for the answer most consistent with the others and named none"
        return _told(verdict, [f"{why}: {quote(selection.reasons, 120)} The votes stand."])
    reasons = f"Its reasons: {quote(selection.reasons, 400)}"
    if verdict.answer == picked:
        told = f"{selection.model} picked it too, as the answer most consistent with the others."
        return _told(verdict, [told, reasons])
    votes, counting = verdict.votes[picked], verdict.runs.planned
    told = (
        f"The answer was picked by {selection.model} as the one most consistent with the others (universal "
        f"self-consistency), not by a majority: {votes} of {count(counting, 'run')} gave it."
    )
    return attrs.evolve(
        _told(verdict, [told, reasons]),
        outcome="decided",
        answer=picked,
        grade="low",
        confidence=votes / counting,
    )


def _told(verdict: Verdict, sentences: Sequence[str]) -> Verdict:
    return attrs.evolve(verdict, advice=" ".join([verdict.advice, *sentences]))
