"""The vote itself: a wave of runs, the count, and then stop or go on.

What a run does is a job it is given: one completion here, and whatever else gives a sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from fanin.conductor import Conducted, Conductor, Enough, Job
from fanin.policy.pricing import Price, Prices
from fanin.stages.ballot import ballot
from fanin.stages.conclude import conclude
from fanin.stages.fan_out import fan_out
from fanin.stages.gather import gather
from fanin.stages.isolate import isolate
from fanin.values import Outcome, Plan, Run, Sample, Stopped
from fanin.verdict import Verdict

if TYPE_CHECKING:
    from fanin.policy.stopping import Rule, Seen, Waves


@attrs.frozen
class Stopping:
    """When to stop asking: a rule, and how many runs are asked between two looks at it."""

    rule: Rule
    """Looks at what the runs came to."""
    waves: Waves = "fit"
    """`one` run at a time, just as many as could settle it (`fit`), or `all` at once."""


async def hold_vote(
    plan: Plan,
    conductor: Conductor,
    *,
    backend: str,
    price: Price | Prices | None = None,
    job: Job | None = None,
    stopping: Stopping | None = None,
) -> Verdict:
    """Asks the runs of the plan, all of them or until the rule says stop, and concludes.

    `job` is one completion unless given. Raises FaninError where a job does (a replay miss); every
    other outcome is in the verdict.
    """
    runs = fan_out(plan)
    job = job or completion_job(plan, conductor)
    if stopping is None:
        ended, rule, remarks = await conductor.conduct(runs, job), "all", []
    else:
        ended, rule = await _in_waves(plan, runs, conductor, job, stopping), stopping.rule.text
        remarks = _remarks(plan, runs, ended, stopping.rule)
    return conclude(
        plan,
        runs,
        gather(ended.outcomes, plan.runs, ended.cancelled),
        stopped=Stopped(ended.by, rule),
        backend=backend,
        price=price,
        events=tuple(conductor.events),
        remarks=remarks,
    )


async def _in_waves(
    plan: Plan, runs: Sequence[Run], conductor: Conductor, job: Job, stopping: Stopping
) -> Conducted:
    from fanin.policy.stopping import next_wave

    rule, waves = stopping.rule, stopping.waves
    outcomes: list[Outcome] = []
    enough: Enough | None = None
    if waves == "all":

        def enough(came: Sequence[Outcome]) -> bool:
            return len(came) < len(runs) and rule.satisfied(seen_by(plan, runs, came))

    while size := next_wave(rule, seen_by(plan, runs, outcomes), waves):
        asked = len(outcomes)
        ended = await conductor.conduct(runs[asked : asked + size], job, enough=enough)
        outcomes += ended.outcomes
        if ended.by != "all":
            return attrs.evolve(ended, outcomes=tuple(outcomes))
    return Conducted(tuple(outcomes), "rule" if len(outcomes) < len(runs) else "all")


def seen_by(plan: Plan, runs: Sequence[Run], outcomes: Sequence[Outcome]) -> Seen:
    """What a rule may look at: what each ended run came to, as it is counted."""
    from fanin.policy.stopping import seen_of

    read = {
        outcome.index: ballot(outcome, runs[outcome.index], plan).choice
        if isinstance(outcome, Sample)
        else None
        for outcome in outcomes
    }
    same = plan.answer.same([choice for choice in read.values() if choice is not None])
    return seen_of({index: None if choice is None else same[choice] for index, choice in read.items()})


def _remarks(plan: Plan, runs: Sequence[Run], ended: Conducted, rule: Rule) -> list[str]:
    from fanin.policy.stopping import Certified

    if not isinstance(rule, Certified):
        return []
    return [rule.remark(seen_by(plan, runs, ended.outcomes), shuffled=plan.variation.shuffled)]


def completion_job(plan: Plan, conductor: Conductor) -> Job:
    """The job of a plain vote: one completion of the run's own prompt."""

    async def ask(run: Run) -> Outcome | None:
        return await conductor.ask(isolate(plan, run))

    return ask
