"""Stage 5: the count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fanin.answers.protocol import Answer
from fanin.values import Ballot, Gathered, Runs, Tally


def vote(
    ballots: Sequence[Ballot],
    gathered: Gathered,
    answer: Answer,
    *,
    quorum: int | None = None,
    spared: bool = False,
) -> Tally:
    """Counts the ballots. Plurality: the most votes win, and two with the most are a tie.

    Every planned run counts, spoiled, failed and unasked ones too; only with `spared` (a stop rule
    was satisfied) do the cancelled and unasked ones not. `quorum` is the number of valid ballots
    needed; None is more than half of the runs that count.
    """
    choices = [ballot.choice for ballot in ballots if ballot.choice is not None]
    runs = Runs(
        planned=len(ballots) + len(gathered.failures) + gathered.cancelled + gathered.unasked,
        valid=len(choices),
        spoiled=len(ballots) - len(choices),
        failed=len(gathered.failures),
        cancelled=gathered.cancelled,
        unasked=gathered.unasked,
    )
    counting = runs.planned - (runs.cancelled + runs.unasked if spared else 0)
    return Tally(
        counts=count(choices, answer),
        runs=runs,
        counting=counting,
        quorum=counting // 2 + 1 if quorum is None else quorum,
    )


def count(choices: Sequence[str], answer: Answer) -> tuple[tuple[str, int], ...]:
    """(choice, votes): most votes first, equals in declared order or, where none is declared, by text."""
    same = answer.same(choices)
    declared = {option: place for place, option in enumerate(answer.options)}
    votes = Counter(same[choice] for choice in choices)
    ordered = sorted(votes)
    if declared:
        ordered.sort(key=lambda choice: declared.get(choice, len(declared)))
    ordered.sort(key=votes.__getitem__, reverse=True)
    return tuple((choice, votes[choice]) for choice in ordered)
