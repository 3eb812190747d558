"""What happens to a request that was let go, as a value: it can be kept, handed on and applied later."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs

from fanin.policy.pacing import pace as paces
from fanin.policy.pacing.noticing import NOTHING_TOLD, Level, Refusal
from fanin.policy.pacing.pace import Pace, Ticket

Ending: TypeAlias = Literal["answered", "refused", "failed", "returned", "sent"]
"""`sent`: the request went, and no state that others see knows of it yet."""


@attrs.frozen
class Happened:
    """What came of a request."""

    what: Ending
    """What it was; the functions of that name define it."""
    ticket: Ticket
    """The request."""
    at_s: float
    """When it was noticed."""
    told: tuple[Level, ...] = ()
    """The levels that the answer told."""
    refusal: Refusal = NOTHING_TOLD
    """What a refusal told beside them."""
    used_tokens: float | None = None
    """What an answer really took; None: unknown."""


def applied(pace: Pace, news: Happened) -> Pace:
    """The state after that."""
    if news.what == "answered":
        return paces.answered(pace, news.ticket, news.told, news.at_s, used_tokens=news.used_tokens)
    if news.what == "refused":
        return paces.refused(pace, news.ticket, news.told, news.refusal, news.at_s)
    if news.what == "failed":
        return paces.failed(pace, news.ticket, news.told, news.at_s)
    if news.what == "returned":
        return paces.returned(pace, news.ticket, news.at_s)
    return paces.sent(pace, news.ticket.load, news.ticket.sent_s)[0]
