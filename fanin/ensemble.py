"""The vote itself: a wave of runs, the count, and then stop or go on.

What a run does is a job it is given: one completion here, and whatever else gives a sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import attrs

from fanin.answers.protocol import Parted
from fanin.conductor import Conducted, Conductor, Enough, Job
from fanin.errors import InputError
from fanin.policy.pricing import Price, Prices
from fanin.stages.ballot import ballot
from fanin.stages.conclude import conclude
from fanin.stages.fan_out import fan_out
from fanin.stages.gather import gather
from fanin.stages.isolate import isolate
from fanin.stages.vote import vote
from fanin.values import Outcome, Plan, Run, Sample, Stopped
from fanin.verdict import Verdict

if TYPE_CHECKING:
    from fanin.policy.stopping import Rule, Seen, Waves


Agreed: TypeAlias = Callable[[Plan, Sequence[Run], Sequence[Outcome]], bool]
"""Is asked of a plan, its runs and the outcomes so far where the rule is satisfied."""


@attrs.frozen
class Stopping:
    """When to stop asking: a rule, and how many runs are asked between two looks at it."""

    rule: Rule
    """Looks at what the runs came to."""
    waves: Waves = "fit"
    """`one` run at a time, just as many as could settle it (`fit`), or `all` at once."""
    agreed: Agreed | None = None
    """Has to say yes as well: whether weights, of which a rule knows nothing, can no longer matter."""


def check_settles_parts(stop: str, answer: Parted) -> None:
    """Raises InputError for a stop rule that cannot tell when the parts of an answer are settled."""
    from fanin.answers.json_shape import is_fixed
    from fanin.policy.stopping import RULES

    name = stop.strip().lower().partition(":")[0] if isinstance(stop, str) else ""
    if name == "window":
        raise InputError("stop", "a rule other than window where the answer is voted on part by part", stop)
    tolerant = bool(answer.tolerance.abs_tol or answer.tolerance.rel_tol)
    if name in RULES and RULES[name].proved and (tolerant or not is_fixed(answer.shape)):
        raise InputError(
            "stop",
            "a rule other than decided and certified where a document has lists, required parts that may be"
            " null, or a tolerance",
            stop,
            mend="Later documents may line them up otherwise, so nothing is certain before the last run.",
        )


async def hold_vote(
    plan: Plan,
    conductor: Conductor,
    *,
    backend: str,
    price: Price | Prices | None = None,
    job: Job | None = None,
    stopping: Stopping | None = None,
    remarks: Sequence[str] = (),
) -> Verdict:
    """Asks the runs of the plan, all of them or until the rule says stop, and concludes.

    `job` is one completion unless given; `remarks` are sentences that the advice says too. Raises
    FaninError where a job does (a replay miss); every other outcome is in the verdict.
    """
    runs = fan_out(plan)
    job = job or completion_job(plan, conductor)
    if stopping is None:
        settled = _settled(plan, runs) if conductor.hedges else None
        ended, rule = await conductor.conduct(runs, job, settled=settled), "all"
    else:
        ended, rule = await _in_waves(plan, runs, conductor, job, stopping), stopping.rule.text
        remarks = [*remarks, *_remarks(plan, runs, ended, stopping.rule)]
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


def _settled(plan: Plan, runs: Sequence[Run]) -> Enough:
    """Whether no run that is still out can change what is decided."""
    from fanin.policy.stopping import parse_rule

    rule = parse_rule("decided", runs=plan.runs, quorum=plan.quorum)
    return lambda came: all(map(rule.satisfied, all_seen_by(plan, runs, came)))


async def _in_waves(
    plan: Plan, runs: Sequence[Run], conductor: Conductor, job: Job, stopping: Stopping
) -> Conducted:
    outcomes: list[Outcome] = []
    enough: Enough | None = None
    if stopping.waves == "all":

        def enough(came: Sequence[Outcome]) -> bool:
            return len(came) < len(runs) and not next_size(plan, runs, came, stopping)

    while size := next_size(plan, runs, outcomes, stopping):
        asked = len(outcomes)
        ended = await conductor.conduct(runs[asked : asked + size], job, enough=enough)
        outcomes += ended.outcomes
        if ended.by != "all":
            return attrs.evolve(ended, outcomes=tuple(outcomes))
    return Conducted(tuple(outcomes), "rule" if len(outcomes) < len(runs) else "all")


def next_size(plan: Plan, runs: Sequence[Run], outcomes: Sequence[Outcome], stopping: Stopping) -> int:
    """How many runs are asked after those that have ended; 0 is the end."""
    from fanin.policy.stopping import next_wave

    # Fewer runs than the slowest part needs cannot settle all of them.
    seen = all_seen_by(plan, runs, outcomes)
    size = max(next_wave(stopping.rule, each, stopping.waves) for each in seen)
    if size or stopping.agreed is None or len(outcomes) == len(runs):
        return size
    return 0 if stopping.agreed(plan, runs, outcomes) else 1


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


def all_seen_by(plan: Plan, runs: Sequence[Run], outcomes: Sequence[Outcome]) -> tuple[Seen, ...]:
    """What a rule may look at, once for each part that the answer needs or may come to need: all have to
    be settled.

    One where the answer has no parts, and while no run has given a valid one.
    """
    answer = plan.answer
    if not isinstance(answer, Parted):
        return (seen_by(plan, runs, outcomes),)
    from fanin.policy.stopping import Seen
    from fanin.stages.field_votes import poll

    gathered = gather(outcomes, plan.runs)
    read = [ballot(sample, runs[sample.index], plan) for sample in gathered.samples]
    whole = vote(read, gathered, plan.answer, quorum=plan.quorum, spared=True)
    polled = poll([cast.choice for cast in read if cast.choice is not None], whole, answer)
    counts = [tuple(votes for _, votes in tally.counts) for tally in polled.tallies.values()]
    for tally in polled.conditional.values():
        votes = tuple(number for _, number in tally.counts)
        if sum(votes) < tally.quorum and len(outcomes) < plan.runs:
            return (Seen((), 0),)  # runs that leave out what it stands in may yet make up for the rest
        counts.append(votes)
    return tuple(Seen(votes, len(outcomes) - sum(votes)) for votes in dict.fromkeys(counts or [()]))


def _remarks(plan: Plan, runs: Sequence[Run], ended: Conducted, rule: Rule) -> list[str]:
    from fanin.policy.stopping import Certified

    if not isinstance(rule, Certified):
        return []
    seen = min(all_seen_by(plan, runs, ended.outcomes), key=rule.satisfied)
    return [rule.remark(seen, shuffled=plan.variation.shuffled)]


def completion_job(plan: Plan, conductor: Conductor) -> Job:
    """The job of a plain vote: one completion of the run's own prompt."""

    async def ask(run: Run) -> Outcome | None:
        return await conductor.ask(isolate(plan, run))

    return ask
