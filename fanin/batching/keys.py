"""What a finished call is known by in the journal, and how its answer is written there.

The key is made of all that was asked, of the backend and of how many equal ones came before, and of no
place in the input: a file that was edited, sorted or made longer finds its answers again, and another model,
prompt or parameter is another key.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from operator import attrgetter
from typing import Any

import attrs

from fanin.agent_run import ToolUse
from fanin.batching.items import Item
from fanin.errors import InputError
from fanin.values import Completion, Request, Sample, ToolCall, Usage

KEY_BYTES = 16

_OTHERWISE = frozenset(
    {"attempt", "without", "messages", "index", "model", "temperature", "seed", "max_tokens"}
)
"""Fields that are no part of a key, or that are always written out in it."""
_RARE = tuple((field.name, field.default) for field in attrs.fields(Request) if field.name not in _OTHERWISE)
_rare = attrgetter(*(name for name, _ in _RARE))
_USUAL = tuple(default for _, default in _RARE)
_encode = json.JSONEncoder(separators=(",", ":")).encode


def place_of(item: Item, backend: str, occurrence: int) -> str:
    """What all calls for one item have in common: `backend`, as that is named and found, and the item.

    `occurrence`: how many items that are asked the same stand before it in the input.
    """
    text = f"{len(item.question)}:{item.question}"
    if item.context is not None:
        text += f"\x1f{item.context}"
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).hexdigest()
    return f"{backend}\x1f{digest}\x1f{occurrence}"


def call_key(request: Request, place: str, repeat: int) -> bytes:
    """The key of one call: 16 bytes, the same in every process.

    `place`: for what it is made (`place_of`); `repeat`: how many equal calls were made for that before. A
    rare parameter at its default says nothing, so that one that a later version adds leaves the keys as
    they are.
    """
    parts = [
        f"{place}\x1f{repeat}\x1f{request.index}\x1f{request.model}\x1f{request.temperature}"
        f"\x1f{request.seed}\x1f{request.max_tokens}\x1f"
    ]
    if (given := _rare(request)) != _USUAL:
        parts += [
            f"{name}={value!r}\x1f"
            for (name, default), value in zip(_RARE, given, strict=True)
            if value != default
        ]
    for message in request.messages:
        # With their lengths, so that no text can stand for two.
        parts.append(f"{message.role}{len(message.content)}:{message.content}")
        if message.tool_calls or message.tool_call_id is not None:
            parts.append(repr(attrs.astuple(message)))
    text = "".join(parts)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()


def tool_key(call: ToolCall, place: str, index: int, repeat: int) -> bytes:
    """The key of what a tool gave to the agent of that index; as `call_key`."""
    text = f"tool\x1f{place}\x1f{repeat}\x1f{index}\x1f{len(call.name)}:{call.name}{call.arguments}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()


def written_use(use: ToolUse) -> str:
    """What a tool gave, as JSON text in ASCII."""
    return _encode(attrs.asdict(use))


def read_back_use(text: str) -> ToolUse:
    """What `written_use` wrote. Raises ValueError where it is none."""
    try:
        return ToolUse(**json.loads(text))
    except (InputError, TypeError) as error:
        raise ValueError("no result of a tool as the journal writes it") from error


def written(sample: Sample) -> str:
    """The answer as JSON text in ASCII; the rate-limit headers, which were for that moment, are left out."""
    said = sample.completion
    rare: dict[str, Any] = {}
    if said.finish != "stop":
        rare["finish"] = said.finish
    if said.tool_calls:
        rare["tool_calls"] = [attrs.astuple(call) for call in said.tool_calls]
    if said.logprob is not None:
        rare["logprob"] = said.logprob
    if sample.attempts != 1:
        rare["attempts"] = sample.attempts
    if sample.without:
        rare["without"] = sample.without
    # To encode a text alone costs a fraction of an object around it, for which an encoder is made.
    model = "" if said.model is None else f'"model":{_encode(said.model)},'
    usage = f"{_number(said.usage.input_tokens)},{_number(said.usage.output_tokens)}"
    more = f",{_encode(rare)[1:-1]}" if rare else ""
    return f'{{"text":{_encode(said.text)},{model}"usage":[{usage}]{more}}}'


def _number(count: int | None) -> str:
    return "null" if count is None else str(count)


def read_back(text: str, index: int) -> Sample:
    """The answer that `written` wrote, as that of run `index`. Raises ValueError where it is none."""
    try:
        stored = json.loads(text)
        return Sample(
            index,
            Completion(
                stored["text"],
                stored.get("finish", "stop"),
                Usage(*stored["usage"]),
                stored.get("model"),
                tool_calls=tuple(ToolCall(*call) for call in stored.get("tool_calls", ())),
                logprob=stored.get("logprob"),
            ),
            stored.get("attempts", 1),
            tuple(stored.get("without", ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("no answer as the journal writes it") from error
