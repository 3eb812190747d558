"""A cascade with weights and calibration: the files of the tier that decides, and what is said of them."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from command import Command

import fanin
from fanin.calibration import ENOUGH_LABELS, Calibration, write_calibration
from fanin.policy.calibrating import Isotonic, Past, Shape
from fanin.policy.weighing import Record, Weights
from fanin.verdict import Verdict

SMALL, LARGE = "yes,no,yes,no,yes", "yes,yes,yes,yes,no"
HARDER = "But the past votes were on all questions, and those that a tier passes on are harder"


def file_for(model: str, name: str, **changes: Any) -> str:
    made = Calibration(
        kind="yes/no",
        models=(model,),
        runs=5,
        labels=ENOUGH_LABELS,
        shapes={Shape((4, 1)): Past(120, 104), Shape((3, 2)): Past(50, 30), Shape((5,)): Past(90, 88)},
        weights=Weights("labels", 2.0, (Record((model, ""), 80, 100),)),
        scores=Isotonic((0.5,), (Past(50, 40),)),
    )
    write_calibration(attrs.evolve(made, **changes), name)
    return name


def asked(small: str = SMALL, **options: Any) -> Verdict:
    return fanin.vote_sync("Is it so?", backend="fake", model=small, escalate=LARGE, **options)


def test_the_file_of_the_tier_that_decides_is_taken() -> None:
    files = [file_for(SMALL, "small.json"), file_for(LARGE, "large.json")]
    plain, verdict = asked(), asked(calibration=files)
    assert len(verdict.tiers) == 2
    assert verdict.votes == {"yes": 4, "no": 1}
    assert (verdict.confidence_kind, verdict.confidence) == ("calibrated", 105 / 122)
    assert verdict.advice.startswith(f"{plain.advice} Of 120 past votes like this one, 87 % [79, 92]")
    assert HARDER in verdict.advice
    assert asked(calibration=files[::-1]) == verdict
    assert verdict.tiers == plain.tiers


def test_the_first_tier_decides_without_any_caveat() -> None:
    verdict = asked("yes", calibration=file_for("yes", "small.json"))
    assert len(verdict.tiers) == 1
    assert (verdict.confidence_kind, verdict.confidence) == ("calibrated", 89 / 92)
    assert HARDER not in verdict.advice


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([SMALL], f"Not calibrated: it was made with other models ({SMALL})."),
        (
            [SMALL, "other"],
            f"Not calibrated: none of the 2 files was made with {LARGE} for answers of the type yes/no.",
        ),
    ],
)
def test_files_of_other_tiers_are_said_not_to_fit(models: list[str], said: str) -> None:
    plain = asked()
    verdict = asked(calibration=[file_for(model, f"{at}.json") for at, model in enumerate(models)])
    assert verdict.advice == f"{plain.advice} {said}"
    assert attrs.evolve(verdict, advice=plain.advice) == plain


def test_weights_are_those_of_the_tier_that_decides() -> None:
    poor = Weights("labels", 2.0, (Record((LARGE, ""), 10, 100),))
    verdict = asked(weights=file_for(LARGE, "large.json", weights=poor))
    assert (verdict.answer, verdict.grade, verdict.confidence) == ("no", "low", 0.2)
    assert "Decided by the weights; unweighted, yes would lead with 4 of 5." in verdict.advice
    assert verdict.tiers[1].answer == "yes"
    other = asked(weights=file_for(SMALL, "small.json"))
    assert other.advice.endswith(f"Not weighted: it was made with other models ({SMALL}).")


def test_a_cut_short_last_tier_does_not_uncalibrate_the_one_that_decides() -> None:
    dead = "!auth"
    plain = fanin.vote_sync("Is it so?", backend="fake", model=SMALL, escalate=dead)
    assert plain.answer == "yes"
    verdict = fanin.vote_sync(
        "Is it so?", backend="fake", model=SMALL, escalate=dead, calibration=file_for(SMALL, "small.json")
    )
    assert (verdict.confidence_kind, verdict.confidence) == ("calibrated", 31 / 52)


def test_the_command_takes_several_files(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ("--calibration", file_for(SMALL, "s.json"), "--calibration", file_for(LARGE, "l.json"))
    words = ("vote", "Is it so?", "--backend", "fake", "-m", SMALL, "--escalate", LARGE, "-v")
    ended = Command(monkeypatch, capsys)(*words, *files)
    assert ended.code == 0, ended.err
    assert "Of 120 past votes like this one, 87 %" in ended.err
