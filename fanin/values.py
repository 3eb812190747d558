"""The nouns: frozen values that the stages hand to one another.

Every class is `attrs.frozen`, holds tuples and never lists, and validates what a caller may get
wrong. Durations end in `_s` and are seconds; `index` counts from 0, `attempt` from 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import attrs

from fanin.errors import FailureKind, InputError

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
Finish: TypeAlias = Literal["stop", "length", "refusal", "content_filter", "tool_calls", "other"]
Outcome: TypeAlias = "Sample | Failure"
Grade: TypeAlias = Literal["high", "medium", "low", "none"]
Pattern: TypeAlias = Literal["none", "single", "divergent", "unanimous", "strong", "incomplete", "split"]
Decision: TypeAlias = Literal["decided", "tie", "no_quorum", "failed"]
StoppedBy: TypeAlias = Literal["all", "rule", "deadline", "budget", "limit", "interrupt"]

MAX_RUNS = 1000


def in_range(low: float, high: float, bound: str) -> Callable[[Any, Any, Any], None]:
    """An attrs validator: a number, `low <= value <= high`, so never nan. Raises InputError."""

    def check(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not low <= value <= high:
            raise InputError(field.name, bound, value)

    return check


def whole(low: int, high: int) -> Callable[[Any, Any, Any], None]:
    """An attrs validator: an int, `low <= value <= high`. Raises InputError."""

    def check(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise InputError(field.name, f"a whole number from {low} to {high}", value)

    return check


def optional(check: Callable[[Any, Any, Any], None]) -> Callable[[Any, Any, Any], None]:
    """An attrs validator: None, or what `check` lets pass."""

    def check_value(holder: Any, field: attrs.Attribute[Any], value: Any) -> None:
        if value is not None:
            check(holder, field, value)

    return check_value


def _not_blank(_: Any, __: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise InputError("question", "a text that is not blank", value)


def _text(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, str):
        raise InputError(field.name, "a text", value)


def _texts_or_none(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if not all(text is None or isinstance(text, str) for text in value):
        raise InputError(field.name, "texts, each of which may be None", value)


def _as_names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(names)


def _as_systems(systems: Iterable[str | None]) -> tuple[str | None, ...]:
    return tuple(systems) or (None,)


def _names(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if not value or not all(isinstance(name, str) and name.strip() for name in value):
        raise InputError(field.name, "one name or more, none of them blank", value)


@attrs.frozen
class Question:
    """What is asked: the question and, if wanted, the text it is about."""

    text: str = attrs.field(validator=_not_blank)
    """The question in words; never blank."""
    context: str | None = attrs.field(default=None, validator=optional(_text))
    """The text the question is about; None where it stands alone."""


@attrs.frozen
class ToolSpec:
    """What a model is told of a tool it may call."""

    name: str
    """What it is called by."""
    description: str
    """What it does, in words; may be empty."""
    parameters: str
    """The JSON Schema of its arguments, an object's, as JSON text."""


@attrs.frozen
class ToolCall:
    """A tool call as a model asks for it: nothing of it is checked yet."""

    id: str
    """What the result refers to; the provider's, or made up where it gives none."""
    name: str
    """The tool; may be one that there is not."""
    arguments: str
    """The arguments as JSON text, word for word where the provider gives text; may be broken."""


@attrs.frozen
class Message:
    """One message of a chat."""

    role: Role
    """Who speaks."""
    content: str
    """What is said, as plain text."""
    tool_calls: tuple[ToolCall, ...] = ()
    """What the assistant asks to have called, beside what it says."""
    tool_call_id: str | None = None
    """Of a `tool` message: the call whose result it is."""


@attrs.frozen
class Variation:
    """How the runs of one plan differ from one another.

    Runs go round the models first, then round the system prompts, and climb one rung of the
    temperature ladder when both have gone round, so that every model is asked at every temperature.
    """

    models: tuple[str, ...] = attrs.field(converter=_as_names, validator=_names)
    """The models asked, in turn; at least one."""
    systems: tuple[str | None, ...] = attrs.field(
        default=(None,), converter=_as_systems, validator=_texts_or_none
    )
    """The system prompts, in turn; None is none."""
    temperature: float | None = attrs.field(default=0.6, validator=optional(in_range(0, 2, "from 0 to 2")))
    """The lowest rung of the ladder; None leaves the temperature to the provider."""
    temperature_step: float = attrs.field(default=0.1, validator=in_range(0, 2, "from 0 to 2"))
    """The height of a rung; 0 asks every run at the same temperature."""
    max_temperature: float = attrs.field(default=2.0, validator=in_range(0, 2, "from 0 to 2"))
    """The backend's own maximum: no rung lies above it."""
    seed: int = attrs.field(default=0, validator=whole(0, 2**63 - 1))
    """What every run's own seed and order of choices derive from."""
    shuffled: bool = False
    """Which run gets which model, system prompt and rung is shuffled by the seed, not in turn."""


@attrs.frozen
class Plan:
    """Everything that is decided before the first call of a vote.

    `answer` is any object with the methods of `fanin.answers.Answer`.
    """

    question: Question
    """What is asked."""
    answer: Any
    """The type of the answer: how to ask for it, how to read it."""
    variation: Variation
    """How the runs differ."""
    runs: int = attrs.field(default=5, validator=whole(1, MAX_RUNS))
    """How many runs are planned, 1 to 1000."""
    quorum: int | None = attrs.field(default=None, validator=optional(whole(1, MAX_RUNS)))
    """Valid ballots needed to decide; None is more than half of the runs that count."""
    max_tokens: int = attrs.field(default=2048, validator=whole(1, 10_000_000))
    """The most tokens one call may put out."""
    structured: bool = False
    """Ask for the backend's JSON schema output instead of a last line `Answer: ...`."""
    logprobs: bool = False
    """Ask for the log-probabilities of the answers."""

    def __attrs_post_init__(self) -> None:
        if self.quorum is not None and self.quorum > self.runs:
            raise InputError("quorum", f"at most the number of runs ({self.runs})", self.quorum)


@attrs.frozen
class Run:
    """One of the N: what sets it apart from the others."""

    index: int
    """0 to runs - 1, in planned order."""
    model: str
    """The model that is asked."""
    temperature: float | None
    """The temperature that is asked for; None leaves it to the provider."""
    seed: int
    """The sampling seed, distinct between the runs of a plan; 0 to 2**31 - 1."""
    system: str | None
    """The system prompt of this run."""
    order: tuple[str, ...] = ()
    """The choices in the order in which this run is shown them; empty where there are none."""


@attrs.frozen
class Request:
    """One call, complete: what a backend is given, and nothing else of the plan."""

    index: int
    """The run it belongs to."""
    model: str
    """The model that is asked."""
    messages: tuple[Message, ...]
    """The whole chat, this run's own."""
    temperature: float | None = None
    """None: not sent."""
    seed: int | None = None
    """None: not sent."""
    max_tokens: int | None = None
    """The most tokens the answer may have; None: not sent."""
    schema: str | None = None
    """A JSON Schema as JSON text that the answer must follow; None: free text."""
    without: tuple[str, ...] = ()
    """Names of parameters that this model refuses: not sent (`max_tokens` is then sent as
    `max_completion_tokens`, and `tools` are told in the prompt). Sorted."""
    attempt: int = 1
    """The how-manieth call of this run it is, counted from 1."""
    logprobs: bool = False
    """Ask for the log-probability of every token of the answer."""
    tools: tuple[ToolSpec, ...] = ()
    """The tools that the model may ask to have called."""
    reasoning_effort: str | None = None
    """How much the model is to think, as the provider words it (`low`, `high`); None: not sent."""
    tools_in_prompt: bool = False
    """Tools are told in the prompt, and each next step is asked for as JSON: for models that have no
    tool calls of their own."""


@attrs.frozen
class Usage:
    """Tokens that were used; None is unknown, which is not zero."""

    input_tokens: int | None = None
    """Tokens read."""
    output_tokens: int | None = None
    """Tokens written, thoughts included."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            _sum(self.input_tokens, other.input_tokens), _sum(self.output_tokens, other.output_tokens)
        )


def _sum(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b


@attrs.frozen
class Completion:
    """What a model answered to one request."""

    text: str
    """The answer's text; empty where the model gave none."""
    finish: Finish = "stop"
    """Why the model ended."""
    usage: Usage = Usage()
    """Tokens used, as the provider counted them."""
    model: str | None = None
    """The model as the provider names it."""
    headers: tuple[tuple[str, str], ...] = ()
    """The rate-limit headers, lower-case names, in the order they came."""
    tool_calls: tuple[ToolCall, ...] = ()
    """The tools that the model asks to have called, in its order."""
    logprob: float | None = None
    """The mean log-probability of the answer's tokens, natural logarithm, 0 or less; None where the
    provider tells none."""


@attrs.frozen
class Sample:
    """A run that came back."""

    index: int
    """The run."""
    completion: Completion
    """What the model said."""
    attempts: int = 1
    """How many calls it took."""
    without: tuple[str, ...] = ()
    """Parameters that were left out because the model refuses them; sorted."""


@attrs.frozen
class Failure:
    """A run that gave nothing, with the reason."""

    index: int
    """The run."""
    kind: FailureKind
    """What went wrong at the last attempt."""
    message: str
    """One sentence for people, without any key."""
    attempts: int = 1
    """How many calls were made."""
    exhausted: bool = False
    """A daily limit or the account's quota is spent."""


@attrs.frozen
class Gathered:
    """The outcomes of a vote by index: what came back, what failed, what was never asked."""

    samples: tuple[Sample, ...]
    """By index."""
    failures: tuple[Failure, ...]
    """By index."""
    cancelled: int = 0
    """Runs that a satisfied stop rule called back."""
    unasked: int = 0
    """Planned runs that were never asked."""


@attrs.frozen
class Ballot:
    """One run's answer as it was read: a choice, or spoiled with a reason."""

    index: int
    """The run."""
    choice: str | None
    """The answer in its canonical spelling; None where the ballot is spoiled."""
    spoiled: str | None = None
    """Why nothing could be read; None for a valid ballot."""
    model: str = ""
    """The model that was asked."""
    temperature: float | None = None
    """The temperature that was sent; None where none was."""
    text: str = ""
    """The whole text that the model gave."""
    usage: Usage = Usage()
    """Tokens of the run."""
    logprob: float | None = None
    """The mean log-probability of the text's tokens; None where it is unknown."""

    def __attrs_post_init__(self) -> None:
        if (self.choice is None) == (self.spoiled is None):
            raise InputError("ballot", "either a choice or spoiled", (self.choice, self.spoiled))


@attrs.frozen
class Runs:
    """How the planned runs ended; `valid + spoiled + failed + cancelled + unasked == planned`."""

    planned: int
    """All runs of the plan."""
    valid: int
    """Came back, and a choice was read."""
    spoiled: int
    """Came back, and no choice could be read."""
    failed: int
    """Gave nothing."""
    cancelled: int = 0
    """Called back by a satisfied stop rule."""
    unasked: int = 0
    """Never asked."""


@lru_cache(maxsize=1024)  # the same few shares come again and again, and a Fraction takes its time
def share(votes: int, of: int) -> Fraction:
    """So many votes of so many, exact; `of` is 1 or more."""
    return Fraction(votes, of)


@attrs.frozen
class Tally:
    """The count of a vote."""

    counts: tuple[tuple[str, int], ...]
    """(choice, votes), every choice with a vote: most first, then in declared order or by text."""
    runs: Runs
    """How the planned runs ended."""
    counting: int
    """The runs that count: all planned ones but those that a satisfied stop rule spared."""
    quorum: int
    """Valid ballots that are needed to decide."""

    @property
    def outcome(self) -> Decision:
        """Decided, or why there is no winner."""
        if not self.runs.valid:
            return "failed"
        if self.runs.valid < self.quorum:
            return "no_quorum"
        tied = len(self.counts) > 1 and self.counts[1][1] == self.counts[0][1]
        return "tie" if tied else "decided"

    @property
    def leaders(self) -> tuple[str, ...]:
        """The choices with the most votes; more than one is a tie for the lead."""
        most = self.counts[0][1] if self.counts else 0
        return tuple([choice for choice, votes in self.counts if votes == most])

    @property
    def winner(self) -> str | None:
        """The one leader of a decided vote; None where there is no winner."""
        return self.counts[0][0] if self.outcome == "decided" else None

    @property
    def support(self) -> Fraction:
        """Votes for the winner / runs that count, exact, 0 to 1; 0 where there is no winner."""
        return share(self.counts[0][1], self.counting) if self.winner is not None else Fraction(0)


@attrs.frozen
class Event:
    """Something that happened to a run while it was carried out; for progress and `-v`."""

    kind: Literal["asked", "answered", "failed", "retry", "limit", "adapted", "tool", "hedge"]
    """`retry` and `limit` begin a wait; `adapted`: a refused parameter is left out from now on;
    `tool`: an agent's tool is called, `detail` names it; `hedge`: a second call is made beside one that
    takes long."""
    index: int
    """The run."""
    at_s: float
    """Seconds since the vote began."""
    attempt: int = 1
    """The call it belongs to."""
    wait_s: float = 0.0
    """How long the wait is meant to be."""
    detail: str = ""
    """Why, in words."""


@attrs.frozen
class Stopped:
    """What ended the asking."""

    by: StoppedBy = "all"
    """`all`: every planned run was asked."""
    rule: str = "all"
    """The stop rule in force, as it is written on the command line."""
