"""How sure the votes make one, on stderr for `-v`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fanin.cli.progress import say

if TYPE_CHECKING:
    from fanin.verdict import Verdict


def print_sureness(verdict: Verdict, answers: int | None, calibrations: tuple[str, ...]) -> None:
    """What the counts say beside the share of the winner; nothing where there is no vote.

    `answers` is the number of possible answers, None where they cannot be listed; `calibrations` the files
    that tell how alike the models err: the one that was made with the models that voted is taken.
    """
    from fanin.calibration import read_calibration
    from fanin.policy.confidence import sureness
    from fanin.show import count

    voters = tuple(sorted({ballot.model for ballot in verdict.ballots}))
    known = [file for file in map(read_calibration, calibrations) if file.models == voters]
    sure = sureness(verdict, answers, known[0].correlation if known else None)
    if sure is None:
        return
    low, high = (round(100 * end) for end in sure.interval)
    worth = "" if sure.effective > sure.votes - 0.05 else f", worth about {sure.effective:.1f}"
    say(f"{count(sure.votes, 'vote')}{worth}; the leader's share of them [{low}, {high}] %")
    say(
        f"that it is this ensemble's most probable answer: {100 * sure.posterior:.1f} %; margin "
        f"{100 * sure.margin:.0f} %, entropy {sure.entropy:.2f} bits"
    )
