"""Many questions with known answers, each asked by a vote, and the answers kept as stored votes.

One open backend for all of them, a bounded number at once, and every answered question on the disk before
the next one is begun: what is kept is never asked, and paid for, again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any, TextIO

import anyio
import attrs

from fanin.answers import Text
from fanin.backend import Backend
from fanin.connecting import connect
from fanin.errors import FaninError
from fanin.labelled import Labelled, Member, members_of, question_fields, stored_line
from fanin.opening import listed_prices_of
from fanin.policy.pricing import Prices
from fanin.stages.fan_out import fan_out
from fanin.terms import Interrupt, Terms
from fanin.values import Plan, Question, Variation
from fanin.verdict import Verdict
from fanin.voting import vote


@attrs.frozen
class Asked:
    """What came of asking."""

    lines: tuple[str, ...]
    """A line of stored votes for every question that was asked, now or before, in the file's order."""
    new: int
    """Questions asked now."""
    verdicts: tuple[Verdict, ...]
    """Theirs, in the order they ended."""
    ended: Verdict | None = None
    """The vote that ended the asking before the last question: interrupted, or nothing came back of it."""


_TERMS = ("timeout_s", "retries", "max_wait_s")


@attrs.frozen
class Calls:
    """How the questions are asked: the parameters of `fanin.vote` that hold for all of them."""

    runs: int = 5
    """Runs of every question."""
    concurrency: int = 8
    """Calls in flight at once, of all questions together."""
    system: tuple[str | None, ...] = ()
    """The system prompts that runs go round."""
    temperature: float | None = 0.6
    """The lowest rung of the ladder."""
    temperature_step: float = 0.1
    """The height of a rung."""
    seed: int = 0
    """What the runs' seeds derive from."""
    logprobs: bool = False
    """Ask for log-probabilities too, where the backend tells them."""
    rest: dict[str, Any] = attrs.field(factory=dict)
    """Further parameters, handed on as they are."""

    def members(self, models: tuple[str, ...], max_temperature: float) -> list[Member]:
        """What sets the runs of every question apart, in planned order.

        Raises InputError for whatever of the parameters cannot be, before anything is asked or written.
        """
        given = {name: value for name, value in self.rest.items() if name in _TERMS}
        Terms(self.concurrency, **given)
        variation = Variation(
            models, self.system, self.temperature, self.temperature_step, max_temperature, self.seed
        )
        most = {name: value for name, value in self.rest.items() if name == "max_tokens"}
        plan = Plan(Question("?"), Text(), variation, runs=self.runs, **most)
        return [(run.model, run.system or "", run.temperature) for run in fan_out(plan)]


async def ask_labelled(
    questions: Sequence[Labelled],
    calls: Calls,
    *,
    backend: str | None = None,
    model: tuple[str, ...] = (),
    base_url: str | None = None,
    price: Prices | None = None,
    save: str | None = None,
    interrupt: Interrupt | None = None,
    done: Callable[[int], None] = lambda questions: None,
) -> Asked:
    """Asks every question that the file `save` does not hold, and adds it there as soon as it is answered.

    In the file's order, as many at once as `calls.concurrency` lets in. Where nothing at all comes back of a
    question (and it is not the request that is refused), no further one is begun: the server, the key or the
    quota is at fault. `done` is told the number of questions that are kept, after each.

    Raises FaninError for what is wrong before the first call, and for a file `save` that holds other
    questions, or other runs of them, under these ids.
    """
    async with connect(backend, model=model, base_url=base_url) as opened:
        models = await opened.resolve(())
        members = calls.members(models, opened.capabilities.max_temperature)
        kept = _kept(save, questions, members) if save else {}
        prices = listed_prices_of(opened, (models,)) if price is None else price
        with _journal(save) as journal:
            asking = _Asking(opened, models, calls, members, prices, kept, journal, done, interrupt)
            await asking.ask([one for one in questions if one.id not in kept])
    lines = tuple(kept[one.id] for one in questions if one.id in kept)
    if save:
        own = {one.id for one in questions}
        _write(save, [*lines, *(line for name, line in kept.items() if name not in own)])
    return Asked(lines, len(asking.verdicts), tuple(asking.verdicts), asking.ended)


@attrs.define
class _Asking:
    """One round of asking, and what it came to so far."""

    backend: Backend
    models: tuple[str, ...]
    calls: Calls
    members: list[Member]
    prices: Prices
    kept: dict[str, str]
    journal: TextIO | None
    done: Callable[[int], None]
    interrupt: Interrupt | None
    verdicts: list[Verdict] = attrs.field(factory=list)
    ended: Verdict | None = None
    error: FaninError | None = None

    async def ask(self, questions: Sequence[Labelled]) -> None:
        """Asks them; raises the first FaninError of a vote after the others have ended."""
        at_once = max(1, self.calls.concurrency // self.calls.runs)
        slots = anyio.Semaphore(at_once)
        async with anyio.create_task_group() as group:
            for question in questions:
                await slots.acquire()
                if self.ended or self.error:
                    break
                group.start_soon(self._one, question, slots)
        if self.error is not None:
            raise self.error

    async def _one(self, one: Labelled, slots: anyio.Semaphore) -> None:
        try:
            verdict = await self._vote(one)
        except FaninError as error:
            self.error = self.error or error
            return
        finally:
            slots.release()
        if _in_vain(verdict):
            self.ended = self.ended or verdict
            return
        self.verdicts.append(verdict)
        self.kept[one.id] = line = stored_line(one, verdict, self.members, self.prices)
        if self.journal is not None:
            self.journal.write(f"{line}\n")
            self.journal.flush()
        self.done(len(self.kept))

    async def _vote(self, one: Labelled) -> Verdict:
        calls = self.calls
        return await vote(
            one.question.text,
            context=one.question.context,
            answer=one.answer,
            runs=calls.runs,
            backend=self.backend,
            model=self.models,
            system=calls.system,
            temperature=calls.temperature,
            temperature_step=calls.temperature_step,
            seed=calls.seed,
            concurrency=min(calls.concurrency, calls.runs),
            price=self.prices,
            weights="logprob" if calls.logprobs else None,
            interrupt=self.interrupt,
            **calls.rest,
        )


def _in_vain(verdict: Verdict) -> bool:
    """Whether a vote was cut short, or nothing came back of it for a reason that others would meet too."""
    if verdict.stopped.by != "all":
        return True
    own = all(failure.kind == "bad_request" for failure in verdict.failures)
    return not verdict.ballots and not own


def _kept(save: str, questions: Sequence[Labelled], members: list[Member]) -> dict[str, str]:
    """Id -> the line of every question that the file holds; a last line that was cut off is left out."""
    try:
        text = Path(save).read_text("utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise FaninError(f"{save}: it cannot be read: {error}") from None
    asked = {one.id: one for one in questions}
    kept: dict[str, str] = {}
    whole = text[: text.rfind("\n") + 1]
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            found = json.loads(line)
            name, of = str(found["id"]), members_of(found)
        except (ValueError, LookupError, TypeError, AttributeError):
            raise FaninError(f"{save}, line {number}: it holds no stored votes", mend=_OTHER) from None
        problem = _problem(found, of, asked[name], members) if name in asked else None
        if problem:
            raise FaninError(f"{save}, line {number}: {problem}", mend=_OTHER)
        kept[name] = line
    return kept


_OTHER = "Name another file to --save."


def _problem(found: dict[str, Any], of: list[Member], one: Labelled, members: list[Member]) -> str | None:
    fields = question_fields(one)
    if {name: found.get(name) for name in fields} != {**fields, "id": found["id"]}:
        return f"it has another question, or another label, under the id {one.id!r}"
    if of != members:
        return "it was asked with other models, prompts, temperatures or another number of runs"
    return None


def _journal(save: str | None) -> AbstractContextManager[TextIO | None]:
    """The file open for adding to it; nothing where nothing is kept."""
    if save is None:
        return nullcontext()
    try:
        path = Path(save)
        if path.exists():
            text = path.read_bytes()
            if not text.endswith(b"\n"):
                os.truncate(path, text.rfind(b"\n") + 1)
        return path.open("a", encoding="utf-8", newline="\n")
    except OSError as error:
        raise FaninError(f"{save}: it cannot be written: {error.strerror or error}") from None


def _write(save: str, lines: Sequence[str]) -> None:
    """Puts the lines in order: the file is written whole or stays as it was. Raises FaninError."""
    target = Path(save).resolve()
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_text("".join(f"{line}\n" for line in lines), "utf-8", newline="\n")
        unfinished.replace(target)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        raise FaninError(f"{save}: it cannot be written: {error.strerror or error}") from None
