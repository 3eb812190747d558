"""One agent: a model with a system prompt and tools, and the loop that carries its work out.

    Agent("Technical", "You are a technical analyst.", tools=(get_stock_price,))

What happens next is decided by `fanin.stages.next_step`; here it is carried out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from fanin.agent_run import AgentRun, ToolLimits, ToolUse
from fanin.answers.auto import parse_answer
from fanin.answers.final import without_thoughts
from fanin.answers.protocol import Answer, Spoiled
from fanin.answers.reply import read_completion
from fanin.answers.text import check_as_it_stands
from fanin.answers.tool_steps import heard, in_words
from fanin.backend import Backend
from fanin.conductor import Conductor
from fanin.errors import CallError, InputError
from fanin.policy.variation import order_of, seed_of
from fanin.stages.combine import combine
from fanin.stages.next_step import CallTools, Messages, Spent, answered, next_step, opening, refusals
from fanin.tools import Tool, as_tools
from fanin.values import Completion, Failure, Request, Sample, Usage, in_range, optional, whole

MAX_NAME = 60
"""Characters of an agent's name."""


def _as_functions(tools: Iterable[Callable[..., Any]]) -> tuple[Callable[..., Any], ...]:
    try:
        functions = tuple(tools)
    except TypeError:
        raise InputError("tools", "functions in a tuple or list", tools) from None
    if not all(map(callable, functions)):
        raise InputError("tools", "functions in a tuple or list", tools)
    return functions


def _as_answer(answer: Answer | str | None) -> Answer | None:
    return parse_answer(answer) if isinstance(answer, str) else answer


def valid_name(_: Any, __: attrs.Attribute[Any], name: Any) -> None:
    """Whether an agent or a panel may have the name. Raises InputError."""
    if not isinstance(name, str) or len(name) > MAX_NAME:
        raise InputError("name", f"a text of at most {MAX_NAME} characters", name)
    combine([(name, "")])  # what a panel makes of it has to be possible


def _not_blank(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise InputError(field.name, "a text that is not blank", value)


def _an_answer(_: Any, __: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and (not isinstance(value, Answer) or isinstance(value, type)):
        raise InputError("answer", "an answer type such as fanin.YesNo(), or its name", value)
    check_as_it_stands(value, "answer")


@attrs.frozen
class Agent:
    """A specialist: who it is, what it may use, and how it is asked. Raises InputError for a bad field."""

    name: str = attrs.field(validator=valid_name)
    """What it is called: one printable line of at most 60 characters, without `===`."""
    system: str = attrs.field(validator=_not_blank)
    """Its system prompt; not blank."""
    tools: tuple[Callable[..., Any], ...] = attrs.field(default=(), converter=_as_functions)
    """Plain functions, partials of them or objects that can be called, sync or async, with hints for every
    parameter."""
    model: str | None = attrs.field(default=None, validator=optional(_not_blank))
    """The model; None is the backend's default."""
    backend: str | Backend | None = None
    """A backend's name or an open one; None is the one that is used around it."""
    answer: Answer | None = attrs.field(default=None, converter=_as_answer, validator=_an_answer)
    """A typed answer that is asked for beside the text, or its name (`yes/no`); None: text alone."""
    temperature: float | None = attrs.field(default=None, validator=optional(in_range(0, 2, "from 0 to 2")))
    """None leaves it to the provider."""
    max_tokens: int = attrs.field(default=2048, validator=whole(1, 10_000_000))
    """The most tokens one completion may have."""
    limits: ToolLimits = attrs.field(default=ToolLimits())
    """How much it may do before it has to give its text."""
    native_tools: bool = True
    """Tools are given to the provider as such; False tells them in the prompt and asks for each next
    step as JSON, as is done by itself for models that turn out to have no tool calls."""

    @limits.validator
    def _check_limits(self, _: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, ToolLimits):
            raise InputError("limits", "fanin.ToolLimits(...)", value)


async def carry_out(
    agent: Agent,
    query: str,
    conductor: Conductor,
    *,
    index: int = 0,
    tools: Sequence[Tool] | None = None,
    model: str | None = None,
    seed: int = 0,
) -> AgentRun:
    """The agent's whole work on one query: asks, calls tools, asks again, until there is a text.

    Made to be the job of run `index` in `Conductor.conduct`; every turn bears that index. `tools` are the
    agent's own where `fanin.tools.as_tools` has made them before, `model` is what is asked where the agent
    names none (None: the backend's default), `seed` is what the run's own seed derives from. Failures are
    in the AgentRun; raises InputError for a tool that cannot be used, and FaninError as
    `Conductor.ask` does (a replay miss).
    """
    work = _Work(agent, conductor, index, as_tools(agent.tools) if tools is None else tuple(tools), seed)
    try:
        work.model = agent.model or model or (await conductor.backend.resolve(()))[0]
    except CallError as error:
        return work.failed(Failure(index, error.kind, str(error)))
    work.messages = opening(agent.system, work.asked(query))
    while True:
        sample = await work.ask()
        if not isinstance(sample, Sample):
            return work.failed(sample or Failure(index, "deadline", "The deadline left no time for a call."))
        step = next_step(work.messages, sample.completion, agent.limits)
        work.messages = step.messages
        if isinstance(step, CallTools):
            await work.call(step)
        elif isinstance(step, Spent):
            why = f"It still asked for tools when its {agent.limits.turns} turns were spent."
            return work.failed(Failure(index, "turns", why, sample.attempts))
        else:
            return work.ended(sample.completion)


@attrs.define
class _Work:
    """What an agent has come to so far."""

    agent: Agent
    conductor: Conductor
    index: int
    tools: tuple[Tool, ...]
    seed: int
    model: str = ""
    messages: Messages = ()
    turns: int = 0
    uses: tuple[ToolUse, ...] = ()
    usage: Usage = attrs.field(default=Usage())

    @property
    def order(self) -> tuple[str, ...]:
        """The options of the typed answer as this agent is shown them."""
        answer = self.agent.answer
        return () if answer is None else order_of(answer.options, self.seed, self.index)

    def asked(self, query: str) -> str:
        """The user's message: the query, and how to end where a typed answer is asked for."""
        answer = self.agent.answer
        return query if answer is None else f"{query}\n\n{answer.instruction(self.order)}"

    async def ask(self) -> Sample | Failure | None:
        """The next turn. A backend that knows nothing of tools is asked in words."""
        request = Request(
            index=self.index,
            model=self.model,
            messages=self.messages,
            temperature=self.agent.temperature,
            seed=seed_of(self.seed, self.index),
            max_tokens=self.agent.max_tokens,
            tools=tuple(tool.spec for tool in self.tools),
            tools_in_prompt=bool(self.tools) and not self.agent.native_tools,
        )
        can = self.conductor.backend.capabilities
        if not can.tools:
            request = attrs.evolve(request, tools_in_prompt=bool(self.tools))
        sent = request if can.tools else in_words(request, structured=can.structured)
        outcome = await self.conductor.ask(sent)
        if not isinstance(outcome, Sample):
            return outcome
        completion = outcome.completion if can.tools else heard(outcome.completion, request)
        self.usage = completion.usage + self.usage if self.turns else completion.usage
        self.turns += 1
        return attrs.evolve(outcome, completion=completion)

    async def call(self, step: CallTools) -> None:
        """Carries out the calls of one turn, all at once, and adds what came of them to the chat."""
        limits = self.agent.limits
        done = await self.conductor.use_tools(self.index, step.calls, self.tools, limits)
        uses = (*done, *refusals(step.refused, limits))
        self.uses += uses
        self.messages = answered(self.messages, uses, limits)

    def failed(self, failure: Failure) -> AgentRun:
        """The run with what it had come to."""
        return self._run(status="failed", failure=failure)

    def ended(self, completion: Completion) -> AgentRun:
        """The run with its text, and the typed answer that stands in it."""
        answer = self.agent.answer
        read = None if answer is None else read_completion(completion, answer, self.order)
        choice = read if isinstance(read, str) else None
        return self._run(
            status="ok" if without_thoughts(completion.text).strip() else "empty",
            text=completion.text,
            finish=completion.finish,
            choice=choice,
            answer=None if answer is None or choice is None else answer.show(choice),
            spoiled=read.reason if isinstance(read, Spoiled) else None,
        )

    def _run(self, **rest: Any) -> AgentRun:
        return AgentRun(
            index=self.index,
            name=self.agent.name,
            model=self.model,
            turns=self.turns,
            tool_calls=self.uses,
            messages=self.messages,
            usage=self.usage,
            order=self.order,
            **rest,
        )
