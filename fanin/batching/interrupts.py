"""The two ways to stop a batch from outside."""

from __future__ import annotations

from collections.abc import Callable

from fanin.terms import Interrupt


class BatchInterrupt(Interrupt):
    """Stops a batch: `drain` asks nothing new and waits for what is in flight; `stop` cuts that too."""

    def __init__(self) -> None:
        super().__init__()
        self.draining = False
        """Whether `drain` was called."""
        self._told: list[Callable[[], None]] = []

    def drain(self) -> None:
        """Nothing new is asked, from now on or from the beginning. From the batch's own event loop only."""
        self.draining = True
        for tell in self._told:
            tell()

    def drains(self, tell: Callable[[], None]) -> None:
        """That function is called when `drain` is; at once where it was."""
        self._told.append(tell)
        if self.draining:
            tell()
