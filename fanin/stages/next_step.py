"""An agent's loop, one step of it: from the chat and what the model said to what happens next.

    opening -> [the model] -> next_step -> CallTools -> [the tools] -> answered -> [the model] -> ...
                                        -> Done | Spent

The loop always ends: every step adds a message of the model, and there are as many as `limits.turns`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TypeAlias

import attrs

from fanin.agent_run import ToolLimits, ToolUse
from fanin.values import Completion, Message, ToolCall

Messages: TypeAlias = tuple[Message, ...]

LAST_TURN = "This is your last turn: call no more tools, and give your final text now."

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")


@attrs.frozen
class CallTools:
    """Carry out `calls`, refuse `refused`, and ask again."""

    messages: Messages
    """The chat with what the model said."""
    calls: tuple[ToolCall, ...]
    """As the model asked for them, in its order."""
    refused: tuple[ToolCall, ...] = ()
    """The later ones, beyond the limit of calls."""


@attrs.frozen
class Done:
    """The model has given its text."""

    messages: Messages
    text: str


@attrs.frozen
class Spent:
    """The model still asks for tools, and its turns are spent."""

    messages: Messages


Step: TypeAlias = CallTools | Done | Spent


def opening(system: str, user: str) -> Messages:
    """The chat that an agent begins with, nobody else's words in it."""
    return Message("system", system), Message("user", user)


def next_step(messages: Messages, completion: Completion, limits: ToolLimits) -> Step:
    """What happens after `completion`, which answers `messages`.

    In the chat every call gets an id of its own, a name and arguments that any provider takes back.
    """
    text, calls = completion.text, completion.tool_calls
    if not calls:
        return Done((*messages, Message("assistant", text)), text)
    before = [call for message in messages for call in message.tool_calls]
    said = Message("assistant", text, _sendable(calls, {call.id for call in before}))
    if _turns(messages) + 1 >= limits.turns:
        return Spent((*messages, said))
    left = max(0, limits.calls - len(before))
    return CallTools((*messages, said), calls[:left], calls[left:])


def answered(messages: Messages, uses: Sequence[ToolUse], limits: ToolLimits) -> Messages:
    """The chat with what came of the calls of its last message, in their order.

    Where one turn is left, the model is told so.
    """
    calls = messages[-1].tool_calls
    results = tuple(
        Message("tool", _shown(use), tool_call_id=call.id) for call, use in zip(calls, uses, strict=True)
    )
    told = (Message("user", LAST_TURN),) if _turns(messages) + 1 == limits.turns else ()
    return (*messages, *results, *told)


def refusals(calls: Sequence[ToolCall], limits: ToolLimits) -> tuple[ToolUse, ...]:
    """What comes of the calls beyond the limit."""
    why = f"The limit of {limits.calls} tool calls is reached: end with what you have."
    return tuple(ToolUse(call.name, call.arguments, error=why) for call in calls)


def cut_to_bytes(text: str, max_bytes: int) -> str:
    """The text in at most `max_bytes` of UTF-8 and the few that say how many were cut from its middle.

    What is no valid Unicode (a lone surrogate) becomes `?`.
    """
    whole = text.encode("utf-8", "replace")
    if len(whole) <= max_bytes:
        return whole.decode()
    head = whole[: max_bytes - max_bytes // 2].decode("utf-8", "ignore")
    tail = whole[len(whole) - max_bytes // 2 :].decode("utf-8", "ignore")
    left_out = len(whole) - len(head.encode()) - len(tail.encode())
    return f"{head}\n[... {left_out} bytes left out ...]\n{tail}"


def _turns(messages: Messages) -> int:
    return sum(message.role == "assistant" for message in messages)


def _shown(use: ToolUse) -> str:
    return f"Error: {use.error}" if use.result is None else use.result


def _sendable(calls: Sequence[ToolCall], taken: set[str]) -> tuple[ToolCall, ...]:
    """The calls as history: providers refuse a chat with an odd name, broken JSON or an id used twice."""
    found = []
    for call in calls:
        number = len(taken) + 1
        own = call.id if call.id and call.id not in taken else f"call_{number}"
        while own in taken:
            number += 1
            own = f"call_{number}"
        taken.add(own)
        name = _NOT_IN_A_NAME.sub("_", call.name)[:64] or "unknown"
        found.append(ToolCall(own, name, call.arguments if _is_object(call.arguments) else "{}"))
    return tuple(found)


def _is_object(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False
