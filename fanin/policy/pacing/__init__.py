"""How fast one model of one account may be asked, learnt from what the provider says and refuses.

Pure: `(state, what happened, now) -> state`. `pace` is the whole of it; the rooms behind are `gate`
(told waits and the delay), `mirror` (buckets that headers tell), `probing` (limits that nothing
tells), `bracket` (rates between bounds), `noticing` (headers and texts) and `load`.
"""

from fanin.policy.pacing.load import Load
from fanin.policy.pacing.noticing import Level, Refusal, levels, refusal
from fanin.policy.pacing.pace import (
    Outlook,
    Pace,
    Ticket,
    answered,
    failed,
    limited,
    outlook,
    refused,
    returned,
    sent,
)

__all__ = [
    "Level",
    "Load",
    "Outlook",
    "Pace",
    "Refusal",
    "Ticket",
    "answered",
    "failed",
    "levels",
    "limited",
    "outlook",
    "refusal",
    "refused",
    "returned",
    "sent",
]
