"""`batch`: many items, one pool of calls, rows as they finish."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from fanin.answers import Answer
from fanin.backend import Backend
from fanin.batching.calling import Calls
from fanin.batching.engines import Engine
from fanin.batching.interrupts import BatchInterrupt
from fanin.batching.jobs import Asking, BatchJob, ItemJob, Ready, Setting
from fanin.batching.journal import Journal, erase_journal, open_journal
from fanin.batching.outlet import Rows
from fanin.batching.source import Questions, Source, check_questions
from fanin.batching.spending import Spending
from fanin.batching.voted import VoteJob, Voting
from fanin.batching.working import Working
from fanin.connecting import Connected
from fanin.context import tape_on
from fanin.errors import InputError
from fanin.policy.budget import NO_LIMITS, Limits
from fanin.policy.circuit import Circuit
from fanin.policy.pricing import Price, as_prices
from fanin.terms import Interrupt, Terms
from fanin.values import Event

if TYPE_CHECKING:
    from fanin.analysed import Mode
    from fanin.settling import Embed


@asynccontextmanager
async def batch(
    questions: Questions,
    *,
    journal: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    durable: bool = False,
    ordered: bool = False,
    jobs: int = 8,
    limits: Limits = NO_LIMITS,
    budget_runs: int | None = None,
    warm_prefix: bool = False,
    identical_errors: int = 20,
    job: BatchJob | ItemJob | None = None,
    answer: Answer | str | None = None,
    runs: int = 5,
    backend: str | Backend | None = None,
    model: str | Sequence[str] | None = None,
    base_url: str | None = None,
    quorum: int | None = None,
    temperature: float | None = 0.6,
    temperature_step: float = 0.1,
    system: str | Sequence[str | None] | None = None,
    seed: int = 0,
    max_tokens: int = 2048,
    structured: bool = False,
    mode: Mode | str | Sequence[Mode | str] | None = None,
    judge: str | None = None,
    embed: Embed | str | PathLike[str] | None = None,
    stop: str = "all",
    waves: Any = "fit",
    timeout_s: float = 120.0,
    deadline_s: float | None = None,
    retries: int = 4,
    max_wait_s: float = 600.0,
    rpm: float | None = None,
    tpm: float | None = None,
    stagger_s: float = 0.0,
    pace: str = "file",
    price: Price | Mapping[str, Price] | None = None,
    watch: Callable[[int, Event], None] | None = None,
    interrupt: Interrupt | None = None,
    engine: Engine | None = None,
) -> AsyncIterator[Rows]:
    """Asks many questions and gives a row for each: `async with batch(...) as rows: async for row in rows`.

    - `questions`: any iterable, an asynchronous one too, of texts, of `Item`s or of their fields as a line of
      a file has them: `{"id": 7, "question": "Is it?", "context": ...}`. What is no question is a bad row.
    - A row comes as soon as its item is done, or in the order of the input with `ordered`. An item that is
      cut short (deadline, budget, limit, interrupt) gives no row: it is left for a later session.
    - With `resume` every item gives its row again, those of earlier sessions from the journal and without a
      call: a writer begins its output anew (beside the old one, which it then replaces).
    - Without `resume` a journal that holds calls is refused (JournalError); with it, one that is not there
      is begun; with `overwrite` it is removed, once nothing is found wrong with the parameters. Calls of an
      item are kept by their content: the input may be edited, sorted or made longer.
    - After the last row `rows.standing` tells how it ended. Leaving the block early stops everything.
    - `jobs` is how many calls are in flight at most: a call holds its slot until its answer is in the
      journal. `durable` has the journal outlive the loss of power too.
    - `limits` are caps on the whole job, earlier sessions of the journal counted. With `max_cost` every
      model's price has to be known.
    - `budget_runs` is one budget of runs for all questions together, `runs` the most that one of them gets:
      after a first wave each next run goes where the votes are closest (`fanin.policy.spreading`). All
      questions are then kept in memory, at most 100,000. The runs of earlier sessions count.
    - `warm_prefix`: the first call of each context (of each question, where there is none) is answered
      before others with the same are made, so that a provider's prompt cache serves these.
    - `identical_errors`: so many rows after one another that fail for the same fatal error (the key, the
      model, a server that was never reached) end the batch.
    - `job` is what is done for one item: `AnalysisJob`, `PanelJob`, or a function of one's own. Left out, a
      vote, by the other parameters, which are those of `fanin.vote`; an item may set some for itself. With
      `mode` each run of it is an analysis.
    - `engine` makes the calls elsewhere, as `fanin.batching.engines.on_ray.RayEngine` does on a cluster: the
      backend is then opened by its name on each worker, which finds the key where it runs.
    - `judge`, `embed`, `rpm`, `tpm`, `stagger_s`, `pace`: as in `fanin.vote`. A judge's calls are calls of
      the batch like all others, and no runs of a budget.
    - `watch` is told (the item's number, event) as it happens.

    Raises FaninError when the block is entered, and for a replay's miss out of the iteration. A
    journal that cannot be written ends the batch: `standing.ended` is `journal`, `standing.why` says why.
    """
    check_questions(questions)
    if not isinstance(limits, Limits):
        raise InputError("limits", "a fanin.batching.Limits", limits)
    interrupt = BatchInterrupt() if interrupt is None else interrupt
    asked = (answer, runs, quorum, model, system, temperature, temperature_step, seed, max_tokens, structured)
    asking = Asking(*asked, judge, embed)
    terms = Terms(jobs, timeout_s, deadline_s, retries, max_wait_s, rpm, tpm, stagger_s, pace)
    prices = as_prices(price)
    setting = Setting(asking, backend, base_url, terms, prices, limits.max_cost, stop, waves)
    circuit = Circuit(identical_errors)
    failed: Exception | None = None
    async with AsyncExitStack() as stack:
        ready = await _job(job, mode).ready(stack, setting)
        if engine is not None:
            _check_engine(backend, ready)
        if budget_runs is not None:
            _check_spread(budget_runs, plain=not (job or mode or ordered))
        spending = Spending(limits, ready.prices, max_tokens)
        if overwrite and journal is not None:
            erase_journal(Path(journal))
        kept = await _kept(stack, journal, spending, resume=resume, durable=durable, jobs=jobs)
        calls = Calls(ready.backends[0], spending, terms, kept, warm_prefix=warm_prefix, watch=watch)
        if engine is not None:
            calls.asker = await stack.enter_async_context(engine.open(calls.post()))
        source = Source(questions, ready.content, window=4 * jobs, in_order=ordered)
        if budget_runs is None:
            work = ready if job is None or isinstance(job, BatchJob) else job
            running = Working(source, calls, work, circuit, seed, ordered=ordered)
        else:
            running = _spread(source, calls, ready, circuit, seed, budget_runs)
        async with anyio.create_task_group() as group:
            group.start_soon(running.run, interrupt, deadline_s)
            try:
                yield running.rows
            except Exception as error:  # noqa: BLE001 - raised below: a task group would wrap it
                failed = error
            group.cancel_scope.cancel()
    if failed is not None:
        raise failed


def _job(job: BatchJob | ItemJob | None, mode: Mode | str | Sequence[Mode | str] | None) -> BatchJob:
    """What is made ready: a function of one's own needs what a vote needs. Raises InputError."""
    if not (job is None or callable(job) or isinstance(job, BatchJob)):
        raise InputError("job", "an AnalysisJob, a PanelJob or a function", job)
    if mode is None:
        return job if isinstance(job, BatchJob) else VoteJob()
    if job is not None:
        raise InputError("mode", "left out with a job, which says itself what is done", mode)
    from fanin.batching.analysing import AnalysesJob

    return AnalysesJob(mode)


def _check_engine(backend: str | Backend | None, ready: Ready) -> None:
    """Raises InputError where workers elsewhere cannot do what is done here."""
    if len(ready.backends) > 1:
        raise InputError("engine", "left out where more than one backend is asked", "engine")
    if not (backend is None or isinstance(backend, str | Connected)):
        raise InputError("backend", "one that workers can open by its name, with an engine", backend)
    if tape_on() is not None:
        raise InputError("engine", "left out under a tape: what workers send cannot be taped", "engine")


def _check_spread(budget: int, *, plain: bool) -> None:
    """Raises InputError where one budget of runs cannot be shared."""
    if not plain:
        bound = "left out with ordered rows, with analyses and with a job of one's own"
        raise InputError("budget_runs", bound, budget)
    if not isinstance(budget, int) or isinstance(budget, bool) or budget < 1:
        raise InputError("budget_runs", "a whole number, 1 or more", budget)


def _spread(source: Source, calls: Calls, voting: Ready, circuit: Circuit, seed: int, budget: int) -> Working:
    """The workers that share one budget of runs."""
    from fanin.batching.spread import Spread

    assert isinstance(voting, Voting), "a budget is shared by plain votes"
    return Spread(source, calls, voting, circuit, seed, budget)


async def _kept(
    stack: AsyncExitStack, journal: str | Path | None, spending: Spending, **how: Any
) -> Journal | None:
    """The journal, open until the stack ends, with what it holds counted as spent."""
    if journal is None:
        return None
    kept = await stack.enter_async_context(open_journal(Path(journal), **how))
    spending.begin_with(kept.used(), kept.uncharged())
    return kept
