"""The vote itself: a wave of runs, the count, and then stop or go on.

What a run does is a job it is given: one completion here, and whatever else gives a sample.
"""

from __future__ import annotations

from fanin.conductor import Conductor, Job
from fanin.policy.pricing import Price
from fanin.stages.conclude import conclude
from fanin.stages.fan_out import fan_out
from fanin.stages.gather import gather
from fanin.stages.isolate import isolate
from fanin.values import Outcome, Plan, Run, Stopped
from fanin.verdict import Verdict


async def hold_vote(
    plan: Plan, conductor: Conductor, *, backend: str, price: Price | None = None, job: Job | None = None
) -> Verdict:
    """Asks every run of the plan and concludes. `job` is one completion unless given.

    Raises FaninError where a job does (a replay miss); every other outcome is in the verdict.
    """
    runs = fan_out(plan)
    conducted = await conductor.conduct(runs, job or completion_job(plan, conductor))
    return conclude(
        plan,
        runs,
        gather(conducted.outcomes, plan.runs),
        stopped=Stopped(conducted.by),
        backend=backend,
        price=price,
        events=tuple(conductor.events),
    )


def completion_job(plan: Plan, conductor: Conductor) -> Job:
    """The job of a plain vote: one completion of the run's own prompt."""

    async def ask(run: Run) -> Outcome | None:
        return await conductor.ask(isolate(plan, run))

    return ask
