"""How fast one model of one account may be asked, learnt from what the provider says and refuses.

Pure: `(state, what happened, now) -> state`. `pace` is the whole of it; the rooms behind are `gate`
(told waits and the delay), `mirror` (buckets that headers tell), `probing` (limits that nothing
tells), `bracket` (rates between bounds), `noticing` (headers and texts) and `load`; `happening` makes what
happened a value, and `leasing` parts a pace among several.
"""

from fanin.policy.pacing.happening import Happened, applied
from fanin.policy.pacing.leasing import (
    HORIZON_S,
    Booked,
    brought,
    divided,
    holds,
    learnt,
    leased,
    reach_s,
)
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
    "HORIZON_S",
    "Booked",
    "Happened",
    "Level",
    "Load",
    "Outlook",
    "Pace",
    "Refusal",
    "Ticket",
    "answered",
    "applied",
    "brought",
    "divided",
    "failed",
    "holds",
    "learnt",
    "leased",
    "levels",
    "limited",
    "outlook",
    "reach_s",
    "refusal",
    "refused",
    "returned",
    "sent",
]
