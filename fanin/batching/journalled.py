"""The answers in a batch's journal made into records, question by question, and nothing is asked."""

from __future__ import annotations

from fanin.batching.fingerprints import Fingerprints
from fanin.batching.items import Item
from fanin.batching.journal import Journal
from fanin.batching.keys import call_key, place_of, read_back
from fanin.batching.voted import Voting
from fanin.errors import JournalError
from fanin.keeping.record import Decided, KeptTier, KeptVote, Record, prompt_of
from fanin.stages.fan_out import fan_out
from fanin.stages.isolate import isolate
from fanin.values import Request, Sample, Stopped


class Journalled:
    """Finds what a journal holds of each item; they have to come in the order of the batch's input.

    `backend` is the batch's as its keys name it: `name base_url`.
    """

    def __init__(self, journal: Journal, voting: Voting, backend: str) -> None:
        self.found = 0
        """Answers that belonged to a run."""
        self._journal = journal
        self._voting = voting
        self._backend = backend
        self._prints = Fingerprints()
        self._repeated: dict[str, int] = {}

    async def record(self, item: Item) -> Record | None:
        """The record of the vote on that item; None where the journal holds no answer for it.

        Raises FaninError for an item that cannot be asked.
        """
        plan = await self._voting.plan(item)
        place = place_of(item, self._backend, self._occurrence(self._voting.content(item)))
        repeats: dict[bytes, int] = {}
        runs = fan_out(plan)
        samples = [sample for run in runs if (sample := self._sample(isolate(plan, run), place, repeats))]
        if not samples:
            return None
        self.found += len(samples)
        tier = KeptTier(
            plan=plan,
            runs=runs,
            prompt=prompt_of(plan, runs[0]),
            samples=tuple(samples),
            failures=(),
            cancelled=0,
            unasked=plan.runs - len(samples),
            stopped=Stopped(),
            remarks=(),
            backend=self._voting.backend,
            models=plan.variation.models,
        )
        name = str(item.number if item.id is None else item.id)
        prices = tuple(self._voting.prices.items())
        return Record(name, "vote", "", {}, Decided(""), vote=KeptVote((tier,), prices=prices))

    def _sample(self, request: Request, place: str, repeats: dict[bytes, int]) -> Sample | None:
        key = call_key(request, place, 0)
        repeat = repeats.get(key, 0)
        repeats[key] = repeat + 1
        kept = self._journal.recall(call_key(request, place, repeat) if repeat else key)
        try:
            return None if kept is None else read_back(kept, request.index)
        except ValueError as error:
            raise JournalError(str(self._journal.path), f"it is damaged: {error}") from error

    def _occurrence(self, content: str) -> int:
        """How many items of equal content came before."""
        if self._prints.put(content, 0) is None:
            return 0
        repeated = self._repeated.get(content, 0) + 1
        self._repeated[content] = repeated
        return repeated
