"""A second call beside a straggler; the first answer of the two counts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio

from fanin.clock import Clock
from fanin.errors import CallError
from fanin.policy.hedging import hedge_after_s
from fanin.values import Completion

Answer: TypeAlias = Completion | CallError
Call: TypeAlias = Callable[[], Awaitable[Answer]]
Twin: TypeAlias = Callable[[], Awaitable[Answer | None]]
"""A second call; None where there is no room for one."""


class Hedge:
    """What is known of how long the calls of a job take, and the race between two of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._took_s: list[float] = []

    async def race(self, call: Call, twin: Twin, matters: Callable[[], bool]) -> Answer:
        """The answer to `call`, or to `twin`, which is called where the first takes long and `matters()`.

        The slower one is cut short; what it costs is not known. Errors count where no answer comes.
        """
        answers: list[Answer] = []
        ended = anyio.Event()
        began_s = self._clock.now_s()

        async def first() -> None:
            answers.append(await call())
            if isinstance(answers[-1], Completion):
                self._took_s.append(self._clock.now_s() - began_s)
                group.cancel_scope.cancel()
            ended.set()

        async with anyio.create_task_group() as group:
            group.start_soon(first)
            if await self._is_long(began_s, ended) and matters():
                answer = await twin()
                if answer is not None:
                    answers.append(answer)
                if isinstance(answer, Completion):
                    group.cancel_scope.cancel()
        return next((a for a in answers if isinstance(a, Completion)), answers[0])

    async def _is_long(self, began_s: float, ended: anyio.Event) -> bool:
        """Waits until the call is a straggler, or has ended. What is long may be learnt meanwhile."""
        while not ended.is_set():
            long_s = hedge_after_s(self._took_s)
            if long_s is None:
                await self._clock.sleep(LOOK_S, ended)
                continue
            left_s = began_s + long_s - self._clock.now_s()
            if left_s <= 0:
                return True
            await self._clock.sleep(left_s, ended)
        return False


LOOK_S = 1.0
"""Seconds between two looks at what the other calls took, until enough of them have been answered."""
