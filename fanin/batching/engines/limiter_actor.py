"""The pace that all workers of a batch share, in an actor of Ray: a store as every other.

The actor holds the state and carries out the steps that are sent to it, one after the other; a member that
looks takes tickets for the next moments with it. Where the actor is lost, each member goes on with its part
of the rate, and Ray begins the actor anew: the first member that looks again brings the state it saw last.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any, TypeVar

from fanin.clock import Clock
from fanin.sharing import codec
from fanin.sharing.joint import Joint
from fanin.sharing.store import Found, Key, Step, Store, StoreError

T = TypeVar("T")
ANSWER_S = 0.5
"""An actor that takes longer to answer is not waited for."""


class SharedPaces:
    """The actor's inside: what is common, by account and model. Times are seconds since 1970."""

    def __init__(self) -> None:
        self._held: dict[Key, Joint] = {}
        # A clock that all machines know, for an actor that begins anew elsewhere; one that is set
        # while it runs does not move it.
        self._ahead_s = time.time() - time.monotonic()

    def exchange(
        self, key: Key, step: Step[Any], fresh: bytes | None = None
    ) -> tuple[bytes, Any, float] | None:
        """What is common after the step, its result, and the time; None where `fresh` is needed first."""
        held = self._held.get(key)
        if held is None:
            if fresh is None:
                return None
            held = codec.decode(fresh)
        now_s = time.monotonic() + self._ahead_s
        self._held[key], result = step(held, now_s)
        return codec.encode(self._held[key]), result, now_s


class ActorStore(Store):
    """The store that the actor with this handle is; for asyncio, as Ray is."""

    name = "the batch's limiter"
    patience_s = 0.5

    def __init__(self, actor: Any) -> None:
        super().__init__()
        self._actor = actor
        # Until the first answer: machines tell about the same time.
        self.ahead_s = time.time() - time.monotonic()
        self._nearest_s = math.inf

    async def exchange(self, key: Key, fresh: Joint, step: Step[T], clock: Clock) -> Found[T]:
        asked_s = clock.now_s()
        answer = await self._asked(key, step)
        if answer is None:
            self._nearest_s = math.inf
            asked_s = clock.now_s()
            answer = await self._asked(key, step, codec.encode(fresh))
        assert answer is not None
        told, result, then_s = answer
        self._set_clock(then_s, asked_s, clock.now_s())
        return Found(codec.decode(told), result)

    async def _asked(self, *what: Any) -> tuple[bytes, Any, float] | None:
        from ray.exceptions import RayError

        try:
            answer: tuple[bytes, Any, float] | None = await asyncio.wait_for(
                self._actor.exchange.remote(*what), ANSWER_S
            )
        except (RayError, TimeoutError) as error:
            raise StoreError(f"{self.name} does not answer ({type(error).__name__})") from None
        return answer

    def _set_clock(self, then_s: float, asked_s: float, answered_s: float) -> None:
        """The answer that took the shortest way tells best how far the clocks are apart."""
        if answered_s - asked_s <= self._nearest_s:
            self._nearest_s = answered_s - asked_s
            self.ahead_s = then_s - (asked_s + answered_s) / 2

    def closed_until_s(self, key: Key) -> float:
        return -math.inf

    def entries(self) -> list[Joint]:
        raise StoreError("the batch's limiter ends with the batch", for_good=True)

    def forget(self, key: Key | None) -> int:
        raise StoreError("the batch's limiter ends with the batch", for_good=True)

    def now_s(self) -> float:
        return time.monotonic() + self.ahead_s
