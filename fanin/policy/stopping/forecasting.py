"""What a rule does on a question with two answers, exactly: runs, waves, stops and wrong stops."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from math import comb

import attrs

from fanin.policy.stopping.rule import Rule, Seen, next_wave

_NEGLIGIBLE = 1e-12


@attrs.frozen
class Forecast:
    """The expected course of a vote under a rule; chances are from 0 to 1."""

    runs: float
    """Mean number of runs that are asked."""
    waves: float
    """Mean number of waves that they are asked in."""
    rounds: float
    """Mean number of times that calls in flight at once have to be waited for."""
    stopped: float
    """The chance that the rule stops the vote before the last run."""
    wrong: float
    """The chance that it then stops it for an answer that is not the one most common; at a share of 1/2
    none is, so every stop is wrong."""
    ends: tuple[tuple[int, int, float], ...] = attrs.field(default=(), repr=False)
    """(votes for the one answer, runs asked, chance) of every way in which the vote can end."""


def forecast(rule: Rule, share: float, concurrency: int = 1000) -> Forecast:
    """The course of a vote in which every run gives one answer with chance `share` (1/2 to 1), else another.

    In waves that fit, with as many calls in flight as `concurrency` allows. By dynamic programming over
    the votes of both after each wave; exact but for ways of less than 1e-12, which are left out.
    """
    states: list[defaultdict[tuple[int, int], float]] = [defaultdict(float) for _ in range(rule.planned + 1)]
    states[0][0, 0] = 1.0
    ends: list[tuple[int, int, float]] = []
    runs = waves = rounds = stopped = wrong = 0.0
    for asked, ways in enumerate(states):
        for (votes, alike), chance in ways.items():
            if chance < _NEGLIGIBLE:
                continue
            wave = next_wave(rule, _seen(votes, asked, alike))
            if wave:
                waves += chance
                rounds += chance * -(-wave // concurrency)
                for more, share_of_it in enumerate(_binomial(wave, share)):
                    whole = wave if more == wave else -wave if not more else 0
                    states[asked + wave][votes + more, whole] += chance * share_of_it
                continue
            ends.append((votes, asked, chance))
            runs += chance * asked
            if asked < rule.planned:
                stopped += chance
                wrong += chance if 2 * votes < asked or share == 0.5 else 0.0
    return Forecast(runs, waves, rounds, stopped, wrong, tuple(ends))


def _seen(votes: int, asked: int, alike: int) -> Seen:
    """`alike`: the runs of the last wave where all of them gave the one answer, negative for the other.

    The waves before did not stop the vote, which is all that `window` has to know of them.
    """
    counts = sorted(filter(None, (votes, asked - votes)), reverse=True)
    last = abs(alike)
    return Seen(tuple(counts), order=(None,) * (asked - last) + ("one" if alike > 0 else "other",) * last)


@lru_cache(maxsize=1024)
def _binomial(runs: int, share: float) -> tuple[float, ...]:
    return tuple(comb(runs, k) * share**k * (1 - share) ** (runs - k) for k in range(runs + 1))
