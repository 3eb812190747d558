"""The rate-limited provider that other tests and the bench trust, held to laws of its own."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import anyio
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from limited_provider import (
    PROFILES,
    LimitedBackend,
    Limits,
    Offer,
    Profile,
    Provider,
    go_duration,
    tokens_of,
    told_makespan_s,
)
from limited_server import serving
from virtual_time import LOOPS, run_virtual

from fanin.errors import CallError
from fanin.policy import told
from fanin.values import Completion, Message, Request
from fanin_backends import openai

Arrival = tuple[float, int]
"""Seconds since the one before, tokens."""

rates = st.floats(0.1, 100)
limits = st.builds(
    Limits,
    requests_per_s=rates,
    burst=st.integers(1, 30).map(float),
    tokens_per_s=st.floats(1, 1000),
    token_burst=st.integers(60, 2000).map(float),
)
arrivals = st.lists(st.tuples(st.sampled_from([0.0, 0.001, 0.05, 0.7]), st.integers(1, 60)), max_size=60)
profiles = st.sampled_from(PROFILES)


def at(arrived: Sequence[Arrival]) -> list[tuple[float, int]]:
    """(time, tokens) of every arrival."""
    now_s, times = 0.0, []
    for gap_s, tokens in arrived:
        now_s += gap_s
        times.append((now_s, tokens))
    return times


def let_in(provider: Provider, arrived: Sequence[Arrival], model: str = "m") -> list[tuple[float, int]]:
    """(time, tokens) of the arrivals that were let in."""
    fates = [(moment, provider.arrive(model, moment[1], moment[0])) for moment in at(arrived)]
    return [moment for moment, fate in fates if fate.status == 200]


@given(limits, profiles, arrivals)
def test_no_window_lets_in_more_than_the_burst_and_its_refill(
    limit: Limits, profile: Profile, arrived: Sequence[Arrival]
) -> None:
    admitted = let_in(Provider(Offer(limit, profile=profile)), arrived)
    assert limit.tokens_per_s is not None
    assert limit.token_burst is not None
    for first, (from_s, _) in enumerate(admitted):
        tokens = 0
        for number, (until_s, size) in enumerate(admitted[first:], start=1):
            tokens += size
            assert number <= limit.burst + limit.requests_per_s * (until_s - from_s) + 1e-6
            assert tokens <= limit.token_burst + limit.tokens_per_s * (until_s - from_s) + 1e-6


@given(limits, profiles, arrivals)
def test_a_refused_request_is_not_charged(
    limit: Limits, profile: Profile, arrived: Sequence[Arrival]
) -> None:
    offer = Offer(limit, profile=profile)
    some, all_of_them = Provider(offer), Provider(offer)
    admitted = let_in(all_of_them, arrived)
    assert [some.arrive("m", tokens, now_s).status for now_s, tokens in admitted] == [200] * len(admitted)
    end_s = sum(gap_s for gap_s, _ in arrived)
    if admitted:
        assert some.levels("m", end_s) == pytest.approx(all_of_them.levels("m", end_s), abs=1e-6)


@given(limits, st.sampled_from(["full", "openai"]), arrivals)
def test_the_headers_tell_the_level(limit: Limits, profile: Profile, arrived: Sequence[Arrival]) -> None:
    provider = Provider(Offer(limit, profile=profile))
    for now_s, tokens in at(arrived):
        headers = dict(provider.arrive("m", tokens, now_s).headers)
        levels = provider.levels("m", now_s)
        of = {
            "requests": (limit.burst, limit.requests_per_s),
            "tokens": (limit.token_burst, limit.tokens_per_s),
        }
        for unit, (size, per_s) in of.items():
            assert size is not None
            assert per_s is not None
            level = levels[f"{unit} per minute"]
            assert float(headers[f"x-ratelimit-limit-{unit}"]) == size
            assert int(headers[f"x-ratelimit-remaining-{unit}"]) == math.floor(level + 1e-9)
            reset_s = told.duration_s(headers[f"x-ratelimit-reset-{unit}"])
            assert reset_s == pytest.approx((size - level) / per_s, abs=0.0011)


@given(limits, profiles.filter(lambda profile: profile != "none"), arrivals)
def test_a_refused_request_is_let_in_after_the_told_wait_and_not_before(
    limit: Limits, profile: Profile, arrived: Sequence[Arrival]
) -> None:
    provider = Provider(Offer(limit, profile=profile))
    for now_s, tokens in at(arrived):
        fate = provider.arrive("m", tokens, now_s)
        if fate.status == 200:
            continue
        text = json.loads(fate.body)["error"]["message"]
        wait_s = told.wait_s(fate.headers, text, 0.0)
        header_s = told.header_wait_s([pair for pair in fate.headers if pair[0] == "retry-after"], 0.0)
        assert wait_s is not None
        assert header_s is not None
        assert wait_s <= header_s + 1e-9
        if profile != "retry_after":  # whole seconds, rounded up
            assert provider.arrive("m", tokens, now_s + wait_s - 0.002).status == 429 or wait_s <= 0.002
        assert provider.arrive("m", tokens, now_s + wait_s).status == 200
        return


@given(limits, arrivals, arrivals)
def test_models_do_not_touch_one_another(
    limit: Limits, of_a: Sequence[Arrival], of_b: Sequence[Arrival]
) -> None:
    both, alone = Provider(Offer(limit)), Provider(Offer(limit))
    moments = sorted(
        [(now_s, "a", tokens) for now_s, tokens in at(of_a)] + [(s, "b", n) for s, n in at(of_b)]
    )
    fates = [(model, both.arrive(model, tokens, now_s)) for now_s, model, tokens in moments]
    in_order = sorted(at(of_a))
    assert [fate for model, fate in fates if model == "a"] == [
        alone.arrive("a", tokens, now_s) for now_s, tokens in in_order
    ]


@given(limits, profiles, st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_whoever_knows_the_limits_is_let_in_every_time_and_nobody_is_sooner(
    limit: Limits, profile: Profile, sizes: Sequence[int]
) -> None:
    offer = Offer(limit, profile=profile, latency_s=0.0)
    provider, told_s = Provider(offer), 0.0
    for number, size in enumerate(sizes, start=1):
        told_s = told_makespan_s(offer, {"m": sizes[:number]})
        if number == len(sizes) and told_s > 0:
            assert provider.arrive("m", size, told_s * 0.99 - 0.001).status != 200
        assert provider.arrive("m", size, told_s + 1e-6).status == 200


@pytest.mark.parametrize(
    ("count", "makespan_s"), [(1, 0.5), (10, 0.5), (11, 0.6), (300, 29.5)], ids=lambda value: f"{value}"
)
def test_the_burst_goes_at_once_and_the_rest_at_the_refill(count: int, makespan_s: float) -> None:
    offer = Offer(Limits(10, 10), latency_s=0.5, spread=0)
    assert told_makespan_s(offer, {"m": [1] * count}) == pytest.approx(makespan_s)
    slower = attrs.evolve(offer, of_models={"n": Limits(2, 2)})
    assert told_makespan_s(slower, {"m": [1] * count, "n": [1] * 82}) == pytest.approx(40.5)


def test_what_is_spoilt_is_asked_again_within_the_limits() -> None:
    offer = Offer(Limits(10, 10), server_errors=0.5, latency_s=0.5, spread=0)
    plain_s = told_makespan_s(attrs.evolve(offer, server_errors=0.0), {"m": [1] * 200})
    assert told_makespan_s(offer, {"m": [1] * 200}) > 1.5 * plain_s
    hangs = attrs.evolve(offer, server_errors=0.0, hangs=0.1)
    assert told_makespan_s(hangs, {"m": [1] * 100}) > 60
    assert told_makespan_s(hangs, {"m": [1] * 100}, timeout_s=5) < 25


@given(st.floats(0, 400_000))
def test_a_duration_is_read_back_to_the_millisecond_above(seconds: float) -> None:
    read = told.duration_s(go_duration(seconds))
    assert read is not None
    assert -1e-6 <= read - seconds <= 0.001 + 1e-6


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.12, "120ms"), (7.66, "7.66s"), (60, "1m0s"), (179.56, "2m59.56s"), (3888, "1h4m48s")],
)
def test_durations_are_printed_as_go_does(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


@given(limits, profiles, st.floats(0, 1), st.integers(0, 9))
def test_an_offer_survives_the_way_to_another_process(
    limit: Limits, profile: Profile, share: float, seed: int
) -> None:
    offer = Offer(limit, {"a": Limits(1, 2)}, profile, hangs=share, seed=seed)
    assert Offer.from_json(offer.to_json()) == offer


def test_groq_tells_the_requests_of_a_day_and_quantized_those_of_a_minute() -> None:
    hidden = Limits(tokens_per_day=1000)
    assert Provider(Offer(hidden, profile="groq")).arrive("m", 1, 0.0).headers == (
        ("x-ratelimit-limit-requests", "14400"),
        ("x-ratelimit-remaining-requests", "14399"),
        ("x-ratelimit-reset-requests", "6s"),
    )
    quantized = Provider(Offer(profile="quantized"))
    last = [quantized.arrive("m", 1, 0.0) for _ in range(11)][-1]
    assert (last.status, dict(last.headers)["x-ratelimit-remaining-requests"]) == (429, "590")


@pytest.mark.parametrize("profile", ["full", "openai", "groq", "quantized"])
def test_a_refusal_tells_its_numbers(profile: Profile) -> None:
    provider = Provider(Offer(Limits(10, 10, 10, 100), profile=profile))
    fates = [provider.arrive("m", 70, 0.0) for _ in range(2)]
    text = json.loads(fates[1].body)["error"]["message"]
    assert told.amounts(text) == told.Amounts(100, 70, 70)
    assert told.prose_wait_s(text) == 4
    assert "tokens per min" in text


def test_luck_is_a_matter_of_the_seed_and_the_model_alone() -> None:
    def times_s(seed: int, model: str) -> list[float]:
        provider = Provider(Offer(Limits(1000, 1000), seed=seed))
        provider.arrive("another", 1, 0.0)
        return [provider.arrive(model, 1, 0.0).after_s for _ in range(300)]

    assert times_s(1, "m") == times_s(1, "m")
    assert times_s(1, "m") != times_s(2, "m")
    assert times_s(1, "m") != times_s(1, "n")
    assert sorted(times_s(1, "m"))[150] == pytest.approx(0.3, rel=0.1)


def test_the_backend_declares_its_limits_unless_told_otherwise() -> None:
    assert LimitedBackend(Provider()).capabilities.limited
    assert not LimitedBackend(Provider(), limited=False).capabilities.limited


def test_changed_limits_hold_from_then_on_and_keep_what_is_used() -> None:
    provider = Provider(Offer(Limits(1, 10)))
    assert [provider.arrive("m", 1, 0.0).status for _ in range(8)] == [200] * 8
    provider.change("m", Limits(5, 12), 0.0)
    assert [provider.arrive("m", 1, 0.0).status for _ in range(5)] == [200] * 4 + [429]
    assert provider.arrive("m", 1, 0.2).status == 200


def test_the_count_is_kept_by_the_second_and_refusals_apart() -> None:
    provider = Provider(Offer(Limits(1, 1), server_errors=1.0))
    for now_s in (5.0, 5.1, 5.9, 6.5, 6.6):
        provider.arrive("m", 7, now_s)
    facts = {"admitted": 2, "refused": 3, "faults": 2, "tokens": 14, "refused_by_second": {0: 2, 1: 1}}
    assert provider.counts["m"].facts() == facts


def ask(offer: Offer, count: int = 1, characters: int = 4) -> list[Completion | CallError]:
    """What so many requests at once come to, over the backend."""

    async def main() -> list[Completion | CallError]:
        backend = LimitedBackend(Provider(offer))
        came: list[Completion | CallError] = []

        async def one(index: int) -> None:
            try:
                message = Message("user", "x" * characters)
                came.append(await backend.complete(Request(index, "m", (message,), max_tokens=8)))
            except CallError as error:
                came.append(error)

        async with anyio.create_task_group() as group:
            for index in range(count):
                group.start_soon(one, index)
        assert (backend.in_flight, backend.most_in_flight) == (0, count)
        return came

    first, second = (run_virtual(loop, main) for loop in LOOPS)
    assert [str(came) for came in first] == [str(came) for came in second]
    return first


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"server_errors": 1.0}, "server"),
        ({"resets": 1.0}, "connection"),
        ({"hangs": 1.0}, "connection"),
        ({"malformed": 1.0}, "malformed"),
    ],
)
def test_the_backend_fails_as_the_provider_does(fault: dict[str, float], kind: str) -> None:
    (error,) = ask(Offer(**fault))  # type: ignore[arg-type]
    assert isinstance(error, CallError)
    assert error.kind == kind


@pytest.mark.parametrize("profile", PROFILES)
def test_the_backend_refuses_as_the_provider_does(profile: Profile) -> None:
    error, answer = ask(Offer(Limits(0.5, 1), profile=profile), count=2)
    assert isinstance(error, CallError)
    assert (error.kind, error.status, error.final) == ("rate_limit", 429, False)
    assert error.retry_after_s == (None if profile == "none" else pytest.approx(2, abs=0.01))
    assert isinstance(answer, Completion)
    assert (answer.text, answer.usage.output_tokens) == ("Answer: yes", 8)
    assert bool(answer.headers) == (profile not in ("retry_after", "none"))


@pytest.mark.parametrize("profile", ["full", "groq", "openai"])
def test_what_no_wait_mends_is_told_so(profile: Profile) -> None:
    too_large = Offer(Limits(10, 10, 10, 100), profile=profile)
    (error,) = ask(too_large, characters=4000)
    assert isinstance(error, CallError)
    assert (error.kind, error.final) == ("bad_request", True)
    assert error.status == (413 if profile == "groq" else 429)
    spent = Offer(Limits(tokens_per_day=10), profile=profile)
    error, _ = ask(spent, count=2)
    assert isinstance(error, CallError)
    assert (error.kind, error.exhausted) == ("quota", True)


@pytest.mark.anyio
async def test_over_http_it_is_the_same_provider() -> None:
    offer = Offer(Limits(0.001, 3), latency_s=0.0, profile="openai")
    with serving(offer) as server:
        backend = openai.open_backend(base_url=server.url + "/v1", key="k", environ={})
        request = Request(0, "m", (Message("user", "four"),), max_tokens=8)
        for left in ("2", "1", "0"):
            answer = await backend.complete(request)
            assert dict(answer.headers)["x-ratelimit-remaining-requests"] == left
        with pytest.raises(CallError, match="requests per min") as refused:
            await backend.complete(request)
        assert (refused.value.kind, refused.value.status) == ("rate_limit", 429)
        assert refused.value.retry_after_s == pytest.approx(1000, abs=2)
        await backend.aclose()
        other = HttpRequest(server.url + "/count", headers={"authorization": "Bearer k"})
        counted = await anyio.to_thread.run_sync(lambda: json.loads(urlopen(other).read()))
        assert counted["m"]["admitted"] == 3
        assert counted["m"]["refused"] == 1
        assert counted["m"]["tokens"] == 3 * tokens_of(4, 8)
        assert server.account("another key").counts == {}


@pytest.mark.anyio
async def test_over_http_a_connection_breaks() -> None:
    with serving(Offer(resets=1.0)) as server:
        backend = openai.open_backend(base_url=server.url + "/v1", key="k", environ={})
        with pytest.raises(CallError) as broken:
            await backend.complete(Request(0, "m", (Message("user", "four"),)))
        assert broken.value.kind == "connection"
        await backend.aclose()
