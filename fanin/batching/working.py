"""The workers of a batch, as many as there are slots.

Each takes an item, has its job done and hands out the row.
"""

from __future__ import annotations

import anyio

from fanin.batching.calling import Calls
from fanin.batching.conducting import ItemConductor
from fanin.batching.interrupts import BatchInterrupt
from fanin.batching.items import BadItem, Item
from fanin.batching.jobs import ItemJob
from fanin.batching.outlet import Rows
from fanin.batching.rows import Row
from fanin.batching.source import Source, Taken
from fanin.batching.standing import Standing
from fanin.errors import CassetteMissError, EngineError, FaninError, JournalError, first_error
from fanin.policy.circuit import Circuit, fatal_error
from fanin.terms import Interrupt


class Working:
    """Does the job of every item of a source, and counts what came of it."""

    def __init__(
        self, source: Source, calls: Calls, job: ItemJob, circuit: Circuit, seed: int, *, ordered: bool
    ) -> None:
        self.rows = Rows(self._standing, room=4 * calls.jobs, ordered=ordered)
        """The rows, as they come."""
        self._source = source
        self._calls = calls
        self._job = job
        self._circuit = circuit
        self._seed = seed
        self._done = 0
        self._failed = 0
        self._keys_refused = 0
        calls.on_end = source.stop

    async def run(self, interrupt: Interrupt, deadline_s: float | None) -> None:
        """Gives every item its row, or ends sooner."""
        error: Exception | None = None
        with anyio.move_on_after(deadline_s) as scope:
            interrupt.before(lambda: self._calls.end("interrupt"))
            interrupt.covers(scope)
            if isinstance(interrupt, BatchInterrupt):
                interrupt.drains(lambda: self._calls.end("interrupt"))
            try:
                await self._work()
            except ExceptionGroup as errors:
                error = first_error(errors)
        if scope.cancelled_caught:
            self._calls.end("interrupt" if interrupt.requested else "deadline")
        self._calls.end("all")
        self.rows.finish(error or self._source.error)

    async def _work(self) -> None:
        async with anyio.create_task_group() as reading:
            reading.start_soon(self._source.fill)
            await self._ask_all()
            reading.cancel_scope.cancel()

    async def _ask_all(self) -> None:
        async with anyio.create_task_group() as working:
            for _ in range(self._calls.jobs):
                working.start_soon(self._one_after_the_other)

    async def _one_after_the_other(self) -> None:
        while (taken := await self._source.take()) is not None:
            await self.rows.near(taken.place)
            await self._hand_out(taken.place, await self._row(taken))

    async def _hand_out(self, place: int, row: Row | None) -> None:
        self._done += row is not None
        await self.rows.put(place, row)

    async def _row(self, taken: Taken) -> Row | None:
        """The item's row; None where it was cut short."""
        item = taken.item
        if isinstance(item, BadItem):
            return self._bad(item, item.message)
        calls = self._calls
        conductor = self._conductor(taken, item)
        calls.open_items += 1
        try:
            row = Row(item.number, item.id, await self._job(item, conductor))
        except (CassetteMissError, EngineError, JournalError):
            raise
        except FaninError as error:
            row = Row(item.number, item.id, None, error.message)
        finally:
            calls.open_items -= 1
        if conductor.came.cut:
            return None
        self._count(row, conductor)
        return row

    def _conductor(self, taken: Taken, item: Item) -> ItemConductor:
        return ItemConductor(self._calls, item, occurrence=taken.occurrence, seed=self._seed)

    def _bad(self, item: Item | BadItem, message: str) -> Row:
        self._failed += 1
        return Row(item.number, item.id, None, message)

    def _count(self, row: Row, conductor: ItemConductor) -> None:
        failures, answered = conductor.came.failures, conductor.came.answered
        self._failed += row.failed
        refused = {failure.kind for failure in failures} == {"auth"}
        self._keys_refused += row.failed and refused
        whole = answered and not row.partial
        reached = bool(self._calls.answered)
        self._circuit = self._circuit.after(None if whole else fatal_error(failures, reached=reached))
        if self._circuit.open:
            self._calls.end(
                "circuit",
                f"{self._circuit.count} rows one after the other failed alike: {self._circuit.error}",
            )

    def _standing(self) -> Standing:
        calls = self._calls
        waiting = {**calls.waiting, "budget": calls.spending.waiting, "turn": calls.awaiting_turns}
        return Standing(
            read=self._source.read,
            done=self._done,
            failed=self._failed,
            keys_refused=self._keys_refused,
            in_flight=calls.in_flight,
            waiting=tuple((why, count) for why, count in sorted(waiting.items()) if count),
            calls=calls.answered,
            recalled=calls.recalled,
            usage=calls.usage,
            cost_usd=calls.spending.cost_usd,
            rates=calls.rates,
            maybe_twice=0 if calls.journal is None else calls.journal.maybe_twice,
            ended=calls.ended,
            why=calls.why,
        )
