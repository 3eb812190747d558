"""What is measured on questions with known answers, as values."""

from __future__ import annotations

import attrs

from fanin.calibration import ENOUGH_LABELS
from fanin.policy.calibrating import Bin


@attrs.frozen
class Measured:
    """One way of deciding."""

    name: str
    """What it is."""
    accuracy: float
    """Share of all questions answered rightly, 0 to 1; the mean over the draws."""
    spread: float
    """The standard deviation of that share between draws."""
    brier: float | None
    """The Brier score of its confidence; None where it has none."""
    ece: float | None
    """The expected calibration error of its confidence; None where it has none."""
    runs: float
    """Runs for a question, in the mean."""
    cost_usd: float | None
    """US dollars for a question, in the mean; None is unknown."""


@attrs.frozen
class Graded:
    """The votes of one grade."""

    grade: str
    """`high`, `medium`, `low` or `none`."""
    share: float
    """Their share of all votes, 0 to 1."""
    questions: float
    """As many questions as they stand for."""
    accuracy: float
    """The share of them that was right, 0 to 1; without a winner none is."""
    interval: tuple[float, float]
    """The Wilson interval at 95 % on that share."""


@attrs.frozen
class Calibrated:
    """One way to a confidence, measured on the questions that it was not fitted to."""

    name: str
    """What it is."""
    labels: int
    """Questions with a known answer that it was fitted to; 0 for none."""
    ece: float
    """The mean expected calibration error over the splits."""
    spread: float
    """Its standard deviation between splits."""
    floor: float
    """The error that chance alone would make, were every confidence right."""
    brier: float
    """The mean Brier score."""
    bins: tuple[Bin, ...]
    """The reliability diagram over all splits."""

    @property
    def enough(self) -> bool:
        """Whether it was fitted to enough labels to be called calibrated."""
        return self.labels >= ENOUGH_LABELS


@attrs.frozen
class Evaluation:
    """Everything that was measured on one file."""

    kind: str
    """The name of the answer type."""
    questions: int
    """Questions with a known answer."""
    models: tuple[str, ...]
    """The models, sorted."""
    runs: int
    """The runs of the votes that are graded and calibrated."""
    methods: tuple[Measured, ...]
    """Ways of deciding."""
    grades: tuple[Graded, ...]
    """Accuracy by grade, the grades that occur."""
    calibrations: tuple[Calibrated, ...]
    """Ways to a confidence."""
    growth: tuple[tuple[int, float], ...]
    """(runs, accuracy of their majority) for growing numbers of runs."""
    remarks: tuple[str, ...]
    """What ought not to be missed, in sentences."""
