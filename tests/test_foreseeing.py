"""What a cascade is expected to take, against the cascade itself, and how long known limits make it."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import attrs
import pytest
from command import Command
from hypothesis import given
from hypothesis import strategies as st

import fanin
from fanin.errors import InputError
from fanin.foreseeing import foresee, passes_on
from fanin.policy.escalating import WHEN, When, escalates
from fanin.policy.planning import Assumed, Limits, expected
from fanin.policy.pricing import Price
from fanin.policy.stopping import forecast, parse_rule

ASSUMED = Assumed(50.0, 100, 2.0, 4, (Price(1, 2),))
RULES = st.sampled_from(["all", "decided", "ahead:2", "posterior:0.9", "start:2,step:1", "voi"])
SHARES = st.sampled_from([0.5, 0.55, 0.8, 0.95, 1.0])


@pytest.mark.parametrize(
    ("stop", "runs", "quorum"), [("all", 5, None), ("decided", 5, None), ("ahead:2", 4, 3), ("all", 4, 3)]
)
def test_the_chance_to_be_asked_is_that_of_all_votes_that_call_for_it(
    stop: str, runs: int, quorum: int | None
) -> None:
    rule = parse_rule(stop, runs=runs, quorum=quorum)
    found = dict.fromkeys(WHEN, 0.0)
    for said in product(("yes", "no"), repeat=runs):
        verdict = fanin.vote_sync(
            "Is it so?", backend="fake", model=",".join(said), runs=runs, stop=stop, quorum=quorum
        )
        chance = 0.7 ** said.count("yes") * 0.3 ** said.count("no")
        for when in WHEN:
            found[when] += chance * escalates(verdict, when)
    assert {when: passes_on(rule, 0.7, when, quorum) for when in WHEN} == pytest.approx(found)
    assert 0 < found["split"] <= found["not-high"]


@given(rule=RULES, runs=st.integers(4, 12), share=SHARES)
def test_the_ends_are_all_ways_in_which_a_vote_can_end(rule: str, runs: int, share: float) -> None:
    made = forecast(parse_rule(rule, runs=runs), share)
    assert sum(chance for _, _, chance in made.ends) == pytest.approx(1)
    assert sum(asked * chance for _, asked, chance in made.ends) == pytest.approx(made.runs)
    assert all(0 <= votes <= asked <= runs for votes, asked, _ in made.ends)


@given(rule=RULES, runs=st.integers(4, 9), when=st.sampled_from(WHEN), tiers=st.integers(1, 3))
def test_a_cascade_takes_what_its_tiers_take_as_often_as_they_are_asked(
    rule: str, runs: int, when: When, tiers: int
) -> None:
    assumed = [attrs.evolve(ASSUMED, prices=(Price(place, 2),)) for place in range(tiers)]
    seen = foresee(parse_rule(rule, runs=runs), assumed, 100, when=when)
    assert set(seen.reached[0]) == {1.0}
    for before, after in zip(seen.reached, seen.reached[1:], strict=False):
        assert all(0 <= later <= sooner for sooner, later in zip(before, after, strict=True))
        assert after[-1] == 1.0
    for place, row in enumerate(seen.in_all):
        parts = [
            (rows[place], chances[place]) for rows, chances in zip(seen.tiers, seen.reached, strict=True)
        ]
        assert row.runs == pytest.approx(sum(chance * part.runs for part, chance in parts), abs=1e-5)
        assert row.seconds == pytest.approx(sum(chance * part.seconds for part, chance in parts), abs=1e-2)
        read, written = (
            sum(chance * getattr(part, name) for part, chance in parts)
            for name in ("input_tokens", "output_tokens")
        )
        assert (row.input_tokens, row.output_tokens) == pytest.approx((read, written), abs=1e-2)
        usd = sum(chance * (part.cost_usd or 0) for part, chance in parts)
        assert row.cost_usd == pytest.approx(usd, abs=1e-8)
    if tiers == 1:
        assert seen.in_all == seen.tiers[0]


def test_a_price_that_is_unknown_makes_the_whole_unknown() -> None:
    seen = foresee(parse_rule("all", runs=5), [ASSUMED, attrs.evolve(ASSUMED, prices=(None,))], 100)
    assert {row.cost_usd for row in seen.in_all} == {None}
    assert None not in {row.cost_usd for row in seen.tiers[0]}


@given(st.integers(1, 40), st.sampled_from([1, 3, 30, None]), st.sampled_from([100, 6000, None]))
def test_a_full_bucket_lets_through_what_it_holds_and_then_what_flows_in(
    calls: int, rpm: int | None, tpm: int | None
) -> None:
    limits = Limits(rpm, tpm)
    passed_s = limits.earliest_s(calls, 150 * calls)
    for amount, limit in ((calls, rpm), (150 * calls, tpm)):
        if limit is not None:
            assert amount <= limit + limit / 60 * passed_s + 1e-6
    assert limits.earliest_s(calls, 150 * calls) <= limits.earliest_s(calls + 1, 150 * (calls + 1))
    if all(limit is None or amount <= limit for amount, limit in ((calls, rpm), (150 * calls, tpm))):
        assert passed_s == 0


def test_limits_make_it_longer_and_several_models_share_the_wait() -> None:
    rule = parse_rule("all", runs=9)
    free, *_ = expected(rule, ASSUMED, 100)
    slow, *_, most = expected(rule, attrs.evolve(ASSUMED, limits=Limits(rpm=3)), 100)
    assert (free.seconds, slow.seconds, most.seconds) == (6, 122, 122)
    several = attrs.evolve(ASSUMED, limits=Limits(rpm=3), prices=(None,) * 3)
    assert expected(rule, several, 100)[0].seconds == 6
    by_tokens = attrs.evolve(ASSUMED, limits=Limits(tpm=450))
    assert expected(rule, by_tokens, 100)[0].seconds == 122
    assert expected(rule, attrs.evolve(by_tokens, prices=(None,) * 3), 100)[0].seconds == 6
    one_a_minute = expected(rule, attrs.evolve(ASSUMED, limits=Limits(tpm=150)), 100)
    assert (one_a_minute[0].seconds, one_a_minute[-1].stopped, one_a_minute[-1].wrong) == (482, 0, 0)
    with pytest.raises(InputError, match="at least the 150 tokens of one call, not 149"):
        expected(rule, attrs.evolve(ASSUMED, limits=Limits(tpm=149)), 100)


@pytest.mark.parametrize("limits", [{"rpm": 0}, {"tpm": -1.0}, {"rpm": float("nan")}, {"tpm": True}])
def test_limits_that_cannot_be(limits: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Limits(**limits)


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    command = Command(monkeypatch, capsys)
    return lambda *words, **options: command("plan", *words, **options)


def test_the_table_tells_how_often_each_tier_is_asked(plan: Any) -> None:
    words = ("Is it?", "--runs", "9", "-m", "small", "--escalate", "mid", "--escalate", "large")
    ended = plan(*words, "--price", "1/1", "--rpm", "30", "--tpm", "6000")
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0].split("  ")[-2:] == ["asks tier 2", "asks tier 3"]
    assert lines[2].split()[-4:] == ["56.4", "%", "31.8", "%"]
    assert "limits: 30 requests a minute and 6,000 tokens a minute for each model" in ended.err
    assert "large at once, for a usual question: 9.0 runs, US$" in ended.err


def test_the_object_tells_of_tiers_and_limits(plan: Any) -> None:
    words = ("Is it?", "--json", "-m", "small", "--escalate", "large", "--escalate-when", "any-dissent")
    found = json.loads(plan(*words, "--price", "small=1/1", "--price", "large=9/9", "--rpm", "30").out)
    assert found["limits"] == {"requests_per_minute": 30, "tokens_per_minute": None}
    assert found["escalate_when"] == "any-dissent"
    assert [tier["models"] for tier in found["tiers"]] == [["small"], ["large"]]
    small, large = (tier["expected"][0] for tier in found["tiers"])
    assert large["cost_usd"] == pytest.approx(9 * small["cost_usd"])
    asked = found["tiers"][1]["asked"][0]
    assert asked == pytest.approx(1 - 0.95**5 - 0.05**5, abs=1e-6)
    assert found["expected"][0]["cost_usd"] == pytest.approx(small["cost_usd"] + asked * large["cost_usd"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rpm", "0"], "--rpm must be a number above 0"),
        (["--tpm", "100"], "--tpm must be at least the 3"),
        (["-m", "a", "--escalate", "a"], "a model that no tier before it asks"),
        (["--escalate", " "], "a model's name"),
        (["--escalate-when", "split"], "--escalate-when goes with --escalate"),
    ],
)
def test_bad_input_is_exit_2(plan: Any, words: list[str], said: str) -> None:
    ended = plan("Is it?", *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
