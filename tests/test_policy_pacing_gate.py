"""The promises of the gate and the delay, each a law over every history of refusals and successes."""

from __future__ import annotations

import math

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fanin.policy.pacing.gate import DECAY, Gate, refused, succeeded


@attrs.frozen
class Refusal:
    """A refusal noticed `after_s` after the event before it, of a request sent `sent_before_s` ago."""

    after_s: float
    sent_before_s: float
    told_s: float


@attrs.frozen
class Success:
    """A success `after_s` after the event before it."""

    after_s: float


Happening = Refusal | Success
_times = st.floats(0, 100) | st.sampled_from([0.0, 1.0])
_refusals = st.builds(Refusal, _times, _times, st.floats(0, 700) | st.sampled_from([0.0, 2.0, 600.0]))
histories = st.lists(_refusals | _refusals | st.builds(Success, _times), max_size=30)
caps = st.floats(0.01, 1000)


@attrs.frozen
class Moment:
    """One step of a history: the state before and after, and what happened at what time."""

    happened: Happening
    now_s: float
    before: Gate
    after: Gate

    @property
    def new_episode(self) -> bool:
        """Whether this is a refusal of a request sent after the last episode was noticed."""
        refusal = self.happened
        return isinstance(refusal, Refusal) and self.now_s - refusal.sent_before_s > self.before.episode_s


def moments(history: list[Happening], cap_s: float) -> list[Moment]:
    gate, now_s, passed = Gate(cap_s=cap_s), 0.0, []
    for happened in history:
        before = gate
        now_s += happened.after_s
        if isinstance(happened, Success):
            gate = succeeded(gate)
        else:
            sent_s = now_s - happened.sent_before_s
            gate = refused(gate, sent_s=sent_s, told_s=happened.told_s, now_s=now_s)
        passed.append(Moment(happened, now_s, before, gate))
    return passed


@given(histories, caps)
def test_no_request_passes_before_a_told_wait_is_over(history: list[Happening], cap_s: float) -> None:
    passed = moments(history, cap_s)
    for place, moment in enumerate(passed):
        if not isinstance(moment.happened, Refusal):
            continue
        opens_s = moment.now_s + moment.happened.told_s
        for later in passed[place:]:
            assert later.after.until_s >= opens_s


@given(histories, caps)
def test_the_gate_only_ever_moves_later(history: list[Happening], cap_s: float) -> None:
    for moment in moments(history, cap_s):
        assert moment.after.until_s >= moment.before.until_s


@given(histories, caps)
def test_the_delay_adds_up_the_longest_told_wait_of_each_episode(
    history: list[Happening], cap_s: float
) -> None:
    longest_s = 0.0  # of the episode that is on
    for moment in moments(history, cap_s):
        if isinstance(moment.happened, Success):
            continue
        told_s = moment.happened.told_s
        if moment.new_episode:
            longest_s = 0.0
            assert (moment.after.episode_s, moment.after.consecutive) == (moment.now_s, True)
        more_s = max(0.0, told_s - longest_s)
        longest_s = max(longest_s, told_s)
        assert moment.after.delay_s == min(cap_s, moment.before.delay_s + more_s)


@given(histories, caps)
def test_the_delay_lengthens_the_gate_only_where_no_success_came_since(
    history: list[Happening], cap_s: float
) -> None:
    success_since, extra_s = True, 0.0  # nothing was refused yet
    for moment in moments(history, cap_s):
        if isinstance(moment.happened, Success):
            success_since = True
            assert moment.after.until_s == moment.before.until_s
            continue
        if moment.new_episode:
            extra_s = 0.0 if success_since else moment.before.delay_s
            success_since = False
        own_s = moment.now_s + moment.happened.told_s + extra_s
        assert moment.after.until_s == max(moment.before.until_s, own_s)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=6), st.permutations(range(6)), caps)
def test_the_order_within_one_episode_does_not_matter(
    told: list[float], order: list[int], cap_s: float
) -> None:
    def after(waits: list[float]) -> Gate:
        gate = Gate(cap_s)
        for told_s in waits:
            gate = refused(gate, sent_s=0.0, told_s=told_s, now_s=1.0)
        return gate

    shuffled = [told[place] for place in order if place < len(told)]
    one, other = after(told), after(shuffled)
    assert (one.until_s, one.episode_s, one.longest_s) == (other.until_s, other.episode_s, other.longest_s)
    assert one.delay_s == pytest.approx(other.delay_s)


@given(histories, caps, st.floats(0, 700))
def test_a_success_that_trades_places_with_a_refusal_matters_by_a_tenth_of_its_wait(
    history: list[Happening], cap_s: float, told_s: float
) -> None:
    passed = moments(history, cap_s)
    gate = passed[-1].after if passed else Gate(cap_s)
    now_s = passed[-1].now_s + 1.0 if passed else 1.0
    assume(gate.delay_s + told_s <= cap_s)
    first = refused(succeeded(gate), sent_s=now_s, told_s=told_s, now_s=now_s)
    last = succeeded(refused(gate, sent_s=now_s, told_s=told_s, now_s=now_s))
    assert abs(first.delay_s - last.delay_s) <= 0.1 * told_s + 0.001 + 1e-9


@given(histories, caps)
def test_every_success_takes_a_tenth_off_the_delay(history: list[Happening], cap_s: float) -> None:
    for moment in moments(history, cap_s):
        if isinstance(moment.happened, Success):
            less = moment.before.delay_s * 0.9
            assert moment.after.delay_s == (less if less >= 0.001 else 0.0)
            assert moment.after.consecutive is False


@given(histories, caps)
def test_the_delay_is_never_negative_and_never_above_its_cap(history: list[Happening], cap_s: float) -> None:
    assert all(0 <= moment.after.delay_s <= cap_s for moment in moments(history, cap_s))


@given(histories, caps)
def test_successes_alone_bring_the_delay_to_nothing_in_the_end(
    history: list[Happening], cap_s: float
) -> None:
    passed = moments(history, cap_s)
    gate = passed[-1].after if passed else Gate(cap_s=cap_s)
    for _ in range(150):  # 1000 s * 0.9**150 is below a millisecond
        less = succeeded(gate)
        assert less.delay_s < gate.delay_s or gate.delay_s == less.delay_s == 0
        gate = less
    assert gate.delay_s == 0


def test_an_open_gate_holds_nobody() -> None:
    assert Gate() == Gate(cap_s=600.0, until_s=-math.inf, delay_s=0.0, episode_s=-math.inf)
    assert succeeded(Gate()) == Gate()


def test_one_episode_that_hits_many_requests_counts_once() -> None:
    gate = Gate()
    for late in range(5):
        gate = refused(gate, sent_s=0.0, told_s=2.0, now_s=1.0 + late / 10)
    assert gate.delay_s == 2.0
    assert gate.until_s == pytest.approx(3.4)
    assert gate.episode_s == 1.0


def test_refusals_one_after_the_other_wait_longer_each_time() -> None:
    gate = refused(Gate(), sent_s=0.0, told_s=2.0, now_s=0.5)
    assert gate.until_s == 2.5
    gate = refused(gate, sent_s=2.5, told_s=2.0, now_s=3.0)
    assert (gate.until_s, gate.delay_s) == (3.0 + 2.0 + 2.0, 4.0)
    gate = refused(gate, sent_s=7.0, told_s=2.0, now_s=7.5)
    assert (gate.until_s, gate.delay_s) == (7.5 + 2.0 + 4.0, 6.0)
    gate = refused(succeeded(gate), sent_s=12.0, told_s=1.0, now_s=12.5)
    assert (gate.until_s, gate.delay_s) == (13.5, 6.0 * DECAY + 1.0)


def test_a_delay_below_a_millisecond_is_none() -> None:
    assert succeeded(Gate(delay_s=0.0012)).delay_s == pytest.approx(0.00108)
    assert succeeded(Gate(delay_s=0.001 / DECAY)).delay_s == 0.001
    assert succeeded(Gate(delay_s=0.0011)).delay_s == 0.0
