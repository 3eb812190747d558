"""`fanin eval` and `fanin calibrate` as a user types them, and what was promised on real answers."""

from __future__ import annotations

import json
import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import pytest
from command import Command

from fanin.errors import MissingExtraError
from fanin.evaluating import evaluate
from fanin.evaluation import Evaluation
from fanin.plotting import plot, require_matplotlib
from fanin.stored_votes import read_stored

# Read here: while a test runs, no variable of fanin's is set.
VOTES = os.environ.get("FANIN_VOTES")
real_votes = pytest.mark.skipif(VOTES is None, reason="FANIN_VOTES names no folder of stored votes")


@pytest.fixture
def fanin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def labelled(
    questions: int = 240, accuracies: tuple[float, ...] = (0.95, 0.6, 0.6, 0.6, 0.6, 0.6), **changes: Any
) -> str:
    random = Random(7)
    lines = []
    for number in range(questions):
        gold = random.choice(["yes", "no"])
        other = {"yes": "no", "no": "yes"}[gold]
        samples = [
            {"answer": gold if random.random() < accuracy else other, "model": f"m{place}", "cost": 0.001}
            for place, accuracy in enumerate(accuracies)
        ]
        lines.append({"id": number, "kind": "yesno", "gold": gold, "samples": samples, **changes})
    Path("labelled.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return "labelled.jsonl"


@cache
def evaluated(**options: Any) -> Evaluation:
    return evaluate(read_stored(labelled()), **{"draws": 4, "stops": ("decided", "voi"), **options})


def test_the_tables_stand_on_stdout_and_the_remarks_on_stderr(fanin: Command) -> None:
    ended = fanin("eval", labelled(), "--draws", "2", "--stop", "decided")
    assert ended.code == 0
    rows = [line.split("\t") for line in ended.out.splitlines()]
    names = [row[0] for row in rows]
    for name in ("majority of all", "majority, decided", "weights, 50 labels", "weights, no labels"):
        assert name in names
    assert [row[-2:] for row in rows if row[0] == "majority of all"] == [["6.00", "0.00600"]]
    assert {"high", "medium"} <= set(names)
    assert "The best single voter alone does better" in ended.err
    assert "50 labels are not enough to calibrate" in ended.err


def test_the_object(fanin: Command) -> None:
    ended = fanin("eval", labelled(), "--draws", "2", "--stop", "voi", "--json")
    found = json.loads(ended.out)
    assert ended.out.count("\n") == 1
    assert list(found) == [
        *("schema", "kind", "questions", "models", "runs", "methods", "grades", "calibrations", "growth"),
        "remarks",
    ]
    assert (found["schema"], found["kind"], found["questions"]) == ("fanin.eval/1", "yes/no", 240)
    assert ended.out == fanin("eval", labelled(), "--draws", "2", "--stop", "voi", "--json").out


def test_what_is_measured_is_what_was_put_in() -> None:
    found = {one.name: one for one in evaluated().methods}
    single = found["best single voter, 50 labels"]
    assert single.accuracy == pytest.approx(0.95, abs=0.03)
    assert (single.runs, single.brier) == (1, None)
    full, decided = found["majority of all"], found["majority, decided"]
    assert decided.accuracy == full.accuracy
    assert decided.runs < full.runs == 6
    assert decided.cost_usd == pytest.approx(decided.runs * 0.001)
    assert found["weights, 50 labels"].accuracy > full.accuracy + 0.05
    assert found["weights, no labels"].accuracy >= full.accuracy


def test_unknown_costs_are_unknown_and_not_zero() -> None:
    samples = [{"answer": answer, "model": "m"} for answer in ("yes", "no", "yes")]
    questions = read_stored(labelled(20, samples=samples))
    found = evaluate(questions, runs=3, labels=5, draws=2, stops=())
    assert {one.cost_usd for one in found.methods} == {None}


def test_calibration_lowers_the_error_of_the_raw_share() -> None:
    found = {one.name: one for one in evaluated().calibrations}
    assert found["by pattern"].brier <= found["share of the runs"].brier
    assert not found["by pattern"].enough
    assert found["by pattern"].labels == 120


def test_grades_are_a_partition_of_the_votes() -> None:
    grades = evaluated().grades
    assert sum(one.share for one in grades) == pytest.approx(1)
    assert all(one.interval[0] <= one.accuracy <= one.interval[1] for one in grades)


def test_votes_that_are_shorter_than_asked_for_are_told() -> None:
    remark = "240 of 240 questions have fewer than 9 votes: as many as there are make the vote that is"
    assert any(each.startswith(remark) for each in evaluated(runs=9).remarks)
    assert not [each for each in evaluated(runs=6).remarks if "fewer than" in each]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["missing.jsonl"], "missing.jsonl: it cannot be read"),
        (["labelled.jsonl", "--labels", "240"], "--labels must be fewer than the 240 questions"),
        (["labelled.jsonl", "--draws", "0"], "--draws must be a whole number from 1"),
        (["labelled.jsonl", "--runs", "-1"], "--runs must be a whole number from 1"),
        (["labelled.jsonl", "--stop", "certifed:0.05"], "Did you mean certified:ALPHA?"),
    ],
)
def test_bad_input_ends_with_2(fanin: Command, words: list[str], said: str) -> None:
    labelled()
    ended = fanin("eval", *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="matplotlib is not installed")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["calibrate", "-o", "none/cal.json"], "--output must be a file that can be written"),
        (["calibrate", "-o", "."], "--output must be a file that can be written"),
        (["eval", "--plots", "labelled.jsonl/plots"], "--plots must be a folder that can be written to"),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is_asked(
    fanin: Command, words: list[str], said: str
) -> None:
    Path("labelled.jsonl").write_text('{"question": "Is it?", "label": "yes", "answer": "yes/no"}\n')
    ended = fanin(*words, "labelled.jsonl", "--backend", "fake", "--save", "votes.jsonl")
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert not Path("votes.jsonl").exists()


def test_a_label_of_another_type_is_named_by_its_line(fanin: Command) -> None:
    ended = fanin("eval", labelled(3, gold="perhaps"))
    assert (ended.code, ended.out) == (2, "")
    assert "labelled.jsonl, line 1: the gold 'perhaps' is not of the kind yes/no" in ended.err


def test_without_matplotlib_plots_name_their_extra_before_anything_is_measured(
    fanin: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ended = fanin("eval", "missing.jsonl", "--plots", "plots")
    assert ended.code == 2
    assert "pip install 'fanin[plot]'" in ended.err
    with pytest.raises(MissingExtraError):
        require_matplotlib()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("matplotlib") is None, reason="matplotlib is not installed")
def test_plots_are_drawn_as_png_and_svg() -> None:
    drawn = plot(evaluated(), "plots")
    assert [Path(path).name for path in drawn] == [
        f"{name}.{ending}" for name in ("reliability", "cost", "runs") for ending in ("png", "svg")
    ]
    for path in drawn:
        head = Path(path).read_bytes()[:8]
        assert head == b"\x89PNG\r\n\x1a\n" if path.endswith("png") else head.startswith(b"<?xml")


def test_calibrate_then_vote(fanin: Command) -> None:
    path = labelled(
        240, samples=[{"answer": answer, "model": "yes,yes,no"} for answer in ("yes", "yes", "no")]
    )
    assert fanin("calibrate", path, "-o", "cal.json", "--runs", "3").code == 0
    words = ("--backend", "fake", "-m", "yes,yes,no", "--runs", "3", "--calibration", "cal.json")
    ended = fanin("vote", "Is it so?", *words, "--json")
    found = json.loads(ended.out)
    assert found["confidence_kind"] == "calibrated"
    assert found["confidence"] != 2 / 3
    assert "Of 240 past votes like this one" in found["advice"]


def test_calibrate_tells_what_it_found(fanin: Command) -> None:
    ended = fanin("calibrate", labelled(50), "-o", "cal.json")
    assert (ended.code, ended.out) == (0, "")
    assert "past votes like this one" in ended.err
    assert "m0: accuracy" in ended.err
    assert "50 labels are not enough to calibrate" in ended.err
    assert fanin("calibrate", labelled(50), "-o", "cal.json", "-q").err == ""
    blind = fanin("calibrate", labelled(50, gold=None), "-o", "cal.json")
    assert "no right answer is known: weights only" in blind.err


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"gold": "yes"}, "of more than one class"), ({"kind": "essay"}, "line 1: there is no kind 'essay'")],
)
def test_calibrate_refuses_what_teaches_nothing(fanin: Command, changes: dict[str, Any], said: str) -> None:
    ended = fanin("calibrate", labelled(20, **changes), "-o", "cal.json")
    assert ended.code == 2
    assert said in ended.err
    assert not Path("cal.json").exists()


def test_verbose_tells_how_sure_the_votes_make_one(fanin: Command) -> None:
    words = ("vote", "Is it so?", "--backend", "fake", "-m", "yes,yes,no", "-v")
    assert "5 votes; the leader's share of them [38, 96] %" in fanin(*words).err
    assert "this ensemble's most probable answer: 89.1 %; margin 60 %, entropy 0.72 bits" in fanin(*words).err
    assert "most probable" not in fanin(*words, "-q").err


AT_LEAST = {
    "strategyqa": (0.795, 0.79, 0.04),
    "sports": (0.993, 0.993, 0.04),
    "aqua": (0.755, 0.735, None),
    "svamp": (0.95, 0.95, 0.04),
}
"""Set -> accuracy of weights from 50 labels and from none, and the calibration error after 5 runs."""


@pytest.mark.slow
@real_votes
@pytest.mark.parametrize("name", AT_LEAST)
def test_what_was_promised_on_real_answers(name: str) -> None:
    by_labels, blind, error = AT_LEAST[name]
    found = evaluate(read_stored(f"{VOTES}/{name}_multi.jsonl.gz"), stops=())
    methods = {one.name: one for one in found.methods}
    assert methods["weights, 50 labels"].accuracy >= by_labels
    assert methods["weights, no labels"].accuracy >= blind
    calibrations = {one.name: one for one in found.calibrations}
    assert calibrations["by pattern"].enough == (error is not None)
    assert error is None or calibrations["by pattern"].ece <= error
    assert not calibrations["by pattern, 50 labels"].enough
