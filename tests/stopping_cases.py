"""Rules and votes for the laws of stopping, and what a rule asks of a sequence of runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

from hypothesis import strategies as st

from fanin.policy.stopping import Rule, Seen, Waves, next_wave, parse_rule, seen_of

PLANNED = 14
RULES = (
    "all",
    "decided",
    "decided:winner",
    "certified:0.05",
    "certified:0.1",
    "posterior:0.95",
    "posterior:0.6",
    "predictive:0.95",
    "predictive:0.6",
    "voi",
    "ahead:1",
    "ahead:3",
    "window:3",
    "window:4",
    "start:3,step:2",
    "start:2,step:3",
)
COUNTING = tuple(text for text in RULES if not text.startswith("window"))
"""The rules that look at counts alone."""
BY_LEAD = tuple(text for text in COUNTING if not text.startswith(("all", "decided", "start")))
"""The rules that look at the leader, the runner-up and the runs asked, and have no waves of their own."""

LOST = None
came_to = st.lists(st.sampled_from(["a", "a", "a", "b", "b", "c", LOST]), min_size=PLANNED, max_size=PLANNED)
"""What every planned run would come to."""
quorums = st.none() | st.integers(1, PLANNED)


def seen_after(results: Sequence[str | None]) -> Seen:
    """What a rule sees when runs 0, 1, ... came to that."""
    return seen_of(dict(enumerate(results)))


def asked_of(rule: Rule, results: Sequence[str | None], waves: Waves = "fit") -> int:
    """How many of the runs the rule asks."""
    return list(waves_of(rule, results, waves))[-1]


def waves_of(rule: Rule, results: Sequence[str | None], waves: Waves = "fit") -> Iterator[int]:
    """How many runs were asked after each wave, 0 first."""
    asked = 0
    for _ in count():
        yield asked
        wave = next_wave(rule, seen_after(results[:asked]), waves)
        if not wave:
            return
        asked += wave


def rules_of(texts: Sequence[str], planned: int = PLANNED, quorum: int | None = None) -> list[Rule]:
    """Those rules for one plan."""
    return [parse_rule(text, runs=planned, quorum=quorum) for text in texts]
