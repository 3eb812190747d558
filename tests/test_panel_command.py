"""`fanin panel` from the outside: what it prints where, and what it ends with."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import Command, Ended
from rich.console import Console

from fanin.agent import Agent
from fanin.agent_run import AgentRun
from fanin.cli.panel_view import Rows
from fanin.panels import PanelEvent
from fanin.seating import Panel
from fanin.values import Event, Failure, Usage

PANEL = """
[[agents]]
name = "Ann"
system = "You are Ann."

[[agents]]
name = "Bob"
system = "You are Bob."

[aggregator]
system = "Sum up."
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """`run(SCRIPT, OPTION...)`: the panel above with the fake's script, in an empty folder."""
    Path("panel.toml").write_text(PANEL, "utf-8")

    def fanin(script: str, *words: str, stdin: bytes | None = None) -> Ended:
        command = Command(monkeypatch, capsys)
        return command(
            "panel", "panel.toml", "Is it?", "--backend", "fake", "-m", script, *words, stdin=stdin
        )

    return fanin


Run = Callable[..., Ended]


def test_the_report_goes_to_stdout_and_all_else_to_stderr(run: Run) -> None:
    ended = run("from ann@1,from bob@2,the report@1", "--no-log")
    assert (ended.code, ended.out) == (0, "the report\n")
    assert ended.err.splitlines() == [
        "fanin: Ann launched",
        "fanin: Bob launched",
        "fanin: Ann completed at 1.0 s (1 turn, 5 + 2 tokens)",
        "fanin: Bob completed at 2.0 s (1 turn, 5 + 2 tokens)",
        "fanin: Aggregator launched",
        "fanin: Aggregator aggregated at 3.0 s (1 turn, 72 + 3 tokens)",
        "fanin: complete: 2 of 2 specialists, 82 + 7 tokens, price unknown",
    ]
    assert run("a,b,the report", "-q").err == ""


def test_who_is_missing_is_said_first(run: Run) -> None:
    ended = run("!auth,b,the report")
    assert (ended.code, ended.out) == (0, "Without Ann (auth): The fake refuses the key.\n\nthe report\n")
    assert "fanin: Ann failed at 0.0 s (auth: The fake refuses the key; 0 turns)\n" in ended.err
    assert "fanin: partial: 1 of 2 specialists, " in ended.err


@pytest.mark.parametrize(
    ("script", "words", "code"),
    [
        ("a,b,c", (), 0),
        ("a,!empty,c", (), 0),
        ("a,!empty,c", ("--require-all",), 1),
        ("!empty,!html,c", (), 1),
        ("a,b,!html", (), 4),
        ("a,b,!empty", (), 4),
        ("a,b,!refusal", (), 4),
        ("!auth,!auth,c", (), 5),
        ("a,b,!auth", (), 5),
        ("a,b@9,c", ("--deadline", "5"), 6),
        ("!quota,b,c", ("-j", "1"), 6),
        ("a=", (), 0),
        ("a,!what,c", (), 2),
    ],
)
def test_the_exit_code_tells_the_outcome(run: Run, script: str, words: tuple[str, ...], code: int) -> None:
    assert run(script, *words).code == code


def test_without_a_report_the_outputs_are_the_result(run: Run) -> None:
    ended = run("from ann,from bob,!html")
    assert ended.out == (
        "Without Aggregator (malformed): The fake sent a web page instead of JSON.\n"
        "There is no report. What the specialists gave:\n\n"
        "=== Ann ===\nfrom ann\n\n=== Bob ===\nfrom bob\n"
    )
    nothing = run("!html,!html,c")
    assert nothing.out == ""
    assert "There is no report: nobody gave anything." in nothing.err


def test_json_is_one_object_and_the_same_every_time(run: Run) -> None:
    ended = run("a@2,b@1,caf\u00e9", "--json", "-q")
    assert ended.err == ""
    found = json.loads(ended.out)
    assert list(found) == [
        "schema", "outcome", "report", "missing", "agents", "combined", "tally", "usage", "cost_usd"
    ]  # fmt: skip
    assert (found["schema"], found["outcome"], found["report"]) == ("fanin.panel/1", "complete", "caf\u00e9")
    again = run("a@1,b@2,caf\u00e9", "--json", "-q", "-j", "1")
    assert again.out == ended.out


def test_the_report_can_be_written_to_a_file_too(run: Run) -> None:
    assert run("a,!html,the report", "--out", "report.md", "--json").code == 0
    assert Path("report.md").read_text("utf-8") == (
        "Without Bob (malformed): The fake sent a web page instead of JSON.\n\nthe report\n"
    )


@pytest.mark.parametrize("out", ["none/report.md", "."])
def test_a_file_that_cannot_be_written_is_said_before_anything_is_asked(run: Run, out: str) -> None:
    ended = run("a,b,c", "--out", out)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"fanin: --out must be a file that can be written, not '{out}'\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "fanin: panel.toml: there is no such file\n"),
        ("x = ", "fanin: panel.toml: not valid TOML: "),
        ("[[agent]]", "fanin: panel.toml: line 1: there is no setting 'agent'\nDid you mean agents?\n"),
        (PANEL.replace("Bob", "Ann"), "fanin: panel.toml: line 6: there are two agents called 'Ann'\n"),
    ],
)
def test_a_bad_file_is_said_with_its_line(run: Run, text: str | None, words: str) -> None:
    if text is None:
        Path("panel.toml").unlink()
    else:
        Path("panel.toml").write_text(text, "utf-8")
    ended = run("a,b,c")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(words)


def test_bad_options_are_said(run: Run) -> None:
    assert "--max-chars must be a whole number from 200" in run("a,b,c", "--max-chars", "3").err
    assert "exclude one another" in run("a,b,c", "--record", "x", "--replay", "y").err
    assert "--base-url must be left out with the backend fake" in run("a", "--base-url", "http://x").err


def test_a_blank_question_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("panel.toml").write_text(PANEL, "utf-8")
    ended = Command(monkeypatch, capsys)("panel", "panel.toml", " ", "--backend", "fake")
    assert (ended.code, ended.out) == (2, "")
    assert "must be a text that is not blank" in ended.err


def test_piped_text_is_given_to_every_specialist(run: Run) -> None:
    ended = run("a,b,c", "-q", "--json", stdin=b"The filing.\n")
    assert json.loads(ended.out)["usage"]["input_tokens"] > 80


def test_verbose_shows_every_call(run: Run) -> None:
    lines = run("!500>a,b,c", "-v").err.splitlines()
    assert "   0.000 s  run 0: asking (Ann)" in lines
    assert any("run 0: asking again in" in line and line.endswith("(Ann)") for line in lines)


def test_nothing_that_moves_the_cursor_reaches_the_terminal(run: Run) -> None:
    ended = run("a,b,red \x1b[31mtext", "-q")
    assert ended.out == "red \\x1b[31mtext\n"


@pytest.mark.slow
def test_ctrl_c_prints_what_is_there() -> None:
    Path("panel.toml").write_text(PANEL, "utf-8")
    words = ["panel", "panel.toml", "Is it?", "--backend", "fake", "-m", "from ann,b@60,c"]
    with subprocess.Popen(
        [sys.executable, "-m", "fanin", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert any("Ann completed" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert out == (
        "Without Bob (interrupted): Cut short: it was interrupted.\n"
        "There is no report. What the specialists gave:\n\n=== Ann ===\nfrom ann\n"
    )
    assert "fanin: stopping; what is there is reported" in err


# --- the live view


def event(kind: str, index: int, detail: str = "") -> PanelEvent:
    told = Event(kind, index, 0.0, detail=detail)  # type: ignore[arg-type]
    return PanelEvent(kind, index, f"A{index}", 0.0, told)  # type: ignore[arg-type]


def test_the_live_view_has_a_row_an_agent() -> None:
    view = Rows(["Ann", "Bob", "Cas", "Aggregator"], verbose=False)
    for index in range(3):
        view.watch(PanelEvent("launched", index, "A", 0.0))
    view.watch(event("tool", 0, "get_stock_price"))
    done = AgentRun(1, "Bob", "ok", "text", turns=2, usage=Usage(10, 4))
    broke = AgentRun(2, "Cas", "failed", failure=Failure(2, "timeout", "No\nanswer."))
    view.watch(PanelEvent("ended", 1, "Bob", 0.0, run=done))
    view.watch(PanelEvent("ended", 2, "Cas", 0.0, run=broke))
    text = io.StringIO()
    Console(file=text, width=120).print(view.table())
    ann, bob, cas, chief = text.getvalue().splitlines()
    assert ann.split()[:3] == ["Ann", "calling", "get_stock_price"]
    assert bob.split() == ["Bob", "done", "0.0", "s", "2", "turns,", "10", "+", "4", "tokens"]
    assert "failed (timeout: No answer.)" in cas
    assert chief.split() == ["Aggregator", "waiting"]
    view.watch(event("limit", 0))
    view.watch(event("retry", 1))
    states = [row.state for row in view._rows]
    assert states[:2] == ["waiting for the rate limit", "waiting to ask again"]


def test_the_file_is_written_though_nobody_reads_stdout(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, err: bool = False, **__: object) -> None:
        if not err:
            raise BrokenPipeError

    monkeypatch.setattr("fanin.cli.panel.click.echo", gone)
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # the command takes it away, and the test gives it back
    assert run("a,b,the report", "-q", "--out", "report.md").code == 1
    assert Path("report.md").read_text("utf-8") == "the report\n"


def test_a_file_that_cannot_be_written_at_the_end_costs_nothing_else(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    ended = run("a,b,the report", "--out", "report.md")
    assert (ended.code, ended.out) == (2, "the report\n")
    assert "report.md cannot be written: No space left on device" in ended.err


def test_a_ctrl_c_that_a_terminal_shows_stays_on_the_last_row() -> None:
    view = Rows(["Ann" * 20], verbose=False)
    view.watch(event("tool", 0, "get_stock_price" * 10))
    text = io.StringIO()
    view._console = Console(file=text, width=60)
    view._console.print(view._shown())
    assert {len(line) for line in text.getvalue().splitlines()} == {60 - len("^C^C")}


def test_the_live_view_starts_and_stops(capsys: pytest.CaptureFixture[str]) -> None:
    with Rows(["Ann"], verbose=True) as view:
        view.watch(PanelEvent("launched", 0, "Ann", 0.0))
        view.watch(event("asked", 0))
        view.stopping()
    err = capsys.readouterr().err
    assert "run 0: asking (A0)" in err
    assert "stopping" in err


def test_temperature_and_length_go_before_the_file_and_after_an_agent(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a configuration says of votes is no part of a panel."""
    from fanin import panel_file

    panels = []

    def read(*words: Any) -> Panel:
        panels.append(read_panel(*words))
        return panels[-1]

    read_panel = panel_file.read_panel
    monkeypatch.setattr(panel_file, "read_panel", read)
    Path("fanin.toml").write_text("temperature = 1.9\nmax_tokens = 7\n", "utf-8")
    own = PANEL.replace('name = "Bob"', 'name = "Bob"\ntemperature = 0.1\nmax_tokens = 9')
    Path("panel.toml").write_text(f"temperature = 0.5\nmax_tokens = 50\n{own}", "utf-8")
    assert run("a,b,c").code == 0
    assert run("a,b,c", "--temperature", "1.5", "--max-tokens", "40").code == 0
    found = [[(each.temperature, each.max_tokens) for each in agents_of(panel)] for panel in panels]
    assert found == [[(0.5, 50), (0.1, 9), (0.5, 50)], [(1.5, 40), (0.1, 9), (1.5, 40)]]


def agents_of(panel: Panel) -> list[Agent]:
    return [each for each in (*panel.agents, panel.aggregator) if isinstance(each, Agent)]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--temperature", "5"), "--temperature must be from 0 to 2, not 5.0"),
        (("--max-tokens", "0"), "--max-tokens must be a whole number from 1"),
    ],
)
def test_what_no_agent_can_have_is_said_before_a_call(run: Run, words: tuple[str, ...], says: str) -> None:
    ended = run("a,b,c", *words)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err
