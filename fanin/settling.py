"""Free texts after a vote: a judge is asked, or an embedding made, and the verdict is settled by it.

The judge's calls go through the vote's own conductor: they are paced, retried, taped and counted like all
others, under the same deadline and the same interrupt. What it does not say counts as `different`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from operator import mul
from typing import Any, TypeAlias

import attrs
from anyio import to_thread

from fanin.answers import Answer
from fanin.answers.likeness import likeness_among
from fanin.answers.text import NEAR, Text
from fanin.clusters import Judging, Selection
from fanin.conductor import Conductor
from fanin.errors import FaninError, InputError
from fanin.stages.judge import (
    Sameness,
    pick_request,
    read_pick,
    read_sameness,
    sameness_request,
    shown_to_pick,
)
from fanin.stages.settle import Comparing, groups_near, settled, settled_answer, with_medoids
from fanin.values import Failure, Outcome, Plan, Request, Run, Sample, StoppedBy, Usage
from fanin.verdict import Verdict

Embed: TypeAlias = Callable[[list[str]], Any]
"""Texts to vectors: a sequence of as many sequences of numbers, all of one length."""

Hold: TypeAlias = Callable[[Plan, Conductor], Awaitable[Verdict]]
"""Holds the vote of a plan."""
Pair: TypeAlias = tuple[str, str]

APART = ("structured", "mode", "escalate", "weights", "calibration")
"""Settings of a vote that a judge's selection does not go with."""

_WHEN_JUDGED = "A judge compares texts (cluster judge) or selects one of them (select judge)."

MOST_RUNS = 100
"""The most runs whose answers a judge compares: it may be asked about every pair of them, and twice."""


@attrs.frozen
class Settlement:
    """By what free texts are settled."""

    judge: str | None = None
    """The model that judges; None is the first that was asked."""
    embed: Embed | None = None
    """Makes vectors of texts; there where the answers are clustered by them."""


class Settler:
    """Settles the texts of one vote; what it has found out it remembers, and asks for it no second time."""

    def __init__(self, plan: Plan, conductor: Conductor, settlement: Settlement) -> None:
        self._plan = plan
        self._conductor = conductor
        self._embed = settlement.embed
        self._judge = _Judge(plan, settlement.judge or plan.variation.models[0], conductor)

    async def settle(self, verdict: Verdict) -> Verdict:
        """The verdict with its texts clustered, and one of them picked, as its type of answer asks for.

        It comes back as it is where there is nothing to find out. Raises FaninError as the conductor does (a
        replay miss); all else that goes wrong is said in the verdict.
        """
        answer = self._plan.answer
        if not isinstance(answer, Text) or verdict.stopped.by == "interrupt":
            return verdict
        judging = clustering = await self._clustering(verdict.votes, answer)
        if answer.whole:
            votes = settled(verdict, clustering).votes
            if len(votes) > 1 and verdict.outcome in ("decided", "tie") and self._judge.stopped == "all":
                judging = await self._judge.pick(list(votes.items()), clustering)
        if judging == Judging():
            return verdict
        return settled(attrs.evolve(verdict, events=tuple(self._conductor.events)), judging)

    async def so_far(self, votes: Mapping[str, int]) -> Plan:
        """The plan with a type of answer that compares these texts by what is found out of them."""
        answer = self._plan.answer
        if not isinstance(answer, Text):
            return self._plan
        return attrs.evolve(self._plan, answer=settled_answer(answer, await self._clustering(votes, answer)))

    async def _clustering(self, votes: Mapping[str, int], answer: Text) -> Judging:
        """Which of the answers mean the same; nothing where that needs no asking."""
        if not answer.unsettled or len(votes) < 2:
            return Judging()
        forms = {text: answer.form(text) for text in votes}
        cast = {forms[text]: number for text, number in votes.items()}
        if answer.cluster == "judge":
            # In the tally's order, and so in no order of arrival.
            groups = await self._judge.compare(list(votes), forms)
            near = likeness_among(list(cast))
            return self._judge.judging(by="judge", groups=with_medoids(groups, cast, near))
        assert self._embed is not None, "it was asked for before the first call"
        threshold = answer.threshold or NEAR
        try:
            groups = await to_thread.run_sync(_near_by_vectors, self._embed, forms, cast, threshold)
        except FaninError as error:
            return Judging(by="embedding", problem=error.message)
        return Judging(by="embedding", groups=groups)


class _Judge:
    """A model that judges answers which have come, on the vote's own conductor.

    Its calls are runs of their own: their indexes go on where those of the plan end.
    """

    def __init__(self, plan: Plan, model: str, conductor: Conductor) -> None:
        self.stopped: StoppedBy = "all"
        self._plan = plan
        self._model = model
        self._conductor = conductor
        self._asked = 0
        self._came = 0
        self._unread = 0
        self._usage = Usage(0, 0)
        self._known: dict[frozenset[str], bool] = {}

    def judging(self, **told: Any) -> Judging:
        """What came of it, with what its calls used."""
        return Judging(
            model=self._model,
            calls=self._came,
            unread=self._unread,
            usage=self._usage,
            stopped=self.stopped,
            **told,
        )

    async def compare(self, texts: Sequence[str], forms: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
        """The normal forms of the texts, in groups that mean the same."""
        comparing = Comparing(tuple(texts))
        while comparing.left:
            pairs = {pair: frozenset(forms[text] for text in pair) for pair in comparing.pairs}
            await self._find_out([pair for pair, key in pairs.items() if key not in self._known], forms)
            comparing = comparing.after([self._known[key] for key in pairs.values()])
        return tuple(tuple(forms[text] for text in group) for group in comparing.groups)

    async def pick(self, votes: Sequence[tuple[str, int]], before: Judging) -> Judging:
        """Which answer is the most consistent with the others, beside what was found out before."""
        shown, cast = shown_to_pick(self._plan, votes), dict(votes)
        often = [cast[answer] for answer in shown]
        [came] = await self._ask([lambda index: pick_request(self._plan, self._model, index, shown, often)])
        completion = came.completion if isinstance(came, Sample) else None
        picked = None if completion is None else read_pick(completion, shown)
        if completion is not None:
            reasons = completion.text.strip()
        else:
            reasons = came.message if isinstance(came, Failure) else "It could not be asked any more."
        chosen = Selection(self._model, shown, picked, reasons)
        return self.judging(by=before.by, groups=before.groups, problem=before.problem, selection=chosen)

    async def _find_out(self, pairs: Sequence[Pair], forms: Mapping[str, str]) -> None:
        """Asks of each pair whether its two mean the same, and the other way round where that is unsure."""
        said = dict(zip(pairs, await self._compared(pairs, turned=False), strict=True))
        unsure = [pair for pair in pairs if said[pair] == "unsure"]
        said |= dict(zip(unsure, await self._compared(unsure, turned=True), strict=True))
        self._unread += sum(said[pair] == "unread" for pair in pairs)
        for pair in pairs:
            self._known[frozenset(forms[text] for text in pair)] = said[pair] == "same"

    async def _compared(self, pairs: Sequence[Pair], *, turned: bool) -> list[Sameness]:
        def request(index: int, pair: Pair) -> Request:
            return sameness_request(self._plan, self._model, index, pair, turned=turned)

        came = await self._ask([partial(request, pair=pair) for pair in pairs])
        return [read_sameness(each.completion) if isinstance(each, Sample) else "unread" for each in came]

    async def _ask(self, makes: Sequence[Callable[[int], Request]]) -> list[Outcome | None]:
        """What came of each request, made by its index; None for one that could not be asked any more."""
        if self.stopped != "all":
            return [None] * len(makes)
        first = self._plan.runs + self._asked
        requests = {index: make(index) for index, make in enumerate(makes, first)}
        self._asked += len(makes)
        runs = [
            Run(index, self._model, each.temperature, each.seed or 0, None)
            for index, each in requests.items()
        ]
        conducted = await self._conductor.conduct(runs, lambda run: self._conductor.ask(requests[run.index]))
        came = {outcome.index: outcome for outcome in conducted.outcomes}
        self._came += len(came)
        used = [each.completion.usage for each in came.values() if isinstance(each, Sample)]
        self._usage = sum(used, self._usage)
        self.stopped = conducted.by
        return [came.get(index) for index in requests]


def _near_by_vectors(
    embed: Embed, forms: Mapping[str, str], cast: Mapping[str, int], threshold: float
) -> tuple[tuple[str, ...], ...]:
    """The normal forms in groups that are near to one another. Raises InputError for unusable vectors."""
    vectors = dict(zip(forms.values(), unit_vectors(embed, list(forms)), strict=True))

    def near(one: str, other: str) -> float:
        return math.fsum(map(mul, vectors[one], vectors[other]))

    return groups_near(cast, near, threshold)


def unit_vectors(embed: Embed, texts: list[str]) -> list[list[float]]:
    """A vector for each text, of length 1, or 0 where it was 0: near to nothing.

    Raises InputError where `embed` fails, or gives anything but one vector a text, all as long, of finite
    numbers.
    """
    try:
        given = [[float(number) for number in vector] for vector in embed(list(texts))]
    except Exception as error:  # it is the user's own, and the answers are paid for
        raise InputError("embed", "a function from texts to vectors", error) from error
    if len(given) != len(texts):
        raise InputError("embed", f"one vector a text ({len(texts)})", len(given))
    lengths = {len(vector) for vector in given}
    if len(lengths) > 1 or lengths == {0}:
        raise InputError("embed", "vectors of one length, 1 or more", sorted(lengths))
    if not all(map(math.isfinite, chain.from_iterable(given))):
        raise InputError("embed", "vectors of finite numbers", "nan or infinite")
    return [_unit(vector) for vector in given]


def _unit(vector: list[float]) -> list[float]:
    length = math.hypot(*vector)
    return [number / length for number in vector] if length else vector


def settling_of(
    answer: Answer,
    *,
    judge: str | None,
    embed: Embed | str | os.PathLike[str] | None,
    runs: int,
    apart: Sequence[object],
) -> Callable[[Hold], Hold]:
    """What makes a way of holding votes with such answers settle them too.

    `apart` are the settings of `APART`. Raises InputError for what does not go together, and for an embedding
    that cannot be used: it is tried on two texts.
    """
    settlement = settlement_of(answer, judge=judge, embed=embed, runs=runs, apart=apart)

    def settling(hold: Hold) -> Hold:
        async def hold_and_settle(plan: Plan, conductor: Conductor) -> Verdict:
            return await Settler(plan, conductor, settlement).settle(await hold(plan, conductor))

        return hold_and_settle

    return settling


def settlement_of(
    answer: Answer,
    *,
    judge: str | None,
    embed: Embed | str | os.PathLike[str] | None,
    runs: int,
    apart: Sequence[object] = (),
) -> Settlement:
    """By what texts of that type are settled; `apart` are the settings of `APART`, as many as there are.

    Raises InputError as `settling_of` does.
    """
    text = answer if isinstance(answer, Text) else Text()
    if judge is not None and not (text.cluster == "judge" or text.whole):
        raise InputError("judge", "left out where nothing is judged", judge, mend=_WHEN_JUDGED)
    if judge is not None and (not isinstance(judge, str) or not judge.strip()):
        raise InputError("judge", "the name of a model", judge)
    if text.cluster == "judge" and runs > MOST_RUNS:
        raise InputError("runs", f"at most {MOST_RUNS} where a judge compares the answers", runs)
    for name, value in zip(APART, apart, strict=False) if text.whole else ():
        if value:
            raise InputError(name, "left out where a judge selects the answer", value)
    return Settlement(judge, _embedding(text, embed))


def _embedding(text: Text, embed: Embed | str | os.PathLike[str] | None) -> Embed | None:
    if text.cluster != "embedding":
        if embed is not None:
            raise InputError("embed", "left out where the cluster is not embedding", embed)
        return None
    if embed is None:
        raise InputError(
            "embed",
            "given where the cluster is embedding",
            embed,
            mend="Give a function from texts to vectors, or a folder with a Model2Vec model.",
        )
    if not callable(embed):
        if not isinstance(embed, str | os.PathLike):
            raise InputError("embed", "a function from texts to vectors, or a folder", embed)
        from fanin.embedding import encoder

        embed = encoder(embed)
    unit_vectors(embed, ["one", "another"])
    return embed
