"""Carrying out the tool calls of one turn: all at once, each within its time, none of them trusted.

A sync tool runs in a thread of its own that is no part of any pool: one that hangs is given up, and
keeps neither the event loop nor the process from ending.
"""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any

import anyio

from fanin.agent_run import ToolLimits, ToolUse
from fanin.show import one_line
from fanin.stages.next_step import cut_to_bytes
from fanin.taping.scrub import Scrubber, known_secrets
from fanin.tools import Tool
from fanin.values import ToolCall
from fanin.waking import wake_here


async def call_tools(
    calls: Sequence[ToolCall],
    tools: Sequence[Tool],
    limits: ToolLimits,
    *,
    tell: Callable[[str], None],
) -> tuple[ToolUse, ...]:
    """What came of the calls, in their order; they run together. `tell` is given each tool's name.

    Raises nothing that a tool does: an unknown tool, arguments that do not fit, a tool that raises or
    takes longer than `limits.timeout_s` are errors in the ToolUse, without any key that is known here or
    looks like one: an exception tells of an address or a header that no result would show.
    """
    by_name = {tool.spec.name: tool for tool in tools}
    uses = [ToolUse(call.name, call.arguments, error="The tool was cancelled.") for call in calls]

    async def one(place: int, call: ToolCall, tool: Tool, given: dict[str, Any]) -> None:
        uses[place] = await _use(call, tool, given, limits)

    async with anyio.create_task_group() as group:
        for place, call in enumerate(calls):
            tool = by_name.get(call.name)
            if tool is None:
                uses[place] = _failed(call, _unknown(call.name, list(by_name)), limits)
                continue
            try:
                given = tool.read(call.arguments)
            except Exception as error:  # noqa: BLE001 - a type's own check may raise anything
                uses[place] = _failed(call, str(error), limits)
                continue
            tell(call.name)
            group.start_soon(one, place, call, tool, given)
    return tuple(uses)


async def _use(call: ToolCall, tool: Tool, given: dict[str, Any], limits: ToolLimits) -> ToolUse:
    try:
        if inspect.iscoroutinefunction(tool.function):
            text = await _awaited(tool.function(**given), limits.timeout_s)
        else:
            text = await _in_thread(partial(_called, tool.function, given), limits.timeout_s)
            if not isinstance(text, str):
                text = await _awaited(text, limits.timeout_s)
    except _GivenUp:
        return _failed(call, f"{call.name} gave no result within {limits.timeout_s:g} s.", limits)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a tool may raise anything
        return _failed(call, _said(error), limits)
    return ToolUse(call.name, call.arguments, result=cut_to_bytes(text, limits.max_bytes))


class _GivenUp(Exception):
    """The tool's time is over."""


async def _awaited(pending: Awaitable[object], timeout_s: float) -> str:
    with anyio.move_on_after(timeout_s):
        return _as_text(await pending)
    raise _GivenUp


def _called(function: Callable[..., Any], given: dict[str, Any]) -> str | Awaitable[object]:
    """The result as text, or what is to be waited for where the function gives that."""
    result = function(**given)
    if inspect.isasyncgen(result):
        return _collected(result)
    return result if inspect.isawaitable(result) else _as_text(result)


async def _collected(pieces: AsyncIterator[object]) -> list[object]:
    return [piece async for piece in pieces]


async def _in_thread(work: Callable[[], str | Awaitable[object]], timeout_s: float) -> Any:
    """What `work` gives or raises, in a daemon thread; raises _GivenUp after `timeout_s` real seconds.

    The time is taken by a second thread, since a thread's seconds are the machine's, whatever clock
    the event loop has.
    """
    over = wake_here()
    ended: list[Callable[[], Any]] = []
    context = copy_context()

    def run() -> None:
        try:
            result = context.run(work)
            ended.append(lambda: result)
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is waited for
            ended.append(partial(_raise, error))

    def watch() -> None:
        worker = threading.Thread(target=run, name="fanin tool", daemon=True)
        worker.start()
        worker.join(timeout_s)
        # Nobody waits for that to be done: the event loop may have ended before the tool, or be ending.
        over.call(None)

    threading.Thread(target=watch, name="fanin tool's time", daemon=True).start()
    await over.wait()
    if not ended:
        raise _GivenUp
    return ended[0]()


def _raise(error: BaseException) -> None:
    # A tool in a thread may leave it as it likes, and that must not end the program.
    raise error if isinstance(error, Exception) else RuntimeError(_said(error))


def _as_text(result: object) -> str:
    """A text as it is, anything else as JSON; what JSON cannot hold as Python shows it."""
    if not isinstance(result, str):
        from pydantic import TypeAdapter

        try:
            return TypeAdapter(object).dump_json(result, fallback=str).decode()
        except ValueError:  # bytes that are no text, a list that holds itself
            return str(result)
    return result


def _failed(call: ToolCall, why: str, limits: ToolLimits) -> ToolUse:
    # Whole keys are found, so they are taken out before a cut can go through one.
    clean = Scrubber(known_secrets(os.environ))(why)
    return ToolUse(call.name, call.arguments, error=cut_to_bytes(clean, limits.max_bytes))


def _said(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception of a tool's own may fail at that too
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _unknown(name: str, known: list[str]) -> str:
    there_are = f"There are: {', '.join(known)}." if known else "There is none."
    return f"There is no tool called {one_line(name, 100)!r}. {there_are}"
