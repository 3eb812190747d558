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
from fanin.stages.settle import Comparing, groups_near, settled, with_medoids
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


async def settle(verdict: Verdict, conductor: Conductor, settlement: Settlement) -> Verdict:
    """The verdict with its texts clustered, and one of them picked, as its type of answer asks for.

    It comes back as it is where there is nothing to find out. Raises FaninError as the conductor does (a
    replay miss); all else that goes wrong is said in the verdict.
    """
    basis = verdict.basis
    answer = None if basis is None else basis.plan.answer
    if basis is None or not isinstance(answer, Text) or verdict.stopped.by == "interrupt":
        return verdict
    judge = _Judge(basis.plan, settlement.judge or basis.plan.variation.models[0], conductor)
    judging = clustering = await _clustering(verdict.votes, answer, judge, settlement.embed)
    if answer.whole:
        votes = settled(verdict, clustering).votes
        if len(votes) > 1 and verdict.outcome in ("decided", "tie") and judge.stopped == "all":
            judging = await judge.pick(list(votes.items()), clustering)
    if judging == Judging():
        return verdict
    return settled(attrs.evolve(verdict, events=tuple(conductor.events)), judging)


async def _clustering(votes: Mapping[str, int], answer: Text, judge: _Judge, embed: Embed | None) -> Judging:
    """Which of the answers mean the same; nothing where that needs no asking."""
    if not answer.unsettled or len(votes) < 2:
        return Judging()
    forms = {text: answer.form(text) for text in votes}
    cast = {forms[text]: number for text, number in votes.items()}
    if answer.cluster == "judge":
        groups = await judge.compare(list(votes))  # in the tally's order, and so in no order of arrival
        in_forms = [[forms[text] for text in group] for group in groups]
        near = likeness_among(list(cast))
        return judge.judging(by="judge", groups=with_medoids(in_forms, cast, near))
    assert embed is not None, "it was asked for before the first call"
    try:
        groups = await to_thread.run_sync(_near_by_vectors, embed, forms, cast, answer.threshold or NEAR)
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

    async def compare(self, texts: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """The texts in groups that mean the same."""
        comparing = Comparing(tuple(texts))
        while comparing.left:
            comparing = comparing.after(await self._same(comparing.pairs))
        return comparing.groups

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

    async def _same(self, pairs: Sequence[Pair]) -> list[bool]:
        """Of each pair whether its two mean the same; asked the other way round where that is unsure."""
        said = dict(zip(pairs, await self._compared(pairs, turned=False), strict=True))
        unsure = [pair for pair in pairs if said[pair] == "unsure"]
        said |= dict(zip(unsure, await self._compared(unsure, turned=True), strict=True))
        self._unread += sum(said[pair] == "unread" for pair in pairs)
        return [said[pair] == "same" for pair in pairs]

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
    settlement = _settlement(answer, judge, embed, runs, dict(zip(APART, apart, strict=True)))

    def settling(hold: Hold) -> Hold:
        async def hold_and_settle(plan: Plan, conductor: Conductor) -> Verdict:
            return await settle(await hold(plan, conductor), conductor, settlement)

        return hold_and_settle

    return settling


def _settlement(
    answer: Answer,
    judge: str | None,
    embed: Embed | str | os.PathLike[str] | None,
    runs: int,
    apart: Mapping[str, object],
) -> Settlement:
    text = answer if isinstance(answer, Text) else Text()
    if judge is not None and not (text.cluster == "judge" or text.whole):
        raise InputError("judge", "left out where nothing is judged", judge, mend=_WHEN_JUDGED)
    if judge is not None and (not isinstance(judge, str) or not judge.strip()):
        raise InputError("judge", "the name of a model", judge)
    if text.cluster == "judge" and runs > MOST_RUNS:
        raise InputError("runs", f"at most {MOST_RUNS} where a judge compares the answers", runs)
    for name, value in apart.items() if text.whole else ():
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
        from fanin.embedding import encoder

        embed = encoder(embed)
    unit_vectors(embed, ["one", "another"])
    return embed
