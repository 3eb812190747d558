"""Which runs of two files belong together, found without holding either file in memory."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import TypeAlias
from zlib import compress, decompress

from fanin.errors import RecordError
from fanin.keeping.record import Record, read_record, record_text

Reading: TypeAlias = Callable[[], Iterable[Record]]
"""Reads a source from its beginning, the same runs in the same order each time."""
Key: TypeAlias = bytes
"""Digests of a run's id, and of what was asked, question and context: 16 bytes each."""
Pair: TypeAlias = tuple[Record | None, Record | None]
"""Of the first source and of the second; None where that one has nothing like it."""

_CHANGED = "It changed while it was read: compare again when nobody writes it."


def key_of(record: Record) -> Key:
    """What tells the run from others."""
    context = None if record.vote is None else record.vote.tiers[0].plan.question.context
    return _digest(record.id) + _digest(json.dumps([record.question, context]))


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def partners(first: Sequence[Key], second: Sequence[Key]) -> dict[int, int]:
    """Place in `first` -> place in `second`, of those that belong together.

    They have the same id and content; else the same content, as where lines moved; else the same id, as
    where a question was edited. Of several that are equal the first belong together.
    """
    found: dict[int, int] = {}
    free = dict(enumerate(second))
    for part in (slice(32), slice(16, 32), slice(16)):
        places: defaultdict[bytes, list[int]] = defaultdict(list)
        for place, key in reversed(free.items()):
            places[key[part]].append(place)
        for place, key in enumerate(first):
            if place not in found and (same := places.get(key[part])):
                found[place] = same.pop()
                del free[found[place]]
    return found


def paired(first: Reading, second: Reading) -> Iterator[Pair]:
    """The runs of both in pairs: those of `first` in their order, then what only `second` has.

    Both are read twice, side by side: what is held are the keys, and of `second` what stands before its
    partner's turn, as where lines moved. Raises RecordError where a source is not the same the second time.
    """
    keys, others = ([key_of(record) for record in read()] for read in (first, second))
    partner = partners(keys, others)
    alone = set(range(len(others))) - set(partner.values())
    ahead = enumerate(_again(second, others))
    early: dict[int, bytes] = {}
    for place, record in enumerate(_again(first, keys)):
        wanted = partner.get(place)
        yield record, None if wanted is None else _taken(wanted, ahead, early, alone)
    if alone:
        yield from ((None, record) for place, record in enumerate(_again(second, others)) if place in alone)


def _again(read: Reading, keys: Sequence[Key]) -> Iterator[Record]:
    known = iter(keys)
    for record in read():
        if key_of(record) != next(known, None):
            raise RecordError(f"run {record.id}: it was not there before", mend=_CHANGED)
        yield record
    if next(known, None) is not None:
        raise RecordError("a run that was there is gone", mend=_CHANGED)


def _taken(
    wanted: int, ahead: Iterator[tuple[int, Record]], early: dict[int, bytes], alone: set[int]
) -> Record:
    """The run at that place of the second source, from where it was put away or further on."""
    if wanted in early:
        return read_record(decompress(early.pop(wanted)).decode("ascii"), "memory")
    for place, record in ahead:
        if place == wanted:
            return record
        if place not in alone:
            early[place] = compress(record_text(record).encode("ascii"), 1)
    raise RecordError("a run that was there is gone", mend=_CHANGED)
