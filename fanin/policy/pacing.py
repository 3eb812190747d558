"""How fast one model of one account may be asked: a gate and a delay, moved by refusals and successes.

Promises, each a law in the tests:

- no request passes before the wait that the provider told is over (`gate_s` only ever moves later);
- a delay adds up over distinct episodes of refusals, and an episode that hits many requests in
  flight counts once: a refusal of a request sent before the last episode was noticed only moves the
  gate;
- the delay lengthens the gate only where no success came since the last episode;
- every success takes a tenth off the delay (0 below a millisecond);
- the delay is never negative and never above its cap.

Times are seconds on one clock of the caller's choice.
"""

from __future__ import annotations

import attrs

DECAY = 0.9
"""What a success leaves of the delay."""
_FLOOR_S = 0.001


@attrs.frozen
class Pace:
    """The state of one account and model."""

    cap_s: float = 600.0
    """The highest the delay can grow, in seconds."""
    gate_s: float = float("-inf")
    """The time before which no request passes."""
    delay_s: float = 0.0
    """What refusals have added up to, less what successes took off; 0 to `cap_s`."""
    episode_s: float = float("-inf")
    """When the last episode of refusals was noticed."""
    consecutive: bool = False
    """Whether no success came since the last episode."""


def refused(pace: Pace, *, sent_s: float, told_s: float, now_s: float) -> Pace:
    """The state after a refusal, noticed at `now_s`, of a request sent at `sent_s`: wait `told_s`."""
    gate_s = max(pace.gate_s, now_s + told_s)
    if sent_s <= pace.episode_s:
        return attrs.evolve(pace, gate_s=gate_s)
    if pace.consecutive:
        gate_s = max(gate_s, now_s + told_s + pace.delay_s)
    return attrs.evolve(
        pace,
        gate_s=gate_s,
        delay_s=min(pace.cap_s, pace.delay_s + told_s),
        episode_s=now_s,
        consecutive=True,
    )


def succeeded(pace: Pace) -> Pace:
    """The state after a success."""
    if not pace.delay_s and not pace.consecutive:
        return pace
    delay_s = pace.delay_s * DECAY
    return attrs.evolve(pace, delay_s=delay_s if delay_s >= _FLOOR_S else 0.0, consecutive=False)


def wait_s(pace: Pace, now_s: float) -> float:
    """Seconds until the gate opens; 0 where it is open."""
    return max(0.0, pace.gate_s - now_s)
