"""Tool calls in words, for models and servers that have none of their own.

The tools are told in the system prompt and every next step, a tool call or the final text, is asked for
as JSON: by schema where the backend can do that, else in a fenced block. What comes back is read into
the same values that a provider with tool calls gives, so nobody further in knows the difference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import attrs

from fanin.answers.final import without_thoughts
from fanin.values import Completion, Message, Request, ToolCall, ToolSpec

_TOOLS = (
    "You can use these tools, one call at a time; you are given each result before your next step. What a"
    " tool can tell you, you do not know before you have called it: never make it up."
)
_BY_SCHEMA = (
    "Answer with one JSON object and nothing else. To call a tool:\n"
    '{"next": {"step": "call", "tool": NAME, "arguments": {...}}}\n'
    "Only when you have the results you need, end with your whole final text:\n"
    '{"next": {"step": "final", "text": TEXT}}'
)
_BY_FENCE = (
    "To call a tool, answer with nothing but this:\n"
    '```json\n{"tool": NAME, "arguments": {...}}\n```\n'
    "Only when you have the results you need, answer with your whole final text, outside of any JSON."
)
# What models put around a call that they write as text: Hermes and Qwen tags, Mistral's mark, fences.
_DRESS = re.compile(r"(?:</?(?:tool_calls?|tools?|function_call)>|\[TOOL_CALLS\]|```\w*|[\s,;])*")
_FENCED = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
_CUT_FINAL = re.compile(r'\s*\{\s*"next"\s*:\s*\{\s*"step"\s*:\s*"final"\s*,\s*"text"\s*:\s*"(.*)', re.DOTALL)
_LONGEST_ESCAPE = len("\\u0000")
_DECODER = json.JSONDecoder(strict=False)


def in_words(request: Request, *, structured: bool) -> Request:
    """The request as a backend sends it whose model has no tool calls; the same where there are no tools.

    `structured`: the next step is asked for by JSON Schema, unless the model refuses that.
    """
    if not request.tools:
        return request
    structured = structured and "schema" not in request.without
    return attrs.evolve(
        request,
        messages=_messages(request.messages, request.tools, structured=structured),
        tools=(),
        tools_in_prompt=True,
        schema=_schema(request.tools) if structured else None,
    )


def as_sent(request: Request, *, structured: bool = True) -> Request:
    """The request in words where it says so or the model refuses `tools`, else as it is."""
    told = request.tools_in_prompt or "tools" in request.without
    return in_words(request, structured=structured) if told else request


def heard(completion: Completion, request: Request) -> Completion:
    """The completion with the tool calls that `request` asked for in words, or that the model wrote as
    text by itself; without a call, with its final text. Anything else is a final text as it stands."""
    if not request.tools or completion.tool_calls or completion.finish in ("refusal", "content_filter"):
        return completion
    text = without_thoughts(completion.text)
    in_prompt = request.tools_in_prompt or "tools" in request.without
    steps = _objects(text)
    if in_prompt and (final := _final(steps, text)) is not None:
        return attrs.evolve(completion, text=final)
    if in_prompt and not steps:
        steps = [step for fenced in _FENCED.findall(text) for step in _objects(fenced) if "tool" in step]
    calls = [call for step in steps if (call := _call(_next(step)))]
    known = in_prompt or all(call.name in {tool.name for tool in request.tools} for call in calls)
    if not calls or len(calls) < len(steps) or not known:
        return completion
    return attrs.evolve(completion, text="", finish="tool_calls", tool_calls=tuple(calls))


def _messages(
    messages: Sequence[Message], tools: Sequence[ToolSpec], *, structured: bool
) -> tuple[Message, ...]:
    """The chat without tool messages: calls are what the model would have written, results the user's."""
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    has_system = bool(messages) and messages[0].role == "system"
    head, rest = (messages[0].content, messages[1:]) if has_system else ("", messages)
    told = [
        Message("user", f"Result of {names.get(each.tool_call_id or '', 'the tool')}:\n{each.content}")
        if each.role == "tool"
        else Message(each.role, _written(each, structured=structured))
        for each in rest
    ]
    system = "\n\n".join(part for part in (head, _told(tools, structured=structured)) if part)
    # Some models' templates want user and assistant to take turns.
    turns = ((role, list(group)) for role, group in groupby(told, key=lambda message: message.role))
    merged = (Message(role, "\n\n".join(each.content for each in group)) for role, group in turns)
    return Message("system", system), *merged


def _written(message: Message, *, structured: bool) -> str:
    if not message.tool_calls:
        return message.content
    steps = [{"tool": call.name, "arguments": json.loads(call.arguments)} for call in message.tool_calls]
    if structured:
        return "\n".join(json.dumps({"next": {"step": "call", **step}}, ensure_ascii=False) for step in steps)
    return "\n".join(f"```json\n{json.dumps(step, ensure_ascii=False)}\n```" for step in steps)


def _told(tools: Sequence[ToolSpec], *, structured: bool) -> str:
    lines = [
        f"- {tool.name}: {' '.join(tool.description.split())}\n  arguments (JSON Schema): {tool.parameters}"
        for tool in tools
    ]
    return "\n\n".join([_TOOLS, "\n".join(lines), _BY_SCHEMA if structured else _BY_FENCE])


def _schema(tools: Sequence[ToolSpec]) -> str:
    """The JSON Schema of a next step: an object at its root, since OpenAI takes no other.

    Which step it is comes first: a small model that begins with the text makes it up.
    """
    definitions: dict[str, Any] = {}
    steps = [_object(step=_only("final"), text={"type": "string"})]
    for tool in reversed(tools):
        arguments = _moved(json.loads(tool.parameters), tool.name)
        definitions |= {f"{tool.name}.{name}": each for name, each in arguments.pop("$defs", {}).items()}
        steps.insert(0, _object(step=_only("call"), tool=_only(tool.name), arguments=arguments))
    schema = _object(next={"anyOf": steps})
    return json.dumps(schema | ({"$defs": definitions} if definitions else {}), separators=(",", ":"))


def _only(text: str) -> dict[str, Any]:
    return {"type": "string", "enum": [text]}


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _moved(schema: Any, tool: str) -> Any:
    """The schema with its references to definitions that stand at the root under the tool's name."""
    if isinstance(schema, list):
        return [_moved(each, tool) for each in schema]
    if not isinstance(schema, dict):
        return schema
    moved = {name: _moved(each, tool) for name, each in schema.items()}
    if isinstance(place := schema.get("$ref"), str):
        moved["$ref"] = place.replace("#/$defs/", f"#/$defs/{tool}.", 1)
    return moved


def _objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects of a text that is nothing else but them and their dress; none of any other."""
    found: list[Any] = []
    place = _after_dress(text, 0)
    while place < len(text):
        doubled = text.startswith("{{", place)  # Qwen 2.5 Coder is shown its calls so, and writes them so
        try:
            value, place = _DECODER.raw_decode(text, place + doubled)
        except (ValueError, RecursionError):
            return []
        if doubled and not text.startswith("}", place):
            return []
        found += value if isinstance(value, list) else [value]
        place = _after_dress(text, place + doubled)
    return found if all(isinstance(value, dict) for value in found) else []


def _after_dress(text: str, place: int) -> int:
    dress = _DRESS.match(text, place)
    return place if dress is None else dress.end()


def _final(steps: Sequence[dict[str, Any]], text: str) -> str | None:
    """The final text that the model gave as JSON; as much of it as there is where it was cut off."""
    step = _next(steps[0]) if len(steps) == 1 else {}
    if step.get("step") == "final" and isinstance(final := step.get("text"), str):
        return final
    cut = None if steps else _CUT_FINAL.fullmatch(text)
    if cut is None:
        return None
    for left_out in range(_LONGEST_ESCAPE):
        try:
            whole = str(json.loads(f'"{cut[1][: len(cut[1]) - left_out]}"', strict=False))
        except ValueError:
            continue
        return whole.encode("utf-8", "ignore").decode()  # half a pair of surrogates is no character
    return None


def _next(step: dict[str, Any]) -> dict[str, Any]:
    inner = step.get("next")
    return inner if isinstance(inner, dict) else step


def _call(step: dict[str, Any]) -> ToolCall | None:
    """The call that an object is, under the names that models give its parts."""
    step = step["function"] if isinstance(step.get("function"), dict) else step
    name = step.get("tool", step.get("name"))
    arguments = step.get("arguments", step.get("parameters", {}))
    if not isinstance(name, str):
        return None
    written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return ToolCall("", name, written)
