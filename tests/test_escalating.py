"""Cascades: the next tier is asked where the votes call for it, nowhere else, and nothing is lost."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any, get_args

import anyio
import pytest
from doubles import Scripted
from hypothesis import given
from hypothesis import strategies as st
from standin import StandIn, chat
from strategies_votes import Plain, results
from test_stages_conclude import concluded, outcomes_of, plan_of
from virtual_time import LOOPS, costly, run_virtual

import fanin
from fanin.errors import CallError, InputError
from fanin.policy.escalating import WHEN, When, check_tiers, check_when, escalates
from fanin.policy.pricing import cost_usd, sum_usd
from fanin.stages.cascade import cascade
from fanin.values import Completion, Request, Stopped, StoppedBy, Usage
from fanin.verdict import Verdict

ITEMS = st.sampled_from(["yes", "yes", "no", "!empty", "!500"])
TIERS = st.lists(st.lists(ITEMS, min_size=1, max_size=5), min_size=2, max_size=3, unique_by=",".join)
CONDITIONS = st.sampled_from(get_args(When))


def held(came_to: list[str], *, by: StoppedBy = "all", model: str = "m") -> Verdict:
    """The verdict on a tier whose runs came to that."""
    plan = plan_of(max(1, len(came_to)), Plain(), (model,))
    return concluded(plan, outcomes_of(came_to), stopped=Stopped(by), price=fanin.Price(1, 2))


# --- the condition


@given(came_to=results())
def test_what_split_passes_on_the_others_pass_on(came_to: list[str]) -> None:
    verdict = held(came_to)
    if escalates(verdict, "split"):
        assert escalates(verdict, "not-high")
        assert escalates(verdict, "any-dissent")


@given(came_to=results(), when=CONDITIONS)
def test_without_a_winner_the_next_tier_is_asked_and_with_all_of_one_mind_it_is_not(
    came_to: list[str], when: When
) -> None:
    verdict = held(came_to)
    if verdict.outcome != "decided":
        assert escalates(verdict, when)
    if verdict.pattern == "unanimous" and verdict.runs.valid >= 3:
        assert not escalates(verdict, when)


@given(came_to=results(), when=CONDITIONS, other=st.permutations("abcd"))
def test_other_names_for_the_answers_escalate_alike(came_to: list[str], when: When, other: list[str]) -> None:
    renamed = [dict(zip("abcd", other, strict=True)).get(result, result) for result in came_to]
    assert escalates(held(came_to), when) == escalates(held(renamed), when)


@given(came_to=results(), when=CONDITIONS, by=st.sampled_from(["deadline", "budget", "interrupt"]))
def test_a_tier_that_was_cut_short_is_the_last(came_to: list[str], when: When, by: StoppedBy) -> None:
    assert not escalates(held(came_to, by=by), when)


@pytest.mark.parametrize(
    ("came_to", "passed_on"),
    [
        ("aaaaa", ""),
        ("aaaab", "any-dissent"),
        ("aaabb", "split not-high any-dissent"),
        ("aaa!!", "not-high"),
        ("aabb", "split not-high any-dissent"),
        ("abc", "split not-high any-dissent"),
        ("a", "not-high"),
        ("a!!", "split not-high any-dissent"),
        ("!!!", "split not-high any-dissent"),
    ],
)
def test_the_conditions(came_to: str, passed_on: str) -> None:
    verdict = held(["spoiled!" if char == "!" else char for char in came_to])
    assert [when for when in WHEN if escalates(verdict, check_when(when))] == passed_on.split()


def test_an_unknown_condition_names_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean not-high") as raised:
        check_when("nothigh")
    assert raised.value.field == "escalate_when"


@pytest.mark.parametrize(
    ("tiers", "model"), [((("a",), ("a",)), "a"), ((("a", "b"), ("c",), ("b",)), "b"), (((), (" ",)), " ")]
)
def test_no_tier_asks_what_one_before_it_asks(tiers: tuple[tuple[str, ...], ...], model: str) -> None:
    with pytest.raises(InputError, match="escalate must be") as raised:
        check_tiers(tiers)
    assert raised.value.value == model


# --- the verdict on several tiers


@given(tiers=st.lists(results(), min_size=1, max_size=4), spared=st.integers(0, 2))
def test_the_last_tier_with_a_quorum_decides_and_everything_adds_up(
    tiers: list[list[str]], spared: int
) -> None:
    asked = [held(came_to, model=f"m{place}") for place, came_to in enumerate(tiers)]
    planned = max(2, len(tiers) + spared)
    verdict = cascade(asked, [(f"m{place}",) for place in range(planned)], {None: fanin.Price(1, 2)})
    said = re.search(r"Tier (\d) of \d \((.*?)\) decides", verdict.advice)
    assert said is not None
    deciding = asked[int(said[1]) - 1]
    assert deciding.models == (said[2],)
    kept = ("outcome", "answer", "grade", "confidence", "votes", "runs", "ballots", "failures")
    assert [getattr(verdict, name) for name in kept] == [getattr(deciding, name) for name in kept]
    ranks = [(tier.outcome in ("decided", "tie"), tier.runs.valid > 0) for tier in asked]
    assert int(said[1]) - 1 == max(place for place, rank in enumerate(ranks) if rank == max(ranks))
    assert verdict.tiers == tuple(asked)
    assert verdict.usage == sum([tier.usage for tier in asked[1:]], asked[0].usage)
    assert verdict.cost_usd == sum_usd(tier.cost_usd for tier in asked)
    assert verdict.models == tuple(f"m{place}" for place in range(len(tiers)))
    assert verdict.advice.startswith(deciding.advice)
    spent, at_once = verdict.cost_usd, cost_usd(asked[0].usage, fanin.Price(1, 2))
    dearer = spent is not None and at_once is not None and spent >= at_once
    assert ("Nothing was saved" in verdict.advice) == (len(tiers) == planned or dearer)


def test_it_says_which_tier_decides_and_what_was_saved() -> None:
    verdict = cascade(
        [held(["a"] * 5, model="small")], [("small",), ("large",)], {"large": fanin.Price(10, 20)}
    )
    assert verdict.advice.endswith(
        "Tier 1 of 2 (small) decides. Saved against asking large at once: about 5 runs (50 + 25 tokens, "
        "US$ 0.001000) of large, for 5 runs (50 + 25 tokens, US$ 0.000100) of small."
    )


def test_tiers_that_cost_more_than_the_last_one_save_nothing() -> None:
    asked = [held(["a", "b"], model="small"), held(["b"] * 2, model="middle")]
    verdict = cascade(asked, [("small",), ("middle",), ("large",)], {"large": fanin.Price(2, 2)})
    assert verdict.advice.endswith(
        "Nothing was saved: large at once and for the whole would have been about 2 runs (20 + 10 tokens, "
        "US$ 0.000060) of large, and this was 4 runs (40 + 20 tokens, US$ 0.000080) of small, middle."
    )


def test_a_price_that_is_unknown_stays_unknown() -> None:
    verdict = cascade([held(["a"] * 5, model="small")], [("small",), ("large",)], {})
    assert "about 5 runs (50 + 25 tokens, price unknown) of large" in verdict.advice


def test_where_the_last_tier_is_asked_it_says_what_that_took() -> None:
    asked = [held(["a", "b"], model="small"), held(["b"] * 2, model="large")]
    verdict = cascade(asked, [("small",), ("large",)], {})
    assert verdict.answer == "b"
    assert verdict.advice.endswith(
        "Tier 2 of 2 (large) decides. Tier 1 (small) before it: 1 for a, 1 for b. Nothing was saved: large "
        "was asked as well, and the tiers before it took 2 runs (20 + 10 tokens, US$ 0.000040)."
    )


def test_a_tier_that_gives_nothing_leaves_the_one_before_it_standing() -> None:
    asked = [held(["a", "a", "b"], model="small"), held(["failed!"] * 3, model="large")]
    verdict = cascade(asked, [("small",), ("large",)], {})
    assert (verdict.answer, verdict.runs.valid) == ("a", 3)
    assert "Tier 1 of 2 (small) decides." in verdict.advice
    assert "Tier 2 (large) was asked and has no quorum: 3 failed." in verdict.advice
    assert verdict.cost_usd is None


def test_what_cut_the_last_tier_short_is_told() -> None:
    asked = [held(["a", "a", "b"], by="rule"), held([], by="interrupt", model="large")]
    verdict = cascade(asked, [("m",), ("large",)], {})
    assert (verdict.answer, verdict.stopped.by) == ("a", "interrupt")


# --- the whole vote


def vote(tiers: list[list[str]], loop: str = "asyncio", **options: Any) -> fanin.Verdict:
    """The vote of the fake's scripts: the first one's model, and one for each further tier."""
    scripts = [",".join(items) for items in tiers]

    async def ask() -> fanin.Verdict:
        asked = {"answer": fanin.YesNo(), "backend": fanin.Fake(), "retries": 0}
        return await fanin.vote("Is it?", model=scripts[0], escalate=scripts[1:], **{**asked, **options})

    return run_virtual(loop, ask)


def asked_runs(verdict: fanin.Verdict) -> int:
    return sum(event.kind == "asked" for event in verdict.events)


@costly
@given(tiers=TIERS, when=CONDITIONS, loop=st.sampled_from(LOOPS), runs=st.integers(1, 5))
def test_a_tier_is_asked_exactly_where_the_one_before_calls_for_it(
    tiers: list[list[str]], when: When, loop: str, runs: int
) -> None:
    verdict = vote(tiers, loop, escalate_when=when, runs=runs)
    called = [escalates(tier, when) for tier in verdict.tiers]
    assert all(called[:-1])
    assert len(called) == len(tiers) or not called[-1]
    assert asked_runs(verdict) == runs * len(called)
    for tier, script in zip(verdict.tiers, tiers, strict=False):
        alone = vote([script], loop, runs=runs)
        assert tier.to_json() == alone.to_json()
    ended = verdict.runs
    assert ended.planned == ended.valid + ended.spoiled + ended.failed + ended.cancelled + ended.unasked
    assert sum(verdict.votes.values()) == ended.valid


@costly
@given(tiers=TIERS, when=CONDITIONS, latencies=st.lists(st.integers(0, 3), min_size=5, max_size=5))
def test_who_answers_first_changes_no_byte_but_the_models(
    tiers: list[list[str]], when: When, latencies: list[int]
) -> None:
    def told(latency: bool, concurrency: int = 8) -> list[str]:
        delays = dict(zip(range(5), latencies, strict=True))

        def reply(request: Request) -> Completion | CallError:
            items = tiers[int(request.model)]
            item = items[request.index % len(items)]
            if item == "!500":
                return CallError("server", "down", status=500)
            return Completion("" if item == "!empty" else item, usage=Usage(3, 1))

        async def ask() -> fanin.Verdict:
            backend = Scripted(reply, latency_s=lambda request: delays[request.index] if latency else 0.0)
            return await fanin.vote(
                "Is it?",
                model="0",
                escalate=[str(place) for place in range(1, len(tiers))],
                escalate_when=when,
                backend=backend,
                retries=0,
                concurrency=concurrency,
            )

        verdict = run_virtual("asyncio", ask)
        return [verdict.to_json(), *(tier.to_json() for tier in verdict.tiers)]

    assert told(False) == told(True) == told(True, concurrency=1)


def test_every_tier_has_the_stop_rule_afresh() -> None:
    verdict = vote([["yes", "no"], ["no"]], stop="decided", runs=5)
    assert [tier.runs.valid for tier in verdict.tiers] == [5, 4]
    assert (verdict.answer, verdict.runs.unasked, verdict.stopped.by) == ("no", 1, "rule")


def test_without_escalation_there_are_no_tiers() -> None:
    assert vote([["yes", "no"]]).tiers == ()


@pytest.mark.parametrize("loop", LOOPS)
def test_the_deadline_is_that_of_all_tiers_together(loop: str) -> None:
    verdict = vote([["yes@4", "no@4"], ["no@4"]], loop, runs=2, deadline_s=6)
    assert [tier.stopped.by for tier in verdict.tiers] == ["all", "deadline"]
    assert verdict.stopped.by == "deadline"
    assert verdict.outcome == "tie"
    assert [event.at_s for event in verdict.events] == pytest.approx([0, 0, 4, 4, 4, 4], abs=1e-6)


@pytest.mark.parametrize("loop", LOOPS)
def test_an_interrupt_in_a_later_tier_keeps_what_is_there(loop: str) -> None:
    async def ask() -> fanin.Verdict:
        interrupt = fanin.Interrupt()

        def watch(event: fanin.Event) -> None:
            if event.at_s >= 1 and event.kind == "asked":
                interrupt.stop()

        return await fanin.vote(
            "Is it?",
            backend=fanin.Fake(),
            model="yes@1,yes@1,no@1",
            escalate=["no@1", "yes"],
            runs=3,
            watch=watch,
            interrupt=interrupt,
        )

    verdict = run_virtual(loop, ask)
    assert (verdict.answer, verdict.stopped.by, len(verdict.tiers)) == ("yes", "interrupt", 2)


def test_the_cost_is_that_of_each_run_s_own_model() -> None:
    async def ask() -> fanin.Verdict:
        backend = Scripted(lambda request: "yes" if request.index or request.model == "large" else "no")
        return await fanin.vote(
            "Is it?",
            backend=backend,
            model=["a", "b"],
            escalate="large",
            escalate_when="any-dissent",
            runs=3,
            price={"large": fanin.Price(100, 200), "a": fanin.Price(1, 2), None: fanin.Price(10, 20)},
        )

    verdict = run_virtual("asyncio", ask)
    # Three tokens read and one written a run: two runs of a, one of b, three of large.
    assert verdict.cost_usd == pytest.approx((2 * 5 + 50 + 3 * 500) / 1e6)
    assert verdict.models == ("a", "b", "large")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"escalate": "small"}, "escalate must be a model that no tier before it asks, not 'small'"),
        ({"escalate": ["large", "large"]}, "no tier before it asks"),
        ({"escalate": "default", "model": None}, "no tier before it asks, not 'default'"),
        ({"escalate": [" "]}, "a model's name"),
        ({"escalate": [3]}, "a model's name"),
        ({"escalate": 3}, "a text or several"),
        ({"escalate": "large", "escalate_when": "high"}, "escalate_when must be one of split, not-high"),
        ({"escalate_when": "sometimes"}, "escalate_when must be one of"),
        ({"price": "cheap"}, "price must be a Price"),
        ({"price": {"small": 3}}, "price must be a Price"),
    ],
)
def test_what_is_wrong_is_told_before_any_call(options: dict[str, Any], said: str) -> None:
    backend = Scripted(lambda request: "yes")

    async def ask() -> fanin.Verdict:
        return await fanin.vote(**{"question": "Is it?", "backend": backend, "model": "small", **options})

    with pytest.raises(InputError, match=said):
        run_virtual("asyncio", ask)
    assert backend.sent == []


@pytest.mark.parametrize("loop", LOOPS)
def test_a_tape_of_all_tiers_replays_to_the_same_bytes(loop: str, tmp_path: Path) -> None:
    path = tmp_path / "cascade.json"

    async def ask(url: str | None, **options: Any) -> fanin.Verdict:
        backend = {} if url is None else {"backend": "openai", "base_url": url, "model": "small"}
        return await fanin.vote("Is it?", **backend, escalate="large", **options)

    script = [*(chat(f"Answer: {word}") for word in ("yes", "no", "yes", "no")), chat("Answer: no")]
    with StandIn(script) as server, fanin.tape(path, mode="all"):
        recorded = anyio.run(partial(ask, server.url + "/v1", concurrency=1), backend=loop)
    assert [tier.models for tier in recorded.tiers] == [("small",), ("large",)]
    for concurrency in (1, 8):
        # The tape names the first tier's model, so that the same line asks the same tiers.
        with fanin.tape(path):
            replayed = anyio.run(partial(ask, None, concurrency=concurrency), backend=loop)
        assert replayed.to_json() == recorded.to_json()
        assert replayed.tiers == recorded.tiers
