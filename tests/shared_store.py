"""A store of shared paces in memory, on the event loop's own time; it can be gone for a while."""

from __future__ import annotations

import math

from fanin.clock import Clock
from fanin.sharing import codec
from fanin.sharing.joint import Joint
from fanin.sharing.store import Found, Key, Step, Store, StoreError, T


class MemoryStore(Store):
    """What two limiters of one process share, as if each had a process of its own."""

    name = "the memory"
    patience_s = 5.0

    def __init__(self, *, ahead_s: float = 0.0, peeks: bool = True) -> None:
        super().__init__()
        self.ahead_s = ahead_s
        self.gone = False
        self.looks = 0
        self.held: dict[Key, bytes] = {}
        self._peeks = peeks

    async def exchange(self, key: Key, fresh: Joint, step: Step[T], clock: Clock) -> Found[T]:
        self.looks += 1
        if self.gone:
            raise StoreError("the memory is gone")
        held = self.held.get(key)
        joint, result = step(fresh if held is None else codec.decode(held), clock.now_s() + self.ahead_s)
        self.held[key] = codec.encode(joint)
        return Found(joint, result)

    def closed_until_s(self, key: Key) -> float:
        if not self._peeks or key not in self.held:
            return -math.inf
        return codec.decode(self.held[key]).booked.pace.gate.until_s

    def entries(self) -> list[Joint]:
        return [codec.decode(held) for held in self.held.values()]

    def forget(self, key: Key | None) -> int:
        keys = list(self.held) if key is None else [key]
        for one in keys:
            self.held.pop(one, None)
        return len(keys)

    def now_s(self) -> float:
        return 0.0
