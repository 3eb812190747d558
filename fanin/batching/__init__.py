"""Many questions: a stream of items in, a stream of rows out, with a journal of every call between.

    limits = Limits(max_cost=5)
    async with fanin.batch(items, journal="out.journal", resume=True, limits=limits) as rows:
        async for row in rows:
            ...

`items` and `rows` are what goes in and comes out, `runner` holds `batch`, `journal` keeps the calls.
"""

from fanin.batching.interrupts import BatchInterrupt
from fanin.batching.items import BadItem, Item
from fanin.batching.rows import Row
from fanin.batching.standing import Standing
from fanin.policy.budget import Limits

__all__ = ["BadItem", "BatchInterrupt", "Item", "Limits", "Row", "Standing"]
