"""`certified`: the bound of its proof, recomputed in another way, and the errors it really makes."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from functools import cache
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stopping_cases import seen_after

from fanin.policy.stopping import Certified, forecast, parse_rule
from fanin.policy.stopping.certified import (
    FITTED_RUNS,
    _ranks_after,
    certified_votes,
    error_bound,
    hitting_chance,
    least_runs,
    votes_needed,
    worse_ranks,
)

ERRORS = [Fraction(text) for text in ("0.2", "0.1", "0.0833", "0.05", "0.01", "0.001")]


@cache
def evidence(lead: int, second: int) -> Fraction:
    """E(a, b) from its integral, term by term: the closed form's own definition."""
    integral = sum(
        (-1) ** i * comb(second, i) * (1 - Fraction(1, 2) ** (power + 1)) / (power + 1)
        for i in range(second + 1)
        for power in [lead + 3 + i]
    )
    return Fraction(64, 15) * 2 ** (lead + second) * integral


def walked(rank: int, needed: tuple[int, ...], cap: int) -> float:
    """pi_r by walking draw by draw over (votes for it, votes for the better ones)."""
    states = {(0, 0): 1.0}
    certified = 0.0
    for _ in range(cap):
        after: defaultdict[tuple[int, int], float] = defaultdict(float)
        for (own, others), chance in states.items():
            after[own + 1, others] += chance / rank
            after[own, others + 1] += chance * (1 - 1 / rank)
        states = {}
        for (own, others), chance in after.items():
            beta = max((b for b, votes in enumerate(needed) if votes <= own), default=-1)
            if beta >= 0 and others <= (rank - 1) * beta:
                certified += chance
            else:
                states[own, others] = chance
    return certified


@given(st.fractions(1, 200), st.integers(1, 40))
def test_the_votes_needed_are_those_of_the_integral(constant: Fraction, cap: int) -> None:
    needed = votes_needed(constant, cap)
    for second, lead in enumerate(needed):
        assert evidence(lead, second) >= constant
        assert lead == 0 or evidence(lead - 1, second) < constant
        assert lead + second <= cap
    assert evidence(cap - len(needed), len(needed)) < constant or len(needed) > cap


def test_the_votes_needed_at_two_over_alpha() -> None:
    assert votes_needed(Fraction(40), 40) == (7, 10, 13, 16, 18, 20, 22, 24, 26, 28, 30)
    assert votes_needed(Fraction(20), 40)[0] == 6
    assert votes_needed(Fraction(200), 40)[0] == 10


@pytest.mark.parametrize("rank", [2, 3, 4, 9])
@pytest.mark.parametrize("alpha", ["0.2", "0.05"])
@pytest.mark.parametrize("cap", [7, 24])
def test_the_chance_of_each_rank_is_that_of_its_walk(rank: int, alpha: str, cap: int) -> None:
    needed = certified_votes(Fraction(alpha), cap)
    assert hitting_chance(rank, needed, cap) == pytest.approx(walked(rank, needed, cap), rel=1e-9)


@pytest.mark.parametrize("alpha", ERRORS)
@pytest.mark.parametrize("cap", [*range(4, 31, 2), 40, 60])
def test_the_bound_of_the_proof_holds(alpha: Fraction, cap: int) -> None:
    needed = certified_votes(alpha, cap)
    if needed:
        by_walk = 2 * walked(2, needed, cap) + sum(walked(rank, needed, cap) for rank in (3, 4))
        assert by_walk <= error_bound(needed, cap, alpha) * (1 + 1e-9)
        assert error_bound(needed, cap, alpha) <= alpha
    else:
        assert cap < least_runs(alpha)


def test_the_bound_on_the_ranks_that_follow_is_above_them() -> None:
    alpha = Fraction(1, 20)
    needed = certified_votes(alpha, 30)
    far = sum(hitting_chance(rank, needed, 30) for rank in range(3, 300))
    assert far <= worse_ranks(needed, 30, alpha) <= far + alpha / 200


@given(st.integers(2, 6), st.integers(2, 9), st.integers(0, 4), st.integers(1, 8))
def test_the_bound_on_the_ranks_that_follow_is_the_integral_of_its_terms(
    rank: int, first: int, more: int, room: int
) -> None:
    needed = (first, first + more)[: room // 2 + 1]
    cap = sum(needed) + room

    def terms(ranks: range) -> float:
        ways = comb(cap, needed[1]) if len(needed) > 1 else 0
        return sum(r**-first + ways * r ** -needed[-1] for r in ranks)

    bound = _ranks_after(rank, needed, cap)
    # The sum to infinity lies between the sum of many terms and that with an integral for the others.
    assert terms(range(rank + 1, 2000)) <= bound <= terms(range(rank, 2000)) + _ranks_after(1999, needed, cap)
    assert sum(hitting_chance(r, needed, cap) for r in range(rank + 1, 12)) <= bound


def test_the_bound_is_recomputed_at_two_over_alpha() -> None:
    """The figures that the constant 2/ALPHA was published with."""
    for alpha, cap, bound in (("0.05", 40, 0.034), ("0.1", 40, 0.071), ("0.05", 200, 0.041)):
        needed = votes_needed(2 / Fraction(alpha), cap)
        assert error_bound(needed, cap, Fraction(alpha)) == pytest.approx(bound, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [Fraction(1, 10), Fraction(1, 20), 2 / evidence(12, 1), Fraction(1, 100)])
def test_past_the_fitted_budgets_two_over_alpha_holds_up_to_a_thousand_runs(alpha: Fraction) -> None:
    """Its worst case at most 0.05 is just where a smaller constant would need fewer votes."""
    needed = certified_votes(alpha, 1000)
    assert needed == votes_needed(2 / alpha, 1000)
    assert error_bound(needed, 1000, alpha) <= alpha


def test_past_the_fitted_budgets_an_error_that_was_not_checked_is_made_smaller() -> None:
    cap = FITTED_RUNS + 1
    assert certified_votes(Fraction("0.0857"), cap) == certified_votes(Fraction("0.05"), cap)
    assert certified_votes(Fraction("0.2"), cap) == certified_votes(Fraction("0.1"), cap)
    assert certified_votes(Fraction("0.1"), cap) == votes_needed(Fraction(20), cap)
    assert certified_votes(Fraction("0.03"), cap) == votes_needed(2 / Fraction("0.03"), cap)


@pytest.mark.parametrize("cap", [*range(8, 41), 100, 200, 201, 1000])
def test_unanimous_votes_that_certify(cap: int) -> None:
    assert 6 <= certified_votes(Fraction("0.05"), cap)[0] <= 8
    assert 5 <= certified_votes(Fraction("0.1"), cap)[0] <= 7


@pytest.mark.parametrize("alpha", ERRORS)
def test_more_runs_never_need_fewer_votes_than_a_fair_coin_allows(alpha: Fraction) -> None:
    """At a tie u votes in a row come up with chance 2^(1-u), whatever the formula."""
    for cap in (6, 10, 20, 40, 200, 1000):
        if needed := certified_votes(alpha, cap):
            assert Fraction(2) ** (1 - needed[0]) <= alpha


@pytest.mark.parametrize("share", [0.5, 0.52, 0.55, 0.6])
def test_wrong_certificates_between_two_answers(share: float) -> None:
    made = forecast(parse_rule("certified:0.05", runs=200, quorum=1), share)
    assert made.wrong <= 0.05
    assert (made.wrong == made.stopped) == (share == 0.5)


def test_the_runs_that_clear_questions_take() -> None:
    rule = parse_rule("certified:0.05", runs=40, quorum=1)
    assert forecast(rule, 0.8).runs <= 19.5
    assert forecast(rule, 0.95).runs <= 8.7


@pytest.mark.parametrize(
    "shares",
    [(1 / 3,) * 3, (0.5, 0.5, 0.0), (0.49, 0.49, 0.02), (0.3, 0.4, 0.3), (0.25,) * 4, (0.1, 0.3, 0.3, 0.3)],
)
@pytest.mark.parametrize("alpha", ["0.05", "0.2"])
def test_wrong_certificates_among_more_answers(shares: tuple[float, ...], alpha: str) -> None:
    """Exactly, over the votes of every answer: none but a unique most common one may be certified."""
    cap = 12
    needed = certified_votes(Fraction(alpha), cap)
    best = [i for i, share in enumerate(shares) if share == max(shares)]
    states: dict[tuple[int, ...], float] = {(0,) * len(shares): 1.0}
    wrong = 0.0
    for _ in range(cap):
        after: defaultdict[tuple[int, ...], float] = defaultdict(float)
        for votes, chance in states.items():
            for i, share in enumerate(shares):
                after[(*votes[:i], votes[i] + 1, *votes[i + 1 :])] += chance * share
        states = {}
        for votes, chance in after.items():
            second, lead = sorted(votes)[-2:]
            if second < len(needed) and lead >= needed[second]:
                wrong += 0.0 if len(best) == 1 and votes[best[0]] == lead else chance
            else:
                states[votes] = chance
    assert 0 < wrong <= Fraction(alpha)


def test_what_a_verdict_says_of_it() -> None:
    rule = parse_rule("certified:0.05", runs=20)
    assert isinstance(rule, Certified)
    certified, not_yet = seen_after("aaaaaaa"), seen_after("aaab")
    assert rule.remark(certified, shuffled=True).startswith("Certified at error 0.05: ")
    assert "not make it the truth" in rule.remark(certified, shuffled=True)
    assert rule.remark(not_yet, shuffled=True) == "Not certified: 4 runs did not settle it at error 0.05."
    assert rule.remark(certified, shuffled=False).startswith("Not certified: ")
