"""When every part of a job fails for one reason: the job is given up, and not before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.errors import InputError
from fanin.policy.circuit import Circuit, fatal_error
from fanin.values import Failure

errors = st.lists(st.sampled_from([None, "no key", "no model"]), max_size=40)


@given(errors, st.integers(1, 6))
def test_it_opens_where_the_last_errors_are_one_and_as_many(course: list[str | None], limit: int) -> None:
    circuit = Circuit(limit)
    for error in course:
        circuit = circuit.after(error)
    last = course[-limit:]
    assert circuit.open == (len(last) == limit and last[0] is not None and set(last) == {last[0]})


def test_an_answer_closes_it() -> None:
    circuit = Circuit(1).after("no key")
    assert circuit.open
    assert not circuit.after(None).open


def failure(kind: str, message: str) -> Failure:
    return Failure(0, kind, message)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["auth", "bad_request", "quota"])
def test_a_fatal_error_that_all_share_is_told(kind: str) -> None:
    assert fatal_error([failure(kind, "no"), failure(kind, "no")]) == "no"
    assert fatal_error([failure(kind, "no"), failure(kind, "never")]) is None
    assert fatal_error([failure(kind, "no"), failure("server", "no")]) is None


@pytest.mark.parametrize("kind", ["server", "timeout", "connection", "rate_limit", "malformed", "budget"])
def test_an_error_that_may_pass_is_none(kind: str) -> None:
    assert fatal_error([failure(kind, "down")]) is None


def test_a_server_that_was_never_reached_is_not_there() -> None:
    assert fatal_error([failure("connection", "no route")], reached=False) == "no route"
    assert fatal_error([failure("server", "down")], reached=False) is None
    assert fatal_error([], reached=False) is None


def test_no_failures_are_no_error() -> None:
    assert fatal_error([]) is None


def test_a_limit_of_none_is_refused() -> None:
    with pytest.raises(InputError, match="identical_errors must be a whole number from 1"):
        Circuit(0)
