"""The places of a server that takes only so many requests at once and lets the rest wait.

Whoever finds no place waits in one line, first come, first served. How many places there are is found
out by `fanin.policy.pacing.crowding`.
"""

from __future__ import annotations

import threading
from collections import deque

import anyio.lowlevel
import attrs

from fanin.policy.pacing import crowding
from fanin.policy.pacing.crowding import Crowd
from fanin.waking import Wake, here, wake_here


@attrs.define(eq=False)
class Place:
    """One place, held or waited for."""

    wake: Wake | None = None
    held: bool = False
    beside: int = 0
    """How many were inside when this was taken, itself counted."""


class Places:
    """The places of one server and model; safe from several threads and event loops at once."""

    def __init__(self, width: int) -> None:
        self._lock = threading.Lock()
        self._crowd = Crowd(width)
        self._line: deque[Place] = deque()

    @property
    def crowd(self) -> Crowd:
        """How many places there are, and how many are taken."""
        return self._crowd

    async def enter(self) -> Place:
        """Waits for a place and takes it. A cancelled waiter leaves the line."""
        place = Place()
        with self._lock:
            if not self._line and not self._crowd.full:
                self._take(place)
                return place
            place.wake = wake_here()
            self._line.append(place)
        try:
            await place.wake.wait()
            await anyio.lowlevel.checkpoint_if_cancelled()
        except BaseException:
            self._forsake(place)
            raise
        return place

    def answered(self, place: Place, took_s: float) -> None:
        """The request that held the place was answered, after so many seconds."""
        self._leave(place, lambda crowd: crowding.answered(crowd, took_s, place.beside))

    def overrun(self, place: Place) -> None:
        """The server was too busy for it, or let it wait for too long."""
        self._leave(place, crowding.overrun)

    def left(self, place: Place) -> None:
        """The request ended otherwise."""
        self._leave(place, lambda crowd: crowd)

    def _leave(self, place: Place, learn: crowding.Learn) -> None:
        with self._lock:
            if not place.held:
                return
            place.held = False
            self._crowd = crowding.left(learn(self._crowd))
            self._let_in()

    def _forsake(self, place: Place) -> None:
        with self._lock:
            if place.held:
                place.held = False
                self._crowd = crowding.left(self._crowd)
                self._let_in()
            else:
                self._line.remove(place)

    def _let_in(self) -> None:
        while self._line and not self._crowd.full:
            place = self._line.popleft()
            self._take(place)
            if place.wake is not None and not place.wake.call(here()):
                place.held = False  # its event loop has ended, and it with it
                self._crowd = crowding.left(self._crowd)

    def _take(self, place: Place) -> None:
        self._crowd = crowding.entered(self._crowd)
        place.held, place.beside = True, self._crowd.inside
