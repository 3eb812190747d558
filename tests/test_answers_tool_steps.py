"""Tool calls in words: told in the prompt, asked for as JSON, read into what a provider would have given."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_agents import SPECS, json_objects

from fanin.answers.tool_steps import as_sent, heard, in_words
from fanin.values import Completion, Message, Request, ToolCall, ToolSpec

CALL = ToolCall("call_1", "get_price", '{"symbol": "A"}')
CHAT = (
    Message("system", "You are one."),
    Message("user", "What now?"),
    Message("assistant", "", (CALL,)),
    Message("tool", "12.5", tool_call_id="call_1"),
)
NATIVE = Request(0, "m", CHAT, tools=SPECS)
SPOKEN = attrs.evolve(NATIVE, tools_in_prompt=True)


def said(text: str, request: Request = SPOKEN, **rest: Any) -> Completion:
    return heard(Completion(text, **rest), request)


def calls(completion: Completion) -> list[tuple[str, Any]]:
    return [(call.name, json.loads(call.arguments)) for call in completion.tool_calls]


# laws


@given(st.sampled_from(["get_price", "news", "no such tool"]), json_objects(), st.booleans())
def test_a_call_in_words_is_heard_as_it_was_meant(
    name: str, arguments: dict[str, Any], structured: bool
) -> None:
    """What the model is shown as its own earlier call reads as that call."""
    chat = (Message("user", "?"), Message("assistant", "", (ToolCall("x", name, json.dumps(arguments)),)))
    shown = in_words(attrs.evolve(SPOKEN, messages=chat), structured=structured).messages[-1]
    assert calls(said(shown.content)) == [(name, arguments)]


@given(st.text())
def test_any_final_text_is_heard_whole(text: str) -> None:
    completion = said(json.dumps({"next": {"step": "final", "text": text}}))
    assert (completion.text, completion.tool_calls) == (text, ())


@given(
    st.text()
    | st.lists(st.sampled_from('{}[]",:`\n') | st.sampled_from(["next", "tool", "step", "final"])).map(
        "".join
    )
)
def test_whatever_a_model_says_something_is_heard(text: str) -> None:
    native = said(text, NATIVE)
    assert native.tool_calls or native.text == text
    assert len(said(text).text) <= len(text)


@given(st.text(max_size=20), st.integers(0, 80))
def test_a_final_text_that_was_cut_off_is_heard_as_far_as_it_goes(text: str, length: int) -> None:
    whole = json.dumps({"next": {"step": "final", "text": text}})
    cut = whole[: max(len('{"next": {"step": "final", "text": "'), length)]
    assert text.startswith(said(cut, finish="length").text)


# what is sent


def test_a_request_without_tools_is_sent_as_it_is() -> None:
    plain = attrs.evolve(SPOKEN, tools=())
    assert as_sent(plain) == plain
    assert as_sent(NATIVE) == NATIVE


@pytest.mark.parametrize(
    "request_", [SPOKEN, attrs.evolve(NATIVE, without=("tools",))], ids=["asked", "learnt"]
)
def test_in_words_the_chat_has_no_tools(request_: Request) -> None:
    sent = as_sent(request_)
    assert sent.tools == ()
    system, question, call, result = sent.messages
    assert system.role == "system"
    assert system.content.startswith("You are one.\n\nYou can use these tools")
    assert "- get_price: The price of a symbol.\n" in system.content
    assert question == Message("user", "What now?")
    assert call == Message(
        "assistant", '{"next": {"step": "call", "tool": "get_price", "arguments": {"symbol": "A"}}}'
    )
    assert result == Message("user", "Result of get_price:\n12.5")


def test_a_chat_without_a_system_prompt_gets_one() -> None:
    sent = in_words(attrs.evolve(SPOKEN, messages=CHAT[1:]), structured=True)
    assert [message.role for message in sent.messages] == ["system", "user", "assistant", "user"]
    assert sent.messages[0].content.startswith("You can use")


def test_user_and_assistant_take_turns() -> None:
    more = (*CHAT, Message("tool", "13", tool_call_id="call_1"), Message("user", "Now end."))
    sent = in_words(attrs.evolve(SPOKEN, messages=more), structured=True)
    assert [message.role for message in sent.messages] == ["system", "user", "assistant", "user"]
    assert sent.messages[-1].content == "Result of get_price:\n12.5\n\nResult of get_price:\n13\n\nNow end."


def test_the_schema_is_a_call_of_one_of_the_tools_or_the_end() -> None:
    schema = json.loads(in_words(SPOKEN, structured=True).schema or "")
    price, news, final = schema["properties"]["next"]["anyOf"]
    assert (schema["type"], schema["required"], schema["additionalProperties"]) == ("object", ["next"], False)
    assert price["properties"]["tool"] == {"type": "string", "enum": ["get_price"]}
    assert price["properties"]["arguments"] == json.loads(SPECS[0].parameters)
    assert news["properties"]["tool"]["enum"] == ["news"]
    assert final["properties"] == {
        "step": {"type": "string", "enum": ["final"]},
        "text": {"type": "string"},
    }
    assert price["properties"]["step"] == {"type": "string", "enum": ["call"]}
    assert list(price["properties"]) == ["step", "tool", "arguments"]


def test_definitions_of_two_tools_do_not_meet() -> None:
    def spec(name: str, type_: str) -> ToolSpec:
        place = {"type": "array", "items": {"$ref": "#/$defs/Place"}}
        schema = {"type": "object", "properties": {"to": place}, "$defs": {"Place": {"type": type_}}}
        return ToolSpec(name, "", json.dumps(schema))

    tools = (spec("go", "string"), spec("send", "integer"))
    schema = json.loads(in_words(attrs.evolve(SPOKEN, tools=tools), structured=True).schema or "")
    assert schema["$defs"] == {"go.Place": {"type": "string"}, "send.Place": {"type": "integer"}}
    go = schema["properties"]["next"]["anyOf"][0]["properties"]["arguments"]
    assert go["properties"]["to"]["items"] == {"$ref": "#/$defs/go.Place"}


@pytest.mark.parametrize(
    ("request_", "structured"),
    [(SPOKEN, False), (attrs.evolve(SPOKEN, without=("schema", "tools")), True)],
    ids=["backend", "model"],
)
def test_where_no_schema_is_taken_a_fenced_block_is_asked_for(request_: Request, structured: bool) -> None:
    sent = as_sent(request_, structured=structured)
    assert sent.schema is None
    assert "```json" in sent.messages[0].content
    assert sent.messages[2].content == '```json\n{"tool": "get_price", "arguments": {"symbol": "A"}}\n```'


# what is heard


ARGUMENTS = {"symbol": "NVDA"}
STEP = '{"tool": "get_price", "arguments": {"symbol": "NVDA"}}'
HERMES = '{"name": "get_price", "arguments": {"symbol": "NVDA"}}'


@pytest.mark.parametrize(
    "text",
    [
        f'{{"next": {STEP}}}',
        STEP,
        f"```json\n{STEP}\n```",
        f"I will look it up.\n\n```json\n{STEP}\n```",
        f"<think>Which one?</think>\n{STEP}",
        '{"tool": "get_price", "arguments": "{\\"symbol\\": \\"NVDA\\"}"}',
    ],
)
def test_forms_of_a_step(text: str) -> None:
    completion = said(text)
    assert calls(completion) == [("get_price", ARGUMENTS)]
    assert (completion.text, completion.finish) == ("", "tool_calls")


@pytest.mark.parametrize(
    "text",
    [
        HERMES,
        f"<tool_call>\n{HERMES}\n</tool_call>",
        f"<tools>{HERMES}</tools>",
        f"[TOOL_CALLS] [{HERMES}]",
        f"```json\n{HERMES}\n```",
        HERMES.replace("arguments", "parameters"),
        f"{{{HERMES}}}",
        f"<tool_call>\n{{{HERMES}}}\n</tool_call>",
        f'{{"type": "function", "function": {HERMES}}}',
    ],
)
def test_a_call_that_a_model_writes_as_text_by_itself_is_one(text: str) -> None:
    assert calls(said(text, NATIVE)) == [("get_price", ARGUMENTS)]


def test_several_calls_in_one_text() -> None:
    news = '{"name": "news", "arguments": {}}'
    text = f"<tool_call>{HERMES}</tool_call>\n<tool_call>{news}</tool_call>"
    assert calls(said(text, NATIVE)) == [("get_price", ARGUMENTS), ("news", {})]


@pytest.mark.parametrize(
    "text",
    [
        "The price is 12.",
        f"As in: {HERMES}",
        '{"name": "Ann", "arguments": ["for", "against"]}',
        '{"price": 12}',
        "[1, 2]",
        '{"name": ["get_price"]}',
        HERMES[:-1],
        f"{{{HERMES}",
        f"{{{HERMES}]",
        f'{HERMES} {{"price": 12}}',
        "",
    ],
)
def test_a_text_that_is_no_call_stays_one(text: str) -> None:
    completion = Completion(text)
    assert heard(completion, NATIVE) is completion


def test_an_unknown_tool_is_heard_where_steps_are_asked_for() -> None:
    assert calls(said('{"next": {"tool": "get_weather", "arguments": {}}}')) == [("get_weather", {})]


def test_plain_words_are_a_final_text() -> None:
    assert said("The price is 12.").text == "The price is 12."


def test_a_final_text_may_hold_what_looks_like_a_call() -> None:
    final = f"As in:\n```json\n{STEP}\n```"
    assert said(json.dumps({"next": {"step": "final", "text": final}})).text == final


def test_a_cut_final_text() -> None:
    assert said('{"next": {"step": "final", "text": "A \\"cut\\" te', finish="length").text == 'A "cut" te'
    assert said('{"next": {"step": "final", "text": "An escape \\u00e', finish="length").text == "An escape "


def test_native_calls_and_refusals_stand_as_they_are() -> None:
    native = Completion(f'{{"next": {STEP}}}', tool_calls=(CALL,))
    assert heard(native, SPOKEN) is native
    refused = Completion(STEP, "refusal")
    assert heard(refused, SPOKEN) is refused


def test_without_tools_nothing_is_looked_for() -> None:
    completion = Completion(HERMES)
    assert heard(completion, attrs.evolve(NATIVE, tools=())) is completion
