"""The promises of a pace, each a law over every history of refusals and successes."""

from __future__ import annotations

import math

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fanin.policy.pacing import DECAY, Pace, refused, succeeded, wait_s


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
    before: Pace
    after: Pace

    @property
    def new_episode(self) -> bool:
        """Whether this is a refusal of a request sent after the last episode was noticed."""
        refusal = self.happened
        return isinstance(refusal, Refusal) and self.now_s - refusal.sent_before_s > self.before.episode_s


def moments(history: list[Happening], cap_s: float) -> list[Moment]:
    pace, now_s, passed = Pace(cap_s=cap_s), 0.0, []
    for happened in history:
        before = pace
        now_s += happened.after_s
        if isinstance(happened, Success):
            pace = succeeded(pace)
        else:
            sent_s = now_s - happened.sent_before_s
            pace = refused(pace, sent_s=sent_s, told_s=happened.told_s, now_s=now_s)
        passed.append(Moment(happened, now_s, before, pace))
    return passed


@given(histories, caps)
def test_no_request_passes_before_a_told_wait_is_over(history: list[Happening], cap_s: float) -> None:
    passed = moments(history, cap_s)
    for place, moment in enumerate(passed):
        if not isinstance(moment.happened, Refusal):
            continue
        opens_s = moment.now_s + moment.happened.told_s
        for later in passed[place:]:
            assert later.after.gate_s >= opens_s
            assert wait_s(later.after, later.now_s) >= opens_s - later.now_s


@given(histories, caps)
def test_the_gate_only_ever_moves_later(history: list[Happening], cap_s: float) -> None:
    for moment in moments(history, cap_s):
        assert moment.after.gate_s >= moment.before.gate_s


@given(histories, caps)
def test_the_delay_adds_up_told_waits_over_distinct_episodes(history: list[Happening], cap_s: float) -> None:
    for moment in moments(history, cap_s):
        if isinstance(moment.happened, Success):
            continue
        if moment.new_episode:
            grown = min(cap_s, moment.before.delay_s + moment.happened.told_s)
            assert moment.after.delay_s == grown
            assert (moment.after.episode_s, moment.after.consecutive) == (moment.now_s, True)
        else:
            assert attrs.evolve(moment.after, gate_s=0) == attrs.evolve(moment.before, gate_s=0)


@given(histories, caps)
def test_the_delay_lengthens_the_gate_only_where_no_success_came_since(
    history: list[Happening], cap_s: float
) -> None:
    success_since = True  # nothing was refused yet
    for moment in moments(history, cap_s):
        if isinstance(moment.happened, Success):
            success_since = True
            assert moment.after.gate_s == moment.before.gate_s
            continue
        lengthened = moment.new_episode and not success_since
        extra_s = moment.before.delay_s if lengthened else 0.0
        own_s = max(moment.now_s + moment.happened.told_s, moment.now_s + moment.happened.told_s + extra_s)
        assert moment.after.gate_s == max(moment.before.gate_s, own_s)
        if moment.new_episode:
            success_since = False


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
    pace = passed[-1].after if passed else Pace(cap_s=cap_s)
    for _ in range(150):  # 1000 s * 0.9**150 is below a millisecond
        less = succeeded(pace)
        assert less.delay_s < pace.delay_s or pace.delay_s == less.delay_s == 0
        pace = less
    assert pace.delay_s == 0


@given(histories, caps, st.floats(-1000, 10_000))
@example([], 1.0, 0.0)
def test_the_wait_is_what_is_left_until_the_gate_opens(
    history: list[Happening], cap_s: float, now_s: float
) -> None:
    passed = moments(history, cap_s)
    pace = passed[-1].after if passed else Pace(cap_s=cap_s)
    wait = wait_s(pace, now_s)
    assert wait >= 0
    assert (wait == 0) == (pace.gate_s <= now_s)
    if wait:
        assert wait == pace.gate_s - now_s


def test_an_open_gate_lets_everything_pass() -> None:
    assert Pace() == Pace(cap_s=600.0, gate_s=-math.inf, delay_s=0.0, episode_s=-math.inf, consecutive=False)
    assert wait_s(Pace(), -1e9) == 0
    assert succeeded(Pace()) == Pace()


def test_one_episode_that_hits_many_requests_counts_once() -> None:
    pace = Pace()
    for late in range(5):
        pace = refused(pace, sent_s=0.0, told_s=2.0, now_s=1.0 + late / 10)
    assert pace.delay_s == 2.0
    assert pace.gate_s == pytest.approx(3.4)
    assert pace.episode_s == 1.0


def test_refusals_one_after_the_other_wait_longer_each_time() -> None:
    pace = refused(Pace(), sent_s=0.0, told_s=2.0, now_s=0.5)
    assert pace.gate_s == 2.5
    pace = refused(pace, sent_s=2.5, told_s=2.0, now_s=3.0)
    assert (pace.gate_s, pace.delay_s) == (3.0 + 2.0 + 2.0, 4.0)
    pace = refused(pace, sent_s=7.0, told_s=2.0, now_s=7.5)
    assert (pace.gate_s, pace.delay_s) == (7.5 + 2.0 + 4.0, 6.0)
    pace = refused(succeeded(pace), sent_s=12.0, told_s=1.0, now_s=12.5)
    assert (pace.gate_s, pace.delay_s) == (13.5, 6.0 * DECAY + 1.0)


def test_a_delay_below_a_millisecond_is_none() -> None:
    assert succeeded(Pace(delay_s=0.0012)).delay_s == pytest.approx(0.00108)
    assert succeeded(Pace(delay_s=0.001 / DECAY)).delay_s == 0.001
    assert succeeded(Pace(delay_s=0.0011)).delay_s == 0.0
