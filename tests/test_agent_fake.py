"""The fake's script can call tools, and a tool that hangs does not keep a program from ending."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fanin.errors import InputError
from fanin.values import Completion, Message, Request, ToolCall
from fanin_backends.fake import Fake
from fanin_backends.fake_script import escape, parse, parse_items

ASKED = Request(0, "m", (Message("user", "?"),))


def calls(script: str) -> list[tuple[str, str]]:
    [item] = parse(script).items
    return [(call.name, call.arguments) for call in item.steps[0].tool_calls]


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ('!call:get_price{"symbol":"NVDA"}', [("get_price", '{"symbol":"NVDA"}')]),
        ('!call:get_price {"symbol": "A, B > C"}', [("get_price", '{"symbol": "A, B > C"}')]),
        ("!call:news", [("news", "{}")]),
        ('!call:a{"n":{"m":[1]}}!call:b', [("a", '{"n":{"m":[1]}}'), ("b", "{}")]),
        ('!call:a{"s":"!call:b{}"} !call:c{}', [("a", '{"s":"!call:b{}"}'), ("c", "{}")]),
        ('!call:a{"broken": }@2', [("a", '{"broken": }')]),
        ("!call:ns.tool-1{}", [("ns.tool-1", "{}")]),
    ],
)
def test_calls_in_a_script(script: str, found: list[tuple[str, str]]) -> None:
    assert calls(script) == found


def test_a_call_takes_its_time_and_others_follow_it() -> None:
    [item] = parse('!call:a{"x":1}@1.5 > done').items
    assert [(step.latency_s, step.text, step.finish) for step in item.steps] == [
        (1.5, "", "tool_calls"),
        (0.0, "done", "stop"),
    ]
    assert len(parse('!call:a{"x":1,"y":2}, no').items) == 2


@pytest.mark.parametrize(
    "script", ["!call", "!call:", "!call:a b", "!call:a{}b", '!call:a"x"', "!call:{}", "!calls"]
)
def test_calls_that_cannot_be_read(script: str) -> None:
    with pytest.raises(InputError):
        parse(script)


def test_a_text_that_looks_like_a_call_can_be_said() -> None:
    [item] = parse_items([escape('!call:a{"x":1}')]).items
    assert (item.steps[0].text, item.steps[0].tool_calls) == ('!call:a{"x":1}', ())


@pytest.mark.anyio
async def test_the_fake_s_calls_have_ids_of_their_own() -> None:
    answer = await Fake('!call:a{"x":1}!call:b').complete(ASKED)
    assert isinstance(answer, Completion)
    assert (answer.text, answer.finish) == ("", "tool_calls")
    assert answer.tool_calls == (ToolCall("call_1_1", "a", '{"x":1}'), ToolCall("call_1_2", "b", "{}"))
    assert answer.usage.output_tokens == 3


HANGS = """
import sys, threading
import anyio
from fanin.agent import Agent, carry_out
from fanin.agent_run import ToolLimits
from fanin.conductor import Conductor
from fanin.values import Run
from fanin_backends.fake import Fake

def hangs() -> str:
    threading.Event().wait()
    return "never"

async def main():
    agent = Agent("A", "You are one.", tools=(hangs,), limits=ToolLimits(timeout_s=0.05))
    conductor = Conductor(Fake("!call:hangs > done"))

    async def job(run):
        print((await carry_out(agent, "?", conductor)).tool_calls[0].error)

    await conductor.conduct([Run(0, "fake", None, 0, None)], job)

anyio.run(main, backend=sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_tool_that_hangs_does_not_keep_the_process_from_ending(loop: str, tmp_path: Path) -> None:
    """A worker thread of the event loop's own would: asyncio waits for those at the end."""
    script = tmp_path / "hangs.py"
    script.write_text(HANGS, "utf-8")
    command = [sys.executable, str(script), loop]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "hangs gave no result within 0.05 s.\n"
