"""The items of a batch as they are handed out: a bounded look ahead, kept together by what they share."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Hashable, Iterable, Mapping
from typing import Any, TypeAlias

import anyio
import attrs

from fanin.batching.fields import item_given
from fanin.batching.fingerprints import Fingerprints
from fanin.batching.items import BadItem, Item
from fanin.errors import InputError

Given: TypeAlias = Item | BadItem | str | Mapping[str, Any]
"""A question as a program gives it: a text, an item, or an item's fields as a line of a file has them."""
Questions: TypeAlias = AsyncIterable[Given] | Iterable[Given]


def check_questions(questions: Questions) -> None:
    """Raises InputError for what is no stream of questions; one text is none."""
    if isinstance(questions, str | bytes | Mapping) or not isinstance(questions, AsyncIterable | Iterable):
        raise InputError("questions", "a list or a stream of questions", questions)


@attrs.frozen
class Taken:
    """An item as it is handed out."""

    place: int
    """Its place among all items, from 0."""
    item: Item | BadItem
    """What was read."""
    occurrence: int = 0
    """How many items of equal content stand before it."""


class Source:
    """Reads at most `window` items ahead of those who take them.

    Items with the same model and the same context are handed out one after the other as far as the look
    ahead goes: a provider's prompt cache then serves them, and a local server need not change models. With
    `in_order` they come as they were read.
    """

    def __init__(
        self, questions: Questions, content: Callable[[Item], str], *, window: int, in_order: bool
    ) -> None:
        self.read = 0
        """Items read so far."""
        self.error: Exception | None = None
        """What the input raised; no item came after it."""
        self._questions = questions
        self._content = content
        self._window = window
        self._in_order = in_order
        self._groups: OrderedDict[tuple[Hashable, Hashable], deque[Taken]] = OrderedDict()
        self._held = 0
        self._group: tuple[Hashable, Hashable] = (None, None)
        self._ended = False
        self._came = anyio.Event()
        self._room = anyio.Event()
        self._asked = Fingerprints()

    async def fill(self) -> None:
        """Reads the input to its end, or until `stop`, and closes it."""
        try:
            if isinstance(self._questions, AsyncIterable):
                async for given in self._questions:
                    if not await self._put(given):
                        break
            else:
                for given in self._questions:
                    if not await self._put(given):
                        break
        except Exception as error:  # noqa: BLE001 - raised to whoever iterates over the rows
            self.error = error
        finally:
            if isinstance(self._questions, AsyncGenerator):
                with anyio.CancelScope(shield=True):
                    await self._questions.aclose()
        self._ended = True
        self._came.set()

    def stop(self) -> None:
        """Nothing more is handed out."""
        self._groups.clear()
        self._held = 0
        self._ended = True
        self._came.set()
        self._room.set()

    async def take(self) -> Taken | None:
        """The next item; None where there is none left."""
        while not self._held:
            if self._ended:
                return None
            self._came = anyio.Event() if self._came.is_set() else self._came
            await self._came.wait()
        group = self._next_group()
        taken = self._groups[group].popleft()
        if not self._groups[group]:
            del self._groups[group]
        self._held -= 1
        if self._held == self._window // 2:
            self._room.set()
        return taken

    async def _put(self, given: Given) -> bool:
        """Takes it in as soon as there is room; False where no more is wanted."""
        while self._held >= self._window and not self._ended:
            self._room = anyio.Event()
            await self._room.wait()
        if self._ended:
            return False
        place = self.read
        self.read += 1
        if not isinstance(given, Item | BadItem):
            given = item_given(given, place + 1)
        group: tuple[Hashable, Hashable] = (None, None)
        occurrence = 0
        if isinstance(given, Item):
            occurrence = self._asked.count(self._content(given))
            if not self._in_order:
                group = (repr(dict(given.options).get("model")), given.context)
        self._groups.setdefault(group, deque()).append(Taken(place, given, occurrence))
        self._held += 1
        self._came.set()
        return True

    def _next_group(self) -> tuple[Hashable, Hashable]:
        """The group of the item before, else one of the same model, else the oldest."""
        if self._group not in self._groups:
            model = self._group[0]
            oldest = next(iter(self._groups))
            self._group = next((group for group in self._groups if group[0] == model), oldest)
        return self._group
