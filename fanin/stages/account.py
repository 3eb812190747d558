"""The last step of an analysis: from its course to the Analysis; and what analyses add to a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import attrs

from fanin.analysed import Analysis, Course, Focus, Mode
from fanin.policy.pricing import Prices, cost_usd, price_of, sum_usd
from fanin.stages.ballot import ballot
from fanin.values import Ballot, Completion, Event, Failure, Outcome, Plan, Run, Sample, Usage
from fanin.verdict import Verdict


def outcome_of(course: Course, run: Run) -> Outcome:
    """What an analysis that has ended is in a vote: its focused reply, or the failure that ended it.

    Its tokens are those of the whole analysis.
    """
    if course.focused is None:
        return course.failure or Failure(run.index, "malformed", _without_findings(course), course.asked)
    whole = attrs.evolve(course.focused, usage=_usage(course))
    return Sample(run.index, whole, course.asked, course.without)


def analysis_of(
    course: Course,
    plan: Plan,
    run: Run,
    *,
    backend: str,
    prices: Prices,
    cut: Failure | None = None,
    events: tuple[Event, ...] = (),
) -> Analysis:
    """What came of it, as far as it came. `cut` is the failure of one that was ended from outside.

    The same course gives the same analysis.
    """
    failure = course.failure or (cut if course.focused is None else None)
    read = None if course.focused is None else _read(course.focused, plan, run)
    focused = None if read is None or read.choice is None else plan.answer.show(read.choice)
    usage = _usage(course)
    return Analysis(
        question=plan.question.text,
        success=focused is not None,
        final_answer=course.synthesis,
        focused_answer=focused,
        problem=None if focused is not None else _problem(course, failure, read),
        mode=course.mode,
        drafts=course.drafts,
        chosen=course.chosen,
        chosen_by=course.chosen_by,
        iterations=course.iteration,
        steps=course.steps,
        assessments=course.assessments,
        ended=course.ended,
        failure=failure,
        notes=(*course.notes, *_left_undone(course), *_asked_without(course, run.model)),
        calls=course.asked,
        usage=usage,
        cost_usd=cost_usd(usage, price_of(run.model, prices)),
        backend=backend,
        model=run.model,
        temperature=None if "temperature" in course.without else run.temperature,
        index=run.index,
        events=events,
        basis=Focus(plan, run, course.focused),
    )


def with_analyses(verdict: Verdict, analyses: Sequence[Analysis]) -> Verdict:
    """The verdict of a vote whose runs were these analyses: it counts the tokens of failed ones too, and
    its advice says where the modes differ."""
    used = [analysis.usage for analysis in analyses]
    usage = sum(used[1:], used[0]) if used else Usage()
    winners = _winners_by_mode(verdict.ballots, {analysis.index: analysis.mode for analysis in analyses})
    advice = verdict.advice
    if len(set(winners.values())) > 1:
        told = "; ".join(f"{mode} says {winner}" for mode, winner in winners.items())
        advice = f"{advice} The modes differ: {told}."
    return attrs.evolve(
        verdict,
        advice=advice,
        usage=usage,
        cost_usd=sum_usd(analysis.cost_usd for analysis in analyses),
        analyses=tuple(analyses),
    )


def _winners_by_mode(ballots: Sequence[Ballot], modes: Mapping[int, Mode]) -> dict[str, str]:
    winners = {}
    for name in dict.fromkeys(mode.name for mode in modes.values()):
        votes = Counter(
            cast.choice for cast in ballots if cast.choice is not None and modes[cast.index].name == name
        )
        if votes:
            most = max(votes.values())
            winners[name] = " and ".join(sorted(choice for choice in votes if votes[choice] == most))
    return winners


def _read(focused: Completion, plan: Plan, run: Run) -> Ballot:
    return ballot(Sample(run.index, focused), run, plan)


def _usage(course: Course) -> Usage:
    return sum(course.used, Usage(0, 0))


def _problem(course: Course, failure: Failure | None, read: Ballot | None) -> str:
    if failure is not None:
        return failure.message
    if read is not None:
        return f"The focused answer could not be read: {read.spoiled}"
    return _without_findings(course)


def _without_findings(course: Course) -> str:
    if not course.steps:
        return "No step was carried out, so there is nothing to conclude from."
    return f"None of the steps taken ({len(course.steps)}) found anything to conclude from."


def _left_undone(course: Course) -> list[str]:
    if not course.todo or course.ended != "budget":
        return []
    return [f"The cost limit left {len(course.todo)} planned step{'s' * (len(course.todo) > 1)} undone."]


def _asked_without(course: Course, model: str) -> list[str]:
    return [
        f"Asked {'with max_completion_tokens instead of' if name == 'max_tokens' else 'without'} {name},"
        f" which is refused by {model}."
        for name in course.without
    ]
