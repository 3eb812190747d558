"""The stock analysis: real model output from its tape, the same at any concurrency, as the README has it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from command import Command

import fanin
from fanin.stages.combine import split

ROOT = Path(__file__).parent.parent
TAPE = ROOT / "cassettes" / "stock.json"


@pytest.fixture(scope="module")
def stock() -> Iterator[Any]:
    """The script as a module."""
    spec = spec_from_file_location("stock_analysis", ROOT / "scripts" / "stock_analysis.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["stock_analysis"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["stock_analysis"]


@pytest.fixture(scope="module")
def report(stock: Any) -> Any:
    """What it comes to, three specialists at a time."""
    with fanin.tape(TAPE):
        return stock.analyse(3)


def test_one_at_a_time_and_three_at_a_time_give_the_same_bytes(stock: Any, report: fanin.Report) -> None:
    with fanin.tape(TAPE):
        one = stock.analyse(1)
    assert one.to_json() == report.to_json()
    assert stock.flow(one) == stock.flow(report)
    assert report.outcome == "complete"


def test_every_tool_was_called_by_its_own_specialist(stock: Any, report: fanin.Report) -> None:
    for agent, run in zip(stock.SPECIALISTS, report.agents, strict=True):
        used = {use.name for use in run.tool_calls if use.result is not None}
        assert used == {tool.__name__ for tool in agent.tools}
    assert report.aggregator is not None
    assert report.aggregator.tool_calls == ()


def test_the_message_lists_are_those_of_the_pattern(stock: Any, report: fanin.Report) -> None:
    for agent, run in zip(stock.SPECIALISTS, report.agents, strict=True):
        assert [message.role for message in run.messages[:2]] == ["system", "user"]
        assert run.messages[0].content == agent.system
        assert run.messages[1].content == stock.QUERY
        assert (run.messages[-1].role, run.messages[-1].content) == ("assistant", run.text)
    assert report.aggregator is not None
    system, user, said = report.aggregator.messages
    assert [message.role for message in (system, user, said)] == ["system", "user", "assistant"]
    assert split(user.content) == tuple((run.name, run.text) for run in report.agents)
    assert said.content == report.report


def test_the_readme_shows_the_run(stock: Any, report: fanin.Report) -> None:
    [section] = re.findall(
        r"(?ms)^### The stock analysis\n(.*?)(?=^##|\Z)", (ROOT / "README.md").read_text("utf-8")
    )
    [shown] = re.findall(r"```text\n(.*?)```", section, re.DOTALL)
    assert shown == stock.flow(report) + "\n"


def test_the_script_prints_the_flow_and_the_report(
    stock: Any, report: fanin.Report, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stock.main([]) == 0
    assert capsys.readouterr().out == f"{stock.flow(report)}\n\n{report.text}\n"
    assert stock.main(["--what"]) == 2


def test_the_file_describes_the_same_panel(
    report: fanin.Report, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    command = Command(monkeypatch, capsys)
    ended = command("panel", "scripts/stock.toml", report.query, "--replay", str(TAPE), "--json", "-q")
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out) == report.to_dict()


def test_a_request_that_the_tape_lacks_is_never_sent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Command(monkeypatch, capsys)
    ended = command(
        "panel", str(ROOT / "scripts" / "stock.toml"), "Analyse AAPL.", "--replay", str(TAPE), "-q"
    )
    assert (ended.code, ended.out) == (2, "")
    assert "asks what is not on the tape" in ended.err
    assert "run 0 " in ended.err


def test_the_data_is_marked_as_made_up_and_an_unknown_symbol_is_an_error(stock: Any) -> None:
    assert json.loads((ROOT / "scripts" / "stock_data.json").read_text("utf-8"))["note"].startswith("Made up")
    assert stock.get_stock_price("nvda") == {"price_usd": 190.1, "change_usd": -2.6}
    assert stock.get_price_history("AAPL", 2) == [233.1, 231.7]
    for tool in {tool for agent in stock.SPECIALISTS for tool in agent.tools}:
        with pytest.raises(ValueError, match="there is no data for 'TSLA', only for AAPL, NVDA"):
            tool("TSLA")
    with pytest.raises(ValueError, match="days must be from 1 to 10, not 0"):
        stock.get_price_history("AAPL", 0)
