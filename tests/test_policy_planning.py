"""What a vote is expected to take, and `fanin plan` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from command import Command
from hypothesis import given
from hypothesis import strategies as st

from fanin.errors import InputError
from fanin.policy.estimating import estimated_tokens
from fanin.policy.planning import QUESTIONS, Assumed, Expected, Limits, Told, expected, in_all
from fanin.policy.pricing import Price
from fanin.policy.stopping import forecast, parse_rule
from fanin.values import Message

RULES = st.sampled_from(["all", "decided", "ahead:2", "posterior:0.9", "start:2,step:1", "voi"])
PRICES = st.lists(st.builds(Price, st.floats(0, 99), st.floats(0, 99)), min_size=1, max_size=3)


def assumed(**changes: Any) -> Assumed:
    return attrs.evolve(Assumed(50.0, 100, 2.0, 4, (Price(1, 2),)), **changes)


@given(rule=RULES, runs=st.integers(4, 12), concurrency=st.integers(1, 12), prices=PRICES)
def test_nothing_is_expected_beyond_the_most_it_can_take(
    rule: str, runs: int, concurrency: int, prices: list[Price]
) -> None:
    made = assumed(concurrency=concurrency, prices=tuple(prices))
    *rows, most = expected(parse_rule(rule, runs=runs), made, max_tokens=100)
    assert [(row.question, row.share) for row in rows] == list(QUESTIONS)
    assert (most.question, most.runs, most.output_tokens) == ("at most", runs, runs * 100)
    for row in rows:
        assert 1 <= row.runs <= runs + 1e-6
        assert row.input_tokens <= most.input_tokens + 1e-3
        assert row.output_tokens == pytest.approx(row.runs * 100, abs=1e-2)
        assert 2 * runs / concurrency * row.runs / runs - 1e-3 <= row.seconds <= most.seconds + 1e-3
        assert row.cost_usd is not None
        assert most.cost_usd is not None
        assert row.cost_usd <= most.cost_usd + 1e-9


@given(rule=RULES, runs=st.integers(4, 12), share=st.sampled_from([0.5, 0.8, 1.0]))
def test_one_call_at_a_time_takes_as_many_rounds_as_runs_and_enough_at_once_as_waves(
    rule: str, runs: int, share: float
) -> None:
    made = parse_rule(rule, runs=runs)
    alone, together = forecast(made, share, 1), forecast(made, share, runs)
    assert alone.rounds == pytest.approx(alone.runs)
    assert together.rounds == pytest.approx(together.waves)


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        (Limits(), 2.0),
        (Limits(rpm=3), 62.0),  # 6 calls of each of two models: 3 at once, the last one after a minute
        (Limits(tpm=300), 122.0),  # 900 tokens of each
        (Limits(rpm=6, tpm=900), 2.0),
        (Limits(rpm=3, tpm=300), 122.0),
        (Limits(told=(Told("requests", 4, 0.5),)), 6.0),  # 4 at once, 2 more every 2 s
        (Limits(told=(Told("tokens", 300, 10), Told("requests", 100, 1))), 62.0),
        (Limits(rpm=3, told=(Told("requests", 4, 0.5),)), 62.0),
    ],
)
def test_limits_are_those_of_each_model_and_the_last_call_takes_its_time(
    limits: Limits, seconds: float
) -> None:
    made = assumed(concurrency=12, prices=(Price(1, 2), Price(3, 4)), limits=limits)
    for row in expected(parse_rule("all", runs=12), made, max_tokens=100):
        assert row.seconds == seconds


def test_one_call_may_take_the_tokens_of_a_whole_minute_and_no_more() -> None:
    rule = parse_rule("all", runs=1)
    assert expected(rule, assumed(limits=Limits(tpm=150)), max_tokens=100)[0].seconds == 2.0
    with pytest.raises(InputError, match="at least the 150 tokens of one call"):
        expected(rule, assumed(limits=Limits(tpm=149.5)), max_tokens=100)


def test_a_cascade_takes_of_each_tier_its_part() -> None:
    first = Expected("usual", 0.8, 3.0, 150.0, 300.0, 0.01, 4.0, 0.5, 0.1)
    second = Expected("usual", 0.8, 5.0, 260.0, 500.0, 0.04, 6.0, 0.7, 0.2)
    whole = Expected("usual", 0.8, 4.25, 215.0, 425.0, 0.02, 5.5, 0.5, 0.1)
    assert in_all([[first], [second]], [[1.0], [0.25]]) == (whole,)
    unpriced = attrs.evolve(second, cost_usd=None)
    assert in_all([[first], [unpriced]], [[1.0], [0.25]]) == (attrs.evolve(whole, cost_usd=None),)


def test_at_most_nothing_is_spared() -> None:
    *_, most = expected(parse_rule("ahead:2", runs=5), assumed(), max_tokens=100)
    assert (most.share, most.stopped, most.wrong) == (None, 0.0, 0.0)


def test_every_run_is_exact() -> None:
    easy, *_, most = expected(parse_rule("all", runs=9), assumed(), max_tokens=300)
    assert (easy.runs, easy.input_tokens, easy.output_tokens) == (9, 450, 900)
    assert easy.cost_usd == pytest.approx((450 + 1800) / 1e6)
    assert (easy.seconds, easy.stopped, easy.wrong) == (6, 0, 0)
    assert (most.output_tokens, most.seconds) == (2700, 6)


@pytest.mark.parametrize("prices", [(None,), (Price(1, 2), None), ()])
def test_a_price_that_is_unknown_stays_unknown(prices: tuple[Price | None, ...]) -> None:
    rows = expected(parse_rule("all", runs=2), assumed(prices=prices), 100)
    assert {row.cost_usd for row in rows} == {None}


def test_several_models_cost_their_mean() -> None:
    easy, *_ = expected(parse_rule("all", runs=2), assumed(prices=(Price(1, 1), Price(3, 3))), 100)
    assert easy.cost_usd == pytest.approx(2 * 150 * 2 / 1e6)


@given(st.lists(st.text(max_size=30).map(lambda text: Message("user", text)), max_size=3))
def test_a_prompt_has_a_token_for_every_four_bytes(messages: list[Message]) -> None:
    size = len("".join(message.content for message in messages).encode("utf-8", "surrogatepass"))
    assert 4 * estimated_tokens(messages) - 3 <= size <= 4 * estimated_tokens(messages)


@pytest.mark.parametrize("changes", [{"output_tokens": 0}, {"seconds_per_call": -1.0}, {"concurrency": 0}])
def test_assumptions_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        assumed(**changes)


# --- the command


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    command = Command(monkeypatch, capsys)
    return lambda *words, **options: command("plan", *words, **options)


def test_the_table_has_a_row_for_each_question_and_asks_nothing(plan: Any) -> None:
    ended = plan("Is it?", "--runs", "9", "--stop", "certified:0.05", "--price", "0.15/0.60")
    assert ended.code == 0
    rows = [line.split() for line in ended.out.splitlines()]
    assert [row[0] for row in rows] == ["question", "easy", "usual", "close", "at"]
    assert "limits: unknown" in ended.err
    assert "--output-tokens" in ended.err
    assert "unknown" not in ended.out


def test_without_a_price_it_is_unknown(plan: Any) -> None:
    ended = plan("Is it?", "--backend", "ollama", "-m", "qwen2.5:0.5b")
    assert ended.out.count("unknown") == 4
    assert "price unknown" in ended.err


def test_no_backend_no_key_and_no_network_is_needed(plan: Any) -> None:
    assert plan("Is it?", "-q").err == ""
    assert plan("Is it?", "--backend", "groq", "-q").code == 0


def test_the_object(plan: Any) -> None:
    words = ("--json", "--runs", "5", "-m", "a", "--price", "a=1/2", "--output-tokens", "9000", "-j", "5")
    ended = plan("Is it?", *words, stdin=b"the text it is about")
    found = json.loads(ended.out)
    assert " ".join(found) == (
        "schema question runs stop backend models per_call concurrency limits expected"
    )
    assert found["schema"] == "fanin.plan/1"
    assert found["per_call"]["output_tokens"] == found["per_call"]["max_tokens"] == 2048
    assert found["limits"] is None
    easy, *_, most = found["expected"]
    assert (easy["runs"], easy["seconds"]) == (5, 5)
    assert easy["cost_usd"] == most["cost_usd"]
    assert (
        found["per_call"]["input_tokens"]
        > json.loads(plan("Is it?", "--json").out)["per_call"]["input_tokens"]
    )


def test_the_configuration_says_what_the_line_does_not(plan: Any) -> None:
    Path("fanin.toml").write_text(
        'backend = "fake"\nmodel = ["a", "b"]\nruns = 3\nsystem = "Be brief."\nprice = ["a=1/1", "b=3/3"]\n',
        "utf-8",
    )
    found = json.loads(plan("Is it?", "--json").out)
    assert (found["backend"], found["models"], found["runs"]) == ("fake", ["a", "b"], 3)
    per_call = found["per_call"]["input_tokens"] + found["per_call"]["output_tokens"]
    assert found["expected"][0]["cost_usd"] == pytest.approx(3 * 2 * per_call / 1e6)
    Path("fanin.toml").write_text('price = "1/1"\n', "utf-8")
    assert json.loads(plan("Is it?", "--json").out)["expected"][0]["cost_usd"] is not None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["Is it?", "--runs", "3", "--stop", "certified:0.05"], "--runs must be 6 or more"),
        (["Is it?", "--stop", "decide"], "Did you mean decided"),
        (["Is it?", "--runs", "0"], "--runs must be"),
        (["Is it?", "--backend", "grok"], "Did you mean groq?"),
        (["Is it?", "--output-tokens", "0"], "--output-tokens must be"),
        (["Is it?", "--seconds-per-call", "soon"], "no time above 0"),
        (["Is it?", "-j", "0"], "--concurrency must be"),
        (["Is it?", "--price", "1/1", "--price", "2/2"], "one price for each model"),
        ([" "], "the question must be"),
        (["Is it?", "--tolerance", "1"], "goes with --answer number"),
        (["Is it?", "--judge", "m"], "--judge must be left out where nothing is judged"),
        (["Is it?", "--cluster", "embedding"], "--embed must be given"),
        (["Is it?", "--cluster", "judge", "--stop", "decided"], "--stop must be all where a judge"),
        (["Is it?", "--cluster", "nearly"], "--cluster must be one of"),
        (["Is it?", "--schema", "nothing.schema"], "the schema cannot be read"),
    ],
)
def test_bad_input_is_exit_2(plan: Any, words: list[str], said: str) -> None:
    ended = plan(*words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


@pytest.mark.parametrize(
    ("words", "calls"),
    [(("--cluster", "judge"), 20), (("--select", "judge"), 1), (("--cluster", "lexical"), 0)],
)
def test_a_judge_comes_on_top(plan: Any, words: tuple[str, ...], calls: int) -> None:
    assert json.loads(plan("Is it?", *words, "--json").out).get("judge_calls_at_most", 0) == calls
    assert (f"a judge is asked on top: {calls} call" in plan("Is it?", *words).err) is (calls > 0)


def test_the_rules_are_told(plan: Any) -> None:
    assert "certified:ALPHA" in plan("Is it?", "--stop", "help").out
