"""The promises of a pace, against a provider that enforces what it tells or does not tell."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limited_provider import PROFILES, Limits, Offer, told_makespan_s
from pacing_drive import drive

from fanin.policy import pacing
from fanin.policy.pacing import Level, Load, Outlook, Pace, Refusal, Ticket, explaining
from fanin.policy.pacing.bracket import Bracket, Mark, between, of_reset
from fanin.policy.pacing.load import CHUNK, NOTHING, History

rates = st.floats(0.3, 60)
offers = st.builds(
    lambda rate, seconds, latency_s, profile, seed: Offer(
        Limits(rate, max(1.0, round(rate * seconds))), profile=profile, latency_s=latency_s, seed=seed
    ),
    rates,
    st.floats(0.3, 30),
    st.floats(0.2, 6),
    st.sampled_from(PROFILES),
    st.integers(0, 99),
)


@settings(max_examples=15)
@given(offers, st.integers(1, 60))
def test_every_request_is_answered_in_the_end(offer: Offer, count: int) -> None:
    driven = drive(offer, [40] * count)
    assert sorted(driven.done_s) == list(range(count))


@settings(max_examples=15)
@given(offers, st.integers(1, 60))
def test_no_request_goes_before_a_told_wait_is_over(offer: Offer, count: int) -> None:
    driven = drive(offer, [40] * count)
    for before, opens_s in driven.told:
        assert all(sent_s >= opens_s - 1e-9 for sent_s in driven.sent_s[before:])


@settings(max_examples=15)
@given(offers, st.integers(20, 80), st.floats(6, 600))
def test_in_any_window_no_more_goes_than_the_user_s_limit_and_its_rate_allow(
    offer: Offer, count: int, rpm: float
) -> None:
    driven = drive(offer, [40] * count, pacing.limited(Pace(), 0.0, rpm=rpm))
    for first, from_s in enumerate(driven.sent_s):
        for last in range(first, len(driven.sent_s)):
            window_s = driven.sent_s[last] - from_s
            assert last - first + 1 <= rpm + rpm / 60 * window_s + 1e-6


@settings(max_examples=15)
@given(st.lists(st.floats(1, 3000), min_size=1, max_size=40), st.floats(3000, 60_000))
def test_tokens_are_held_to_the_user_s_limit_too(costs: list[float], tpm: float) -> None:
    offer = Offer(Limits(1000, 1000), profile="none", latency_s=0.5)
    driven = drive(offer, costs, pacing.limited(Pace(), 0.0, tpm=tpm))
    spent = 0.0
    for sent_s, cost in zip(driven.sent_s, costs, strict=False):
        spent += cost
        assert spent <= tpm + tpm / 60 * sent_s + 1e-6


@settings(max_examples=10)
@given(offers, st.integers(2, 20), st.floats(0.1, 3))
def test_starts_are_staggered(offer: Offer, count: int, stagger_s: float) -> None:
    driven = drive(offer, [40] * count, pacing.limited(Pace(), 0.0, stagger_s=stagger_s))
    assert all(later - earlier >= stagger_s - 1e-9 for earlier, later in pairwise(driven.sent_s))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("rate", "burst"), [(10.0, 10.0), (2.0, 4.0), (40.0, 80.0)])
def test_the_limit_is_used_up_and_hardly_ever_hit(profile: str, rate: float, burst: float) -> None:
    """The bounds are wide here: the figures are measured by a bench."""
    offer = Offer(Limits(rate, burst), profile=profile, latency_s=0.3, spread=0.0)  # type: ignore[arg-type]
    driven = drive(offer, [40] * 200)
    assert driven.makespan_s <= 1.25 * told_makespan_s(offer, {"m": [40] * 200})
    assert driven.refused <= 200 / 8


@pytest.mark.parametrize(("rate", "burst"), [(7.64, 3.0), (4.06, 1.0), (1.47, 1.0)])
def test_the_rate_of_a_small_bucket_is_found_though_each_refusal_costs_a_second(
    rate: float, burst: float
) -> None:
    offer = Offer(Limits(rate, burst), profile="retry_after", latency_s=0.3, spread=0.0)
    driven = drive(offer, [40] * 300)
    (probe,) = driven.pace.probes
    assert probe.rate == pytest.approx(rate, rel=0.05)
    assert driven.makespan_s <= 1.16 * told_makespan_s(offer, {"m": [40] * 300})
    assert driven.refused <= 300 / 15


def test_hundreds_that_are_refused_at_once_are_not_each_thought_over(monkeypatch: pytest.MonkeyPatch) -> None:
    thought = []
    real = explaining.rates
    monkeypatch.setattr(explaining, "rates", lambda *facts: thought.append(facts) or real(*facts))
    pace, first = pacing.sent(Pace(), Load(1, 40), 0.0)
    pace = pacing.refused(pace, first, (), Refusal(1.0), 0.01)
    tickets = []
    for number in range(300):
        pace, ticket = pacing.sent(pace, Load(1, 40), 2 + number * 0.001)
        tickets.append(ticket)
    for ticket in tickets[100:]:
        pace = pacing.refused(pace, ticket, (), Refusal(1.0), 3.0)
    assert 0 < len(thought) <= 16


def test_a_burst_goes_at_once_and_then_the_rate_is_kept_where_headers_tell_it() -> None:
    offer = Offer(Limits(10, 10), profile="full", latency_s=0.3, spread=0.0)
    driven = drive(offer, [40] * 100)
    assert sum(at_s < 0.5 for at_s in driven.provider.counts["m"].admitted_s) >= 10
    steady = driven.provider.counts["m"].admitted_s[30:90]
    assert steady[-1] - steady[0] == pytest.approx(59 / 10, rel=0.03)


@given(
    rate=st.sampled_from([20.0, 50.0, 100.0]),
    share=st.sampled_from([0.25, 0.5, 1.0]),
    most_late_s=st.sampled_from([0.05, 0.1, 0.15]),
    seed=st.integers(0, 99),
)
def test_requests_that_go_late_are_not_taken_for_arrived(
    rate: float, share: float, most_late_s: float, seed: int
) -> None:
    def late_s(number: int) -> float:
        busy = Random(seed * 1000 + number // 20).choice([0.0, 0.0, 0.3, 1.0])
        return most_late_s * busy if number > 2 * rate * share else 0.0

    offer = Offer(Limits(rate, rate * share), latency_s=0.1, seed=seed)
    driven = drive(offer, [1.0] * 300, late_s=late_s)
    # Where lateness is not told, 20 to 40 are.
    assert driven.refused <= 8
    assert driven.makespan_s <= 1.4 * (told_makespan_s(offer, {"m": [1.0] * 300}) + 2 * most_late_s)


def test_where_everything_is_refused_and_nothing_told_one_is_tried_each_minute_at_least() -> None:
    offer = Offer(Limits(1e-9, 1e-9), profile="none")
    driven = drive(offer, [40], until_s=3600.0)
    assert len(driven.sent_s) >= 50
    assert all(later - earlier <= 61 for earlier, later in pairwise(driven.sent_s))


@given(st.floats(1, 1e4), st.floats(1, 1e6), st.floats(0, 1e5))
def test_what_is_returned_can_be_had_again(limit: float, tpm: float, now_s: float) -> None:
    before = pacing.limited(Pace(), now_s, rpm=limit, tpm=tpm)
    load = Load(1, tpm / 2)
    sent, ticket = pacing.sent(before, load, now_s)
    after = pacing.returned(sent, ticket, now_s)
    for bucket, again in zip(before.buckets, after.buckets, strict=True):
        assert again.level(now_s) == pytest.approx(bucket.level(now_s))


@given(st.floats(0, 1000), st.floats(0, 1000))
def test_what_was_not_used_of_a_reservation_is_given_back(reserved: float, used: float) -> None:
    pace, ticket = pacing.sent(pacing.limited(Pace(), 0.0, tpm=10_000), Load(1, reserved), 0.0)
    (bucket,) = pacing.answered(pace, ticket, (), 0.0, used_tokens=used).buckets
    assert bucket.level(0.0) == pytest.approx(10_000 - used)


def test_a_limit_that_is_raised_while_running_counts_from_then_on() -> None:
    pace = pacing.limited(Pace(), 0.0, rpm=2)
    for _ in range(2):
        pace, _ = pacing.sent(pace, Load(), 0.0)
    assert pacing.outlook(pace, Load()) == Outlook(pytest.approx(30.0), "rpm")  # type: ignore[arg-type]
    raised = pacing.limited(pace, 0.0, rpm=4)
    assert pacing.outlook(raised, Load()).at_s <= 0.0
    assert pacing.limited(raised, 0.0).buckets == ()


def test_a_clock_that_goes_back_is_held_where_it_was() -> None:
    pace, _ = pacing.sent(pacing.limited(Pace(), 100.0, rpm=60), Load(), 100.0)
    back, ticket = pacing.sent(pace, Load(), 50.0)
    assert ticket.sent_s == 100.0
    assert back.history.last_s == 100.0


def test_tickets_that_were_taken_ahead_of_their_time_do_not_count_before_it() -> None:
    """Another process may have taken them for moments to come when a refusal arrives."""
    pace, first = pacing.sent(Pace(), Load(), 0.0)
    plain, second = pacing.sent(pace, Load(), 0.01)
    ahead = plain
    for number in range(5):
        ahead, _ = pacing.sent(ahead, Load(), 0.1 + number / 100)
    told = Refusal(0.5, True, "requests", 1, 1, 1)
    held = pacing.refused(ahead, second, (), told, 0.02)
    alone = pacing.refused(plain, second, (), told, 0.02)
    assert held.probes[0].rates == alone.probes[0].rates
    assert first.number == 1


def test_a_server_error_never_touches_the_gate() -> None:
    pace, ticket = pacing.sent(Pace(), Load(), 0.0)
    refused = pacing.refused(pace, ticket, (), Refusal(5.0), 1.0)
    again, later = pacing.sent(refused, Load(), 10.0)
    assert pacing.failed(again, later, (), 11.0).gate == refused.gate


# --- what is read off headers and refusals


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            {"limit-requests": "60", "remaining-requests": "59", "reset-requests": "1s"},
            [Level("requests", "requests", 60, 59, 1.0, 0.001)],
        ),
        (
            {"limit-tokens": "6000", "remaining-tokens": "5990", "reset-tokens": "100ms"},
            [Level("tokens", "tokens", 6000, 5990, 0.1, 0.001)],
        ),
        ({"limit-tokens": "-1", "remaining-tokens": "-1"}, []),
        ({"limit-requests": "0", "remaining-requests": "0"}, []),
        ({"limit-requests": "10", "remaining-requests": "nan"}, []),
        ({"limit-requests": "10"}, []),
        (
            {"limit-requests": "10", "remaining-requests": "3", "reset-requests": "7"},
            [Level("requests", "requests", 10, 3, 7.0, 1.0)],
        ),
        (
            {"limit-requests": "10", "remaining-requests": "3", "reset-requests": "1767225600"},
            [Level("requests", "requests", 10, 3, None, 0.0)],
        ),
        (
            {"limit-requests-day": "10", "remaining-requests-day": "30", "reset-requests-day": "soon"},
            [Level("requests-day", "requests", 10, 10, None, 0.0)],
        ),
        ({"limit-images": "10", "remaining-images": "3"}, []),
    ],
)
def test_levels_are_read_from_every_form_of_the_headers(
    headers: dict[str, str], expected: list[Level]
) -> None:
    assert list(pacing.levels((f"x-ratelimit-{name}", value) for name, value in headers.items())) == expected


@pytest.mark.parametrize(
    ("text", "headers", "expected"),
    [
        ("", (), Refusal(7.0)),
        ("", (("retry-after-ms", "7000"),), Refusal(7.0, exact=True)),
        (
            "Rate limit reached on tokens per minute (TPM): Limit 8000, Used 6670, Requested 5883. Please "
            "try again in 34.1475s.",
            (),
            Refusal(34.1475, True, "tokens", 8000, 6670, 5883),
        ),
        (
            "on requests per minute (RPM): Limit 30, Used 30, Requested 1. Please try again in 2s",
            (),
            Refusal(2.0, True, "requests", 30, 30, 1),
        ),
    ],
)
def test_a_refusal_tells_its_numbers(
    text: str, headers: tuple[tuple[str, str], ...], expected: Refusal
) -> None:
    assert pacing.refusal(headers, text, 7.0) == expected


# --- what is known of a rate


@given(st.floats(1, 1e4), rates, st.floats(0, 1))
def test_the_true_rate_lies_within_what_a_reset_leaves(limit: float, rate: float, share: float) -> None:
    limit = math.floor(limit)
    level = limit * share
    reset_s = (limit - level) / rate
    told_s = math.ceil(reset_s * 1000) / 1000
    bracket = of_reset(limit - math.floor(level), told_s, 0.001)
    assert bracket.slowest <= rate * (1 + 1e-9)
    assert bracket.fastest >= rate * (1 - 1e-9)


@given(rates, st.floats(1, 100), st.integers(1, 100))
def test_the_true_rate_lies_between_two_marks(rate: float, elapsed_s: float, requested: int) -> None:
    spent = math.floor(rate * elapsed_s)
    bracket = between(Mark(0.0, 0.0), Mark(elapsed_s, spent, 0.0, 1.0))
    assert bracket.slowest <= rate * 1.01
    assert bracket.fastest >= min(rate, spent / elapsed_s) * 0.99 or bracket == Bracket()


def test_signs_that_exclude_one_another_leave_the_newer() -> None:
    assert Bracket(1, 2).narrowed(Bracket(1.5, 9)) == Bracket(1.5, 2)
    assert Bracket(1, 2).narrowed(Bracket(3, 4)) == Bracket(3, 4)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 100)), max_size=3 * CHUNK), st.floats(-1, 700))
def test_the_record_knows_what_was_sent_until_when(sends: list[tuple[float, float]], at_s: float) -> None:
    history, now_s, known = History(), 0.0, [(-math.inf, NOTHING)]
    for after_s, tokens in sends:
        now_s += after_s
        history = history.sent(Load(1, tokens), now_s)
        known.append((now_s, history.total))
    assert history.until(at_s) == [total for sent_s, total in known if sent_s <= at_s][-1]
    assert history.last_s == known[-1][0]
    assert history.sent_after(at_s) == min((s for s, _ in known if s > at_s), default=math.inf)


def test_a_ticket_says_what_was_reserved_and_when() -> None:
    pace, first = pacing.sent(Pace(), Load(1, 30), 5.0)
    _, second = pacing.sent(pace, Load(1, 40), 6.0)
    assert (first, second) == (Ticket(1, Load(1, 30), 5.0), Ticket(2, Load(1, 40), 6.0))
    assert attrs.asdict(first)["load"] == {"requests": 1, "tokens": 30}
