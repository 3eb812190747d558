"""Stored votes in, a calibration file out and in again, and what a verdict is made of by it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from random import Random
from typing import Any

import attrs
import pytest

import fanin
from fanin.calibration import (
    ENOUGH_LABELS,
    Calibration,
    calibrate,
    correlations,
    read_calibration,
    shape_of,
    text_of,
    write_calibration,
)
from fanin.errors import FaninError, InputError
from fanin.policy.calibrating import Isotonic, Past, Shape
from fanin.policy.weighing import Record, Weights
from fanin.stored_votes import StoredQuestion, StoredVote, models_of, read_stored


def line(
    name: str = "1", kind: str = "yesno", gold: Any = "yes", answers: tuple[Any, ...] = ("yes", "no")
) -> dict[str, Any]:
    samples = [{"answer": answer, "model": f"m{place}"} for place, answer in enumerate(answers)]
    return {"id": name, "kind": kind, "question": "?", "gold": gold, "samples": samples}


def file_of(*lines: Any, name: str = "labelled.jsonl") -> str:
    text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines)
    Path(name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return name


def stored(questions: int = 300, seed: int = 0) -> tuple[StoredQuestion, ...]:
    """Yes or no: two voters that are right nine times of ten, three that are six times."""
    random = Random(seed)
    made = []
    for number in range(questions):
        gold = random.choice(["yes", "no"])
        other = {"yes": "no", "no": "yes"}[gold]
        votes = tuple(
            StoredVote(gold if random.random() < accuracy else other, model)
            for model, accuracy in (("good", 0.9), ("good", 0.9), *([("poor", 0.6)] * 3))
        )
        made.append(StoredQuestion(str(number), "yes/no", gold, votes))
    return tuple(made)


def test_stored_answers_are_read_as_their_kind_reads_them() -> None:
    [numbers] = read_stored(file_of(line(kind="number", gold=51, answers=("51.0", "$51", None, "many", 7))))
    assert numbers.gold == "51"
    assert [vote.answer for vote in numbers.votes] == ["51", "51", None, None, "7"]
    assert numbers.kind == "number"
    [texts] = read_stored(file_of(line(kind="text", gold="The Hague", answers=("**the hague**.", "Delft"))))
    assert [vote.answer == texts.gold for vote in texts.votes] == [True, False]
    assert texts.cast == ((("m0", ""), "the hague"), (("m1", ""), "delft"))


def test_gzip_blank_lines_and_a_byte_order_mark() -> None:
    path = file_of("\ufeff" + json.dumps(line("a")), "", line("b"), "", name="x.jsonl.gz")
    assert [question.id for question in read_stored(path)] == ["a", "b"]


def test_a_verdict_with_gold_is_a_stored_question() -> None:
    verdict = fanin.vote_sync("Is it so?", backend="fake", model="yes,yes,no,!empty")
    path = file_of({**verdict.to_dict(), "gold": "yes", "kind": "yesno"})
    [question] = read_stored(path)
    assert [vote.answer for vote in question.votes] == [ballot.choice for ballot in verdict.ballots]
    assert read_stored(file_of({**verdict.to_dict(), "gold": "yes"}), "yes/no") == (question,)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["{"], "line 1: it is not JSON"),
        ([line("a"), "[]"], "line 2: it is not a JSON object"),
        ([line("a"), "", line("b", gold="perhaps")], "line 3: the gold 'perhaps' is not of the kind yes/no"),
        ([line(kind="essay")], "line 1: there is no kind 'essay'"),
        ([{**line(), "kind": None}], "line 1: it has no kind"),
        ([line("a"), line("a")], "line 2: the id 'a' came before"),
        ([line("a"), line("b", kind="number", gold=1)], "line 2: its kind is number"),
        ([{"id": "1", "kind": "yesno", "gold": "yes"}], "line 1: it has no samples"),
        ([{"id": "1", "kind": "yesno", "samples": []}], "line 1: it has no gold"),
        ([{**line(), "samples": [{"answer": "yes"}]}], "line 1: a sample has no model"),
        ([{**line(), "samples": [{"answer": "yes", "model": 5}]}], "line 1: a sample's model"),
        ([{**line(), "samples": ["yes"]}], "line 1: a sample is not an object"),
        ([{**line(), "samples": [{"answer": "yes", "model": "m", "cost": -1}]}], "line 1: a sample's cost"),
        ([""], "there is no question in it"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(lines: list[Any], said: str) -> None:
    with pytest.raises(FaninError, match=r"labelled\.jsonl") as raised:
        read_stored(file_of(*lines))
    assert said in raised.value.message


@pytest.mark.parametrize("raw", [None, b"\xff\xfe", b"\x1f\x8bbroken"])
def test_a_file_that_cannot_be_read(raw: bytes | None) -> None:
    if raw is not None:
        Path("x").write_bytes(raw)
    with pytest.raises(FaninError, match=r"^x: it "):
        read_stored("x")


def test_draws_are_the_same_every_time_and_differ_from_one_another() -> None:
    question = attrs.evolve(stored(1)[0], votes=tuple(StoredVote("yes", f"m{n}") for n in range(20)))
    assert question.drawn(3) == question.drawn(3)
    assert sorted(question.drawn(1), key=str) == sorted(question.votes, key=str)
    assert question.drawn(3, 5) == question.drawn(3)[:5]
    assert len({question.drawn(draw, 5) for draw in range(20)}) == 20


def test_shapes_and_winners() -> None:
    def of(*answers: str | None) -> tuple[Shape, str | None]:
        return shape_of([StoredVote(answer, "m") for answer in answers])

    assert of("a", "b", "a") == (Shape((2, 1)), "a")
    assert of("a", "b") == (Shape((1, 1)), None)
    assert of("a", None, None) == (Shape((1,), 2), None)
    assert of("a", "a", None) == (Shape((2,), 1), "a")
    assert of() == (Shape(()), None)


def test_what_is_fitted() -> None:
    questions = stored()
    made = calibrate(questions)
    assert (made.kind, made.models, made.runs, made.labels) == ("yes/no", ("good", "poor"), 5, 300)
    assert sum(past.votes for past in made.shapes.values()) == pytest.approx(300)
    assert made.shapes[Shape((5,))].chance > made.shapes[Shape((3, 2))].chance
    assert made.weights is not None
    assert made.weights.log_odds["good", ""] > 2 * made.weights.log_odds["poor", ""]
    assert made == calibrate(questions)


def test_without_right_answers_there_are_weights_only() -> None:
    made = calibrate([attrs.evolve(question, gold=None) for question in stored()])
    assert (made.labels, made.shapes, made.scores) == (0, {}, None)
    assert made.weights is not None
    assert made.weights.source == "votes"
    assert made.weights.log_odds["good", ""] > made.weights.log_odds["poor", ""]


def test_nothing_can_be_learnt_from_one_class() -> None:
    same = [attrs.evolve(question, gold="yes") for question in stored(20)]
    with pytest.raises(InputError, match="more than one class"):
        calibrate(same)
    always = [attrs.evolve(one, votes=(StoredVote(one.gold, "m"),) * 5) for one in stored(20)]
    with pytest.raises(InputError, match="some votes are right"):
        calibrate(always)
    with pytest.raises(InputError, match="samples"):
        calibrate(stored(20), runs=6)
    with pytest.raises(InputError, match="runs"):
        calibrate(stored(20), runs=0)


def test_runs_that_err_together_are_correlated_and_others_not() -> None:
    random = Random(2)
    questions = []
    for number in range(400):
        alike, alone = ("yes" if random.random() < 0.7 else "no" for _ in range(2))
        votes = (
            StoredVote(alike, "a"),
            StoredVote(alike, "a"),
            StoredVote(alone, "b"),
            StoredVote(None, "b"),
        )
        questions.append(StoredQuestion(str(number), "yes/no", "yes", votes))
    found = correlations(questions)
    assert found["a", "a"] == pytest.approx(1)
    assert abs(found["a", "b"]) < 0.15
    assert ("b", "b") not in found


def test_a_file_is_read_as_it_was_written() -> None:
    made = calibrate(stored(40))
    write_calibration(made, "cal.json")
    found = read_calibration("cal.json")
    assert text_of(found) == text_of(made)
    assert found.weights == made.weights
    assert found.correlation("poor", "good") == pytest.approx(made.correlation("good", "poor"), abs=1e-6)
    assert found.correlation("good", "unknown") == 0
    assert [path.name for path in Path().iterdir()] == ["cal.json"]


def test_a_folder_is_no_file_to_write() -> None:
    with pytest.raises(FaninError, match="cannot be written"):
        write_calibration(calibrate(stored(20)), "no/such/folder.json")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema", "fanin.calibration/2"),
        ("schema", None),
        ("models", [1]),
        ("runs", "5"),
        ("labels", True),
        ("patterns", [{"counts": [5], "lost": 0, "votes": 1, "right": 2}]),
        ("patterns", [{"counts": [5], "lost": 0, "votes": 0, "right": 0}]),
        ("scores", [{"from": "x", "votes": 1, "right": 1}]),
        ("weights", {"source": "guess", "alternatives": 2, "voters": []}),
        ("weights", {"source": "labels", "alternatives": 1, "voters": []}),
        ("correlations", [{"models": ["a"], "correlation": 0.5}]),
        ("correlations", 5),
    ],
)
def test_a_damaged_file_is_refused(key: str, value: Any) -> None:
    found = json.loads(text_of(calibrate(stored(20))))
    Path("cal.json").write_text(json.dumps({**found, key: value}))
    with pytest.raises(FaninError, match=r"^cal\.json: it is") as raised:
        read_calibration("cal.json")
    assert "fanin calibrate" in str(raised.value.mend)


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00"])
def test_what_is_no_calibration_is_refused(text: str) -> None:
    Path("cal.json").write_text(text)
    with pytest.raises(FaninError, match="no calibration file"):
        read_calibration("cal.json")
    with pytest.raises(FaninError, match="cannot be read"):
        read_calibration("missing.json")


def file_for(members: tuple[str, ...], /, **changes: Any) -> str:
    """A calibration of yes/no votes of five runs: the first model's votes weigh most."""
    records = tuple(Record((model, ""), 95 if model == members[0] else 55, 98) for model in sorted(members))
    made = Calibration(
        kind="yes/no",
        models=tuple(sorted(members)),
        runs=5,
        labels=ENOUGH_LABELS,
        shapes={Shape((5,)): Past(40, 39), Shape((3, 2)): Past(120, 104), Shape((4, 1)): Past(9, 8)},
        weights=Weights("labels", 2.0, records),
        scores=Isotonic((0.5,), (Past(50, 40),)),
    )
    write_calibration(attrs.evolve(made, **changes), "cal.json")
    return "cal.json"


def asked(*models: str, **options: Any) -> fanin.Verdict:
    return fanin.vote_sync("Is it so?", backend="fake", model=models, **options)


def test_a_fitting_calibration_makes_a_chance_of_the_share() -> None:
    plain = asked("yes,yes,yes,no,no")
    verdict = asked("yes,yes,yes,no,no", calibration=file_for(("yes,yes,yes,no,no",)))
    assert plain.votes == verdict.votes == {"yes": 3, "no": 2}
    assert (plain.confidence_kind, verdict.confidence_kind) == ("agreement", "calibrated")
    assert verdict.confidence == 105 / 122
    assert verdict.advice == f"{plain.advice} Of 120 past votes like this one, 87 % [79, 92] were right."
    assert attrs.evolve(verdict, confidence=0.6, confidence_kind="agreement", advice=plain.advice) == plain


@pytest.mark.parametrize(
    ("models", "options", "changes", "said"),
    [
        (("yes",), {}, {"models": ("other",)}, "it was made with other models (other)"),
        (("yes",), {}, {"kind": "number"}, "it was made for answers of the type number"),
        (("yes",), {}, {"labels": 50}, "50 labels are not enough: it takes 200"),
        (("yes",), {"runs": 4}, {}, "it was made for votes of 5 runs, and this one has 4"),
        (("yes",), {"stop": "decided"}, {"runs": 4}, "the past votes were not cut short"),
        (("yes,yes,yes,yes,no",), {}, {}, "only 9 past votes had the pattern 4-1"),
        (("yes,yes,yes,yes,!empty",), {}, {}, "no past vote had the pattern 4, 1 lost"),
    ],
)
def test_where_it_does_not_fit_it_says_so_and_the_confidence_stays_agreement(
    models: tuple[str, ...], options: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    path = file_for(models, **changes)
    plain, verdict = asked(*models, **options), asked(*models, calibration=path, **options)
    assert verdict.advice.startswith(f"{plain.advice} Not calibrated: {said}")
    assert attrs.evolve(verdict, advice=plain.advice) == plain


TWO = ("yes", "no")
"""Asked in turn: three runs say yes, two say no."""


def test_weights_decide_and_the_unweighted_votes_stay() -> None:
    verdict = asked(*TWO, weights=file_for(("no", "yes")))
    assert verdict.votes == {"yes": 3, "no": 2}
    assert (verdict.answer, verdict.grade, verdict.confidence) == ("no", "low", 0.4)
    assert verdict.confidence_kind == "agreement"
    assert "Decided by the weights; unweighted, yes would lead with 3 of 5." in verdict.advice


def test_weights_break_a_tie_and_confirm_a_majority() -> None:
    path = file_for(("no", "yes"))
    tie = asked(*TWO, runs=4, weights=path)
    assert (tie.outcome, tie.answer, tie.grade, tie.confidence) == ("decided", "no", "low", 0.5)
    same = asked(*TWO, weights=file_for(("yes", "no")))
    assert (same.answer, same.grade) == ("yes", "medium")
    assert same.advice.endswith("Weighted, the answer is the same.")


def test_a_weighted_vote_is_calibrated_by_its_own_chance() -> None:
    path = file_for(("no", "yes"))
    verdict = asked(*TWO, weights=path, calibration=path)
    assert (verdict.answer, verdict.confidence_kind, verdict.confidence) == ("no", "calibrated", 0.8)
    assert "Of 50 past votes like this one, 80 %" in verdict.advice


def test_a_weight_never_makes_a_vote_of_a_spoiled_ballot() -> None:
    models = ("!empty", "no")
    verdict = asked(*models, runs=5, quorum=2, weights=file_for(models))
    assert (verdict.answer, verdict.votes, verdict.runs.spoiled) == ("no", {"no": 2}, 3)
    failed = asked("!empty", weights=file_for(("!empty",)))
    assert (failed.outcome, failed.answer) == ("failed", None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models": ("other",)}, "Not weighted: it was made with other models (other)."),
        ({"weights": None}, "Not weighted: the file holds no weights."),
        ({"weights": Weights("labels", 2.0, ())}, "Not weighted: there is no weight for no, yes."),
        (
            {"weights": Weights("labels", 2.0, (Record(("no", ""), 5, 10), Record(("yes", ""), 5, 10)))},
            "Not weighted: the weights leave a tie.",
        ),
    ],
)
def test_weights_that_do_not_fit_change_nothing_and_say_so(changes: dict[str, Any], said: str) -> None:
    plain, verdict = asked(*TWO), asked(*TWO, weights=file_for(("no", "yes"), **changes))
    assert verdict.advice.endswith(said)
    assert attrs.evolve(verdict, advice=plain.advice) == plain


def test_a_bad_file_is_said_before_the_first_call() -> None:
    with pytest.raises(FaninError, match="cannot be read"):
        asked("!auth", calibration="missing.json")


def test_the_models_of_a_file() -> None:
    assert models_of(stored(2)) == ("good", "poor")
