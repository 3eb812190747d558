"""The nouns of an analysis: how deep it goes, how far it has come, and what came of it.

The object `fanin.analysis/1` holds no wall-clock and is the same to the byte for the same replies.
"""

from __future__ import annotations

import json
from typing import Any, Literal, TypeAlias

import attrs

from fanin.errors import InputError
from fanin.values import Completion, Event, Failure, Plan, Run, Usage, in_range, optional, whole
from fanin.verdict import escape_unprintable

SCHEMA = "fanin.analysis/1"

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
"""How much a model may be asked to think. Source: OpenAI API reference, `reasoning_effort`; which of them
a model takes is its provider's matter, and one that takes none is asked without."""

Ended: TypeAlias = Literal["complete", "iterations", "unassessed", "budget"]
"""Why no further step is taken: nothing is missing, the most iterations are done, nobody could tell what
is missing, or the cost limit leaves no more than the synthesis."""
StepStatus: TypeAlias = Literal["ok", "cut", "empty", "refused", "failed"]
"""`cut`: the model ran into its limit of tokens; what it said until then counts."""
ChosenBy: TypeAlias = Literal["only", "judge", "first"]
"""`only`: there was one usable plan, or all said the same; `first`: the judging call could not be read."""


def _effort(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if value not in EFFORTS:
        raise InputError(field.name, f"one of {', '.join(EFFORTS)}", value)


@attrs.frozen
class Mode:
    """The settings of an analysis. Raises InputError for one that is out of its range."""

    name: str
    """The name it is chosen by."""
    min_iterations: int = attrs.field(validator=whole(1, 20))
    """So many rounds of steps are taken even where nothing seems to be missing; 1 to 20."""
    max_iterations: int = attrs.field(validator=whole(1, 20))
    """No further round is begun; 1 to 20, and not below `min_iterations`."""
    candidate_plans: int = attrs.field(validator=whole(1, 10))
    """Plans made in parallel, of which a judging call chooses one; 1 to 10."""
    max_steps: int = attrs.field(validator=whole(1, 20))
    """The most steps of one round; 1 to 20."""
    temperature_offset: float = attrs.field(default=0.0, validator=in_range(-2, 2, "from -2 to 2"))
    """Added to the temperature that is asked for."""
    reasoning_effort: str | None = attrs.field(default=None, validator=optional(_effort))
    """One of `EFFORTS`; None leaves it to the model."""
    cost_limit_usd: float | None = attrs.field(
        default=None, validator=optional(in_range(1e-9, 1e6, "a number of US dollars above 0"))
    )
    """What the calls of one analysis may cost at most, in US dollars; None: no limit."""

    def __attrs_post_init__(self) -> None:
        if self.min_iterations > self.max_iterations:
            bound = f"at least {self.min_iterations}, the fewest rounds"
            raise InputError("max_iterations", bound, self.max_iterations)


@attrs.frozen
class Draft:
    """One of the candidate plans."""

    index: int
    """0 to candidate_plans - 1."""
    steps: tuple[str, ...] = ()
    """What is to be done, in order; empty where the draft cannot be used."""
    problem: str | None = None
    """Why it cannot be used, in words; None where it can."""


@attrs.frozen
class Step:
    """One step that was carried out, or failed."""

    index: int
    """Counted from 0 through all rounds."""
    iteration: int
    """The round it belongs to, counted from 1."""
    task: str
    """What was to be done."""
    status: StepStatus
    """How it ended."""
    text: str = ""
    """What the model found; empty unless `ok` or `cut`."""
    failure: Failure | None = None
    """What went wrong, of a failed step."""

    @property
    def usable(self) -> bool:
        """Whether it found something."""
        return self.status in ("ok", "cut")


@attrs.frozen
class Assessment:
    """What was found to be missing after a round."""

    iteration: int
    """The round, counted from 1."""
    complete: bool | None
    """Whether nothing is missing; None where the reply could not be read."""
    missing: tuple[str, ...] = ()
    """The steps it asks for."""
    problem: str | None = None
    """Why it could not be read, in words; None where it could."""


@attrs.frozen
class Course:
    """How far an analysis has come: everything that the next action depends on."""

    mode: Mode
    """How deep it goes."""
    drafts: tuple[Draft, ...] = ()
    """The candidate plans, by index; empty until they were asked for."""
    chosen: int | None = None
    """The index of the draft that is carried out."""
    chosen_by: ChosenBy | None = None
    """How it was chosen."""
    todo: tuple[str, ...] = ()
    """The tasks of this round that are still to be carried out."""
    iteration: int = 0
    """The round, counted from 1; 0 before the first."""
    steps: tuple[Step, ...] = ()
    """All steps taken, by index."""
    assessments: tuple[Assessment, ...] = ()
    """One for each round that was assessed."""
    ended: Ended | None = None
    """Why no further step is taken; None while there may be one."""
    synthesis: str | None = None
    """The final answer as a text."""
    focused: Completion | None = None
    """The reply to the last question, which asks for the answer of the asked type."""
    failure: Failure | None = None
    """What ended the analysis before its time."""
    notes: tuple[str, ...] = ()
    """What was out of the ordinary, in words."""
    used: tuple[Usage, ...] = ()
    """The tokens of every call that came back, in the order they were asked."""
    asked: int = 0
    """Requests made; one that was made again counts once."""
    without: tuple[str, ...] = ()
    """Parameters that were left out because the model refuses them; sorted."""

    @property
    def findings(self) -> tuple[Step, ...]:
        """The steps that found something."""
        return tuple(step for step in self.steps if step.usable)


@attrs.frozen
class Focus:
    """What the focused answer of an analysis was read from."""

    plan: Plan
    """The question, and the type of the answer."""
    run: Run
    """The order of the choices, among others."""
    reply: Completion | None
    """The reply to the last question; None where it was not asked or not answered."""


@attrs.frozen
class Analysis:
    """What came of an analysis, whole or not: a failed one is a value too."""

    question: str
    """The question in words."""
    success: bool
    """Whether there is a focused answer."""
    final_answer: str | None
    """The synthesis of all that was found; None where it was not reached."""
    focused_answer: str | None
    """The answer of the asked type, taken from the final answer; None where none could be read."""
    problem: str | None
    """Why there is no focused answer, in one sentence; None where there is one."""
    mode: Mode
    """The settings it was carried out with."""
    drafts: tuple[Draft, ...]
    """The candidate plans, by index."""
    chosen: int | None
    """The index of the plan that was carried out; None where there was none."""
    chosen_by: ChosenBy | None
    """How it was chosen."""
    iterations: int
    """Rounds of steps that were begun."""
    steps: tuple[Step, ...]
    """All steps, by index, failed ones too."""
    assessments: tuple[Assessment, ...]
    """What was found to be missing, round by round."""
    ended: Ended | None
    """Why no further step was taken; None where a failure or a deadline ended the analysis before."""
    failure: Failure | None
    """The failure that ended the analysis; None where none did."""
    notes: tuple[str, ...]
    """What was out of the ordinary, in words."""
    calls: int
    """Requests made; one that was made again counts once."""
    usage: Usage
    """Tokens of all calls that came back; None where one of them is unknown."""
    cost_usd: float | None
    """US dollars; None is unknown."""
    backend: str
    """The backend's name."""
    model: str
    """The model that was asked."""
    temperature: float | None
    """The temperature that was asked for, before the mode's offset."""
    index: int = 0
    """Of the analyses of one vote: which run it is."""
    events: tuple[Event, ...] = attrs.field(default=(), eq=False, repr=False)
    """What happened on the way, with times: in no object and in no comparison. Of an analysis in a vote
    they are the verdict's."""
    basis: Focus | None = attrs.field(default=None, eq=False, repr=False)
    """What the focused answer was read from; in no object and in no comparison. None where nobody tells."""

    @property
    def plan(self) -> tuple[str, ...]:
        """The steps of the plan that was carried out; empty where there was none."""
        return () if self.chosen is None else self.drafts[self.chosen].steps

    def to_dict(self) -> dict[str, Any]:
        """The object `fanin.analysis/1`: plain values, keys in their documented order."""
        return {
            "schema": SCHEMA,
            "index": self.index,
            "question": self.question,
            "success": self.success,
            "final_answer": self.final_answer,
            "focused_answer": self.focused_answer,
            "problem": self.problem,
            "mode": attrs.asdict(self.mode),
            "plan": {
                "steps": list(self.plan),
                "chosen": self.chosen,
                "chosen_by": self.chosen_by,
                "drafts": [{**attrs.asdict(draft), "steps": list(draft.steps)} for draft in self.drafts],
            },
            "iterations": self.iterations,
            "steps": [{**attrs.asdict(step), "failure": _failure(step.failure)} for step in self.steps],
            "assessments": [
                {**attrs.asdict(assessed), "missing": list(assessed.missing)} for assessed in self.assessments
            ],
            "ended": self.ended,
            "failure": _failure(self.failure),
            "notes": list(self.notes),
            "calls": self.calls,
            "usage": attrs.asdict(self.usage),
            "cost_usd": self.cost_usd,
            "backend": self.backend,
            "model": self.model,
            "temperature": self.temperature,
        }

    def to_json(self) -> str:
        """The object as one line of JSON; every character that is not printable is escaped."""
        return escape_unprintable(json.dumps(self.to_dict(), ensure_ascii=False))


def _failure(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {"kind": failure.kind, "message": failure.message, "attempts": failure.attempts}
