"""What all calls of one account and model share: their pace, and what the model refuses.

One `Limiter` an account and model, for the whole process: every vote finds the same one without
being told. It holds a state of `fanin.policy.pacing`; the conductor waits as that says.
"""

from __future__ import annotations

import threading

from fanin.policy import pacing


class Limiter:
    """The pace of one account and model; safe from several threads and event loops at once."""

    def __init__(self, cap_s: float = 600.0) -> None:
        self._lock = threading.Lock()
        self._pace = pacing.Pace(cap_s=cap_s)
        self._refused: tuple[str, ...] = ()

    @property
    def pace(self) -> pacing.Pace:
        """The state as it is now."""
        return self._pace

    @property
    def refused_parameters(self) -> tuple[str, ...]:
        """The request parameters that this model does not accept, as learnt in this process; sorted."""
        return self._refused

    def wait_s(self, now_s: float) -> float:
        """Seconds until a request may pass."""
        return pacing.wait_s(self._pace, now_s)

    def refused(self, *, sent_s: float, told_s: float, now_s: float) -> None:
        """A request sent at `sent_s` was refused, with `told_s` seconds to wait."""
        with self._lock:
            self._pace = pacing.refused(self._pace, sent_s=sent_s, told_s=told_s, now_s=now_s)

    def succeeded(self) -> None:
        """A request was answered."""
        with self._lock:
            self._pace = pacing.succeeded(self._pace)

    def learn(self, parameters: tuple[str, ...]) -> None:
        """The model refuses these parameters, from now on and for everybody."""
        with self._lock:
            self._refused = tuple(sorted({*self._refused, *parameters}))


class Limiters:
    """The limiters of a process, one an account and model."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limiters: dict[tuple[str, str], Limiter] = {}

    def of(self, account: str, model: str) -> Limiter:
        """The one limiter of that account and model."""
        with self._lock:
            return self._limiters.setdefault((account, model), Limiter())

    def clear(self) -> None:
        """Forgets all that was learnt."""
        with self._lock:
            self._limiters.clear()


SHARED = Limiters()
"""The limiters that every vote of this process uses."""
