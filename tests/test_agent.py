"""An agent's whole work: the loop carried out, its tools called, and nothing that a tool does gets out."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import anyio
import pytest
from doubles import Scripted, always
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator
from strategies_agents import completions, limits
from virtual_time import LOOPS, costly, run_virtual, virtual

import fanin
from fanin.agent import Agent, carry_out
from fanin.agent_run import AgentRun, ToolLimits, ToolUse
from fanin.answers import Choice, YesNo
from fanin.conductor import Conductor
from fanin.context import RUN_INDEX
from fanin.errors import CallError, InputError
from fanin.limiters import Limiters
from fanin.stages.next_step import LAST_TURN
from fanin.terms import Terms
from fanin.tools import as_tools
from fanin.values import Completion, Message, Outcome, Request, Run, ToolCall, Usage
from fanin_backends.fake import Fake

pytestmark = pytest.mark.anyio

QUERY = "Analyse NVDA."


@pytest.fixture(params=LOOPS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return virtual(request.param)


def get_price(symbol: str) -> dict[str, Any]:
    """The price of a symbol."""
    return {"symbol": symbol, "price": 12.5}


async def news(topic: str = "all") -> list[str]:
    """What is new."""
    await anyio.sleep(2)
    return [f"Nothing on {topic}."]


def agent(*tools: Callable[..., Any], **rest: Any) -> Agent:
    return Agent("Technical", "You are a technical analyst.", tools=tools, **rest)


async def carried_out(
    agents: Agent | list[Agent], backend: Any, *, terms: Terms | None = None, **options: Any
) -> list[AgentRun]:
    """What the agents come to, one run each, all at once."""
    conductor = Conductor(backend, terms or Terms(), limiters=Limiters())
    team = agents if isinstance(agents, list) else [agents]
    ended: dict[int, AgentRun] = {}

    async def job(run: Run) -> Outcome | None:
        ended[run.index] = await carry_out(team[run.index], QUERY, conductor, index=run.index, **options)
        return None

    await conductor.conduct([Run(index, "fake", None, 0, None) for index in range(len(team))], job)
    return [ended[index] for index in range(len(team))]


async def alone(agent: Agent, script: Any, **options: Any) -> AgentRun:
    backend = Fake(script) if isinstance(script, str) else script
    [run] = await carried_out(agent, backend, **options)
    return run


def uses(run: AgentRun) -> list[tuple[str, str | None, str | None]]:
    return [(use.name, use.result, use.error) for use in run.tool_calls]


# the loop


async def test_a_run_with_tools_message_by_message() -> None:
    backend = Fake('!call:get_price{"symbol":"NVDA"} > It costs 12.5.', keep=True)
    run = await alone(agent(get_price), backend)
    call = ToolCall("call_1_1", "get_price", '{"symbol":"NVDA"}')
    chat = (
        Message("system", "You are a technical analyst."),
        Message("user", QUERY),
        Message("assistant", "", (call,)),
        Message("tool", '{"symbol":"NVDA","price":12.5}', tool_call_id="call_1_1"),
        Message("assistant", "It costs 12.5."),
    )
    assert run.messages == chat
    assert [request.messages for request in backend.requests] == [chat[:2], chat[:4]]
    assert (run.status, run.text, run.finish, run.turns) == ("ok", "It costs 12.5.", "stop", 2)
    assert run.tool_calls == (ToolUse("get_price", '{"symbol":"NVDA"}', '{"symbol":"NVDA","price":12.5}'),)
    assert run.failure is None
    assert (run.index, run.name, run.model) == (0, "Technical", backend._model)


async def test_what_is_asked_is_what_the_agent_says() -> None:
    backend = Fake("well", keep=True)
    await alone(agent(get_price, temperature=0.4, max_tokens=99, model="m"), backend, seed=7)
    [request] = backend.requests
    assert (request.model, request.temperature, request.max_tokens, request.index) == ("m", 0.4, 99, 0)
    assert [tool.name for tool in request.tools] == ["get_price"]
    assert request.schema is None


async def test_every_run_has_a_seed_of_its_own() -> None:
    backend = Fake('!call:get_price{"symbol":"A"} > well', keep=True)
    for seed in (0, 1):
        await carried_out([agent(get_price)] * 3, backend, seed=seed)
    seeds = {request.seed for request in backend.requests}
    assert len(seeds) == 6, "and it keeps it in all its turns"


async def test_a_model_given_beside_is_for_agents_that_name_none() -> None:
    backend = Fake("well", keep=True)
    await carried_out([agent(), agent(model="own")], backend, model="given")
    assert sorted(request.model for request in backend.requests) == ["given", "own"]


async def test_calls_of_one_turn_run_together() -> None:
    began_s = anyio.current_time()
    run = await alone(agent(news), '!call:news{"topic":"a"}!call:news{"topic":"b"}!call:news > done')
    assert anyio.current_time() - began_s == pytest.approx(2)
    assert [use.result for use in run.tool_calls] == [
        f'["Nothing on {topic}."]' for topic in ("a", "b", "all")
    ]


async def test_usage_is_that_of_all_turns() -> None:
    def reply(request: Request) -> Completion:
        calls = (ToolCall("", "get_price", '{"symbol": "A"}'),) if request.attempt == 1 else ()
        return Completion("x", usage=Usage(10, None if request.index else 5), tool_calls=calls)

    runs = await carried_out([agent(get_price), agent(get_price)], Scripted(reply))
    assert [run.usage for run in runs] == [Usage(20, 10), Usage(20, None)]


async def test_every_tool_is_told_of_as_it_is_called() -> None:
    told = []
    conductor = Conductor(Fake("!call:news!call:nothing > done"), watch=told.append)

    async def job(run: Run) -> None:
        await carry_out(agent(news), QUERY, conductor, index=run.index)

    await conductor.conduct([Run(0, "fake", None, 0, None)], job)
    assert [(event.kind, event.detail) for event in told if event.kind == "tool"] == [("tool", "news")]
    assert [event.kind for event in told] == ["asked", "answered", "tool", "asked", "answered"]


# typed answers


async def test_a_typed_answer_is_asked_for_and_read() -> None:
    backend = Fake(["It will rise.\nAnswer: yes"], keep=True)
    run = await alone(agent(answer=YesNo()), backend)
    assert backend.requests[0].messages[1].content.startswith(f"{QUERY}\n\nFirst think")
    assert (run.choice, run.answer, run.spoiled) == ("yes", "yes", None)
    assert run.text == "It will rise.\nAnswer: yes"


async def test_an_answer_that_cannot_be_read_is_spoiled_and_the_text_stays() -> None:
    run = await alone(agent(answer=Choice(["buy", "sell"])), "Who knows")
    assert (run.status, run.choice, run.answer, run.text) == ("ok", None, None, "Who knows")
    assert run.spoiled


async def test_an_answer_may_be_named() -> None:
    assert agent(answer="yes/no").answer == YesNo()


# what tools do


def broken(symbol: str) -> str:
    raise LookupError(f"no {symbol}")


async def broken_async() -> str:
    raise TimeoutError("of its own")


def leaves() -> str:
    raise SystemExit(3)


async def leaves_async() -> str:
    raise SystemExit(3)


def stops() -> str:
    raise StopIteration


def pends() -> Any:
    return news("later")


class Odd:
    def __str__(self) -> str:
        return "odd"


def odd() -> Any:
    return {"a": Odd(), "b": [None, True, 0.5], "c": {1}}


def says_nothing() -> None:
    return None


def has_no_text() -> Any:
    class Bad:
        def __str__(self) -> str:
            raise ValueError("no text")

    return Bad()


async def in_pieces(n: int) -> AsyncIterator[int]:
    for piece in range(n):
        await anyio.sleep(1)
        yield piece


def in_pieces_too(n: int) -> Iterator[int]:
    yield from range(n)


def no_text_as_bytes() -> bytes:
    return b"\xff"


def holds_itself() -> list[Any]:
    found: list[Any] = [1]
    found.append(found)
    return found


class WithoutWords(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def raises_without_words() -> None:
    raise WithoutWords


async def raises_without_words_async() -> None:
    raise WithoutWords


class PriceOf:
    async def __call__(self, symbol: str) -> str:
        return f"{symbol}: 12.5"


def many() -> str:
    return "\U0001f600" * 100


def lone() -> str:
    return "a\ud800b"


@pytest.mark.parametrize(
    ("tool", "call", "result", "error"),
    [
        (get_price, '!call:get_price{"symbol":"A"}', '{"symbol":"A","price":12.5}', None),
        (broken, '!call:broken{"symbol":"A"}', None, "LookupError: no A"),
        (broken_async, "!call:broken_async", None, "TimeoutError: of its own"),
        (leaves, "!call:leaves", None, "RuntimeError: SystemExit: 3"),
        (leaves_async, "!call:leaves_async", None, "SystemExit: 3"),
        (pends, "!call:pends", '["Nothing on later."]', None),
        (odd, "!call:odd", '{"a":"odd","b":[null,true,0.5],"c":[1]}', None),
        (says_nothing, "!call:says_nothing", "null", None),
        (lone, "!call:lone", "a?b", None),
        (in_pieces, '!call:in_pieces{"n":3}', "[0,1,2]", None),
        (in_pieces_too, '!call:in_pieces_too{"n":3}', "[0,1,2]", None),
        (no_text_as_bytes, "!call:no_text_as_bytes", r"b'\xff'", None),
        (holds_itself, "!call:holds_itself", "[1, [...]]", None),
        (raises_without_words, "!call:raises_without_words", None, "WithoutWords"),
        (raises_without_words_async, "!call:raises_without_words_async", None, "WithoutWords"),
        (PriceOf(), '!call:PriceOf{"symbol":"A"}', "A: 12.5", None),
        (functools.partial(PriceOf(), symbol="B"), "!call:PriceOf", "B: 12.5", None),
        (get_price, "!call:get_prise", None, "There is no tool called 'get_prise'. There are: get_price."),
        (
            get_price,
            '!call:get_price{"symbol": }',
            None,
            "The arguments are not JSON: expected value at line 1",
        ),
        (get_price, "!call:get_price", None, "The arguments do not fit: symbol: Missing required"),
    ],
)
async def test_whatever_a_tool_does_goes_back_to_the_model(
    tool: Callable[..., Any], call: str, result: str | None, error: str | None
) -> None:
    run = await alone(agent(tool), f"{call} > So be it.")
    [use] = run.tool_calls
    assert use.result == result
    assert use.error == error or (use.error or "").startswith(error or "?")
    assert run.messages[3].content == (result if use.error is None else f"Error: {use.error}")
    assert (run.status, run.text) == ("ok", "So be it.")


@pytest.mark.parametrize("tool", [stops, has_no_text])
async def test_a_tool_that_breaks_the_rules_of_python(tool: Callable[..., Any]) -> None:
    run = await alone(agent(tool), f"!call:{tool.__name__} > So be it.")
    assert run.status == "ok"
    assert run.tool_calls[0].error is not None


async def test_a_long_result_is_cut_and_says_so() -> None:
    run = await alone(agent(many, limits=ToolLimits(max_bytes=100)), "!call:many > done")
    assert (
        run.tool_calls[0].result == "\U0001f600" * 12 + "\n[... 304 bytes left out ...]\n" + "\U0001f600" * 12
    )


KEY = "gsk_" + "Planted0" * 5
TOKEN = "of this company alone 42"


def leaks(before: int = 0) -> str:
    raise PermissionError(f"{'x' * before}401 for Authorization: {KEY}, X-Own: {TOKEN}{'x' * before}")


async def leaks_async(before: int = 0) -> str:
    return leaks(before)


def check(symbol: str) -> str:
    raise ValueError(f"{symbol} is none that {KEY} may see; {TOKEN}")


def checks(symbol: Annotated[str, AfterValidator(check)]) -> str:
    return symbol


@pytest.mark.parametrize(
    ("tool", "call"),
    [
        (leaks, "!call:leaks"),
        (leaks_async, "!call:leaks_async"),
        (leaks, '!call:leaks{"before":20}'),
        (checks, '!call:checks{"symbol":"A"}'),
    ],
)
async def test_no_key_in_an_error_reaches_the_model_or_the_record(
    tool: Callable[..., Any], call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPANY_TOKEN", TOKEN)
    for most in (ToolLimits(), ToolLimits(max_bytes=100)):
        run = await alone(agent(tool, limits=most), f"{call} > So be it.")
        [use] = run.tool_calls
        assert use.error is not None
        assert "[scrubbed]" in use.error
        for text in (use.error, *(message.content for message in run.messages)):
            assert not [part for part in (KEY[:8], KEY[-8:], TOKEN[:8], TOKEN[-8:]) if part in text]


async def test_one_broken_call_harms_none_beside_it() -> None:
    run = await alone(
        agent(get_price, broken), '!call:broken{"symbol":"A"}!call:get_price{"symbol":"B"}!call:x > done'
    )
    assert [error is None for _, _, error in uses(run)] == [False, True, False]


@pytest.fixture
def hanging() -> Iterator[Callable[..., Any]]:
    """A tool that hangs until the test is over."""
    over = threading.Event()

    def hangs() -> str:
        over.wait(20)
        return "too late"

    yield hangs
    over.set()


async def test_a_hanging_sync_tool_is_given_up_and_named(hanging: Callable[..., Any]) -> None:
    run = await alone(
        agent(hanging, get_price, limits=ToolLimits(timeout_s=0.01)),
        '!call:hangs!call:get_price{"symbol":"A"} > done',
    )
    assert uses(run)[0] == ("hangs", None, "hangs gave no result within 0.01 s.")
    assert uses(run)[1][2] is None
    assert run.text == "done"


@pytest.mark.parametrize("wraps", [False, True])
async def test_a_hanging_async_tool_is_given_up_and_named(wraps: bool) -> None:
    async def waits() -> str:
        await anyio.sleep_forever()
        return "never"

    @functools.wraps(waits)
    def plain() -> Any:
        return waits()

    began_s = anyio.current_time()
    run = await alone(agent(plain if wraps else waits, limits=ToolLimits(timeout_s=5)), "!call:waits > done")
    assert uses(run) == [("waits", None, "waits gave no result within 5 s.")]
    assert anyio.current_time() - began_s == pytest.approx(5)


async def test_a_thread_s_seconds_are_the_machine_s() -> None:
    """One agent's model takes an hour of virtual time, and the sync tool of another loses none of its own."""
    together = threading.Barrier(2)

    def meet(name: str) -> str:
        together.wait(10)
        return name

    slow = Agent("Slow", "Slow.")
    script = 'well@3600, !call:meet{"name":"a"}!call:meet{"name":"b"} > done'
    runs = await carried_out([slow, agent(meet)], Fake(script))
    assert [use.result for use in runs[1].tool_calls] == ["a", "b"]


async def test_a_deadline_cuts_a_tool_too() -> None:
    async def waits() -> str:
        await anyio.sleep_forever()
        return "never"

    conductor = Conductor(Fake("!call:waits > done"), Terms(deadline_s=3))

    async def job(run: Run) -> None:
        await carry_out(agent(waits), QUERY, conductor, index=run.index)

    conducted = await conductor.conduct([Run(0, "fake", None, 0, None)], job)
    assert conducted.by == "deadline"


@pytest.mark.parametrize("loop", LOOPS)
def test_a_tool_that_ends_after_its_loop_harms_nothing(loop: str, hanging: Callable[..., Any]) -> None:
    """Its run was cut short; the thread is left alone, and finds nobody to tell."""
    conductor = Conductor(Fake("!call:hangs > done"), Terms(deadline_s=3))

    async def job(run: Run) -> None:
        await carry_out(agent(hanging), QUERY, conductor, index=run.index)

    async def conduct() -> str:
        return (await conductor.conduct([Run(0, "fake", None, 0, None)], job)).by

    assert run_virtual(loop, conduct) == "deadline"
    [hanging_over] = hanging.__closure__ or ()
    hanging_over.cell_contents.set()
    for thread in threading.enumerate():
        if thread.name.startswith("fanin tool"):
            thread.join()


async def test_tools_know_which_run_they_serve() -> None:
    """A tape files what they send under it."""

    def seen() -> int | None:
        return RUN_INDEX.get()

    async def seen_async() -> int | None:
        return RUN_INDEX.get()

    team = [agent(seen, seen_async)] * 2
    runs = await carried_out(team, Fake("!call:seen!call:seen_async > done"))
    assert [[use.result for use in run.tool_calls] for run in runs] == [["0", "0"], ["1", "1"]]


def test_a_tool_that_cancels_itself_is_an_error() -> None:
    async def cancels() -> str:
        raise asyncio.CancelledError

    run = run_virtual("asyncio", alone, agent(cancels), "!call:cancels > done")
    assert uses(run) == [("cancels", None, "The tool was cancelled.")]


# limits and failures


async def test_turns_that_are_spent_fail_the_run() -> None:
    run = await alone(agent(get_price, limits=ToolLimits(turns=3)), '!call:get_price{"symbol":"A"}')
    assert (run.status, run.text, run.turns) == ("failed", "", 3)
    assert run.failure is not None
    assert (run.failure.kind, run.failure.message) == (
        "turns",
        "It still asked for tools when its 3 turns were spent.",
    )
    assert len(run.tool_calls) == 2
    assert run.messages[-2] == Message("user", LAST_TURN)
    assert run.messages[-1].tool_calls


async def test_calls_beyond_the_limit_are_not_made() -> None:
    made = []

    def act(n: int) -> int:
        made.append(n)
        return n

    run = await alone(
        agent(act, limits=ToolLimits(calls=2)), '!call:act{"n":1} > !call:act{"n":2}!call:act{"n":3} > done'
    )
    assert made == [1, 2]
    assert uses(run)[2] == ("act", None, "The limit of 2 tool calls is reached: end with what you have.")


async def test_a_failing_call_fails_the_run_with_what_it_had_come_to() -> None:
    run = await alone(agent(get_price), '!call:get_price{"symbol":"A"} > !auth')
    assert (run.status, run.turns, len(run.tool_calls), len(run.messages)) == ("failed", 1, 1, 4)
    assert run.failure is not None
    assert (run.failure.kind, run.failure.index) == ("auth", 0)
    assert run.usage.input_tokens


async def test_a_call_that_is_tried_again_is_one_turn() -> None:
    run = await alone(agent(get_price), '!500 > !call:get_price{"symbol":"A"} > !429 > done')
    assert (run.status, run.turns, run.text) == ("ok", 2, "done")


async def test_no_model_to_be_had_is_a_failure() -> None:
    class Unreachable(Scripted):
        async def resolve(self, models: tuple[str, ...]) -> tuple[str, ...]:
            raise CallError("connection", "cannot be reached")

    run = await alone(agent(), Unreachable(always("x")))
    assert run.failure is not None
    assert (run.status, run.failure.kind, run.messages) == ("failed", "connection", ())


async def test_a_deadline_that_leaves_no_time_is_a_failure() -> None:
    terms = Terms(deadline_s=5)
    run = await alone(agent(get_price), "!429:60 > done", terms=terms)
    assert run.failure is not None
    assert (run.status, run.failure.kind) == ("failed", "deadline")


@pytest.mark.parametrize(("script", "finish"), [("!empty", "stop"), ("<think\\>Hm", "stop")])
async def test_a_run_without_a_text_is_empty(script: str, finish: str) -> None:
    run = await alone(agent(), Fake([script]))
    assert (run.status, run.finish, run.failure) == ("empty", finish, None)


async def test_a_text_that_was_cut_off_says_so() -> None:
    run = await alone(agent(), "!cut")
    assert (run.status, run.finish) == ("ok", "length")
    assert run.text.startswith("Let me think")


# models without tool calls


async def test_tools_in_words() -> None:
    call = '{"next":{"step":"call","tool":"get_price","arguments":{"symbol":"A"}}}'
    final = '{"next":{"step":"final","text":"It costs 12.5."}}'
    backend = Fake([f"{call} > {final}"], keep=True)
    run = await alone(agent(get_price, native_tools=False), backend)
    assert (run.status, run.text, len(run.tool_calls)) == ("ok", "It costs 12.5.", 1)
    assert all(request.tools_in_prompt for request in backend.requests)
    assert [message.role for message in run.messages] == ["system", "user", "assistant", "tool", "assistant"]


@pytest.mark.parametrize("structured", [True, False])
async def test_a_backend_that_knows_nothing_of_tools_is_asked_in_words(structured: bool) -> None:
    def reply(request: Request) -> str:
        return (
            '{"tool": "get_price", "arguments": {"symbol": "A"}}'
            if request.attempt == 1
            else "It costs 12.5."
        )

    backend = Scripted(reply)
    backend.capabilities = fanin.Capabilities(structured=structured, http=False)
    run = await alone(agent(get_price), backend)
    assert run.text == "It costs 12.5."
    assert [request.tools for request in backend.sent] == [(), ()]
    assert [request.schema is not None for request in backend.sent] == [structured] * 2
    assert backend.sent[1].messages[-1].content == 'Result of get_price:\n{"symbol":"A","price":12.5}'


async def test_an_agent_without_tools_is_asked_plainly() -> None:
    fake, scripted = Fake("well", keep=True), Scripted(always("well"))
    for backend in (fake, scripted):
        await alone(agent(native_tools=False), backend)
    chat = (Message("system", "You are a technical analyst."), Message("user", QUERY))
    for request in (*fake.requests, *scripted.sent):
        assert (request.messages, request.tools_in_prompt) == (chat, False)


# laws


@costly
@given(
    st.sampled_from(LOOPS),
    st.lists(st.lists(completions(), max_size=4), min_size=1, max_size=3),
    limits(),
    st.integers(1, 3),
)
def test_agents_see_nothing_of_one_another(
    loop: str, said: list[list[Completion]], within: ToolLimits, concurrency: int
) -> None:
    """Whatever the models of a team say: each run comes out as if it had been alone, and it ends."""

    def reply(request: Request) -> Completion:
        turns = sum(message.role == "assistant" for message in request.messages)
        mine = said[int(request.model)]
        return mine[turns] if turns < len(mine) else Completion("The end.")

    async def get_price() -> str:
        await anyio.sleep(1)
        return "12.5"

    async def news(**_: Any) -> str:
        return "none"

    tools = as_tools([get_price])
    team = [Agent(f"A{n}", f"You are {n}.", model=str(n), limits=within) for n in range(len(said))]

    async def runs(members: list[Agent]) -> list[AgentRun]:
        backend = Scripted(reply, latency_s=lambda request: 1.0 + request.index)
        backend.capabilities = fanin.Capabilities(tools=True, http=False)
        found = await carried_out(members, backend, terms=Terms(concurrency=concurrency), tools=tools)
        for request in backend.sent:
            assert request.messages[0].content == f"You are {request.model}."
        return found

    together = run_virtual(loop, runs, team)
    for index, member in enumerate(team):
        [single] = run_virtual(loop, runs, [member])
        assert (single.messages, single.tool_calls, single.status, single.text) == (
            together[index].messages,
            together[index].tool_calls,
            together[index].status,
            together[index].text,
        )
        assert single.turns <= within.turns


# bad input


@pytest.mark.parametrize(
    "name", ["", " ", "a\nb", "a === b", " a", "x" * 61, "\u2550\u2550\u2550", "a\u2028b", 7, None]
)
def test_names_that_cannot_be(name: Any) -> None:
    with pytest.raises(InputError, match="name"):
        Agent(name, "You are one.")


@pytest.mark.parametrize(
    "field",
    [
        {"system": " "},
        {"system": None},
        {"tools": "get_price"},
        {"tools": 7},
        {"tools": get_price},
        {"tools": [None]},
        {"model": ""},
        {"answer": "maybe"},
        {"answer": YesNo},
        {"temperature": 3},
        {"max_tokens": 0},
        {"limits": 8},
    ],
)
def test_fields_that_cannot_be(field: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(field))):
        Agent(**{"name": "A", "system": "You are one.", **field})


async def test_a_function_that_is_no_tool_is_told_before_any_call() -> None:
    backend = Fake("well", keep=True)

    def unhinted(symbol):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return symbol

    with pytest.raises(InputError, match="hinted"):
        await alone(agent(unhinted), backend)
    assert backend.requests == ()
