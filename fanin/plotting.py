"""Plots of an evaluation, as PNG and SVG; needs matplotlib, the extra `fanin[plot]`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fanin.errors import FaninError, MissingExtraError
from fanin.evaluation import Evaluation


def require_matplotlib() -> None:
    """Raises MissingExtraError where matplotlib is not installed; loads nothing."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise MissingExtraError("drawing plots", "plot")


def plot(evaluation: Evaluation, folder: str) -> tuple[str, ...]:
    """Draws three plots into the folder, which is made, and gives the paths of the files.

    `reliability` (confidence and accuracy, from the halves that the confidence was not fitted to), `cost`
    (accuracy against US dollars, or runs where the costs are unknown) and `runs` (accuracy of the majority).
    Raises MissingExtraError without matplotlib, FaninError where the folder cannot be written to.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    paths = []
    for name, draw in (("reliability", _reliability), ("cost", _cost), ("runs", _runs)):
        figure = Figure(figsize=(6.4, 4.8), layout="constrained")
        draw(evaluation, figure.add_subplot())
        for ending in ("png", "svg"):
            path = Path(folder) / f"{name}.{ending}"
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                figure.savefig(path, dpi=150)
            except OSError as error:
                raise FaninError(f"{path}: it cannot be written: {error.strerror or error}") from None
            paths.append(str(path))
    return tuple(paths)


def _reliability(evaluation: Evaluation, axes: Any) -> None:
    axes.plot((0, 1), (0, 1), color="0.7", linestyle="--", label="as sure as right")
    for one in evaluation.calibrations:
        label = f"{one.name} (ECE {one.ece:.3f}, by chance {one.floor:.3f})"
        axes.plot(
            [held.confidence for held in one.bins], [held.accuracy for held in one.bins], "o-", label=label
        )
    axes.set(xlabel="confidence", ylabel="share that was right", xlim=(0, 1), ylim=(0, 1))
    axes.set_title(f"Votes of {evaluation.runs} runs on {evaluation.questions:,} questions")
    axes.legend(fontsize="small")


def _cost(evaluation: Evaluation, axes: Any) -> None:
    priced = all(method.cost_usd is not None for method in evaluation.methods)
    for method in evaluation.methods:
        spent = method.cost_usd if priced else method.runs
        axes.errorbar(
            spent, 100 * method.accuracy, yerr=100 * method.spread, fmt="o", capsize=3, label=method.name
        )
    axes.set(xlabel="US$ a question" if priced else "runs a question", ylabel="accuracy, %")
    axes.set_title("What the accuracy costs")
    axes.legend(fontsize="small")


def _runs(evaluation: Evaluation, axes: Any) -> None:
    axes.plot(
        [runs for runs, _ in evaluation.growth], [100 * accuracy for _, accuracy in evaluation.growth], "o-"
    )
    axes.set(xlabel="runs a question", ylabel="accuracy of the majority, %")
    axes.set_title("What more runs bring")
