"""One model at a time, for a server that has to load another in its place.

All calls in flight are of one model. When none of it are left, nor any that wait for it, it is the turn of
the model that was asked for first. As many calls as are made at once wait for their turn at most, so that no
model waits for ever, and models change once for so many calls and not at each.
"""

from __future__ import annotations

from collections import OrderedDict, deque

import anyio


class Turns:
    """Whose turn it is, and who waits."""

    def __init__(self) -> None:
        self.waiting = 0
        """Calls that wait for the turn of their model."""
        self._model: str | None = None
        self._taken = 0
        self._line: OrderedDict[str, deque[anyio.Event]] = OrderedDict()

    async def take(self, model: str) -> None:
        """Comes back when it is that model's turn; whoever came so far gives it back by `leave`."""
        if self._model in (None, model):
            self._model = model
            self._taken += 1
            return
        turn = anyio.Event()
        self._line.setdefault(model, deque()).append(turn)
        self.waiting += 1
        try:
            await turn.wait()
        except anyio.get_cancelled_exc_class():
            if turn.is_set():
                self.leave()
            else:
                self._left(model, turn)
            raise
        finally:
            self.waiting -= 1

    def leave(self) -> None:
        """One call less; the last one hands the turn on."""
        self._taken -= 1
        if self._taken:
            return
        self._model = None
        if self._line:
            self._model, turns = self._line.popitem(last=False)
            self._taken = len(turns)
            for turn in turns:
                turn.set()

    def _left(self, model: str, turn: anyio.Event) -> None:
        turns = self._line[model]
        turns.remove(turn)
        if not turns:
            del self._line[model]
