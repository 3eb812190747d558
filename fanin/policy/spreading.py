"""Where the next run goes when one budget of runs is spread over many questions.

After a first wave for everybody, to the question whose leader is the fewest votes ahead; of several, to the
one that was asked the fewest runs. A tie is looked at before a lead of one, so a hopeless question can hold
a lead of one for long but never keeps runs from those that are as close and were asked less.

The problem is that of Blend-ASC (Feng et al. 2025, arXiv 2511.12309), which ranks by a blend of the
posterior and a martingale's certificate. In simulations with three kinds of questions, 2 to 8 answers and 4
to 10 runs a question, the plain margin named the most common answer as often as the best of several rankings
(the posterior, its doubt for each run spent, the optimistic knowledge gradient, a blend), and in 4 to 6 cases
of a hundred more often than as many runs for everybody; a test holds it to 3.
"""

from __future__ import annotations

from fanin.policy.stopping import Seen

FIRST_WAVE = 3
"""Runs for everybody before any question is looked at, where the budget has as many."""


def first_wave(budget: int, questions: int, runs: int) -> int:
    """How many runs each question gets before the first look; 0 where there is not one for each."""
    return min(FIRST_WAVE, runs, budget // questions)


def turn(seen: Seen, first: int) -> tuple[int, int]:
    """Whose turn it is next: the question with the smallest of these, then the one that was read first."""
    if seen.asked < first:
        return -1, seen.asked
    return seen.lead - seen.second, seen.asked
