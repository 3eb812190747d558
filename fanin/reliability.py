"""How well ways to a confidence do on questions with known answers that they were not fitted to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import fsum, sqrt
from random import Random

from fanin.evaluation import Calibrated
from fanin.policy.calibrating import (
    Foretold,
    Past,
    Shape,
    brier,
    calibration_error,
    count_shapes,
    isotonic,
    noise_floor,
    reliability,
)
from fanin.stored_votes import StoredQuestion

Drawn = Sequence[Sequence[tuple[Shape, str | None]]]
"""For every question, for every draw: the shape of the vote and its winner."""


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean."""
    return fsum(values) / len(values)


def spread(values: Sequence[float]) -> float:
    """The standard deviation of the values themselves, not of what they were drawn from."""
    middle = mean(values)
    return sqrt(mean([(value - middle) ** 2 for value in values]))


def calibrations(known: Sequence[StoredQuestion], drawn: Drawn, labels: int) -> tuple[Calibrated, ...]:
    """On random halves: the raw share, the pattern, the isotonic share, and the pattern from few labels."""
    half = len(known) // 2
    names = {
        "share of the runs": 0,
        "by pattern": half,
        "isotonic share": half,
        f"by pattern, {min(labels, half)} labels": min(labels, half),
    }
    made: dict[str, list[list[Foretold]]] = {name: [] for name in names}
    for split in range(len(drawn[0])):
        order = list(range(len(known)))
        Random(f"halves {split}").shuffle(order)
        fitted = {
            name: _fit(name, [(known[place].gold, drawn[place]) for place in order[:many]])
            for name, many in names.items()
        }
        held: list[tuple[Shape, bool]] = []
        for place in order[half:]:
            shape, winner = drawn[place][split]
            if winner is not None:
                held.append((shape, winner == known[place].gold))
        for name, confidence in fitted.items():
            made[name].append([(confidence(shape), right) for shape, right in held])
    return tuple(_calibrated(name, many, made[name]) for name, many in names.items())


def _calibrated(name: str, labels: int, made: Sequence[Sequence[Foretold]]) -> Calibrated:
    errors = [calibration_error(one) for one in made]
    return Calibrated(
        name,
        labels,
        mean(errors),
        spread(errors),
        mean([noise_floor(one) for one in made]),
        mean([brier(one) for one in made]),
        reliability([foretold for one in made for foretold in one]),
    )


def _share(shape: Shape) -> float:
    return shape.counts[0] / shape.runs


def _fit(
    name: str, labelled: Sequence[tuple[str | None, Sequence[tuple[Shape, str | None]]]]
) -> Callable[[Shape], float]:
    """A confidence for a shape. Where nothing is known of one, all past votes together speak for it."""
    if not labelled:
        return _share
    past = [
        (shape, winner == gold, 1 / len(its))
        for gold, its in labelled
        for shape, winner in its
        if winner is not None
    ]
    if name.startswith("isotonic"):
        steps = isotonic((_share(shape), right, part) for shape, right, part in past)
        return _share if steps is None else lambda shape: steps(_share(shape))
    shapes = count_shapes(past)
    everything = Past(fsum(one.votes for one in shapes.values()), fsum(one.right for one in shapes.values()))
    return lambda shape: shapes.get(shape, everything).chance
