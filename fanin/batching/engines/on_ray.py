"""Workers as actors of Ray, and the limiter that they share as one more.

Ray starts the processes, tells which of them are lost, and carries the blocks; it repeats nothing
(`max_task_retries=0`), since only the journal knows what is done. An actor that is lost is begun anew by
Ray, with an empty desk.

No key goes through Ray: each worker finds it in its own environment or configuration, as a command that is
run there would. A Ray of its own has no dashboard and listens to this machine alone.

Source: docs.ray.io, "Fault tolerance: actors", "AsyncIO / Concurrency for actors", "Usage stats collection".
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import attrs

from fanin._version import __version__
from fanin.batching.engines import Asker, Post
from fanin.batching.engines.blocks import Opening, Order, Problem, Told, Warned
from fanin.batching.engines.crew import Worker, WorkerLostError, crew
from fanin.batching.engines.limiter_actor import ActorStore, SharedPaces
from fanin.batching.engines.worker import Desk
from fanin.errors import EngineError, FaninError, InputError, MissingExtraError, SharedPaceWarning
from fanin.limiters import Limiters
from fanin.sharing.opening import store_for
from fanin.values import optional, whole

SILENT_S = 30.0
"""A worker that says nothing for so long is taken for lost; it speaks every few seconds."""
STORE_BYTES = 100_000_000
"""What a Ray of its own sets aside for objects; blocks are small."""


class DeskActor:
    """A worker's process: a desk, and the backend that it asks."""

    def __init__(self) -> None:
        self._desk: Desk | None = None
        self._open: AsyncExitStack | None = None
        self._working: asyncio.Task[None] | None = None

    async def begin(self, opening: Opening, limiter: Any) -> Problem | None:
        """Makes the desk ready, and empty where it was not; why that cannot be, or None."""
        if opening.version != __version__:
            return Problem(
                f"{socket.gethostname()} has fanin {__version__}, and the batch fanin {opening.version}"
            )
        try:
            await self._clear()
            await self._prepare(opening, limiter)
        except FaninError as error:
            return Problem(f"{socket.gethostname()}: {error.message}", error.mend, error.exit_code)
        return None

    async def _clear(self) -> None:
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait([self._working])
        if self._open is not None:
            await self._open.aclose()

    async def _prepare(self, opening: Opening, limiter: Any) -> None:
        from fanin.connecting import connect

        self._open = AsyncExitStack()
        backend = await self._open.enter_async_context(connect(opening.backend, base_url=opening.base_url))
        store = ActorStore(limiter)
        # Whoever names a server to share the pace by has others to share it with than this batch.
        limiters = Limiters(lambda pace: store_for(pace) if "://" in pace else store)
        self._desk = desk = Desk(backend, opening.terms, limiters, watched=opening.watched)
        warnings.simplefilter("always", SharedPaceWarning)
        warnings.showwarning = lambda message, *_: desk.tell(Warned(str(message)))
        self._working = asyncio.create_task(self._desk.run())

    async def take(self, orders: tuple[Order, ...]) -> bool:
        """Takes a block of orders; False where Ray has begun this actor anew, and nobody its desk."""
        if self._desk is not None:
            self._desk.take(orders)
        return self._desk is not None

    async def told(self) -> tuple[Told, ...] | None:
        """What happened since the last time; None as above."""
        return None if self._desk is None else await self._desk.told()


class RayWorker(Worker):
    """The batch's end of one actor."""

    def __init__(self, actor: Any, limiter: Any, opening: Opening) -> None:
        self._actor = actor
        self._limiter = limiter
        self._opening = opening
        self._threads = anyio.CapacityLimiter(3)

    async def begin(self) -> None:
        # Without end: a cluster that grows may find room for it later.
        problem = await self._answer(self._actor.begin, self._opening, self._limiter, within_s=None)
        if problem is not None:
            error = EngineError(f"A worker cannot work: {problem.message}", mend=problem.mend)
            error.exit_code = problem.exit_code
            raise error

    async def take(self, orders: tuple[Order, ...]) -> None:
        if not await self._answer(self._actor.take, orders):
            raise WorkerLostError

    async def told(self) -> tuple[Told, ...]:
        told: tuple[Told, ...] | None = await self._answer(self._actor.told)
        if told is None:
            raise WorkerLostError
        return told

    async def _answer(self, method: Any, *what: Any, within_s: float | None = SILENT_S) -> Any:
        """What the actor answers. Raises WorkerLostError."""
        import ray
        from ray.exceptions import GetTimeoutError, RayActorError, RayError

        # In a thread, since what waits for Ray by itself runs on asyncio alone.
        waiting = partial(ray.get, method.remote(*what), timeout=within_s)
        try:
            return await anyio.to_thread.run_sync(waiting, abandon_on_cancel=True, limiter=self._threads)
        except GetTimeoutError:
            ray.kill(self._actor, no_restart=False)
            raise WorkerLostError from None
        except RayActorError as error:
            raise WorkerLostError from error
        except RayError as error:
            raise EngineError(f"Ray failed with {type(error).__name__}") from error


@attrs.frozen
class RayEngine:
    """Makes the calls of a batch in the workers of a Ray cluster.

    `address` is that of a cluster that runs (`auto`: the one this machine is part of, or that of the
    environment variable RAY_ADDRESS); None starts one on this machine, and ends it with the batch.
    """

    address: str | None = None
    """Where the cluster is: `auto`, or `HOST:PORT`."""
    workers: int | None = attrs.field(default=None, validator=optional(whole(1, 10_000)))
    """Workers, each of which takes one CPU of the cluster; None: one for every CPU there is."""

    @asynccontextmanager
    async def open(self, post: Post) -> AsyncIterator[Asker]:
        """At work until the block ends. Raises EngineError, MissingExtraError, InputError."""
        opening = Opening(__version__, post.backend, post.base_url, post.terms, post.watched)
        with self._connected() as ray:
            limiter, actors = _cast(ray, self._number(ray, post))
            hired = [RayWorker(actor, limiter, opening) for actor in actors]
            try:
                async with crew(hired, post) as askers:
                    yield askers
            finally:
                for actor in (*actors, limiter):
                    ray.kill(actor)

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """Ray, connected; one that was connected before stays so."""
        try:
            import ray
        except ImportError as error:
            raise MissingExtraError("the engine ray", "ray") from error
        if self.address is not None and "://" in self.address:
            raise InputError(
                "address", "auto, or HOST:PORT of a cluster this machine is part of", self.address
            )
        if ray.is_initialized():
            yield ray
            return
        # Ray reads these once, when it starts.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            ray.init(**self._how(), log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            where = "on this machine" if self.address is None else f"at {self.address}"
            raise EngineError(f"Ray cannot be used {where}: {error}") from error
        try:
            yield ray
        finally:
            ray.shutdown()

    def _how(self) -> dict[str, Any]:
        if self.address is not None:
            return {"address": self.address}
        return {
            "address": "local",
            "num_cpus": self.workers or os.cpu_count() or 1,
            "num_gpus": 0,
            "include_dashboard": False,
            "object_store_memory": STORE_BYTES,
            "_node_ip_address": "127.0.0.1",
        }

    def _number(self, ray: Any, post: Post) -> int:
        """How many workers there are to be; no more than calls in flight."""
        return min(post.terms.concurrency, self.workers or max(1, int(ray.cluster_resources().get("CPU", 1))))


def _cast(ray: Any, number: int) -> tuple[Any, list[Any]]:
    """The limiter's actor, on this node where it can be, and so many workers', spread over the nodes."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    usual = {"max_restarts": -1, "max_task_retries": 0}
    limiter = ray.remote(SharedPaces).options(**usual, num_cpus=0, scheduling_strategy=here).remote()
    desk = ray.remote(DeskActor).options(**usual, num_cpus=1, scheduling_strategy="SPREAD")
    return limiter, [desk.remote() for _ in range(number)]
