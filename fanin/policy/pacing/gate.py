"""The gate and the delay: how long nobody asks after a refusal.

Promises, each a law in the tests:

- no request passes before the wait that the provider told is over: the gate only ever moves later;
- a delay adds up over distinct episodes of refusals, and an episode that hits many requests in
  flight counts once, with the longest wait that was told in it: the refusal of a request that was
  sent before the last episode was noticed belongs to that episode;
- the delay lengthens the gate only where no success came since the last hit, and is never slept
  before every request;
- every success takes a tenth off the delay (0 below a millisecond);
- the delay is never negative and never above its cap.

Within one episode the order of refusals does not matter, nor does the order of successes. A success
that trades places with a refusal changes the delay by at most a tenth of that refusal's wait, where
the cap cuts nothing off.
"""

from __future__ import annotations

import math

import attrs

DECAY = 0.9
"""What a success leaves of the delay."""
FLOOR_S = 0.001
"""A delay below this is none."""


@attrs.frozen
class Gate:
    """When the next request may pass at all. Times are seconds on one clock of the caller's choice."""

    cap_s: float = 600.0
    """The highest the delay can grow, in seconds."""
    until_s: float = -math.inf
    """The time before which no request passes."""
    delay_s: float = 0.0
    """What refusals have added up to, less what successes took off; 0 to `cap_s`."""
    episode_s: float = -math.inf
    """When the last episode of refusals was noticed."""
    longest_s: float = 0.0
    """The longest wait told in that episode."""
    added_s: float = 0.0
    """The delay that lengthens the waits of that episode; 0 where a success came before it."""
    consecutive: bool = False
    """Whether no success came since the last episode."""


NO_GATE = Gate()
"""Nothing was told yet."""


def opens_episode(gate: Gate, sent_s: float) -> bool:
    """Whether the refusal of a request sent at `sent_s` is news: the last episode was known by then."""
    return sent_s > gate.episode_s


def refused(gate: Gate, *, sent_s: float, told_s: float, now_s: float) -> Gate:
    """The gate after a refusal, noticed at `now_s`, of a request sent at `sent_s`: wait `told_s`."""
    if opens_episode(gate, sent_s):
        added_s = gate.delay_s if gate.consecutive else 0.0
        gate = attrs.evolve(gate, episode_s=now_s, longest_s=0.0, added_s=added_s, consecutive=True)
    return attrs.evolve(
        gate,
        until_s=max(gate.until_s, now_s + told_s + gate.added_s),
        delay_s=min(gate.cap_s, gate.delay_s + max(0.0, told_s - gate.longest_s)),
        longest_s=max(gate.longest_s, told_s),
    )


def succeeded(gate: Gate) -> Gate:
    """The gate after a success."""
    if not gate.delay_s and not gate.consecutive:
        return gate
    delay_s = gate.delay_s * DECAY
    return attrs.evolve(gate, delay_s=delay_s if delay_s >= FLOOR_S else 0.0, consecutive=False)
