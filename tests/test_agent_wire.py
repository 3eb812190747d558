"""Tools over the wires of the providers, both ways, and models that turn out to have no tool calls."""

from __future__ import annotations

import json
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import pytest
from standin import Given, StandIn, error, given
from standin import chat as chat_answer
from standin import ollama as ollama_answer

from fanin.agent import Agent, carry_out
from fanin.agent_run import AgentRun
from fanin.backend import Backend
from fanin.conductor import Conductor
from fanin.connecting import open_backend
from fanin.errors import CallError
from fanin.limiters import Limiters
from fanin.taping import tape
from fanin.terms import Terms
from fanin.values import Completion, Message, Request, Run, ToolCall, ToolSpec
from fanin_backends.chat import request_body
from fanin_backends.ollama import request_body as ollama_body
from fanin_backends.ollama_window import window
from fanin_backends.refusals import Asked, refusal
from fanin_backends.wire import Reply, tool_calls

pytestmark = pytest.mark.anyio

PARAMETERS = {"type": "object", "properties": {"symbol": {"type": "string"}}}
SPEC = ToolSpec("get_price", "The price.", json.dumps(PARAMETERS))
CHAT = (
    Message("system", "You are one."),
    Message("user", "What now?"),
    Message("assistant", "", (ToolCall("call_1", "get_price", '{"symbol": "A"}'),)),
    Message("tool", "12.5", tool_call_id="call_1"),
)
REQUEST = Request(0, "m", CHAT, tools=(SPEC,))
SHOWN = {"model_info": {"general.architecture": "q", "q.context_length": 32768}}


def get_price(symbol: str) -> float:
    """The price."""
    return 12.5


AGENT = Agent("Technical", "You are one.", tools=(get_price,), model="m")


def called(name: str, *calls: tuple[str, object]) -> Given:
    """The answer of that backend's server with these calls of tools."""
    if name == "ollama":
        asked = [{"function": {"name": tool, "arguments": arguments}} for tool, arguments in calls]
        answer = json.loads(ollama_answer("").body)
        answer["message"]["tool_calls"] = asked
        return given(answer)
    answer = json.loads(chat_answer(None, "tool_calls").body)
    answer["choices"][0]["message"]["tool_calls"] = [
        {"id": f"x{n}", "type": "function", "function": {"name": tool, "arguments": json.dumps(arguments)}}
        for n, (tool, arguments) in enumerate(calls)
    ]
    return given(answer)


def said(name: str, text: str) -> Given:
    return ollama_answer(text) if name == "ollama" else chat_answer(text)


def serving(*script: Given) -> StandIn:
    return StandIn(script, {"/api/show": given(SHOWN)})


def opened(name: str, server: StandIn) -> Backend:
    path = {"ollama": "", "groq": "/openai/v1"}.get(name, "/v1")
    return open_backend(name, base_url=server.url + path, key="k", environ={})


async def carried_out(
    backend: Backend, agent: Agent = AGENT, count: int = 1, concurrency: int = 8
) -> list[AgentRun]:
    conductor = Conductor(backend, Terms(concurrency=concurrency), limiters=Limiters())
    ended: dict[int, AgentRun] = {}

    async def job(run: Run) -> None:
        ended[run.index] = await carry_out(agent, f"Look {run.index} up.", conductor, index=run.index)

    await conductor.conduct([Run(index, "m", None, 0, None) for index in range(count)], job)
    return [ended[index] for index in range(count)]


def bodies(server: StandIn) -> list[dict[str, Any]]:
    return [seen.json for seen in server.seen if seen.path != "/api/show"]


heavy = pytest.param(
    "litellm",
    marks=[
        pytest.mark.slow,
        pytest.mark.skipif(find_spec("litellm") is None, reason="litellm is not installed"),
    ],
)
each = pytest.mark.parametrize("name", ["openai", "groq", "ollama", heavy])


@each
async def test_an_agent_s_whole_run(name: str, anyio_backend: Any) -> None:
    if name == "litellm" and anyio_backend == "trio":
        pytest.skip("litellm runs on asyncio alone")
    agent = attrs.evolve(AGENT, model="openai/m") if name == "litellm" else AGENT
    answers = [
        called(name, ("get_price", {"symbol": "A"}), ("get_price", {"symbol": "B"})),
        said(name, "Fine."),
    ]
    with serving(*answers) as server:
        async with aclosing(opened(name, server)) as backend:
            [run] = await carried_out(backend, agent)
    assert (run.status, run.text, [use.result for use in run.tool_calls]) == ("ok", "Fine.", ["12.5", "12.5"])
    first, second = bodies(server)
    [tool] = first["tools"]
    assert (tool["type"], tool["function"]["name"], tool["function"]["description"]) == (
        "function",
        "get_price",
        "The price.",
    )
    assert tool["function"]["parameters"]["required"] == ["symbol"]
    assert second["tools"] == first["tools"]
    assert [message["role"] for message in second["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "tool",
    ]
    asked = second["messages"][2]["tool_calls"]
    arguments = [call["function"]["arguments"] for call in asked]
    if name == "ollama":
        assert arguments == [{"symbol": "A"}, {"symbol": "B"}]
        assert [message["tool_name"] for message in second["messages"][3:]] == ["get_price"] * 2
    else:
        assert [json.loads(text) for text in arguments] == [{"symbol": "A"}, {"symbol": "B"}]
        assert [message["tool_call_id"] for message in second["messages"][3:]] == ["x0", "x1"]
        assert second["messages"][2].get("content") is None


# what is sent


def test_a_request_without_tools_is_sent_as_ever() -> None:
    plain = Request(0, "m", (Message("user", "?"),))
    assert request_body(plain) == b'{"model":"m","messages":[{"role":"user","content":"?"}]}'
    assert "tools" not in json.loads(ollama_body(plain))


def test_tools_on_the_openai_wire() -> None:
    body = json.loads(request_body(REQUEST))
    assert body["tools"] == [
        {
            "type": "function",
            "function": {"name": "get_price", "description": "The price.", "parameters": PARAMETERS},
        }
    ]
    call = {"name": "get_price", "arguments": '{"symbol": "A"}'}
    assert body["messages"][2:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": call}],
        },
        {"role": "tool", "content": "12.5", "tool_call_id": "call_1"},
    ]


def test_tools_on_ollama_s_wire() -> None:
    body = json.loads(ollama_body(REQUEST))
    assert body["tools"][0]["function"]["parameters"] == PARAMETERS
    call = {"name": "get_price", "arguments": {"symbol": "A"}}
    assert body["messages"][2:] == [
        {"role": "assistant", "content": "", "tool_calls": [{"id": "call_1", "function": call}]},
        {"role": "tool", "content": "12.5", "tool_name": "get_price", "tool_call_id": "call_1"},
    ]


def test_ollama_s_window_has_room_for_the_tools() -> None:
    long = attrs.evolve(SPEC, description="word " * 5_000)
    assert window(attrs.evolve(REQUEST, tools=(long,))) > window(REQUEST) + 8_000


# what comes back


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (None, ()),
        ("get_price", ()),
        ([None, 3], ()),
        ([{}], (ToolCall("", "", "{}"),)),
        ([{"id": 3, "function": "f"}], (ToolCall("", "", "{}"),)),
        ([{"id": "a", "function": {"name": "f"}}], (ToolCall("a", "f", "{}"),)),
        ([{"id": "a", "function": {"name": "f", "arguments": "{bro"}}], (ToolCall("a", "f", "{bro"),)),
        ([{"function": {"name": "f", "arguments": {"é": [1]}}}], (ToolCall("", "f", '{"é": [1]}'),)),
        ([{"function": {"name": ["f"], "arguments": 7}}], (ToolCall("", "", "7"),)),
    ],
)
def test_calls_are_read_without_trust(asked: object, found: tuple[ToolCall, ...]) -> None:
    assert tool_calls(asked) == found


@pytest.mark.parametrize("name", ["openai", "ollama"])
async def test_no_key_leaves_by_a_tool_call(name: str) -> None:
    key = "sk-0123456789abcdef"
    with serving(called(name, ("get_price", {"symbol": key}))) as server:
        path = "/v1" if name == "openai" else ""
        async with aclosing(open_backend(name, base_url=server.url + path, key=key, environ={})) as backend:
            answer = await backend.complete(REQUEST)
    assert answer.tool_calls[0].name == "get_price"
    assert key not in answer.tool_calls[0].arguments


# models without tool calls

REFUSALS = {
    "ollama": (400, {"error": "registry.ollama.ai/library/gemma:2b does not support tools"}),
    "groq": (400, {"error": {"message": "`tool calling` is not supported with this model"}}),
    "vllm": (
        400,
        {
            "error": {
                "message": '"auto" tool choice requires --enable-auto-tool-choice to be set',
                "code": 400,
            }
        },
    ),
    "llama.cpp": (500, {"error": {"message": "tools param requires --jinja flag", "code": 500}}),
    "openrouter": (404, {"error": {"message": "No endpoints found that support tool use.", "code": 404}}),
    "openai": (400, {"error": {"message": "Unsupported parameter: 'tools'", "param": "tools"}}),
}


@pytest.mark.parametrize("who", REFUSALS)
def test_a_model_without_tool_calls_says_so_in_its_own_way(who: str) -> None:
    status, body = REFUSALS[who]
    reply = Reply(status, (), json.dumps(body).encode())
    with_tools = refusal(reply, Asked("openai", "u", "K", "m", {"tools": "tools"}), 0)
    assert (with_tools.kind, with_tools.refused, with_tools.final) == ("bad_request", "tools", True)
    assert refusal(reply, Asked("openai", "u", "K", "m", {}), 0).refused is None


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "messages with role 'tool' must follow a message with tool_calls"),
        (400, "Invalid schema for function 'get_price'"),
        (404, "The model `m` does not exist"),
        (500, "Internal error"),
    ],
)
def test_other_refusals_say_nothing_of_tools(status: int, message: str) -> None:
    reply = Reply(status, (), json.dumps({"error": {"message": message}}).encode())
    assert refusal(reply, Asked("openai", "u", "K", "m", {"tools": "tools"}), 0).refused is None


def test_a_broken_call_of_a_model_is_asked_for_again() -> None:
    body = {
        "error": {
            "message": "Failed to call a function.",
            "code": "tool_use_failed",
            "failed_generation": "<f",
        }
    }
    reply = Reply(400, (), json.dumps(body).encode())
    found = refusal(reply, Asked("groq", "u", "K", "m", {"tools": "tools"}), 0)
    assert (found.kind, found.final) == ("malformed", False)


def call_step(symbol: str) -> str:
    step = {"step": "call", "tool": "get_price", "arguments": {"symbol": symbol}}
    return json.dumps({"next": step})


def final_step(text: str) -> str:
    return json.dumps({"next": {"step": "final", "text": text}})


@pytest.mark.parametrize("name", ["openai", "ollama"])
async def test_a_model_that_refuses_tools_is_asked_step_by_step(name: str) -> None:
    status, body = REFUSALS[name]
    answers = [
        given(body, status),
        said(name, call_step("A")),
        said(name, final_step("It costs 12.5.")),
    ]
    with serving(*answers) as server:
        async with aclosing(opened(name, server)) as backend:
            [run] = await carried_out(backend)
    assert (run.text, [use.result for use in run.tool_calls], run.turns) == ("It costs 12.5.", ["12.5"], 2)
    sent = bodies(server)
    assert ["tools" in body for body in sent] == [True, False, False], "what was learnt is not asked again"
    for body in sent[1:]:
        schema = body["format"] if name == "ollama" else body["response_format"]["json_schema"]["schema"]
        assert schema["properties"]["next"]["anyOf"][0]["properties"]["tool"]["enum"] == ["get_price"]
    assert sent[2]["messages"][-1] == {"role": "user", "content": "Result of get_price:\n12.5"}


async def test_a_model_that_refuses_the_schema_too_is_asked_in_a_fenced_block() -> None:
    answers = [
        given(REFUSALS["groq"][1], 400),
        error(400, "This model does not support response format `json_schema`.", param="response_format"),
        chat_answer('Let me see.\n```json\n{"tool": "get_price", "arguments": {"symbol": "A"}}\n```'),
        chat_answer("It costs 12.5."),
    ]
    with serving(*answers) as server:
        async with aclosing(opened("openai", server)) as backend:
            [run] = await carried_out(backend)
    assert (run.status, run.text, len(run.tool_calls)) == ("ok", "It costs 12.5.", 1)
    assert ["response_format" in body for body in bodies(server)] == [False, True, False, False]


@pytest.mark.parametrize(
    "message", ["Invalid schema for response_format 'answer'", "json_schema is not known"]
)
def test_the_schema_of_a_step_can_be_left_out(message: str) -> None:
    reply = Reply(400, (), json.dumps({"error": {"message": message}}).encode())
    sent = {"response_format": "schema"}
    assert refusal(reply, Asked("openai", "u", "K", "m", sent), 0).refused == "schema"
    assert refusal(reply, Asked("openai", "u", "K", "m", {}), 0).refused is None


async def test_a_schema_that_a_user_asks_for_cannot_be_left_out() -> None:
    refused = error(
        400, "This model does not support response format `json_schema`.", param="response_format"
    )
    with serving(refused) as server:
        async with aclosing(opened("openai", server)) as backend:
            with pytest.raises(CallError) as caught:
                await backend.complete(Request(0, "m", CHAT[:2], schema="{}"))
    assert (caught.value.refused, caught.value.mend) == (None, "Ask without --structured.")


async def test_a_call_written_as_text_is_carried_out() -> None:
    text = '<tool_call>\n{"name": "get_price", "arguments": {"symbol": "A"}}\n</tool_call>'
    with serving(chat_answer(text), chat_answer("It costs 12.5.")) as server:
        async with aclosing(opened("openai", server)) as backend:
            [run] = await carried_out(backend)
    assert (run.text, [use.result for use in run.tool_calls]) == ("It costs 12.5.", ["12.5"])


async def test_without_native_tools_none_are_sent() -> None:
    agent = attrs.evolve(AGENT, native_tools=False)
    with serving(chat_answer(final_step("Fine."))) as server:
        async with aclosing(opened("openai", server)) as backend:
            [run] = await carried_out(backend, agent)
    assert run.text == "Fine."
    assert "tools" not in bodies(server)[0]


# tapes


@pytest.mark.parametrize("refuses", [False, True])
@pytest.mark.parametrize("concurrency", [1, 3])
async def test_every_turn_of_every_run_replays(refuses: bool, concurrency: int, tmp_path: Path) -> None:
    """Three agents record at once; a replay asks them at any concurrency and gives the same runs."""
    path = tmp_path / "agents.json"
    with _Prices(refuses=refuses) as server:
        with tape(path, "once"):
            async with aclosing(opened("openai", server)) as backend:
                recorded = await carried_out(backend, count=3)
        url = server.url
    with tape(path, "none"):
        backend = open_backend("openai", base_url=f"{url}/v1", environ={}, replaying=True)
        async with aclosing(backend):
            replayed = await carried_out(backend, count=3, concurrency=concurrency)
    assert replayed == recorded
    assert [run.text for run in recorded] == [f"Look {index} up. 12.5 12.5" for index in range(3)]
    assert [len(run.tool_calls) for run in recorded] == [2, 2, 2]


class _Prices(StandIn):
    """Asks for the price twice, in two turns, and then says it, whatever the order of the requests."""

    def __init__(self, *, refuses: bool) -> None:
        super().__init__()
        self._refuses = refuses

    def answer(self, seen: Any) -> Given:
        body = seen.json
        if self._refuses and "tools" in body:
            return given(REFUSALS["openai"][1], 400)
        results = [
            message["content"].split("\n")[-1]
            for message in body["messages"][3:]
            if message["role"] in ("tool", "user")
        ]
        if len(results) < 2:
            symbol = f"S{len(results)}"
            if self._refuses:
                return chat_answer(call_step(symbol))
            return called("openai", ("get_price", {"symbol": symbol}))
        text = " ".join([body["messages"][1]["content"], *results])
        return chat_answer(final_step(text) if self._refuses else text)


def test_completions_and_messages_are_as_before_without_tools() -> None:
    assert Completion("x").tool_calls == ()
    assert (Message("user", "x").tool_calls, Message("user", "x").tool_call_id) == ((), None)
