"""Where a batch stands: what was done, what is under way, what it waits for, and what ended it."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

from fanin.batching.rates import Rate
from fanin.values import Usage

NOTHING_USED = Usage(0, 0)

Ended: TypeAlias = Literal["all", "interrupt", "deadline", "budget", "limit", "circuit", "journal"]
"""What ended a batch. `all`: every item has its row; `limit`: a daily limit, the account's quota, or a told
wait that is too long; `circuit`: the same fatal error again and again; `journal`: it could not be written."""


@attrs.frozen
class Standing:
    """A batch at one moment."""

    read: int = 0
    """Items taken from the input, bad ones too."""
    done: int = 0
    """Rows given, failed ones too."""
    failed: int = 0
    """Rows of which nothing usable came: bad items, and jobs that failed."""
    keys_refused: int = 0
    """Of the failed rows, those of which every run failed for the key alone."""
    in_flight: int = 0
    """Calls that hold one of the slots; one that waits for a limit or a retry holds it too."""
    waiting: tuple[tuple[str, int], ...] = ()
    """(why, calls that wait): `limit`, `retry`, `budget`, `prefix` or `turn` (another model's); what nobody
    waits for is left out."""
    calls: int = 0
    """Runs that were answered by a call of this session."""
    recalled: int = 0
    """Runs that the journal answered."""
    usage: Usage = NOTHING_USED
    """Tokens of the runs that this session's calls answered; None where one is unknown."""
    cost_usd: float | None = None
    """US dollars that the calls of this session cost, lost ones at their worst; None where a price is
    unknown."""
    rates: tuple[Rate, ...] = ()
    """What is known of the limits of the models that are asked, by model; empty where nothing is paced."""
    maybe_twice: int = 0
    """Calls of earlier sessions that may have been paid for and were lost before they were answered."""
    ended: Ended | None = None
    """What ended the asking; None while it goes on."""
    why: str = ""
    """The same in one sentence for people, where there is more to say."""

    @property
    def asked(self) -> int:
        """Calls that were sent and are not answered yet."""
        return self.in_flight - sum(calls for why, calls in self.waiting if why not in ("prefix", "turn"))
