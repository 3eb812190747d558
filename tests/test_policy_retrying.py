"""One layer of retries: what is asked again, how often, and after how long."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.errors import CallError, FailureKind
from fanin.policy.retrying import MAX_REFUSALS, Action, Again, GiveUp, Tried, Without, after, backoff_s

KINDS: tuple[FailureKind, ...] = get_args(FailureKind)
RETRIED = ("timeout", "connection", "malformed", "server")
PARAMETERS = ("seed", "temperature", "top_p", "max_tokens")

waits = st.none() | st.floats(0, 2000) | st.sampled_from([0.0, 600.0, math.inf, math.nan, -1.0])
errors = st.builds(
    CallError,
    st.sampled_from(KINDS) | st.sampled_from(["rate_limit", *RETRIED]),
    st.just("it failed"),
    retry_after_s=waits,
    refused=st.none() | st.none() | st.sampled_from(PARAMETERS),
    final=st.sampled_from([False, False, False, True]),
    exhausted=st.sampled_from([False, False, False, True]),
)
refusals = st.builds(CallError, st.just("rate_limit"), st.just("too often"), retry_after_s=waits)


FRESH = Tried()


def decide(error: CallError, tried: Tried = FRESH, *, retries: int = 4, max_wait_s: float = 600.0) -> Action:
    return after(error, tried, retries=retries, max_wait_s=max_wait_s, jitter=(0, 0))


def carry_out(happening: Iterable[CallError], retries: int) -> list[tuple[CallError, Action]]:
    """What one run does while these errors come one after the other, up to giving up."""
    tried, done = Tried(), []
    for error in happening:
        action = decide(error, tried, retries=retries)
        done.append((error, action))
        if isinstance(action, GiveUp):
            break
        tried = action.tried
    return done


@given(st.lists(errors | refusals, max_size=60), st.integers(0, 6))
def test_errors_cost_no_more_calls_than_the_retries(happening: list[CallError], retries: int) -> None:
    asked_again = [
        error
        for error, action in carry_out(happening, retries)
        if isinstance(action, Again) and error.kind != "rate_limit"
    ]
    assert len(asked_again) <= retries


@given(st.sampled_from(RETRIED), st.integers(0, 6))
def test_the_retries_are_used_up_before_a_run_fails(kind: FailureKind, retries: int) -> None:
    actions = [action for _, action in carry_out([CallError(kind, "it failed")] * 20, retries)]
    assert len(actions) == retries + 1
    assert all(isinstance(action, Again) for action in actions[:-1])
    assert isinstance(actions[-1], GiveUp)


@given(st.lists(errors | refusals | refusals | refusals, max_size=60))
def test_so_many_refusals_in_a_row_fail_a_run_and_fewer_do_not(happening: list[CallError]) -> None:
    in_a_row = 0
    for error, action in carry_out(happening, 100):
        if isinstance(action, Without) or error.kind != "rate_limit":
            in_a_row = 0
            continue
        in_a_row += 1
        told_too_long = error.retry_after_s is not None and error.retry_after_s > 600
        fails = error.final or error.exhausted or told_too_long or in_a_row == MAX_REFUSALS
        assert isinstance(action, GiveUp) == fails


def test_the_last_refusal_still_tells_the_others_how_long_to_wait() -> None:
    error = CallError("rate_limit", "too often", retry_after_s=45.0)
    assert decide(error, Tried(refusals=MAX_REFUSALS - 1)) == GiveUp(error, 45.0)
    assert decide(CallError("auth", "no")) != GiveUp(error, 45.0)
    spent = decide(CallError("rate_limit", "too often", retry_after_s=4500.0))
    assert isinstance(spent, GiveUp)
    assert spent.wait_s is None


def test_refusals_for_the_rate_limit_use_up_no_retry() -> None:
    happening = [CallError("rate_limit", "too often")] * (MAX_REFUSALS - 1)
    assert all(isinstance(action, Again) for _, action in carry_out(happening, 0))
    assert isinstance(carry_out([*happening, happening[0]], 0)[-1][1], GiveUp)


def test_another_outcome_between_refusals_begins_a_new_row() -> None:
    nine, server = [CallError("rate_limit", "too often")] * 9, CallError("server", "down")
    assert len(carry_out([*nine, server, *nine, server, *nine], 2)) == 29
    without = CallError("bad_request", "no seed", refused="seed")
    assert len(carry_out([*nine, without, *nine], 0)) == 19


@given(refusals.filter(lambda error: error.retry_after_s is not None and 0 <= error.retry_after_s <= 600))
def test_a_refused_run_waits_exactly_as_long_as_it_is_told(error: CallError) -> None:
    action = decide(error, Tried(retries=4, refusals=8))
    assert isinstance(action, Again)
    assert action.wait_s == error.retry_after_s
    assert action.tried == Tried(retries=4, refusals=9)


@pytest.mark.parametrize("told", [None, math.nan, -1.0])
def test_a_refusal_that_tells_no_wait_backs_off_by_how_often_it_came(told: float | None) -> None:
    for refused in range(9):
        action = decide(CallError("rate_limit", "too often", retry_after_s=told), Tried(refusals=refused))
        assert isinstance(action, Again)
        assert action.wait_s == backoff_s(refused, (0, 0), refused, "limit")
        assert action.wait_s > 0


@pytest.mark.parametrize(
    ("told", "allowed", "waits"),
    [(60, 60, True), (60.1, 60, False), (3600, 600, False), (math.inf, 600, False)],
)
def test_a_wait_longer_than_allowed_is_not_begun_and_ends_the_model(
    told: float, allowed: float, waits: bool
) -> None:
    action = decide(CallError("rate_limit", "too often", retry_after_s=told), max_wait_s=allowed)
    assert isinstance(action, Again) == waits
    if isinstance(action, GiveUp):
        assert (action.error.kind, action.error.exhausted) == ("rate_limit", True)
        assert action.error.message == (
            f"too often (it asks to wait {told:.0f} s, more than the {allowed:.0f} s allowed)"
        )


@given(errors, st.builds(Tried, st.integers(0, 3), st.integers(0, 8)))
def test_what_nothing_can_mend_is_never_asked_again(error: CallError, tried: Tried) -> None:
    action = decide(error, tried)
    if error.refused is None and (
        error.final or error.exhausted or error.kind not in (*RETRIED, "rate_limit")
    ):
        assert isinstance(action, GiveUp)
        assert action.error is error


@pytest.mark.parametrize("kind", KINDS)
def test_which_kinds_are_asked_again(kind: FailureKind) -> None:
    assert isinstance(decide(CallError(kind, "it failed")), Again) == (kind in (*RETRIED, "rate_limit"))
    assert isinstance(decide(CallError(kind, "it failed", final=True)), GiveUp)
    assert isinstance(decide(CallError(kind, "it failed", exhausted=True)), GiveUp)


@given(st.lists(errors | refusals, max_size=60))
def test_a_refused_parameter_is_left_out_once_and_for_good(happening: list[CallError]) -> None:
    left_out: list[str] = []
    for error, action in carry_out(happening, 100):
        if isinstance(action, Without):
            assert action.parameter == error.refused
            left_out.append(action.parameter)
        if not isinstance(action, GiveUp):
            assert action.tried.without == tuple(sorted(left_out))
    assert len(set(left_out)) == len(left_out)


def test_a_parameter_is_left_out_whatever_else_the_error_says_and_costs_no_retry() -> None:
    error = CallError("bad_request", "only 1 is supported", status=400, refused="temperature", final=True)
    action = decide(error, Tried(retries=4, without=("seed",)), retries=4)
    assert action == Without("temperature", Tried(retries=4, without=("seed", "temperature")))
    assert isinstance(decide(error, Tried(without=("temperature",))), GiveUp)


@given(st.sampled_from(RETRIED), waits, st.integers(0, 3))
def test_an_error_backs_off_and_waits_no_less_than_it_is_told(
    kind: FailureKind, told: float | None, used: int
) -> None:
    action = decide(CallError(kind, "it failed", retry_after_s=told), Tried(retries=used, refusals=7))
    assert isinstance(action, Again)
    own = backoff_s(used, (0, 0), used, "error")
    heeded = told is not None and told > own
    assert action.wait_s == (min(told, 600.0) if heeded and told is not None else own)
    assert action.tried == Tried(retries=used + 1, refusals=0)


@given(st.integers(0, 100), st.text(), st.integers())
def test_a_backoff_doubles_from_a_quarter_to_8_seconds_and_a_quarter_more(
    retry: int, salt: str, index: int
) -> None:
    base = min(0.25 * 2**retry, 8.0)
    assert base <= backoff_s(retry, salt, index) < base * 1.25
    assert backoff_s(retry, salt, index) == backoff_s(retry, salt, index)


def test_backoffs_stay_as_they_are_and_differ_between_runs() -> None:
    assert backoff_s(0, (0, 0), 0, "error") == pytest.approx(
        0.25 * (1 + 0.25 * 0.4298033883918472), rel=1e-12
    )
    assert len({backoff_s(0, (0, index), 0, "error") for index in range(100)}) == 100
    assert len({backoff_s(9, (0, 0), retry, "error") for retry in range(100)}) == 100


def test_backoffs_use_the_whole_quarter() -> None:
    extra = [backoff_s(0, index) / 0.25 - 1 for index in range(1000)]
    assert min(extra) < 0.01
    assert max(extra) > 0.24
