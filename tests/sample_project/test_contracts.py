"""Its tests: green in CI, without a key and without a network."""

from __future__ import annotations

import contracts
import pytest


@pytest.mark.fanin_cassette
def test_a_contract_that_renews_by_itself() -> None:
    assert contracts.renews("It renews for a year unless one side ends it.") is True


@pytest.mark.fanin_cassette("one-year")
def test_a_contract_that_ends() -> None:
    assert contracts.renews("It ends on 31 December.") is False


def test_what_asks_nobody_needs_no_tape() -> None:
    assert contracts.QUESTION.endswith("?")
