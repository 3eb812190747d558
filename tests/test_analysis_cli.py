"""`fanin analyze`, and `fanin vote --mode`: what stands where, and how they end."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command import Command

from fanin.analysed import Analysis
from fanin.cli.analyses import exit_code
from fanin.cli.steps import Steps
from fanin.policy.analysing import MODES
from fanin.values import Event

SCRIPT = (
    r"1. Look at a\n2. Look at b>It is so.>Half of it.>All is there. Answer: no>In all it is.>Answer: yes"
)


@pytest.fixture
def fanin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def test_the_answers_go_to_stdout_and_the_rest_to_stderr(fanin: Command) -> None:
    ended = fanin("analyze", "Is it?", "--mode", "quick", "--backend", "fake", "-m", SCRIPT)
    assert (ended.code, ended.out) == (0, "In all it is.\n\nAnswer: yes\n")
    assert "fanin: round 1, step 2 of 2: Look at b\n" in ended.err
    assert "fanin: quick: 1 round, 2 steps (nothing was missing); 6 calls, " in ended.err


def test_quiet_and_verbose(fanin: Command) -> None:
    words = ("analyze", "Is it?", "--mode", "quick", "--backend", "fake", "-m", SCRIPT)
    assert fanin(*words, "-q").err == ""
    loud = fanin(*words, "-v").err
    assert "--- round 1, step 2: Look at b\nHalf of it.\n" in loud
    assert re.search(r"run 0, call 6: answered", loud)


def test_the_json_object_is_one_line(fanin: Command) -> None:
    ended = fanin("analyze", "Is it?", "--mode", "quick", "--backend", "fake", "-m", SCRIPT, "--json")
    [line] = ended.out.splitlines()
    found = json.loads(line)
    assert list(found)[:6] == ["schema", "index", "question", "success", "final_answer", "focused_answer"]
    assert (found["schema"], found["success"], found["focused_answer"]) == ("fanin.analysis/1", True, "yes")
    assert found["plan"]["steps"] == ["Look at a", "Look at b"]


def test_what_is_piped_is_what_it_is_about(fanin: Command) -> None:
    ended = fanin(
        *("analyze", "Is it?", "--mode", "quick", "--backend", "fake", "-m", SCRIPT, "--json"),
        stdin=b"about this",
    )
    without = fanin("analyze", "Is it?", "--mode", "quick", "--backend", "fake", "-m", SCRIPT, "--json")
    tokens = [json.loads(each.out)["usage"]["input_tokens"] for each in (ended, without)]
    assert tokens[0] > tokens[1]


def test_every_setting_of_a_mode_is_an_option(fanin: Command) -> None:
    words = ["--min-iterations", "1", "--max-iterations", "1", "--candidate-plans", "2", "--max-steps", "4"]
    words += ["--temperature-offset", "-0.2", "--reasoning-effort", "high", "--cost-limit-usd", "5"]
    words += ["--price", "1/1", "--temperature", "0.5", "--answer", "text", "--system", "Be brief."]
    ended = fanin("analyze", "What?", "--backend", "fake", "-m", SCRIPT, "--json", "-q", *words)
    assert ended.err == ""
    assert json.loads(ended.out)["mode"] == {
        "name": "balanced",
        "min_iterations": 1,
        "max_iterations": 1,
        "candidate_plans": 2,
        "max_steps": 4,
        "temperature_offset": -0.2,
        "reasoning_effort": "high",
        "cost_limit_usd": 5.0,
    }


def test_the_table_of_modes(fanin: Command) -> None:
    ended = fanin("analyze", "--modes")
    lines = ended.out.splitlines()
    assert [line.split()[0] for line in lines] == ["mode", *MODES]
    assert lines[2].split()[:4] == ["balanced", "2-3", "2", "3"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--mode", "thorogh"], 2, "--mode must be one of quick, balanced, thorough, research"),
        (["--min-iterations", "3", "--max-iterations", "2"], 2, "at least 3, the fewest rounds, not 2"),
        (["--max-iterations", "0"], 2, "--max-iterations must be a whole number from 1 to 20, not 0"),
        (["--cost-limit-usd", "1"], 2, "--cost-limit-usd must be left out where the price of"),
        (["--reasoning-effort", "much"], 2, "--reasoning-effort must be one of none"),
        (["-m", "other"], 2, "an analysis has one --model"),
        (["--system", "a", "--system", "b"], 2, "an analysis has one --system"),
        (["--record", "a", "--replay", "b"], 2, "exclude one another"),
        (["--choices", "a,b", "--answer", "text"], 2, "--choices already says"),
    ],
)
def test_bad_input(fanin: Command, words: list[str], code: int, said: str) -> None:
    ended = fanin("analyze", "Is it?", "--backend", "fake", "-m", SCRIPT, *words)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err


def test_a_blank_question(fanin: Command) -> None:
    assert fanin("analyze", " ", "--backend", "fake").code == 2


def test_what_never_got_to_its_steps_was_not_cut_short(fanin: Command) -> None:
    ended = fanin("analyze", "Is it?", "--mode", "quick", "--backend", "fake", "-m", "No list.")
    assert "quick: 0 rounds, 0 steps (it did not get to the end); 1 call" in ended.err


@pytest.mark.parametrize(
    ("script", "words", "code", "said"),
    [
        ("!auth", [], 5, "refuses the key"),
        ("!quota", [], 6, "quota is spent"),
        ("No list.", [], 1, "No plan could be read"),
        ("!500", ["--retries", "0"], 1, "an error of its own"),
        (r"1. a>so@30", ["--deadline", "10"], 6, "the deadline came"),
        (r"1. a>so>Answer: no>All in all.>Perhaps.", [], 1, "The focused answer could not be read"),
        (r"1. a>!500>Answer: no", ["--retries", "0"], 1, "None of the steps taken (1) found anything"),
    ],
)
def test_how_it_ends(fanin: Command, script: str, words: list[str], code: int, said: str) -> None:
    ended = fanin("analyze", "Is it?", "--mode", "quick", "--backend", "fake", "-m", script, "-q", *words)
    assert ended.code == code
    assert said in ended.err


def test_an_interrupted_analysis_ends_with_130() -> None:
    from fanin.analysed import Course
    from fanin.answers import YesNo
    from fanin.stages.account import analysis_of
    from fanin.stages.fan_out import fan_out
    from fanin.values import Failure, Plan, Question, Variation

    plan = Plan(Question("Is it?"), YesNo(), Variation(("m",)), runs=1)
    cut = Failure(0, "interrupted", "It was interrupted.")
    made: Analysis = analysis_of(
        Course(MODES["quick"]), plan, fan_out(plan)[0], backend="b", prices={}, cut=cut
    )
    assert exit_code(made) == 130


# --- votes over analyses


def test_a_vote_over_analyses(fanin: Command) -> None:
    script = f"{SCRIPT},{SCRIPT},{SCRIPT.replace('Answer: yes', 'Answer: no')},!auth"
    ended = fanin("vote", "Is it?", "--mode", "quick", "--runs", "4", "--backend", "fake", "-m", script)
    assert (ended.code, ended.out) == (0, "yes\n")
    assert "run failed (auth)" in ended.err
    lines = [line for line in ended.err.splitlines() if line.startswith("fanin: analysis ")]
    assert [line.split(" (")[0] for line in lines] == [f"fanin: analysis {index}" for index in range(4)]
    assert "failed: The fake refuses the key" in lines[3]


def test_the_analyses_that_differ_are_marked(fanin: Command) -> None:
    script = f"{SCRIPT},{SCRIPT},{SCRIPT.replace('Answer: yes', 'Answer: no')}"
    ended = fanin("vote", "Is it?", "--modes", "quick", "--runs", "3", "--backend", "fake", "-m", script)
    assert (ended.code, ended.out) == (0, "yes\n")
    marked = [line for line in ended.err.splitlines() if "(differs)" in line]
    assert len(marked) == 1
    assert marked[0].startswith("fanin: analysis 2 (quick, ")


def test_a_vote_over_several_modes_as_json(fanin: Command) -> None:
    words = ["--modes", "quick,balanced", "--runs", "2", "--backend", "fake", "-m", SCRIPT, "--json", "-q"]
    ended = fanin("vote", "Is it?", *words)
    found = json.loads(ended.out)
    assert [each["mode"]["name"] for each in found["analyses"]] == ["quick", "balanced"]
    assert ended.err == ""


def test_the_prompt_of_a_vote_over_analyses(fanin: Command) -> None:
    ended = fanin("vote", "Is it?", "--mode", "quick", "--backend", "fake", "--prompt")
    assert "Make a plan for working out its answer: at most 2 steps" in ended.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mode", "quick", "--modes", "quick"], "--mode and --modes exclude one another"),
        (["--mode", "slow"], "--mode must be one of"),
        (["--modes", "quick,,"], "--modes must be one of quick, balanced, thorough, research, not ''"),
        (["--modes", "quick,thorogh"], "Did you mean thorough?"),
    ],
)
def test_bad_modes_of_a_vote(fanin: Command, words: list[str], said: str) -> None:
    ended = fanin("vote", "Is it?", "--backend", "fake", *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


# --- progress


def test_the_live_line() -> None:
    shown = Steps(1, terminal=True, quiet=False, verbose=False)
    assert shown.line() == "beginning, 0 calls answered"
    for kind in ("asked", "answered", "asked", "failed", "asked"):
        shown.watch(Event(kind, 0, 0.0))  # type: ignore[arg-type]
    shown.tell(0, "choosing a plan")
    shown.watch(Event("limit", 0, 0.0, wait_s=60.0))
    assert re.fullmatch(
        r"choosing a plan, 1 call answered, 1 failed, "
        r"waiting for the rate limit until \d\d:\d\d:\d\d",
        shown.line(),
    )
    shown.stopping()
    assert shown.line().endswith("stopping (Ctrl-C again leaves at once)")


def test_the_live_line_of_a_vote_counts_the_calls_of_all_its_analyses() -> None:
    shown = Steps(3, terminal=True, quiet=False, verbose=False)
    assert shown.line() == "3 analyses, 0 calls answered"
    for kind, index in (("asked", 0), ("asked", 1), ("answered", 1), ("failed", 0)):
        shown.watch(Event(kind, index, 0.0))  # type: ignore[arg-type]
    assert shown.line() == "3 analyses, 1 call answered, 1 failed"


def test_the_readme_shows_the_table(fanin: Command) -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
    assert f"```text\n{fanin('analyze', '--modes').out}```\n" in readme


def test_an_analysis_can_have_every_type_of_answer(fanin: Command) -> None:
    script = "1. Look>It holds.>Answer: no>It is so.>Answer: {answer}"
    words = ("--mode", "quick", "--backend", "fake", "-q", "--no-log", "-m")
    day = fanin(
        "analyze",
        "When?",
        "--answer",
        "date",
        "--date-order",
        "dmy",
        *words,
        script.format(answer="03/04/2025"),
    )
    assert (day.code, day.out.splitlines()[-1]) == (0, "Answer: 2025-04-03")
    labels = fanin("analyze", "Which?", "--labels", "urgent,legal", *words, script.format(answer="legal"))
    assert (labels.code, labels.out.splitlines()[-1]) == (0, "Answer: legal")
    refused = fanin("analyze", "When?", "--date-order", "dmy", *words, "a")
    assert (refused.code, "--date-order goes with --answer date" in refused.err) == (2, True)
