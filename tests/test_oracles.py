"""Formulas of our own beside those of scipy: slow, as scipy alone takes a while to load."""

from __future__ import annotations

from functools import cache
from random import Random

import pytest

from fanin.policy.calibrating import isotonic
from fanin.policy.confidence import entropy, mode_posterior, wilson
from fanin.policy.stopping import forecast, parse_rule

pytestmark = pytest.mark.slow


def test_wilson_intervals() -> None:
    stats = pytest.importorskip("scipy.stats")
    for whole in (1, 2, 5, 30, 1000):
        for part in {0, 1, whole // 3, whole - 1, whole}:
            told = stats.binomtest(part, whole).proportion_ci(0.95, method="wilson")
            assert wilson(part, whole) == pytest.approx((told.low, told.high), abs=1e-9)


def test_entropy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for counts in ([1], [3, 2], [5, 5, 5], [9, 1, 1, 1], [1000, 3]):
        assert entropy(counts) == pytest.approx(stats.entropy(counts, base=2), abs=1e-12)


def test_the_posterior_of_two_answers_and_of_more() -> None:
    stats = pytest.importorskip("scipy.stats")
    for lead, second in ((1, 0), (3, 2), (9, 4), (20, 20), (200, 170)):
        exact = stats.beta.sf(0.5, lead + 1, second + 1)
        assert mode_posterior([lead, second] if second else [lead], 2) == pytest.approx(exact, abs=1e-6)
    draws = stats.dirichlet.rvs([6, 4, 2, 1], size=200_000, random_state=1)
    first = (draws.argmax(axis=1) == 0).mean()
    assert mode_posterior([5, 3, 1], 4) == pytest.approx(first, abs=0.005)


def test_isotonic_regression() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    random = Random(5)
    for _ in range(30):
        points = sorted(
            (random.randrange(12) / 12, random.random() < 0.6, random.choice([0.25, 1.0, 2.0]))
            for _ in range(40)
        )
        scores = sorted({score for score, _, _ in points})
        weights = [sum(part for at, _, part in points if at == score) for score in scores]
        means = [
            sum(part for at, right, part in points if at == score and right) / weight
            for score, weight in zip(scores, weights, strict=True)
        ]
        told = optimize.isotonic_regression(means, weights=weights).x
        made = isotonic(points)
        assert made is not None
        steps = [made.past(score) for score in scores]
        assert [step.right / step.votes for step in steps] == pytest.approx(list(told))


def test_forecasts_are_binomial_where_every_run_is_asked() -> None:
    stats = pytest.importorskip("scipy.stats")
    ends = {votes: chance for votes, _, chance in forecast(parse_rule("all", runs=15), 0.7).ends}
    for votes in range(4, 16):
        assert ends[votes] == pytest.approx(stats.binom.pmf(votes, 15, 0.7), rel=1e-9)


def test_no_certificate_is_wrong_more_often_than_promised_by_simulation() -> None:
    numpy = pytest.importorskip("numpy")
    rule = parse_rule("certified:0.05", runs=60, quorum=1)
    generator = numpy.random.default_rng(3)
    trials = 4000
    wrong = sum(_certifies_wrongly(row) for row in generator.random((trials, 60)) < 0.5)
    assert wrong / trials <= 0.05 + 3 * (0.05 * 0.95 / trials) ** 0.5
    assert forecast(rule, 0.5).wrong == pytest.approx(wrong / trials, abs=0.012)


def _certifies_wrongly(row: object) -> bool:
    """Whether the votes of a row are certified before they end; at even chances that is always wrong."""
    said = [bool(one) for one in row]  # type: ignore[attr-defined]
    return any(_certified(max(ones, n - ones), min(ones, n - ones)) for n, ones in _prefixes(said))


def _prefixes(said: list[bool]) -> list[tuple[int, int]]:
    ones, made = 0, []
    for number, one in enumerate(said[:-1], 1):
        ones += one
        made.append((number, ones))
    return made


@cache
def _certified(lead: int, second: int) -> bool:
    from fanin.policy.stopping import Seen

    rule = parse_rule("certified:0.05", runs=60, quorum=1)
    return rule.satisfied(Seen((lead, second) if second else (lead,)))
