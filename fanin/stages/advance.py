"""What came back, folded into the course of an analysis: replies are read, failures are kept.

A reply that cannot be read is never a guess: the note, the draft or the assessment says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from fanin.analysed import Assessment, Course, Draft, Step, StepStatus
from fanin.answers.final import without_thoughts
from fanin.answers.protocol import Spoiled
from fanin.answers.reply import read_completion
from fanin.answers.yes_no import YesNo
from fanin.policy.analysing import HOPELESS, Action
from fanin.values import Completion, Failure, Outcome, Sample

MOST_TASK = 500
"""A step is described in so many characters at most; what is over is cut."""

CHECK = "Check all findings so far for mistakes, contradictions and claims without ground, and correct them."
"""The step of a round that the mode wants although nothing seems to be missing."""

_NUMBERED = re.compile(
    r"\s{0,8}(?:[*_#]{1,4}\s?)?(?:step\s)?\(?\d{1,2}[.):]{1,2}[*_]{0,2}\s+(?=\S)", re.IGNORECASE
)
_BULLET = re.compile(r"\s{0,8}[-*+\u2022]\s+(?=\S)")
_ANSWER = re.compile(r"[\W_]*(?:final )?answer\b", re.IGNORECASE)
_DRESS = "*_`# \t"


def advance(course: Course, action: Action, outcomes: Sequence[Outcome]) -> Course:
    """The course after the requests of `action` came to these outcomes, which are in the requests' order."""
    course = counted(course, outcomes)
    match action:
        case "plan":
            return _planned(course, outcomes)
        case "judge":
            return _judged(course, outcomes[0])
        case "step":
            return _stepped(course, outcomes[0])
        case "assess":
            return _assessed(course, outcomes[0])
        case "synthesize":
            return _synthesized(course, outcomes[0])
        case "focus":
            return _focused(course, outcomes[0])
    raise ValueError(f"nothing can come of the action {action}")


def counted(course: Course, outcomes: Sequence[Outcome]) -> Course:
    """The course with the tokens of those outcomes, and the first failure that no further call survives."""
    came = [outcome for outcome in outcomes if isinstance(outcome, Sample)]
    lost = next((o for o in outcomes if isinstance(o, Failure) and (o.exhausted or o.kind in HOPELESS)), None)
    return attrs.evolve(
        course,
        asked=course.asked + len(outcomes),
        used=(*course.used, *(sample.completion.usage for sample in came)),
        without=tuple(sorted({*course.without, *(name for sample in came for name in sample.without)})),
        failure=lost,
    )


def tasks_in(reply: str, most: int) -> tuple[str, ...]:
    """The items of the numbered list in a reply, or of its bullets where no line is numbered.

    At most `most`, each on one line without markup around it, none twice. An item goes on until a blank
    line; answer lines belong to none. Empty where there is no list.
    """
    lines = without_thoughts(reply).splitlines()
    mark = _NUMBERED if any(map(_NUMBERED.match, lines)) else _BULLET
    items: list[list[str]] = []
    within = False
    for line in lines:
        if begun := mark.match(line):
            items.append([line[begun.end() :]])
            within = True
        elif not line.strip() or _ANSWER.match(line):
            within = False
        elif within:
            items[-1].append(line)
    tasks = (" ".join(" ".join(item).split()).strip(_DRESS)[:MOST_TASK] for item in items)
    first: dict[str, str] = {}
    for task in tasks:
        if any(map(str.isalnum, task)):
            first.setdefault(task.casefold(), task)
    return tuple(first.values())[:most]


def _planned(course: Course, outcomes: Sequence[Outcome]) -> Course:
    drafts = tuple(_draft(index, outcome, course.mode.max_steps) for index, outcome in enumerate(outcomes))
    course = attrs.evolve(course, drafts=drafts)
    failed = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    if len(failed) == len(outcomes):
        return attrs.evolve(course, failure=course.failure or failed[0])
    usable = [draft for draft in drafts if draft.steps]
    notes = tuple(
        f"Plan {draft.index + 1} cannot be used: {draft.problem}." for draft in drafts if draft.problem
    )
    course = attrs.evolve(course, notes=(*course.notes, *notes))
    if not usable:
        empty = Failure(
            outcomes[0].index, "malformed", "No plan could be read: no reply holds a list of steps."
        )
        return attrs.evolve(course, failure=course.failure or empty)
    if len({draft.steps for draft in usable}) == 1:
        return _begun(attrs.evolve(course, chosen_by="only"), usable[0])
    return course


def _draft(index: int, outcome: Outcome, most: int) -> Draft:
    if isinstance(outcome, Failure):
        return Draft(index, problem=f"the call failed ({outcome.kind})")
    status, text = _found(outcome.completion)
    if status in ("refused", "empty"):
        return Draft(index, problem=f"the reply is {status}")
    tasks = tasks_in(text, most)
    return Draft(index, tasks, None if tasks else "the reply holds no list of steps")


def _begun(course: Course, draft: Draft) -> Course:
    return attrs.evolve(course, chosen=draft.index, todo=draft.steps, iteration=1)


def _judged(course: Course, outcome: Outcome) -> Course:
    # Loaded here, since its patterns take time at every start.
    from fanin.answers.number import Number

    usable = [draft for draft in course.drafts if draft.steps]
    if isinstance(outcome, Failure):
        why = f"the call failed ({outcome.kind})"
    else:
        read = read_completion(outcome.completion, Number(), ())
        if isinstance(read, str) and read in {str(number) for number in range(1, len(usable) + 1)}:
            return _begun(attrs.evolve(course, chosen_by="judge"), usable[int(read) - 1])
        why = read.reason if isinstance(read, Spoiled) else f"there is no plan {read}"
    note = f"The judging call chose no plan ({why}); the first usable one was taken."
    return _begun(attrs.evolve(course, chosen_by="first", notes=(*course.notes, note)), usable[0])


def _stepped(course: Course, outcome: Outcome) -> Course:
    index, task = len(course.steps), course.todo[0]
    if isinstance(outcome, Failure):
        step = Step(index, course.iteration, task, "failed", failure=outcome)
    else:
        status, text = _found(outcome.completion)
        step = Step(index, course.iteration, task, status, text)
    last = len(course.todo) == 1 and course.iteration == course.mode.max_iterations
    return attrs.evolve(
        course, steps=(*course.steps, step), todo=course.todo[1:], ended="iterations" if last else None
    )


def _assessed(course: Course, outcome: Outcome) -> Course:
    assessed = _assessment(course, outcome)
    course = attrs.evolve(course, assessments=(*course.assessments, assessed))
    if assessed.missing:
        return attrs.evolve(course, todo=assessed.missing, iteration=course.iteration + 1)
    if course.iteration < course.mode.min_iterations:
        return attrs.evolve(course, todo=(CHECK,), iteration=course.iteration + 1)
    return attrs.evolve(course, ended="complete" if assessed.complete else "unassessed")


def _assessment(course: Course, outcome: Outcome) -> Assessment:
    iteration = course.iteration
    if isinstance(outcome, Failure):
        return Assessment(iteration, None, problem=f"the call failed ({outcome.kind})")
    read = read_completion(outcome.completion, YesNo(), ())
    if isinstance(read, Spoiled):
        return Assessment(iteration, None, problem=read.reason)
    if read == "no":
        return Assessment(iteration, True)
    done = {step.task.casefold() for step in course.steps}
    named = tasks_in(outcome.completion.text, course.mode.max_steps)
    missing = tuple(task for task in named if task.casefold() not in done)
    return Assessment(iteration, False, missing, None if missing else "it names no step that is new")


def _synthesized(course: Course, outcome: Outcome) -> Course:
    if isinstance(outcome, Failure):
        return attrs.evolve(course, failure=outcome)
    status, text = _found(outcome.completion)
    if status in ("refused", "empty"):
        lost = Failure(outcome.index, "malformed", f"The synthesis was {status}.", outcome.attempts)
        return attrs.evolve(course, failure=lost)
    cut = ("The synthesis was cut off by its limit of tokens.",) if status == "cut" else ()
    return attrs.evolve(course, synthesis=text, notes=(*course.notes, *cut))


def _focused(course: Course, outcome: Outcome) -> Course:
    if isinstance(outcome, Failure):
        return attrs.evolve(course, failure=outcome)
    return attrs.evolve(course, focused=outcome.completion)


def _found(completion: Completion) -> tuple[StepStatus, str]:
    """How a reply ended, and what it says without the model's thoughts."""
    if completion.finish in ("refusal", "content_filter"):
        return "refused", ""
    text = without_thoughts(completion.text).strip()
    if not text:
        return "empty", ""
    return ("cut" if completion.finish == "length" else "ok"), text
