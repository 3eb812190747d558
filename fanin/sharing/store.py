"""What a store of shared paces promises, whatever it is."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from hashlib import blake2b
from typing import Generic, TypeAlias, TypeVar

import attrs

from fanin.clock import Clock
from fanin.errors import SharedPaceWarning
from fanin.sharing.joint import Joint

T = TypeVar("T")
Step: TypeAlias = Callable[[Joint, float], tuple[Joint, T]]
"""`(what is joint, the time on the store's clock) -> (what is joint now, a result)`; pure, since it
runs again where somebody else came between."""


@attrs.frozen
class Key:
    """Whose pace."""

    account: str
    """The address and a fingerprint of the key, never the key."""
    model: str
    """The model."""

    @property
    def digest(self) -> str:
        """What it is filed under: 32 hexadecimal digits."""
        return blake2b(f"{self.account}\n{self.model}".encode(), digest_size=16).hexdigest()


class StoreError(Exception):
    """The store cannot be used: `str(error)` says why, in one sentence without secrets."""

    def __init__(self, why: str, *, for_good: bool = False) -> None:
        super().__init__(why)
        self.for_good = for_good
        """Whether it is of no use to try again."""


@attrs.frozen
class Found(Generic[T]):
    """What a look gave."""

    joint: Joint
    """What they hold jointly now."""
    result: T
    """The step's result."""


class Store(ABC):
    """Paces by account and model that many processes look at, one at a time."""

    name: str
    """What it is, for people; no secrets."""
    patience_s: float
    """So long somebody does without it before they try again; each time in a row twice as long."""
    strikes: int = 1
    """Being without it so often in a row is worth a warning."""
    ahead_s: float = 0.0
    """Its clock is so far ahead of `fanin.clock.LoopClock`."""

    def __init__(self) -> None:
        self._lost: set[Key] = set()

    @abstractmethod
    async def exchange(self, key: Key, fresh: Joint, step: Step[T], clock: Clock) -> Found[T]:
        """Carries out `step` on what is joint, or on `fresh` where nothing is there yet; nobody else's
        step comes between. Raises StoreError, then nothing has changed."""

    @abstractmethod
    def closed_until_s(self, key: Key) -> float:
        """Until when all may send nothing, as far as that can be told at once; -inf where it cannot."""

    @abstractmethod
    def entries(self) -> list[Joint]:
        """All there is, by account and model; what cannot be read is left out. Raises StoreError."""

    @abstractmethod
    def forget(self, key: Key | None) -> int:
        """Forgets what is known of an account and model, or (None) of all; those who share it begin anew.
        How many were forgotten. Raises StoreError."""

    @abstractmethod
    def now_s(self) -> float:
        """The time on its clock. Raises StoreError."""

    def lost(self, key: Key, error: StoreError, instead: str) -> None:
        """Says that somebody does without it, and how they go on: once, however many there are."""
        if not self._lost:
            warnings.warn(f"{error}; {instead}", SharedPaceWarning, stacklevel=2)
        self._lost.add(key)

    def found(self, key: Key) -> None:
        """Says that it is back, where it was said that it is gone."""
        if key in self._lost:
            self._lost.discard(key)
            if not self._lost:
                warnings.warn(
                    f"{self.name} is back, and the pace is shared again", SharedPaceWarning, stacklevel=2
                )
