"""Laws of what a bucket's refusals give away about it."""

from __future__ import annotations

import math
from random import Random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.policy.pacing import explaining
from fanin.policy.pacing.bracket import Bracket
from fanin.policy.pacing.explaining import Seen, Untaken

ANY = Bracket(1 / 60, 1000.0)


@attrs.frozen
class Run:
    """A bucket, and what was sent to it."""

    rate: float
    size: int
    sent_s: tuple[float, ...]
    untaken: tuple[Untaken, ...]

    @property
    def seen(self) -> tuple[Seen, ...]:
        return explaining.seen(self.sent_s, self.untaken)


def run(rate: float, size: int, gaps: list[float]) -> Run:
    """Requests at these distances, in units of the time in which one comes back."""
    level, at_s, sent_s, untaken = float(size), 0.0, [], []
    for gap in gaps:
        at_s += gap / rate
        level = min(size, level + gap)
        sent_s.append(at_s)
        if level >= 1:
            level -= 1
        else:
            untaken.append(Untaken(at_s, refused=True))
    return Run(rate, size, tuple(sent_s), tuple(untaken))


runs = st.builds(
    run,
    st.floats(0.1, 60),
    st.integers(1, 20),
    st.lists(st.sampled_from((0.0, 0.1, 0.5, 0.9, 0.95, 1.05, 2.0, 30.0)), min_size=1, max_size=80),
)


@given(runs)
def test_the_bucket_itself_explains_everything_seen(made: Run) -> None:
    found = explaining.sizes(made.seen, made.rate)
    assert found.possible
    assert found.least <= made.size + 1e-6
    assert found.most >= made.size - 1e-6


@given(runs, st.floats(0.1, 60), st.floats(1, 3))
def test_the_faster_the_rate_the_smaller_are_the_sizes(made: Run, rate: float, times: float) -> None:
    slow, fast = explaining.sizes(made.seen, rate), explaining.sizes(made.seen, rate * times)
    doubt = 2 * rate * times * explaining.JITTER_S
    assert fast.least <= slow.least + doubt
    assert fast.most <= slow.most + doubt


@given(runs)
def test_both_ends_of_the_rates_found_are_possible(made: Run) -> None:
    found = explaining.rates(made.seen, ANY)
    if found is not None:
        assert ANY.slowest <= found.slowest <= found.fastest <= ANY.fastest
        assert explaining.sizes(made.seen, found.slowest).possible
        assert explaining.sizes(made.seen, found.fastest).possible


@given(runs, st.randoms())
def test_all_up_to_the_last_refusal_is_seen_whatever_was_told_first(made: Run, random: Random) -> None:
    untaken = list(made.untaken)
    random.shuffle(untaken)
    last_s = max((one.at_s for one in untaken), default=-math.inf)
    seen = explaining.seen(made.sent_s, untaken)
    assert len(seen) == sum(at_s <= last_s for at_s in made.sent_s)
    assert sum(not one.admitted for one in seen) == len(untaken)
    assert seen == made.seen


def test_what_never_arrived_is_not_seen() -> None:
    seen = explaining.seen([0.0, 1.0, 2.0], [Untaken(1.0, refused=False), Untaken(2.0, refused=True)])
    assert seen == (Seen(0.0, admitted=True), Seen(2.0, admitted=False))


def test_nothing_is_seen_where_a_refused_request_is_not_known_to_have_been_sent() -> None:
    assert explaining.seen([0.0, 1.0, 2.0], [Untaken(0.5, refused=True), Untaken(2.0, refused=True)]) == ()


def test_nothing_is_seen_before_the_first_refusal() -> None:
    assert explaining.seen([0.0, 1.0], []) == ()


def test_whatever_took_the_place_of_what_was_refused_stands_before_it() -> None:
    seen = explaining.seen([0.0, 0.001, 0.1], [Untaken(0.0, refused=True)])
    assert [one.admitted for one in explaining.seen([0.0, 0.0], [Untaken(0.0, refused=True)])] == [
        True,
        False,
    ]
    assert seen == (Seen(0.0, admitted=False),)


@pytest.mark.parametrize("rate", [0.7, 7.87, 48.0])
def test_what_a_full_bucket_lost_does_not_hide_its_rate(rate: float) -> None:
    """A pace that begins far below the rate leaves the bucket full for long; the time from one refusal to
    the next, and what was admitted between them, would tell a rate that is far too low."""
    pace = [0.0] * 4 + [8.0] + [4 * 0.9**step for step in range(40)]
    made = run(rate, 3, pace)
    first, last = made.untaken[0].at_s, made.untaken[-1].at_s
    admitted = sum(first < at_s < last for at_s in made.sent_s) - len(made.untaken) + 2
    assert (admitted + 1) / (last - first) < 0.8 * rate
    found = explaining.rates(made.seen, ANY)
    assert found is not None
    assert found.slowest <= rate * 1.001
    assert found.fastest >= rate * 0.999
    assert found.fastest < found.slowest * 1.6


def test_a_limit_that_changed_is_explained_by_no_bucket() -> None:
    before = run(50.0, 2, [0.0] * 4 + [0.99] * 60)
    after = run(1.0, 2, [0.0] * 4 + [0.9] * 30)
    offset_s = before.sent_s[-1] + 1.0
    sent_s = [*before.sent_s, *(at_s + offset_s for at_s in after.sent_s)]
    untaken = [*before.untaken, *(Untaken(one.at_s + offset_s, refused=True) for one in after.untaken)]
    assert explaining.rates(explaining.seen(sent_s, untaken), ANY) is None
