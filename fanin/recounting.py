"""Deciding again from what was kept, and asking nothing: `recount`.

With nothing changed it gives the very result that was kept, to the byte of its object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

from fanin.agent_run import AgentRun
from fanin.analysed import Analysis
from fanin.answers import Answer, Spoiled
from fanin.answers.reply import read_completion
from fanin.errors import InputError, RecordError
from fanin.keeping.record import Kept, KeptTier, KeptVote, Record, calibrations_of
from fanin.policy.pricing import Prices
from fanin.report import Report
from fanin.show import count
from fanin.stages.ballot import ballot
from fanin.stages.conclude import conclude
from fanin.stages.gather import gather
from fanin.values import Completion, Outcome, Plan, Run, Sample, Stopped
from fanin.verdict import Verdict

if TYPE_CHECKING:
    from fanin.judging import Weighing

LOGPROB: Final = "logprob"
NONE = "none"
"""Weights that are none: every vote counts as one."""


@attrs.frozen
class Change:
    """What is to be decided otherwise; what is None stays as it was."""

    answer: Answer | None = None
    """The type of answer that the replies are read as."""
    stop: str | None = None
    """The stop rule: how the vote would have come out under it, had it asked in the order of the runs."""
    quorum: int | None = None
    """Valid ballots needed."""
    weights: tuple[str, ...] | None = None
    """`logprob`, `none`, or files of `fanin calibrate`."""

    @property
    def given(self) -> tuple[str, ...]:
        """The names of what is changed."""
        return tuple(name for name, value in attrs.asdict(self, recurse=False).items() if value is not None)


def recount(
    record: Record,
    *,
    answer: Answer | None = None,
    stop: str | None = None,
    quorum: int | None = None,
    weights: str | Sequence[str] | None = None,
) -> Kept:
    """What the kept run comes to: a Verdict, an Analysis or a Report, as it was or decided otherwise.

    - `answer`: read every reply as this type. Choices that a run was shown keep their letters; where
      others are named, letters mean nothing and words count.
    - `stop`: the vote as this rule would have ended it, its runs taken in their order. What a rule that was
      in force spared stays spared.
    - `quorum`, `weights`: as of `fanin.vote`; `weights="none"` leaves those that were kept.

    All tiers of a cascade that were asked are decided again; whether the next one is called for is not asked
    again. Of a panel the specialists' votes are counted again, of an analysis the focused answer is read
    again; what models wrote stays. Raises RecordError for a damaged record and for replies of which none
    can be read as `answer`, InputError for a setting that cannot be, or that this kind has not.
    """
    given = (weights,) if isinstance(weights, str) else weights
    change = Change(answer, stop, quorum, None if given is None else tuple(given))
    if record.vote is not None:
        return _vote(record.vote, change, f"run {record.id}")
    foreign = [name for name in change.given if name != "answer"]
    if foreign:
        raise InputError(foreign[0], f"left out with a kept {record.kind}", getattr(change, foreign[0]))
    if record.analysis is not None:
        return _analysis(record.analysis, change, f"run {record.id}")
    assert record.panel is not None, "a record holds the evidence of its kind"
    return _panel(record.panel, change)


def _vote(kept: KeptVote, change: Change, where: str) -> Verdict:
    prices = dict(kept.prices)
    weights = _weighing(kept, change, where)
    tiers = [_tier(tier, change, prices, where, weights) for tier in kept.tiers]
    _check_read(tiers, change)
    verdict = tiers[0]
    if kept.planned:
        from fanin.stages.cascade import cascade

        verdict = cascade(tiers, kept.planned, prices)
    calibrations = calibrations_of(kept.calibrations, where)
    if not weights and not calibrations:
        return verdict
    from fanin.judging import judged

    plans = [tier.plan for tier in kept.tiers]
    return judged(verdict, plans, weights=weights, calibrations=calibrations)


def _weighing(kept: KeptVote, change: Change, where: str) -> Weighing:
    given = change.weights
    if given is None:
        return LOGPROB if kept.weights == (LOGPROB,) else calibrations_of(kept.weights, where)
    if given == (LOGPROB,):
        return LOGPROB
    if given == (NONE,):
        return ()
    from fanin.calibration import read_calibration

    return tuple(map(read_calibration, given))


def _check_read(tiers: Sequence[Verdict], change: Change) -> None:
    """Raises RecordError where replies were to be read as another type, and none of them could be."""
    ballots = [cast for tier in tiers for cast in tier.ballots]
    if change.answer is None or not ballots or any(cast.choice is not None for cast in ballots):
        return
    why = f"run {ballots[0].index}: {ballots[0].spoiled}"
    raise RecordError(
        f"of {len(ballots)} replies none can be read as {change.answer.name}; {why}",
        mend="Name the type that was asked for, or leave it out.",
    )


def _tier(tier: KeptTier, change: Change, prices: Prices, where: str, weights: Weighing) -> Verdict:
    plan, runs = _planned(tier, change, where)
    outcomes: list[Outcome] = sorted([*tier.samples, *tier.failures], key=lambda outcome: outcome.index)
    stopped, remarks, cancelled = tier.stopped, list(tier.remarks), tier.cancelled
    events = tier.events
    if change.stop is not None:
        asked = len(outcomes)
        outcomes, stopped, remarks = _ended(plan, runs, outcomes, tier.stopped, change.stop, weights)
        if len(outcomes) < asked:
            there, cancelled = {outcome.index for outcome in outcomes}, 0
            events = tuple(event for event in events if event.index in there)
    try:
        gathered = gather(outcomes, plan.runs, cancelled)
    except ValueError as problem:
        raise RecordError(f"{where}: it is damaged: {problem}") from None
    verdict = conclude(
        plan,
        runs,
        gathered,
        stopped=stopped,
        backend=tier.backend,
        price=prices,
        events=events,
        remarks=remarks,
    )
    verdict = attrs.evolve(verdict, models=tier.models)
    if tier.analyses:
        from fanin.stages.account import with_analyses

        there = {outcome.index for outcome in outcomes}
        begun = [each for each in tier.analyses if change.stop is None or each.index in there]
        again = [_read_again(each, plan, runs, gathered.samples) for each in begun]
        verdict = with_analyses(verdict, again)
    if tier.judging is None or change.answer is not None:
        return verdict
    from fanin.stages.settle import settled  # what was found out of texts holds for the same texts alone

    return settled(verdict, tier.judging)


def _planned(tier: KeptTier, change: Change, where: str) -> tuple[Plan, tuple[Run, ...]]:
    """The plan and its runs with what is changed. Raises RecordError where they do not belong together."""
    plan, runs = tier.plan, tier.runs
    if [run.index for run in runs] != list(range(plan.runs)):
        raise RecordError(f"{where}: it is damaged: its runs are not those of its plan")
    changed: dict[str, Any] = {} if change.quorum is None else {"quorum": change.quorum}
    if change.answer is not None:
        changed["answer"] = change.answer
        runs = tuple(attrs.evolve(run, order=_order(run.order, change.answer)) for run in runs)
    return attrs.evolve(plan, **changed), runs


def _order(shown: tuple[str, ...], answer: Answer) -> tuple[str, ...]:
    """The options as a run saw them, where it did."""
    return shown if sorted(shown) == sorted(answer.options) else answer.options


def _ended(
    plan: Plan,
    runs: Sequence[Run],
    outcomes: Sequence[Outcome],
    was: Stopped,
    stop: str,
    weights: Weighing,
) -> tuple[list[Outcome], Stopped, list[str]]:
    """The outcomes up to where the rule is satisfied, what ended the asking, and what is to be said of it."""
    from fanin.ensemble import all_seen_by, next_size
    from fanin.policy.stopping import Certified
    from fanin.voting import stopping_of, with_weights

    stopping = with_weights(stopping_of(stop, "fit", plan.runs, plan.quorum, plan.answer), weights)
    if stopping is None or not outcomes:
        return list(outcomes), was if was.by == "rule" else attrs.evolve(was, rule="all"), []
    rule, size, more = stopping.rule, 0, 1
    while more and size < len(outcomes):
        size = min(size + more, len(outcomes))
        more = next_size(plan, runs, outcomes[:size], stopping)
    remarks = []
    if isinstance(rule, Certified):
        seen = all_seen_by(plan, runs, outcomes[:size])
        remarks.append(rule.remark(min(seen, key=rule.satisfied), shuffled=plan.variation.shuffled))
    if not more:
        return list(outcomes[:size]), Stopped("rule" if size < plan.runs else "all", rule.text), remarks
    remarks.append(f"{rule.text} is not satisfied by the {count(size, 'run')} that there are.")
    return list(outcomes), was if was.by == "rule" else attrs.evolve(was, rule=rule.text), remarks


def _read_again(analysis: Analysis, plan: Plan, runs: Sequence[Run], samples: Sequence[Sample]) -> Analysis:
    """The analysis with its focused answer as it is read now."""
    mine = [sample for sample in samples if sample.index == analysis.index]
    return _focused(analysis, plan, runs[analysis.index], mine[0].completion) if mine else analysis


def _focused(analysis: Analysis, plan: Plan, run: Run, reply: Completion) -> Analysis:
    read = ballot(Sample(run.index, reply), run, plan)
    if read.choice is None:
        unread = f"The focused answer could not be read: {read.spoiled}"
        problem = unread if analysis.failure is None else analysis.failure.message
        return attrs.evolve(analysis, success=False, focused_answer=None, problem=problem)
    shown = plan.answer.show(read.choice)
    return attrs.evolve(analysis, success=True, focused_answer=shown, problem=None)


def _analysis(analysis: Analysis, change: Change, where: str) -> Analysis:
    basis = analysis.basis
    if basis is None:
        raise RecordError(f"{where}: it is damaged: the basis of the analysis is missing")
    if basis.reply is None:
        return analysis
    plan, run = basis.plan, basis.run
    if change.answer is not None:
        plan = attrs.evolve(plan, answer=change.answer)
        run = attrs.evolve(run, order=_order(run.order, change.answer))
    again = _focused(analysis, plan, run, basis.reply)
    if change.answer is not None and not again.success:
        raise RecordError(f"the reply cannot be read as {change.answer.name}: {again.problem}")
    return again


def _panel(report: Report, change: Change) -> Report:
    """The report with the specialists' votes counted again: of another type among all that said something."""
    from fanin.panels import tally_of

    tally = report.tally
    answer = change.answer or (None if tally is None else tally.kind)
    if answer is None:
        return report
    places = {run.index for run in report.agents} if tally is None else set(tally.voters)
    agents = tuple(
        _voted(run, answer) if run.index in places and run.status != "failed" else run
        for run in report.agents
    )
    voters = [run for run in agents if run.index in places]
    if change.answer is not None and not any(run.choice is not None for run in voters):
        raise RecordError(f"nothing that the specialists said can be read as {answer.name}")
    return attrs.evolve(report, agents=agents, tally=tally_of(answer, voters))


def _voted(run: AgentRun, answer: Answer) -> AgentRun:
    read = read_completion(Completion(run.text, run.finish), answer, _order(run.order, answer))
    if isinstance(read, Spoiled):
        return attrs.evolve(run, choice=None, answer=None, spoiled=read.reason)
    return attrs.evolve(run, choice=read, answer=answer.show(read), spoiled=None)
