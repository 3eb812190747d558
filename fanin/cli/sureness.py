"""How sure the votes make one, on stderr for `-v`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fanin.cli.progress import say

if TYPE_CHECKING:
    from fanin.verdict import Verdict


def print_sureness(verdict: Verdict, answers: int | None, calibration: str | None) -> None:
    """What the counts say beside the share of the winner; nothing where there is no vote.

    `answers` is the number of possible answers, None where they cannot be listed; `calibration` the file
    that tells how alike the models err, None for none.
    """
    from fanin.calibration import read_calibration
    from fanin.policy.confidence import sureness
    from fanin.show import count

    known = None if calibration is None else read_calibration(calibration)
    sure = sureness(verdict, answers, known.correlation if known else None)
    if sure is None:
        return
    low, high = (round(100 * end) for end in sure.interval)
    worth = "" if sure.effective > sure.votes - 0.05 else f", worth about {sure.effective:.1f}"
    say(f"{count(sure.votes, 'vote')}{worth}; the leader's share of them [{low}, {high}] %")
    say(
        f"that it is this ensemble's most probable answer: {100 * sure.posterior:.1f} %; margin "
        f"{100 * sure.margin:.0f} %, entropy {sure.entropy:.2f} bits"
    )
