"""The answers in a batch's journal made into records, question by question, and nothing is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from fanin.batching.fingerprints import Fingerprints
from fanin.batching.items import Item
from fanin.batching.journal import Journal, Noted, read_journal
from fanin.batching.keys import call_key, place_of, read_back
from fanin.batching.noting import End, Settings, end_of, settings_of
from fanin.batching.voted import Voting
from fanin.errors import JournalError, RecordError
from fanin.keeping.record import Decided, KeptTier, KeptVote, Record, prompt_of
from fanin.stages.fan_out import fan_out
from fanin.stages.isolate import isolate
from fanin.values import Request, Sample

NEEDS_QUESTIONS = "Tell it what the batch was asked: fanin recount JOURNAL --questions FILE"

NO_VOTES = "What a batch of panels or analyses came to stands in its rows; its journal is there to resume it."


def records_in_journal(path: str, wanted: str | None = None) -> Iterator[Record]:
    """The votes that the journal of that path holds, in the order of the batch's questions, or one of them.

    `wanted` is the id of a question; where it has none, its number in the input.

    Raises JournalError where it cannot be used, does not say what was asked (a journal of version 1), or is
    one of panels or analyses; RecordError for an id that it does not hold, or holds twice.
    """
    with read_journal(Path(path)) as journal:
        named = [(place, _name(number, id_)) for place, number, id_ in journal.items()]
        if not named and journal.holds_items:
            raise JournalError(path, "it holds no votes", mend=NO_VOTES)
        if not named:
            raise JournalError(path, "it does not say what was asked", mend=NEEDS_QUESTIONS)
        if wanted is not None:
            named = _one(named, path, wanted)
        for place, name in named:
            record = _noted(journal, journal.item(place), name)
            if record is not None:
                yield record
            elif wanted is not None:
                raise RecordError(f"{path}: it holds no answer yet to the question {wanted!r}")


def _name(number: int, id_: str) -> str:
    name = json.loads(id_)
    return str(number if name is None else name)


def _one(named: list[tuple[int, str]], path: str, wanted: str) -> list[tuple[int, str]]:
    found = [each for each in named if each[1] == wanted]
    if len(found) == 1:
        return found
    if found:
        raise RecordError(f"{path}: {len(found)} questions in it have the id {wanted!r}")
    near = get_close_matches(wanted, [name for _, name in named], n=1)
    mend = f"Did you mean {path}#{near[0]}?" if near else f"The first is {path}#{named[0][1]}."
    raise RecordError(f"{path}: there is no question {wanted!r} in it", mend=mend)


def _noted(journal: Journal, noted: Noted, name: str) -> Record | None:
    path = str(journal.path)
    settings = settings_of(noted, path)
    question = settings.plan.question
    place = place_of(
        Item(noted.number, None, question.text, question.context), settings.place, noted.occurrence
    )
    try:
        return record_by(journal, settings, place, end_of(noted, path), name)
    except RecordError as error:  # by the prompt its answers are found, which only the type itself can write
        raise JournalError(path, f"question {name}: {error.message}") from None


def record_by(journal: Journal, settings: Settings, place: str, end: End, name: str) -> Record | None:
    """The record of one vote, its calls found in the journal; None where it holds nothing of it."""
    plan = settings.plan
    runs = fan_out(plan)
    samples = _samples(journal, [isolate(plan, run) for run in runs], place)
    there = {sample.index for sample in samples}
    failures = tuple(failure for failure in end.failures if failure.index not in there)
    if not samples and not failures:
        return None
    left = plan.runs - len(samples) - len(failures)
    cancelled = min(end.cancelled, left)
    tier = KeptTier(
        plan=plan,
        runs=runs,
        prompt=prompt_of(plan, runs[0]),
        samples=samples,
        failures=failures,
        cancelled=cancelled,
        unasked=left - cancelled,
        stopped=end.stopped,
        remarks=end.remarks,
        backend=settings.backend,
        models=plan.variation.models,
        judging=end.judging,
    )
    return Record(name, "vote", "", {}, Decided(""), vote=KeptVote((tier,), prices=settings.prices))


def _samples(journal: Journal, requests: list[Request], place: str) -> tuple[Sample, ...]:
    """What the journal holds of these calls. Raises JournalError for an answer that is damaged."""
    repeats: dict[bytes, int] = {}
    samples = []
    for request in requests:
        key = call_key(request, place, 0)
        repeat = repeats.get(key, 0)
        repeats[key] = repeat + 1
        kept = journal.recall(call_key(request, place, repeat) if repeat else key)
        if kept is not None:
            try:
                samples.append(read_back(kept, request.index))
            except ValueError as error:
                raise JournalError(str(journal.path), f"it is damaged: {error}") from error
    return tuple(samples)


class Journalled:
    """Finds what a journal holds of items that come in the order of the batch's input.

    For a journal that does not say itself what was asked. `backend` is the batch's as its keys name it:
    `name base_url`.
    """

    def __init__(self, journal: Journal, voting: Voting, backend: str) -> None:
        self._journal = journal
        self._voting = voting
        self._backend = backend
        self._asked = Fingerprints()

    async def record(self, item: Item) -> Record | None:
        """The record of the vote on that item; None where the journal holds no answer for it.

        Raises FaninError for an item that cannot be asked.
        """
        plan = await self._voting.plan(item)
        place = place_of(item, self._backend, self._asked.count(self._voting.content(item)))
        settings = Settings(plan, self._backend, self._voting.backend, tuple(self._voting.prices.items()))
        name = str(item.number if item.id is None else item.id)
        return record_by(self._journal, settings, place, End(), name)
