"""What a journal is told of each item beside its calls: how it was asked, and how its vote ended.

With it a journal can be counted again by itself, without the questions and the options of the batch.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import Any, TypeVar

import attrs

from fanin.batching.items import Item
from fanin.batching.journal import Journal, Noted
from fanin.batching.journal_file import packed
from fanin.batching.keys import KEY_BYTES
from fanin.clusters import Judging
from fanin.errors import JournalError
from fanin.keeping.plain import Misfit, from_plain, to_plain
from fanin.policy.pricing import Price, Prices
from fanin.values import Failure, Plan, Question, Stopped
from fanin.verdict import Verdict

_MOST_REMEMBERED = 4096
_NO_QUESTION = Question("?")

T = TypeVar("T")


@attrs.frozen
class Settings:
    """How an item was asked: all but the question."""

    plan: Plan
    """The plan, with another question in the place of its own."""
    place: str
    """The backend as the keys of the calls name it."""
    backend: str
    """The backend's name."""
    prices: tuple[tuple[str | None, Price], ...] = ()
    """(model, its price) of those that were asked; None stands for all others."""


@attrs.frozen
class End:
    """How the vote on an item ended; the defaults are those of one of which every run came back."""

    stopped: Stopped = attrs.field(factory=Stopped)
    """What ended the asking."""
    failures: tuple[Failure, ...] = ()
    """What gave nothing, by index."""
    cancelled: int = 0
    """Runs that a satisfied stop rule called back."""
    remarks: tuple[str, ...] = ()
    """Sentences that the advice says because of the stop rule."""
    judging: Judging | None = None
    """What a judge or an embedding told of free texts."""


_USUAL = End()


class Notes:
    """Writes a journal's notes. What many items share is written once."""

    def __init__(self, journal: Journal, place: str) -> None:
        self._journal = journal
        self._backend = place
        self._texts: dict[tuple[bytes, Callable[[str], bytes]], int] = {}
        self._settings: dict[tuple[Any, ...], str] = {}

    def asked(
        self, item: Item, occurrence: int, plan: Plan, backend: str, prices: Prices, judge: str | None
    ) -> int:
        """Notes how the item is asked, where that does not stand there already; the place of the note."""
        name = item_key(item, occurrence)
        known = self._journal.noted(name)
        settings = self._written(plan, backend, prices, judge)
        if known is not None and (known.number, known.settings) == (item.number, settings):
            return known.place
        context = item.context
        return self._journal.note(
            "items",
            name,
            item.number,
            json.dumps(item.id),
            occurrence,
            _bytes(item.question),
            None if context is None else self._place(context, packed),
            self._place(settings, _bytes),
        )

    def ended(self, place: int, verdict: Verdict) -> None:
        """Notes how the vote ended on the item whose note has that place."""
        basis = verdict.basis
        assert basis is not None, "a verdict that was just concluded holds what it was concluded from"
        gathered = basis.gathered
        end = End(verdict.stopped, gathered.failures, gathered.cancelled, basis.remarks, basis.judging)
        if end != _USUAL or self._journal.had_end(place):
            self._journal.note_end(place, "" if end == _USUAL else _encoded(end))

    def _written(self, plan: Plan, backend: str, prices: Prices, judge: str | None) -> str:
        """The settings as JSON text. Of equal plans the prices are the same ones."""
        same = (plan.answer, plan.variation, plan.runs, plan.quorum, plan.max_tokens, plan.structured)
        try:
            if (known := self._settings.get(same)) is not None:
                return known
        except TypeError:  # a type of answer of somebody's own that has no hash
            return self._encoded(plan, backend, prices, judge)
        if len(self._settings) == _MOST_REMEMBERED:
            self._settings.clear()
        return self._settings.setdefault(same, self._encoded(plan, backend, prices, judge))

    def _encoded(self, plan: Plan, backend: str, prices: Prices, judge: str | None) -> str:
        asked = {model: prices[model] for model in (*plan.variation.models, judge, None) if model in prices}
        plan = attrs.evolve(plan, question=_NO_QUESTION)
        return _encoded(Settings(plan, self._backend, backend, tuple(asked.items())))

    def _place(self, text: str, stored: Callable[[str], bytes]) -> int:
        """The place of that text; it is written where it is none of the last ones."""
        digest = blake2b(_bytes(text), digest_size=KEY_BYTES).digest()
        place = self._texts.get((digest, stored))
        if place is None:
            if len(self._texts) == _MOST_REMEMBERED:
                self._texts.clear()
            place = self._texts[digest, stored] = self._journal.note("texts", stored(text))
        return place


def item_key(item: Item, occurrence: int) -> bytes:
    """What tells an item from all others, however the batch asks it: 16 bytes, the same in every process."""
    parts = [item.id, item.question, item.context, item.answer, item.options, occurrence]
    return blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()


def settings_of(noted: Noted, journal: str) -> Settings:
    """How that item was asked, its question in the plan. Raises JournalError for what is damaged."""
    settings = _settings(noted.settings, journal)
    question = Question(noted.question, noted.context)
    return attrs.evolve(settings, plan=attrs.evolve(settings.plan, question=question))


def end_of(noted: Noted, journal: str) -> End:
    """How its vote ended. Raises JournalError for what is damaged."""
    return _decoded(End, noted.end, journal) if noted.end else _USUAL


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _encoded(value: Any) -> str:
    return json.dumps(to_plain(value), separators=(",", ":"))


@lru_cache(maxsize=256)  # most items of a batch are asked alike
def _settings(text: str, journal: str) -> Settings:
    return _decoded(Settings, text, journal)


def _decoded(kind: type[T], text: str, journal: str) -> T:
    try:
        found: T = from_plain(kind, json.loads(text))
    except (Misfit, ValueError, RecursionError) as problem:
        raise JournalError(journal, f"it is damaged: {problem}") from None
    return found
