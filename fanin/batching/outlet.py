"""The rows of a batch on their way out: a bounded number of them waits for whoever iterates."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import anyio

from fanin.batching.rows import Row
from fanin.batching.standing import Standing


class Rows:
    """The rows of a batch, to be iterated once, by one task or by several: `async for row in rows`."""

    def __init__(self, standing: Callable[[], Standing], *, room: int, ordered: bool) -> None:
        self._standing = standing
        self._room = room
        self._ordered = ordered
        self._ready: deque[Row] = deque()
        self._early: dict[int, Row | None] = {}
        self._next = 0
        self._finished = False
        self._error: Exception | None = None
        self._came = anyio.Event()
        self._taken = anyio.Event()

    @property
    def standing(self) -> Standing:
        """Where the batch stands now; after the last row, how it ended. Made when it is asked for."""
        return self._standing()

    def __aiter__(self) -> Rows:
        return self

    async def __anext__(self) -> Row:
        while not self._ready:
            if self._finished:
                error, self._error = self._error, None
                raise error or StopAsyncIteration
            # Several may iterate: all wait for the same one.
            self._came = anyio.Event() if self._came.is_set() else self._came
            await self._came.wait()
        row = self._ready.popleft()
        self._taken.set()
        return row

    async def near(self, place: int) -> None:
        """Comes back when rows before that place have gone out far enough for it to be begun."""
        while self._ordered and place >= self._next + self._room:
            await self._wait_until_taken()

    async def put(self, place: int, row: Row | None) -> None:
        """Hands out the row of the item in that place, None where it has none; comes back when there is room.

        The row is out even where the waiting is cancelled.
        """
        if self._ordered:
            self._early[place] = row
            while self._next in self._early:
                self._hand_out(self._early.pop(self._next))
                self._next += 1
        else:
            self._hand_out(row)
        while len(self._ready) >= self._room:
            await self._wait_until_taken()

    def finish(self, error: Exception | None) -> None:
        """No row comes any more; `error` is raised where the next one would be."""
        for place in sorted(self._early):
            self._hand_out(self._early[place])
        self._early.clear()
        self._error = error
        self._finished = True
        self._came.set()

    def _hand_out(self, row: Row | None) -> None:
        if row is not None:
            self._ready.append(row)
            self._came.set()
        if self._ordered:
            self._taken.set()

    async def _wait_until_taken(self) -> None:
        self._taken = anyio.Event() if self._taken.is_set() else self._taken
        await self._taken.wait()
