"""What models may say to an agent, for the laws: any calls in any shape, and what tools make of them."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from fanin.agent_run import ToolLimits, ToolUse
from fanin.values import Completion, ToolCall, ToolSpec

NAMES = ("get_price", "news", "a.b c", "", "\u00e4\u4e2d", "x" * 100)


def json_values() -> st.SearchStrategy[object]:
    """Anything that JSON can hold, small."""
    leaves = st.none() | st.booleans() | st.integers(-999, 999) | st.text(max_size=5)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    )


def json_objects() -> st.SearchStrategy[dict[str, object]]:
    """JSON objects, small."""
    return st.dictionaries(st.text(max_size=5), json_values(), max_size=3)


def tool_calls() -> st.SearchStrategy[ToolCall]:
    """Calls as models write them: known names and others, whole arguments and broken ones, ids twice."""
    arguments = st.one_of(
        json_objects().map(json.dumps),
        st.sampled_from(["", "{", "[]", "null", '"x"', '{"a": 1,}', "{}{}", "\ud800"]),
        st.text(max_size=8),
    )
    ids = st.sampled_from(["", "call_1", "call_2", "a", "b"])
    return st.builds(ToolCall, ids, st.sampled_from(NAMES), arguments)


def completions() -> st.SearchStrategy[Completion]:
    """What a model answers: a text, calls, both or neither."""
    calls = st.lists(tool_calls(), max_size=4).map(tuple)
    return st.builds(Completion, st.sampled_from(["", "Let me see.", "Done."]), tool_calls=calls)


def limits() -> st.SearchStrategy[ToolLimits]:
    """Small limits."""
    return st.builds(ToolLimits, turns=st.integers(1, 5), calls=st.integers(0, 6))


def uses_of(calls: tuple[ToolCall, ...]) -> tuple[ToolUse, ...]:
    """Something that came of each call."""
    return tuple(ToolUse(call.name, call.arguments, result=f"result {n}") for n, call in enumerate(calls))


SPECS = (
    ToolSpec(
        "get_price", "The price of a symbol.", '{"type":"object","properties":{"symbol":{"type":"string"}}}'
    ),
    ToolSpec("news", "", '{"type":"object","properties":{}}'),
)
"""Two tools."""
