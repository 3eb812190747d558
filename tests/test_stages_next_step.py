"""The agent's loop as a pure function: it always ends, keeps to its limits and loses no call."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_agents import completions, limits, tool_calls, uses_of

from fanin.agent_run import ToolLimits, ToolUse
from fanin.errors import InputError
from fanin.stages.next_step import (
    LAST_TURN,
    CallTools,
    Done,
    Spent,
    Step,
    answered,
    cut_to_bytes,
    next_step,
    opening,
    refusals,
)
from fanin.values import Completion, Message, ToolCall

OPENING = opening("You are one.", "What now?")


def loop(said: list[Completion], within: ToolLimits) -> tuple[list[Step], list[ToolUse]]:
    """The steps of a run whose model says that, and then a text."""
    steps: list[Step] = []
    uses: list[ToolUse] = []
    messages = OPENING
    for completion in [*said, Completion("The end.")]:
        step = next_step(messages, completion, within)
        steps.append(step)
        if not isinstance(step, CallTools):
            return steps, uses
        came = (*uses_of(step.calls), *refusals(step.refused, within))
        uses += came
        messages = answered(step.messages, came, within)
    raise AssertionError("a text ends the loop")


def call(name: str = "get_price", arguments: str = "{}", own: str = "a") -> ToolCall:
    return ToolCall(own, name, arguments)


# laws


@given(st.lists(completions(), max_size=8), limits())
def test_the_loop_ends_within_its_turns(said: list[Completion], within: ToolLimits) -> None:
    steps, _ = loop(said, within)
    assert len(steps) <= within.turns
    assert all(isinstance(step, CallTools) for step in steps[:-1])
    assert isinstance(steps[-1], Done) or len(steps) == within.turns


@given(st.lists(completions(), max_size=8), limits())
def test_every_call_has_one_outcome_and_no_more_are_made_than_allowed(
    said: list[Completion], within: ToolLimits
) -> None:
    steps, uses = loop(said, within)
    asked = [
        each
        for completion, step in zip(said, steps, strict=False)
        if isinstance(step, CallTools)
        for each in completion.tool_calls
    ]
    assert [(use.name, use.arguments) for use in uses] == [(each.name, each.arguments) for each in asked]
    assert sum(use.error is None for use in uses) == min(len(asked), within.calls)
    assert sum(isinstance(step, CallTools) and len(step.calls) for step in steps) <= within.calls


@given(st.lists(completions(), max_size=8), limits())
def test_the_chat_only_grows_and_any_provider_takes_it_back(
    said: list[Completion], within: ToolLimits
) -> None:
    steps, _ = loop(said, within)
    before = OPENING
    for step in steps:
        assert step.messages[: len(before)] == before
        before = step.messages
    calls = [each for message in before for each in message.tool_calls]
    assert len({each.id for each in calls}) == len(calls)
    assert all(each.id and re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", each.name) for each in calls)
    assert all(isinstance(json.loads(each.arguments), dict) for each in calls)
    told = [message.tool_call_id for message in before if message.role == "tool"]
    last = [each.id for each in before[-1].tool_calls]  # of a run that was cut off they have no result
    assert told + last == [each.id for each in calls]


@given(st.text(max_size=300), st.integers(100, 200))
def test_a_cut_text_keeps_its_ends_and_says_what_is_missing(text: str, most: int) -> None:
    whole = text.encode("utf-8", "replace")
    shown = cut_to_bytes(text, most)
    if len(whole) <= most:
        assert shown.encode() == whole
        return
    found = re.fullmatch(r"(.*)\n\[\.\.\. (\d+) bytes left out \.\.\.\]\n(.*)", shown, re.DOTALL)
    assert found is not None
    head, tail = found[1].encode(), found[3].encode()
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert len(head) + len(tail) + int(found[2]) == len(whole)
    assert most - 6 <= len(head) + len(tail) <= most


# examples


def test_a_text_is_the_end() -> None:
    step = next_step(OPENING, Completion("All is well."), ToolLimits())
    assert step == Done((*OPENING, Message("assistant", "All is well.")), "All is well.")


def test_an_empty_answer_is_the_end_too() -> None:
    assert next_step(OPENING, Completion(""), ToolLimits()) == Done((*OPENING, Message("assistant", "")), "")


def test_calls_are_carried_out_and_answered_in_their_order() -> None:
    calls = (call(own="x", arguments='{"n": 1}'), call("news", own="y"))
    step = next_step(OPENING, Completion("Hm.", tool_calls=calls), ToolLimits())
    assert step == CallTools((*OPENING, Message("assistant", "Hm.", calls)), calls)
    uses = (ToolUse("get_price", "{}", result="12"), ToolUse("news", "{}", error="It broke."))
    assert answered(step.messages, uses, ToolLimits()) == (
        *step.messages,
        Message("tool", "12", tool_call_id="x"),
        Message("tool", "Error: It broke.", tool_call_id="y"),
    )


def test_the_model_is_told_of_its_last_turn() -> None:
    within = ToolLimits(turns=2)
    step = next_step(OPENING, Completion("", tool_calls=(call(),)), within)
    assert isinstance(step, CallTools)
    messages = answered(step.messages, uses_of(step.calls), within)
    assert messages[-1] == Message("user", LAST_TURN)
    again = next_step(messages, Completion("", tool_calls=(call(own="b"),)), within)
    assert isinstance(again, Spent)


def test_a_single_turn_has_no_tools() -> None:
    step = next_step(OPENING, Completion("", tool_calls=(call(),)), ToolLimits(turns=1))
    assert isinstance(step, Spent)


def test_calls_beyond_the_limit_are_refused_and_the_model_is_told() -> None:
    within = ToolLimits(calls=1)
    step = next_step(OPENING, Completion("", tool_calls=(call(), call("news", own="b"))), within)
    assert isinstance(step, CallTools)
    assert (step.calls, [each.name for each in step.refused]) == ((call(),), ["news"])
    [use] = refusals(step.refused, within)
    assert use == ToolUse("news", "{}", error="The limit of 1 tool calls is reached: end with what you have.")


@given(tool_calls())
def test_what_the_model_wrote_is_carried_out_as_it_stands(made: ToolCall) -> None:
    step = next_step(OPENING, Completion("", tool_calls=(made,)), ToolLimits())
    assert isinstance(step, CallTools)
    assert step.calls == (made,)


# bad input


@pytest.mark.parametrize(
    "field",
    [
        {"turns": 0},
        {"turns": True},
        {"calls": -1},
        {"calls": 1.5},
        {"timeout_s": 0},
        {"timeout_s": float("nan")},
        {"timeout_s": "1"},
        {"max_bytes": 0},
    ],
)
def test_limits_that_cannot_be(field: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(field))):
        ToolLimits(**field)  # type: ignore[arg-type]


def test_a_tool_use_is_a_result_or_an_error() -> None:
    for both in ((None, None), ("x", "y")):
        with pytest.raises(InputError):
            ToolUse("f", "{}", *both)
