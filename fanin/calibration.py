"""What past votes with known answers taught about an ensemble: fitting it, the file, and using it.

The file is one JSON object, `fanin.calibration/1`. It speaks for the set of models, the type of answer and
the number of runs that it was made with, and for no other.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import fsum, isfinite, sqrt
from pathlib import Path
from typing import Any

import attrs

from fanin.errors import FaninError, InputError
from fanin.policy.calibrating import Isotonic, Past, Shape, count_shapes, isotonic
from fanin.policy.weighing import (
    Cast,
    Record,
    Weights,
    chances,
    leaders,
    scores,
    weights_from_labels,
    weights_from_votes,
)
from fanin.stored_votes import StoredQuestion, StoredVote, models_of

SCHEMA = "fanin.calibration/1"
ENOUGH_LABELS = 200
"""With fewer questions of known answer no confidence is called calibrated: on four sets of real answers
the calibration error after five runs was .03 to .12 from 50 labels, and at most .04 from 200."""
ENOUGH_VOTES = 10
"""A pattern of votes with fewer past ones is as good as never seen."""
DRAWS = 20
"""Votes that are drawn from a question that has more stored answers than a vote has runs."""


@attrs.frozen
class Calibration:
    """What is known of one ensemble."""

    kind: str
    """The name of the answer type."""
    models: tuple[str, ...]
    """The set of models, sorted."""
    runs: int
    """The runs of the past votes."""
    labels: int
    """Questions with a known answer that it was made from."""
    shapes: Mapping[Shape, Past]
    """Shape of the votes -> the past votes of that shape."""
    weights: Weights | None = None
    """What the voters' votes are worth; None where that could not be fitted."""
    scores: Isotonic | None = None
    """From the weighted vote's own chance of being right to the one measured."""
    correlations: Mapping[tuple[str, str], float] = attrs.field(factory=dict)
    """(model, model), sorted -> the correlation of their being right, for two runs on one question."""

    def correlation(self, one: str, another: str) -> float:
        """The correlation of two models' being right; 0 where it was not measured."""
        return self.correlations.get((min(one, another), max(one, another)), 0.0)

    def unfit(self, kind: str, models: Sequence[str], runs: int) -> str | None:
        """Why it does not speak for such a vote; None where it does."""
        if problem := self.foreign(kind, models):
            return problem
        if self.labels < ENOUGH_LABELS:
            return f"{self.labels} labels are not enough: it takes {ENOUGH_LABELS}"
        if runs != self.runs:
            return f"it was made for votes of {self.runs} runs, and this one has {runs}"
        return None

    def foreign(self, kind: str, models: Sequence[str]) -> str | None:
        """What sets the ensemble that it was made with apart from this one; None where nothing does."""
        if tuple(sorted(set(models))) != self.models:
            return f"it was made with other models ({', '.join(self.models)})"
        if kind != self.kind:
            return f"it was made for answers of the type {self.kind}, and these are {kind}"
        return None

    def past(self, shape: Shape) -> Past | str:
        """The past votes of that shape, or why there is nothing to say about it."""
        past = self.shapes.get(shape)
        if past is None:
            return f"no past vote had the pattern {shape}"
        if past.votes < ENOUGH_VOTES:
            return f"only {past.votes:.0f} past votes had the pattern {shape}"
        return past


def shape_of(votes: Sequence[StoredVote]) -> tuple[Shape, str | None]:
    """The shape of stored votes and the winner; None for a tie, or where half of the runs gave nothing."""
    counts = Counter(vote.answer for vote in votes if vote.answer is not None).most_common()
    shape = Shape(tuple(many for _, many in counts), len(votes) - sum(many for _, many in counts))
    tie = len(counts) > 1 and counts[0][1] == counts[1][1]
    decided = counts and not tie and 2 * sum(shape.counts) > len(votes)
    return shape, counts[0][0] if decided else None


def calibrate(questions: Sequence[StoredQuestion], runs: int = 5, draws: int = DRAWS) -> Calibration:
    """What the questions teach about votes of `runs` runs on this ensemble.

    Where a question has more answers than that, `draws` votes are drawn from them and count as one. Without
    any right answer only weights are fitted, from the votes alone. Raises InputError: no question with so
    many answers, or right answers that are all alike or all missed, of which nothing can be learnt.
    """
    if not isinstance(runs, int) or isinstance(runs, bool) or runs < 1:
        raise InputError("runs", "a whole number from 1", runs)
    labelled = [question for question in questions if question.gold is not None]
    if not labelled:
        weights = weights_from_votes([question.cast for question in questions])
        return Calibration(questions[0].kind, models_of(questions), runs, 0, {}, weights)
    long_enough = [question for question in labelled if len(question.votes) >= runs]
    if not long_enough:
        raise InputError("runs", "at most the samples of a question", runs)
    _check_classes(labelled)
    return Calibration(
        kind=questions[0].kind,
        models=models_of(questions),
        runs=runs,
        labels=len(long_enough),
        shapes=count_shapes(
            (shape, winner == question.gold, 1 / draws)
            for question in long_enough
            for shape, winner in (shape_of(question.drawn(draw, runs)) for draw in range(draws))
            if winner is not None
        ),
        weights=labelled_weights(labelled),
        scores=_scores(long_enough, runs, draws),
        correlations=correlations(labelled),
    )


def check_golds(golds: Sequence[str | None]) -> None:
    """Raises InputError where nothing can be learnt from such right answers: one class of them alone."""
    known = {gold for gold in golds if gold is not None}
    if len(known) == 1:
        raise InputError("labels", "of more than one class", next(iter(known)), mend="Add other questions.")


def _check_classes(labelled: Sequence[StoredQuestion]) -> None:
    check_golds([question.gold for question in labelled])
    results = {choice == question.gold for question in labelled for _, choice in question.cast}
    if len(results) < 2:
        bound = "questions on which some votes are right and some are wrong"
        raise InputError("labels", bound, f"{len(labelled)} questions", mend="Add other questions.")


def labelled_weights(labelled: Sequence[StoredQuestion]) -> Weights:
    """The weights that the right answers give; every question has one."""
    return weights_from_labels([(question.cast, question.gold or "") for question in labelled])


def weighted(votes: Sequence[StoredVote], weights: Weights) -> tuple[str | None, float]:
    """The answer with the most weight and its chance; None for a tie. A voter never seen weighs nothing."""
    cast: list[Cast] = [
        (vote.voter, vote.answer)
        for vote in votes
        if vote.answer is not None and vote.voter in weights.log_odds
    ]
    scored = scores(cast, weights.log_odds)
    first = leaders(scored)
    if len(first) != 1:
        return None, 0.0
    return first[0], chances(scored, weights.alternatives)[first[0]]


def _scores(labelled: Sequence[StoredQuestion], runs: int, draws: int) -> Isotonic | None:
    """Fitted crosswise: the weights of one half judge the other, so that no question judges itself."""
    points = []
    for side in (0, 1):
        others = labelled[1 - side :: 2]
        if not any(question.cast for question in others):
            return None
        weights = labelled_weights(others)
        for question in labelled[side::2]:
            for draw in range(draws):
                answer, chance = weighted(question.drawn(draw, runs), weights)
                if answer is not None:
                    points.append((chance, answer == question.gold, 1 / draws))
    return isotonic(points)


def correlations(labelled: Sequence[StoredQuestion]) -> dict[tuple[str, str], float]:
    """(model, model), sorted -> the mean correlation of two of their runs' being right on one question.

    The phi coefficient, over the questions on which both runs gave an answer; a run is told apart by its
    model, its prompt and how often that came before. Of a model with itself: of two different runs.
    """
    valid: dict[tuple[str, str, int], int] = {}
    right: dict[tuple[str, str, int], int] = {}
    for place, question in enumerate(labelled):
        times: Counter[tuple[str, str]] = Counter()
        for vote in question.votes:
            member = (*vote.voter, times[vote.voter])
            times[vote.voter] += 1
            if vote.answer is not None:
                valid[member] = valid.get(member, 0) | 1 << place
                right[member] = right.get(member, 0) | (vote.answer == question.gold) << place
    found: dict[tuple[str, str], list[float]] = {}
    members = sorted(valid)
    for place, one in enumerate(members):
        for another in members[place + 1 :]:
            phi = _phi(valid[one] & valid[another], right[one], right[another])
            if phi is not None:
                found.setdefault((one[0], another[0]), []).append(phi)
    return {pair: fsum(phis) / len(phis) for pair, phis in found.items()}


def _phi(both: int, one: int, another: int) -> float | None:
    """The correlation of two sets of questions within a third, each given as bits; None where undefined."""
    n, a, b = both.bit_count(), (one & both).bit_count(), (another & both).bit_count()
    spread = a * (n - a) * b * (n - b)
    if not spread:
        return None
    return float((n * (one & another & both).bit_count() - a * b) / sqrt(spread))


def text_of(calibration: Calibration) -> str:
    """The file's text: one JSON object, indented."""
    weights = calibration.weights
    found = {
        "schema": SCHEMA,
        "kind": calibration.kind,
        "models": list(calibration.models),
        "runs": calibration.runs,
        "labels": calibration.labels,
        "patterns": [
            {"counts": list(shape.counts), "lost": shape.lost, **_rounded(past)}
            for shape, past in calibration.shapes.items()
        ],
        "weights": None
        if weights is None
        else {
            "source": weights.source,
            "alternatives": weights.alternatives,
            "voters": [
                {"model": one.voter[0], "prompt": one.voter[1], "right": one.right, "valid": one.valid}
                for one in weights.records
            ],
        },
        "scores": None
        if calibration.scores is None
        else [
            {"from": start, **_rounded(past)}
            for start, past in zip(calibration.scores.starts, calibration.scores.steps, strict=True)
        ],
        "correlations": [
            {"models": list(pair), "correlation": round(rho, 6)}
            for pair, rho in sorted(calibration.correlations.items())
        ],
    }
    return json.dumps(found, ensure_ascii=False, indent=1) + "\n"


def _rounded(past: Past) -> dict[str, float]:
    return {"votes": round(past.votes, 6), "right": round(past.right, 6)}


def write_calibration(calibration: Calibration, path: str) -> None:
    """Writes the file whole or not at all. Raises FaninError."""
    target = Path(path).resolve()
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_text(text_of(calibration), "utf-8", newline="\n")
        unfinished.replace(target)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        raise FaninError(f"{path}: it cannot be written: {error.strerror or error}") from None


def read_calibration(path: str) -> Calibration:
    """The calibration in a file. Raises FaninError: no such file, no calibration, another version of it,
    or numbers that cannot be."""
    try:
        text = Path(path).read_text("utf-8-sig")
    except OSError as error:
        raise FaninError(f"{path}: it cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise FaninError(f"{path}: it is no calibration file", mend=_MAKE) from None
    return calibration_from(text, path)


def calibration_from(text: str, path: str) -> Calibration:
    """Like `read_calibration`, from a text that is at hand; `path` names it in errors."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise FaninError(f"{path}: it is no calibration file", mend=_MAKE) from None
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema != SCHEMA:
        other = f"it is {schema!r}, not {SCHEMA}" if schema else "it is no calibration file"
        raise FaninError(f"{path}: {other}", mend=_MAKE)
    try:
        return _calibration_of(found)
    except (LookupError, TypeError, ValueError, AttributeError, InputError) as error:
        raise FaninError(f"{path}: it is damaged ({type(error).__name__}: {error})", mend=_MAKE) from None


_MAKE = "Make one: fanin calibrate labelled.jsonl -o cal.json"


def _calibration_of(found: dict[str, Any]) -> Calibration:
    weights, steps = found["weights"], found["scores"]
    return Calibration(
        kind=_text(found["kind"]),
        models=tuple(_text(model) for model in found["models"]),
        runs=_whole(found["runs"]),
        labels=_whole(found["labels"]),
        shapes={
            Shape(tuple(_whole(many) for many in one["counts"]), _whole(one["lost"])): _past(one)
            for one in found["patterns"]
        },
        weights=None if weights is None else _weights(weights),
        scores=None
        if not steps
        else Isotonic(tuple(_number(one["from"]) for one in steps), tuple(_past(one) for one in steps)),
        correlations={
            (_text(one["models"][0]), _text(one["models"][1])): _number(one["correlation"])
            for one in found["correlations"]
        },
    )


def _weights(found: dict[str, Any]) -> Weights:
    source, alternatives = found["source"], _number(found["alternatives"])
    if source not in ("labels", "votes") or alternatives < 2:
        raise ValueError("weights of no known source")
    records = [
        Record((_text(one["model"]), _text(one["prompt"])), *_part(one["right"], one["valid"]))
        for one in found["voters"]
    ]
    return Weights(source, alternatives, tuple(records))


def _past(found: dict[str, Any]) -> Past:
    right, votes = _part(found["right"], found["votes"])
    if not votes:
        raise ValueError("a pattern without a vote")
    return Past(votes, right)


def _part(part: Any, whole: Any) -> tuple[float, float]:
    part, whole = _number(part), _number(whole)
    if not 0 <= part <= whole + 1e-6:
        raise ValueError(f"{part} of {whole}")
    return part, whole


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{value!r} is no whole number")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
