"""What all calls of a process share, an account and model at a time.

A limiter is loaded when one is asked for: a backend without limits costs none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fanin.limiter import Limiter
    from fanin.sharing.store import Store


class Limiters:
    """The limiters of a process, one an account, model and way to share; and what models do not accept.

    `opened` finds the store that a way to share names; None: the pace stays in the process.
    """

    def __init__(self, opened: Callable[[str], Store | None] | None = None) -> None:
        self._lock = threading.Lock()
        self._limiters: dict[tuple[str, str, Store | None], Limiter] = {}
        self._refused: dict[tuple[str, str], tuple[str, ...]] = {}
        self._opened = opened

    def of(self, account: str, model: str, pace: str = "off") -> Limiter:
        """The one limiter of that account and model; `fanin.terms.Terms.pace` says what `pace` may be.

        Raises FaninError for a store that needs what is not installed.
        """
        from fanin.limiter import Limiter
        from fanin.sharing.opening import store_for
        from fanin.sharing.share import Share
        from fanin.sharing.store import Key

        store = (self._opened or store_for)(pace)
        with self._lock:
            limiter = self._limiters.get((account, model, store))
            if limiter is None:
                share = None if store is None else Share(store, Key(account, model))
                limiter = self._limiters[account, model, store] = Limiter(share)
            return limiter

    def refused(self, account: str, model: str) -> tuple[str, ...]:
        """The request parameters that this model does not accept, as learnt in this process; sorted."""
        return self._refused.get((account, model), ())

    def learn(self, account: str, model: str, parameters: tuple[str, ...]) -> None:
        """The model refuses these parameters, from now on and for everybody."""
        with self._lock:
            self._refused[account, model] = tuple(sorted({*self.refused(account, model), *parameters}))

    def clear(self) -> None:
        """Forgets all that was learnt."""
        with self._lock:
            self._limiters.clear()
            self._refused.clear()


SHARED = Limiters()
"""What every vote of this process uses."""
