"""What an agent came to, and the limits it works under: frozen values, for agents and for panels."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

from fanin.errors import InputError
from fanin.values import Failure, Finish, Message, Usage, in_range, whole

AgentStatus: TypeAlias = Literal["ok", "failed", "empty"]


@attrs.frozen
class ToolLimits:
    """How much an agent may do before it has to give its text."""

    turns: int = attrs.field(default=8, validator=whole(1, 1000))
    """The most completions that are asked for; in the last one the model is told to end."""
    calls: int = attrs.field(default=16, validator=whole(0, 10_000))
    """The most tool calls, all turns together; those beyond are refused, and the model is told."""
    timeout_s: float = attrs.field(
        default=30.0, validator=in_range(1e-3, 86_400, "a number of seconds from 0.001 to 86400")
    )
    """The longest one tool call may take."""
    max_bytes: int = attrs.field(default=20_000, validator=whole(100, 10_000_000))
    """The most bytes of UTF-8 of one result that the model is given; the middle of a longer one is cut."""


@attrs.frozen
class ToolUse:
    """One tool call and what came of it."""

    name: str
    """The tool that was asked for; may be one that there is not."""
    arguments: str
    """The arguments as the model wrote them: JSON text, or something broken."""
    result: str | None = None
    """What the model was given; None where the call failed."""
    error: str | None = None
    """Why the call failed, as the model was told; None where it did not."""

    def __attrs_post_init__(self) -> None:
        if (self.result is None) == (self.error is None):
            raise InputError("tool use", "either a result or an error", (self.result, self.error))


@attrs.frozen
class AgentRun:
    """One agent's work from its first request to its text, or to the reason why there is none."""

    index: int
    """The run of the conductor it was."""
    name: str
    """The agent."""
    status: AgentStatus
    """`ok`: there is a text; `empty`: it ended without one; `failed`: it did not end, see `failure`."""
    text: str = ""
    """The last text of the model; of a failed run, empty."""
    finish: Finish = "stop"
    """Why the model ended: a text with `length` was cut off, `refusal` is no analysis."""
    choice: str | None = None
    """The typed answer in its canonical spelling; None where none was asked for or none could be read."""
    answer: str | None = None
    """The typed answer as people are shown it; None like `choice`."""
    spoiled: str | None = None
    """Why no typed answer could be read; None where one was, or none was asked for."""
    turns: int = 0
    """Completions that came back."""
    tool_calls: tuple[ToolUse, ...] = ()
    """Every tool call, in the order the model asked for them."""
    messages: tuple[Message, ...] = ()
    """The whole chat, this agent's own: what the model was sent, and what it said last."""
    usage: Usage = attrs.field(default=Usage())
    """Tokens of all turns that came back."""
    failure: Failure | None = None
    """What went wrong; None unless `failed`."""
    model: str = ""
    """The model that was asked."""
    order: tuple[str, ...] = ()
    """The choices of the typed answer as this agent was shown them; empty where there were none."""
