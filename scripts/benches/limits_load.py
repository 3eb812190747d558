"""What `scripts/bench limits --load` measures: the CPU and the memory of the limiter itself.

    python limits_load.py LOOP OFFER REQUESTS ROUNDS

All requests wait from the first moment, in virtual time, on the event loop LOOP. A provider is asked in a
first run and its answers are noted; the runs that count replay them, so that nothing but the limiter and
the event loop works. The base is the same tasks with the same timers and nobody who paces them. What is
printed is JSON.
"""

from __future__ import annotations

import gc
import json
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

import anyio
import attrs
from limited_provider import Fate, Limits, Offer, Provider
from limits_jobs import AMPLE, TEN, TRIP_S
from virtual_time import run_virtual

from fanin.clock import LoopClock
from fanin.limiter import Limiter
from fanin.policy import pacing, told
from fanin.policy.pacing import Load, Ticket

TOKENS = 40
"""Of each request."""
OFFERS = {
    "requests": Offer(TEN),
    "tokens too": Offer(Limits(10, 10, 1_000, 10_000)),
    "slow, 60/s": Offer(Limits(60, 300, 6_000, 30_000), latency_s=5.0),
    "groq": Offer(
        attrs.evolve(TEN, tokens_per_s=1_000, token_burst=10_000, requests_per_day=AMPLE), profile="groq"
    ),
    "retry-after": Offer(TEN, profile="retry_after"),
    "nothing": Offer(TEN, profile="none"),
}
"""Name -> what is told, and what is enforced."""


@attrs.define
class Answers:
    """A provider's answers in the order of their requests: asked for once, and then always the same."""

    provider: Provider
    fates: list[Fate] = attrs.field(factory=list)
    waits_s: dict[int, float] = attrs.field(factory=dict)
    """Request -> when it was let go, the last time."""

    def fresh(self) -> Callable[[], Fate]:
        """What tells them one by one."""
        if self.fates:
            told_of: Iterator[Fate] = iter(self.fates)
            return lambda: next(told_of)

        def ask() -> Fate:
            self.fates.append(self.provider.arrive("m", TOKENS, anyio.current_time()))
            return self.fates[-1]

        return ask


async def paced(requests: int, answers: Answers) -> float:
    """CPU in seconds of requests that a limiter lets go."""
    limiter, clock, ask = Limiter(), LoopClock(), answers.fresh()
    began_s = clock.now_s()

    def waiting(outlook: object, wait_s: float) -> None:
        pass

    async def one(index: int) -> None:
        place = limiter.place()
        while True:
            ticket = await limiter.admit(Load(1, TOKENS), clock, place=place, waiting=waiting)
            assert isinstance(ticket, Ticket)
            answers.waits_s[index] = ticket.sent_s - began_s
            await anyio.sleep(TRIP_S)
            fate = ask()
            if fate.status != 429:
                await anyio.sleep(fate.after_s)
                return limiter.answered(ticket, fate.headers, clock.now_s(), TOKENS)
            text = fate.body.decode()
            wait_s = told.wait_s(fate.headers, text, 0.0)
            limiter.refused(ticket, fate.headers, pacing.refusal(fate.headers, text, wait_s), clock.now_s())

    return await _together(one, requests)


async def unpaced(requests: int, answers: Answers) -> float:
    """CPU in seconds of the same tasks and timers without a limiter."""
    ask = iter([fate for fate in answers.fates if fate.status != 429])

    async def one(index: int) -> None:
        event = anyio.Event()
        with anyio.move_on_after(answers.waits_s[index]):
            await event.wait()
        await anyio.sleep(TRIP_S)
        await anyio.sleep(next(ask).after_s)

    return await _together(one, requests)


async def _together(one: Callable[[int], Awaitable[None]], requests: int) -> float:
    began_s = time.process_time()
    async with anyio.create_task_group() as group:
        for index in range(requests):
            group.start_soon(one, index)
    return time.process_time() - began_s


def weigh(loop: str, offer: Offer, requests: int, rounds: int) -> dict[str, float]:
    """Microseconds of CPU of a request: the base, and what the limiter adds to it; the best of the rounds,
    since whatever else the machine does only ever adds."""
    answers = Answers(Provider(offer))
    run_virtual(loop, paced, requests, answers)
    spent: dict[str, list[float]] = {"base": [], "paced": []}
    for _ in range(rounds):
        for name, run in (("base", unpaced), ("paced", paced)):
            gc.collect()
            spent[name].append(run_virtual(loop, run, requests, answers) / requests * 1e6)
    refused = sum(fate.status == 429 for fate in answers.fates)
    base_us = min(spent["base"])
    return {"base_us": base_us, "limiter_us": min(spent["paced"]) - base_us, "refused": refused / requests}


def memory(loop: str, requests: int, *, limited: bool) -> dict[str, float]:
    """Bytes of memory of a request that waits, in a process that has done nothing else: in the limiter's
    line, or as a task with an event and a timer of its own."""

    async def crowd() -> float:
        limiter, clock = Limiter(), LoopClock()
        limiter.limit(clock.now_s(), rpm=None, tpm=None, stagger_s=3600.0, cap_s=600.0)

        async def wait() -> None:
            if limited:
                await limiter.admit(Load(1, TOKENS), clock)
            else:
                with anyio.move_on_after(3600.0):
                    await anyio.Event().wait()

        gc.collect()
        before = _resident()
        async with anyio.create_task_group() as group:
            for _ in range(requests):
                group.start_soon(wait)
            await anyio.sleep(1.0)
            after = _resident()
            group.cancel_scope.cancel()
        return (after - before) / requests

    return {"bytes": run_virtual(loop, crowd)}


def _resident() -> float:
    """The most memory that this process has had so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measured(*arguments: str) -> dict[str, float]:
    """One measurement, in a process of its own."""
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"bench: {' '.join(arguments)} failed: {done.stderr[-2000:]}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main(loop: str, what: str, requests: int, rounds: int) -> dict[str, float]:
    """`what`: the name of an offer, `memory` (of the limiter) or `base memory`."""
    if what.endswith("memory"):
        return memory(loop, requests, limited=what == "memory")
    return weigh(loop, OFFERS[what], requests, rounds)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
