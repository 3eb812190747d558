"""How sure counts can make one: against closed forms, against brute force, and what never may happen."""

from __future__ import annotations

from math import comb, isclose

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanin.errors import InputError
from fanin.policy.confidence import (
    Sureness,
    distinct_votes,
    effective_votes,
    entropy,
    mode_posterior,
    sureness,
    wilson,
)
from fanin.values import Ballot, Runs, Stopped, Usage
from fanin.verdict import Verdict

COUNTS = st.lists(st.integers(1, 12), min_size=1, max_size=5).map(lambda them: sorted(them, reverse=True))


@settings(max_examples=10)
@given(st.integers(0, 60), st.integers(0, 60))
def test_between_two_answers_the_posterior_is_the_beta_rule(lead: int, second: int) -> None:
    exact = 1 - sum(comb(lead + second + 1, i) for i in range(second + 1)) / 2 ** (lead + second + 1)
    assert isclose(mode_posterior((lead, second), answers=2), exact, abs_tol=1e-6)


@settings(max_examples=10)
@given(COUNTS)
def test_the_chances_of_all_answers_to_be_the_mode_add_up_to_one(counts: list[int]) -> None:
    chances = [
        mode_posterior((count, *counts[:place], *counts[place + 1 :]), answers=len(counts))
        for place, count in enumerate(counts)
    ]
    assert isclose(sum(chances), 1, abs_tol=1e-5)
    assert chances == sorted(chances, reverse=True)


@settings(max_examples=10)
@given(COUNTS)
def test_an_answer_nobody_gave_lowers_the_posterior(counts: list[int]) -> None:
    seen = mode_posterior(counts, answers=len(counts))
    assert mode_posterior(counts) == mode_posterior(counts, answers=len(counts) + 1)
    assert mode_posterior(counts) < seen + 1e-9


def test_a_thousand_votes_are_no_trouble() -> None:
    assert mode_posterior((900, 100), answers=2) > 0.999999
    assert isclose(mode_posterior((500, 500), answers=2), 0.5, abs_tol=1e-6)
    assert mode_posterior((1,) * 30) == pytest.approx(2 / 61, rel=0.1)


@pytest.mark.parametrize("words", [((), None), ((3, 2, 1), 2)])
def test_no_counts_and_too_few_answers_are_refused(words: tuple[tuple[int, ...], int | None]) -> None:
    with pytest.raises(InputError):
        mode_posterior(*words)


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_wilson_interval_holds_the_share_and_solves_its_equation(right: int, wrong: int) -> None:
    low, high = wilson(right, right + wrong)
    assert 0 <= low <= high <= 1
    if n := right + wrong:
        share = right / n
        assert low - 1e-12 <= share <= high + 1e-12
        for end in (low, high):
            assert isclose((share - end) ** 2, 1.959963984540054**2 * end * (1 - end) / n, abs_tol=1e-9)


def test_wilson_as_published() -> None:
    assert wilson(104, 120) == pytest.approx((0.7944, 0.9161), abs=1e-3)
    assert wilson(0, 0) == (0, 1)
    with pytest.raises(InputError, match="from 0 to 3"):
        wilson(4, 3)


def test_entropy_in_bits() -> None:
    assert entropy((5,)) == 0
    assert entropy((2, 2)) == 1
    assert entropy((1, 1, 1, 1)) == 2
    assert entropy(()) == 0


def ballot(
    index: int, choice: str | None, model: str = "m", temperature: float = 0.6, text: str = ""
) -> Ballot:
    spoiled = "blank" if choice is None else None
    return Ballot(index, choice, spoiled, model, temperature, text or f"{index}")


def test_identical_texts_count_once_at_temperature_0_only() -> None:
    cold = [ballot(index, "yes", temperature=0, text="same") for index in range(3)]
    assert distinct_votes(cold) == ("m",)
    assert distinct_votes([ballot(index, "yes", text="same") for index in range(3)]) == ("m",) * 3
    assert distinct_votes([*cold, ballot(3, "yes", "other", 0, "same"), ballot(4, None)]) == ("m", "other")


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=20), st.floats(0, 1))
def test_effective_votes_lie_between_one_and_all(models: list[str], rho: float) -> None:
    assert 1 - 1e-9 <= effective_votes(models, lambda one, another: rho) <= len(models) + 1e-9
    assert effective_votes(models) == len(models)


def test_effective_votes_of_one_model() -> None:
    assert effective_votes("mmmmm", lambda one, another: 0.35) == pytest.approx(5 / (1 + 4 * 0.35))
    assert effective_votes("aabb", lambda one, another: float(one == another)) == pytest.approx(2)
    assert effective_votes("aabb", lambda one, another: -1.0) == 4
    assert effective_votes("") == 0


def verdict(votes: dict[str, int], ballots: tuple[Ballot, ...]) -> Verdict:
    return Verdict(
        *("q", "decided", "yes", "medium", 0.6, "agreement", "split", "", Stopped(), votes),
        *(Runs(len(ballots), len(ballots), 0, 0), ballots, (), Usage(), None, "fake", ("m",)),
    )


def test_sureness_of_a_verdict() -> None:
    ballots = tuple(ballot(index, "yes" if index < 3 else "no") for index in range(5))
    sure = sureness(verdict({"yes": 3, "no": 2}, ballots), 2, lambda one, another: 1.0)
    assert sure == Sureness(
        posterior=pytest.approx(0.65625, abs=1e-6),
        interval=wilson(3, 5),
        margin=0.2,
        entropy=pytest.approx(0.970951, abs=1e-6),
        votes=5,
        effective=pytest.approx(1),
    )
    assert sureness(verdict({}, ())) is None


@pytest.mark.parametrize(
    ("counts", "answers", "posterior"),
    [
        ((1,), 2, 3 / 4),
        ((1,), None, 3 / 4),
        # Of three: 6x(1 - x) for the leader's share x, and the rest of it parted evenly between the others.
        ((1,), 3, 11 / 18),
        ((7,), 1, 1.0),
        ((1, 1), 2, 1 / 2),
        ((1, 1, 1), 3, 1 / 3),
        ((2, 2, 2, 2, 2), 5, 1 / 5),
    ],
)
def test_posteriors_that_can_be_worked_out_by_hand(
    counts: tuple[int, ...], answers: int | None, posterior: float
) -> None:
    assert mode_posterior(counts, answers) == pytest.approx(posterior, abs=1e-6)


def test_lost_runs_hide_no_vote_that_comes_after_them() -> None:
    assert distinct_votes([ballot(0, None, "a"), ballot(1, "yes", "b")]) == ("b",)


def test_effective_votes_of_models_that_err_together() -> None:
    between = 0.5
    found = effective_votes("aaab", lambda one, another: between if one != another else 0.0)
    assert found == pytest.approx(16 / (4 + 2 * 3 * between))
    assert effective_votes("aab", lambda one, another: 7.0) == pytest.approx(1)


def test_a_lone_answer_leads_by_all_its_votes() -> None:
    sure = sureness(verdict({"yes": 5}, tuple(ballot(index, "yes") for index in range(5))))
    assert sure is not None
    assert (sure.margin, sure.entropy, sure.effective) == (1, 0, 5)
    assert sure.interval[1] == 1.0
