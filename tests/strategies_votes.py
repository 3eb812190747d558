"""Votes for the laws: what each run came to, and the tally of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from hypothesis import strategies as st

from fanin.answers.protocol import Spoiled
from fanin.stages.vote import vote
from fanin.values import Ballot, Completion, Failure, Gathered, Sample, Tally

SPOILED, FAILED = "spoiled!", "failed!"
CHOICES = ("a", "b", "c", "d")


@attrs.frozen
class Plain:
    """An answer type with nothing to it: the reply is the choice."""

    options: tuple[str, ...] = ()
    name: str = "plain"

    def instruction(self, order: Sequence[str]) -> str:
        return f"One of: {', '.join(order)}" if order else "Anything."

    def schema(self, order: Sequence[str]) -> Mapping[str, Any]:
        return {"type": "string"}

    def read(self, text: str, order: Sequence[str]) -> str | Spoiled:
        return Spoiled("says nothing") if text == SPOILED else text

    def same(self, choices: Sequence[str]) -> Mapping[str, str]:
        return {choice: choice for choice in choices}

    def show(self, choice: str) -> str:
        return choice


def results(max_size: int = 12, choices: Sequence[str] = CHOICES) -> st.SearchStrategy[list[str]]:
    """What every asked run came to: a choice, SPOILED or FAILED; winners are likely."""
    return st.lists(st.sampled_from([*choices, choices[0], choices[0], SPOILED, FAILED]), max_size=max_size)


def ballots_of(came_to: Sequence[str]) -> tuple[Ballot, ...]:
    """The ballots of those runs, by index."""
    return tuple(
        Ballot(index, None, "says nothing") if result == SPOILED else Ballot(index, result)
        for index, result in enumerate(came_to)
        if result != FAILED
    )


def gathered_of(came_to: Sequence[str], cancelled: int = 0, unasked: int = 0) -> Gathered:
    """The outcomes of those runs, by index."""
    return Gathered(
        samples=tuple(
            Sample(index, Completion(result)) for index, result in enumerate(came_to) if result != FAILED
        ),
        failures=tuple(
            Failure(index, "server", "it failed") for index, result in enumerate(came_to) if result == FAILED
        ),
        cancelled=cancelled,
        unasked=unasked,
    )


def tally_of(
    came_to: Sequence[str],
    *,
    cancelled: int = 0,
    unasked: int = 0,
    quorum: int | None = None,
    spared: bool = False,
    options: tuple[str, ...] = (),
) -> Tally:
    """The tally of runs that came to that."""
    gathered = gathered_of(came_to, cancelled, unasked)
    return vote(ballots_of(came_to), gathered, Plain(options), quorum=quorum, spared=spared)


_small = st.integers(0, 4)


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    """Tallies of every kind, each of a vote that could have been held."""
    came_to, cancelled, unasked = draw(results()), draw(_small), draw(_small)
    planned = len(came_to) + cancelled + unasked
    quorum = draw(st.none() | st.integers(1, max(1, planned)))
    return tally_of(came_to, cancelled=cancelled, unasked=unasked, quorum=quorum, spared=draw(st.booleans()))


@st.composite
def decided(draw: st.DrawFn, min_votes: int = 1) -> list[str]:
    """What the runs of a decided vote came to, in any order; CHOICES[0] wins with `min_votes` or more."""
    others = draw(st.lists(st.sampled_from(CHOICES[1:]), max_size=8))
    most = max((others.count(choice) for choice in CHOICES[1:]), default=0)
    votes = draw(st.integers(max(min_votes, most + 1), most + min_votes + 4))
    lost = draw(st.lists(st.sampled_from([SPOILED, FAILED]), max_size=votes + len(others) - 1))
    return draw(st.permutations([*[CHOICES[0]] * votes, *others, *lost]))
