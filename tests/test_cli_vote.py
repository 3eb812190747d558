"""`fanin vote` as a user types it."""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
from pathlib import Path

import pytest
from command import Command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fanin.cli import interrupts, reading
from fanin.terms import Interrupt

UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.fixture
def fanin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def test_a_pipe_gets_the_bare_answer_and_nothing_else(fanin: Command) -> None:
    ended = fanin("vote", "Is it so?", "--backend", "fake", "-m", "yes,yes,no")
    assert (ended.code, ended.out) == (0, "yes\n")
    assert "high agreement: 4 of 5 runs (strong)" in ended.err
    assert "about 5 x one call" in ended.err
    assert "answer type: yes/no" in ended.err


def test_quiet_leaves_stderr_empty(fanin: Command) -> None:
    ended = fanin("vote", "Is it so?", "--backend", "fake", "-q")
    assert (ended.code, ended.out, ended.err) == (0, "yes\n", "")


def test_verbose_tells_every_call_and_every_reply(fanin: Command) -> None:
    ended = fanin("vote", "Is it so?", "--backend", "fake", "-m", "!429:2.5>yes,no", "--runs", "2", "-v")
    assert "run 0: asking again in 2.50 s" in ended.err
    assert "run 0, call 2: answered" in ended.err
    assert "--- run 1 (!429:2.5>yes,no, temperature 0.7): no" in ended.err


def test_json_is_one_line_with_the_documented_keys_in_order(fanin: Command) -> None:
    words = ("--backend", "fake", "-m", "yes,!500,!empty", "--retries", "0", "--json")
    ended = fanin("vote", "Is it so?", *words)
    assert ended.out.count("\n") == 1
    found = json.loads(ended.out)
    assert list(found) == [
        *("schema", "question", "outcome", "answer", "grade", "confidence", "confidence_kind"),
        *("pattern", "advice", "stopped", "votes", "runs", "ballots", "failures", "usage", "cost_usd"),
        *("backend", "models"),
    ]
    assert found["runs"] == {
        "planned": 5,
        "valid": 2,
        "spoiled": 1,
        "failed": 2,
        "cancelled": 0,
        "unasked": 0,
    }
    assert [failure["index"] for failure in found["failures"]] == [1, 4]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["-m", "yes"], 0),
        (["-m", "yes,no", "--runs", "4"], 3),
        (["-m", "yes,!empty,!empty"], 3),
        (["-m", "yes,yes,no", "--require", "high", "--runs", "3"], 3),
        (["-m", "yes,yes,no", "--require", "medium", "--runs", "3"], 0),
        (["-m", "!500"], 1),
        (["-m", "!empty"], 1),
        (["-m", "!auth"], 5),
        (["-m", "!auth,!500"], 1),
        (["-m", "!auth,!auth,!auth,yes,yes", "--quorum", "3"], 5),
        (["-m", "!auth,yes,yes,yes,yes"], 0),
        (["-m", "!quota"], 6),
        (["-m", "yes@9", "--deadline", "1"], 6),
        (["-m", "!429:30>yes", "--deadline", "10"], 6),
        (["-m", "yes,yes,yes,yes,yes@9", "--deadline", "1"], 0),
        (["-m", "!429:700", "--max-wait", "10m"], 6),
    ],
)
def test_exit_codes(fanin: Command, words: list[str], code: int) -> None:
    ended = fanin("vote", "Is it so?", "--backend", "fake", *words)
    assert ended.code == code
    assert bool(ended.out) == (code == 0 or "--require" in words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["  "], "the question must be a text that is not blank"),
        (["Is it?", "--runs", "0"], "--runs must be a whole number from 1 to 1000, not 0"),
        (["Is it?", "--runs", "1001"], "not 1001"),
        (["Is it?", "--runs", "five"], "'five' is not a valid integer"),
        (["Is it?", "--quorum", "6"], "--quorum must be at most the number of runs (5), not 6"),
        (["Is it?", "--temperature", "nan"], "--temperature must be from 0 to 2, not nan"),
        (["Is it?", "--temperature", "inf"], "not inf"),
        (["Is it?", "--temperature-step", "-1"], "--temperature-step"),
        (["Is it?", "--timeout", "0"], "'0' is no time above 0"),
        (["Is it?", "--deadline", "-3"], "no time above 0"),
        (["Is it?", "--deadline", "soon"], "'soon' is no time above 0"),
        (["Is it?", "--concurrency", "0"], "--concurrency"),
        (["Is it?", "--max-tokens", "0"], "--max-tokens"),
        (["Is it?", "--seed", "-1"], "--seed"),
        (["Is it?", "--choices", "whale"], "--choices must be at least two, not ['whale']"),
        (["Is it?", "--choices", "no,No"], "told apart"),
        (["Is it?", "--choices", "a,b", "--answer", "text"], "leave --answer out"),
        (["Is it?", "--tolerance", "1"], "--tolerance goes with --answer number"),
        (["How many?", "--answer", "number", "--tolerance", "-1"], "--tolerance must be a finite number"),
        (["Which?", "--labels", "a"], "--labels must be at least two"),
        (["Is it?", "--price", "cheap"], "is no price"),
        (["Is it?", "--record", "a", "--replay", "b"], "exclude one another"),
        (["Is it?", "--record", "a.json"], "sends no HTTP"),
        (["Is it?", "--base-url", "http://127.0.0.1"], "--base-url"),
        (["Is it?", "-m", "!nonsense"], "nonsense"),
    ],
)
def test_bad_input_is_told_before_any_call(fanin: Command, words: list[str], said: str) -> None:
    ended = fanin("vote", *words, "--backend", "fake")
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_an_unknown_backend_names_the_nearest(fanin: Command) -> None:
    ended = fanin("vote", "Is it?", "--backend", "olama")
    assert ended.code == 2
    assert "Did you mean ollama?" in ended.err


def test_a_missing_key_is_code_5_and_never_asks_for_it_on_the_command_line(fanin: Command) -> None:
    ended = fanin("vote", "Is it?", "--backend", "groq")
    assert (ended.code, ended.out) == (5, "")
    assert "GROQ_API_KEY" in ended.err


def test_no_backend_says_what_was_found_and_what_to_type(
    fanin: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    monkeypatch.setenv("GROQ_API_KEY", "not-a-real-key")
    ended = fanin("vote", "Is it?")
    assert ended.code == 2
    assert "groq (GROQ_API_KEY is set)" in ended.err
    assert "--backend groq" in ended.err
    assert "not-a-real-key" not in ended.err


def test_an_unreachable_server_is_an_object_with_failures(
    fanin: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    ended = fanin("vote", "Is it?", "--backend", "ollama", "--json")
    assert ended.code == 1
    assert {failure["kind"] for failure in json.loads(ended.out)["failures"]} == {"connection"}


def test_the_choices_may_hold_a_comma(fanin: Command) -> None:
    ended = fanin("vote", "Which?", "--choices", r"Paris\, Texas,Paris", "--prompt")
    assert "Paris, Texas" in ended.out


def test_piped_text_is_the_context(fanin: Command, tmp_path: Path) -> None:
    assert "the contract" in fanin("vote", "Is it?", "--prompt", stdin=b"\xef\xbb\xbfthe contract").out
    file = tmp_path / "contract.txt"
    file.write_text("of a file", "utf-8")
    assert "of a file" in fanin("vote", "Is it?", "--prompt", stdin=file).out
    assert "context" not in fanin("vote", "Is it?", "--prompt", stdin=b" \n").out
    assert "context" not in fanin("vote", "Is it?", "--prompt").out


def test_piped_bytes_that_are_no_text_are_refused(fanin: Command) -> None:
    ended = fanin("vote", "Is it?", "--backend", "fake", stdin=b"ab\xff")
    assert ended.code == 2
    assert "not UTF-8 text (byte 2 of 3)" in ended.err


def test_it_says_that_it_waits_for_standard_input(fanin: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading.select, "select", lambda *_: ([], [], []))
    assert "waiting for standard input" in fanin("vote", "Is it?", "--backend", "fake", stdin=b"late").err


def test_a_file_in_the_working_directory_sets_what_the_line_does_not(fanin: Command) -> None:
    Path("fanin.toml").write_text('backend = "fake"\nmodel = "no"\nruns = 3\ntimeout = "1m"\n', "utf-8")
    assert json.loads(fanin("vote", "Is it?", "--json").out)["votes"] == {"no": 3}
    assert json.loads(fanin("vote", "Is it?", "--json", "--runs", "4").out)["votes"] == {"no": 4}
    Path("fanin.toml").write_text("rans = 3\n", "utf-8")
    ended = fanin("vote", "Is it?", "--backend", "fake")
    assert ended.code == 2
    assert "Did you mean runs?" in ended.err


@given(text=st.text(min_size=1, max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_nothing_that_a_model_says_reaches_the_terminal_unescaped(fanin: Command, text: str) -> None:
    Path("fanin.toml").write_text("", "utf-8")
    script = "\x1b]0;title\x07\u202e" + text.replace("\x00", "")
    from fanin_backends.fake_script import escape

    model = escape(script)
    words = ("vote", "What is it?", "--answer", "text", "--backend", "fake", "-m", model, "-v", "--runs", "2")
    ended = fanin(*words)
    assert not UNSAFE.search(ended.out)
    assert not UNSAFE.search(ended.err)
    told = fanin(*words, "--json")
    assert not UNSAFE.search(told.out.removesuffix("\n"))
    assert json.loads(told.out)["ballots"][0]["text"] == script


def test_a_terminal_gets_a_table_without_markup(fanin: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    words = ("--answer", "text", "--backend", "fake", "-m", "[red]a[/red],b,[red]a[/red]")
    ended = fanin("vote", "Which?", *words)
    assert ended.code == 0
    assert re.search(r"\[red\]a\[/red\] +3 +█+", ended.out)
    assert re.search(r"\bb +2 ", ended.out)
    assert "dissent, b: b" in ended.out
    assert "\x1b[3" not in ended.out


def test_ctrl_c_reports_what_is_there_and_keeps_no_tape(
    fanin: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stop_after_a_second(interrupt: Interrupt, shown: object) -> None:
        asyncio.get_running_loop().call_later(1, interrupt.stop)

    monkeypatch.setattr(interrupts, "stop_on_ctrl_c", stop_after_a_second)
    words = ("--backend", "fake", "-m", "yes,yes@9,no@9", "--runs", "3", "-j", "2", "--json")
    ended = fanin("vote", "Is it?", *words)
    found = json.loads(ended.out)
    assert ended.code == 130
    assert found["stopped"]["by"] == "interrupt"
    assert found["runs"] == {
        "planned": 3,
        "valid": 1,
        "spoiled": 0,
        "failed": 2,
        "cancelled": 0,
        "unasked": 0,
    }
    assert {failure["kind"] for failure in found["failures"]} == {"interrupted"}


def test_a_question_in_place_of_a_command_is_told_how(fanin: Command) -> None:
    ended = fanin("Is it so?")
    assert ended.code == 2
    assert "fanin vote 'Is it so?'" in ended.err


def test_help_names_every_exit_code(fanin: Command) -> None:
    ended = fanin("vote", "--help")
    assert ended.code == 0
    assert "130 interrupted" in ended.out
    assert fanin("--version").out.startswith("fanin ")


@pytest.mark.parametrize(
    "words",
    [
        ("vote", "Where?", "--answer", "text", "-m", "\u00e9\u662f"),
        ("panel", "panel.toml", "Where?", "-m", "a,\u00e9\u662f"),
        ("analyze", "Where?", "--mode", "quick", "-m", "1. a>b>Answer: no>\u00e9\u662f>Answer: here"),
    ],
)
def test_what_stdout_has_no_character_for_is_escaped_and_not_lost(
    fanin: Command, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("panel.toml").write_text('[[agents]]\nname = "A"\nsystem = "a"\n', "utf-8")
    written = io.BytesIO()
    # A pipe on Windows, or in an old locale.
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="latin-1"))
    ended = fanin(*words, "--backend", "fake")
    sys.stdout.flush()
    assert ended.code == 0
    assert written.getvalue().decode("latin-1").splitlines()[0] == "\u00e9\\u662f"
