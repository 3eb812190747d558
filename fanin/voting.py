"""The doors for other people's programs: `vote` and `vote_sync`."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from os import PathLike
from typing import TYPE_CHECKING, Any, Final

import anyio
import attrs

from fanin.answers import Answer
from fanin.answers.auto import auto_answer, parse_answer
from fanin.answers.protocol import Parted, reads_reply
from fanin.answers.text import Text
from fanin.backend import Backend
from fanin.conductor import Conductor, Watch
from fanin.ensemble import Stopping, check_settles_parts, hold_vote
from fanin.errors import CallError, FailureKind, InputError
from fanin.opening import (
    as_texts,
    conductor_since,
    listed_prices_of,
    opened_backend,
    resolved_models,
    tell_tape,
)
from fanin.policy.pricing import Price, Prices, as_prices
from fanin.stages.conclude import conclude
from fanin.stages.fan_out import fan_out
from fanin.stages.gather import gather
from fanin.terms import Interrupt, Terms
from fanin.values import Failure, Plan, Question, Stopped, StoppedBy, Variation
from fanin.verdict import Verdict

if TYPE_CHECKING:
    from fanin.analysed import Mode
    from fanin.judging import Weighing
    from fanin.policy.escalating import When
    from fanin.policy.stopping import Waves
    from fanin.settling import Embed, Hold

LOGPROB: Final = "logprob"
"""Weights that are no file: votes count by how probable the model found its own answer."""

_STOPPED: dict[FailureKind, StoppedBy] = {"deadline": "deadline", "interrupted": "interrupt"}


def as_answer(answer: Answer | str | None, question: str) -> Answer:
    """The answer type that is meant: an object as it is, a name (`yes/no`, `number`, `text`, `date`,
    `quantity`), or by the question's opening words where it is None or `auto`.

    Raises InputError, and MissingExtraError where a quantity lacks its extra.
    """
    if answer is None or answer == "auto":
        return auto_answer(question)
    if answer == "quantity":
        from fanin.units import Quantity

        return Quantity()
    if isinstance(answer, str):
        return parse_answer(answer)
    if not isinstance(answer, Answer) or isinstance(answer, type):
        raise InputError("answer", "an answer type such as fanin.YesNo(), or its name", answer)
    return answer


async def vote(
    question: str,
    *,
    context: str | None = None,
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
    stop: str = "all",
    waves: Waves = "fit",
    escalate: str | Sequence[str] | None = None,
    escalate_when: When = "split",
    concurrency: int = 8,
    timeout_s: float = 120.0,
    deadline_s: float | None = None,
    retries: int = 4,
    max_wait_s: float = 600.0,
    rpm: float | None = None,
    tpm: float | None = None,
    stagger_s: float = 0.0,
    pace: str = "file",
    hedge: bool = False,
    price: Price | Mapping[str, Price] | Mapping[str | None, Price] | None = None,
    weights: str | Sequence[str] | None = None,
    calibration: str | Sequence[str] | None = None,
    judge: str | None = None,
    embed: Embed | str | PathLike[str] | None = None,
    watch: Watch | None = None,
    interrupt: Interrupt | None = None,
) -> Verdict:
    """Asks `question` in `runs` isolated runs and returns the Verdict, whatever came of it.

    - `context`: the text the question is about.
    - `answer`: `YesNo()`, `Choice(...)`, `Number()`, `Text()`, `Date()`, `Quantity()`, one of their names,
      `Labels(...)`, `Json(schema)`, one of your own, or None: yes/no for a question that opens like one, else
      text. A `Json` is asked for by the backend's schema output where that takes its schema.
    - `backend`: a name, an open Backend (which is left open), or None: the configured one.
    - `model`, `system`: one, or several that the runs go round. `temperature` is the lowest of five
      rungs, `temperature_step` apart; None leaves it to the provider.
    - `seed`: 0 or more; runs' own seeds and orders of choices derive from it, so the same call sends
      the same bytes.
    - `quorum`: valid ballots needed; None is more than half of the runs that count.
    - `structured`: ask for the backend's schema output instead of a last line `Answer: ...`.
    - `mode`: every run is an analysis of several calls (`fanin.analyze`), in the mode of that name, or in
      each of several in turn; the vote is over their focused answers, and `Verdict.analyses` keeps them all.
      Other settings: `fanin.policy.analysing.as_mode("quick", max_steps=3)` in place of a name.
    - `stop`: the rule that spares runs, as `decided` or `certified:0.05`; `fanin.policy.stopping` has them
      all. `waves`: how many runs are asked between two looks at it.
    - `escalate`: a model, or several, each asked by a vote of its own (as many runs, the same rule) only
      where the vote before it calls for it: where it has no winner, or its runs diverge as `escalate_when`
      says: `split`, `not-high` or `any-dissent`; `fanin.policy.escalating` defines them. The last vote
      with a quorum decides; all are kept in `Verdict.tiers`. Of a document or labels each next one is asked
      for the fields alone that call for it, and `FieldVote.tier` says which one each is from.
    - `price`: of every model, or of each by its name (the name None: all others). Left out, it is the one
      that litellm's list has, where that is installed, the provider's own address is asked and no tape is
      on: a replay must not depend on what is installed.
    - `weights`, `calibration`: files that `fanin calibrate` made: votes count by what their voters are worth,
      and the confidence is the chance of being right. One, or several of which the one that was made with
      the models that decide is taken. `weights="logprob"` needs no file: votes count by how probable the
      model found its own answer. Where nothing fits, the advice says why and the majority holds.
    - `judge`: the model that says which texts mean the same (`Text(cluster="judge")`) or picks the one most
      consistent with the others (`Text(select="judge")`), at the same backend; None is the first that votes.
    - `embed`: what `Text(cluster="embedding")` compares by: a function from a list of texts to as many
      vectors, or a folder that holds a Model2Vec model (the extra `embed`).
    - `timeout_s` bounds one call as a whole, `deadline_s` the whole vote, `max_wait_s` one wait that a
      provider asks for. Seconds.
    - `hedge`: a call that takes twice as long as the others is made a second time, where its vote can still
      matter and the limits have room; the first answer counts, and the other may be billed all the same.
      Not while a tape is on.
    - `rpm`, `tpm`: requests and tokens a minute and model at most, whatever the provider says; `stagger_s`:
      calls of a model begin so far apart at least. `pace`: who shares it: `file` (all processes of this
      user on this machine), the address of a Redis server, or `off` (this process alone).
    - `watch` is told every Event as it happens; `interrupt.stop()` ends the asking.

    A tie, no quorum and failed runs are values in the Verdict. Raises FaninError for what is wrong
    before the first call (its subclasses say what), and CassetteMissError where a tape that is being
    replayed does not hold a request.
    """
    asked = Question(question, context)
    kind = as_answer(answer, question)
    wanted = as_texts(model, "model")
    modes, systems = _in_modes(mode, as_texts(system, "system"))
    tiers = _checked((wanted, *((each,) for each in as_texts(escalate, "escalate"))), escalate_when)
    prices = as_prices(price)
    weigh, weighing = _judge(kind, as_texts(weights, "weights"), as_texts(calibration, "calibration"))
    settled = _settling(kind, judge, embed, runs, (structured, mode, escalate, weights, calibration))
    terms = Terms(concurrency, timeout_s, deadline_s, retries, max_wait_s, rpm, tpm, stagger_s, pace, hedge)
    async with AsyncExitStack() as stack:
        opened = await opened_backend(stack, backend, wanted, base_url)
        make_plan = functools.partial(
            _plan,
            question=asked,
            answer=kind,
            runs=runs,
            quorum=quorum,
            max_tokens=max_tokens,
            structured=(structured or prefers_schema(kind)) and opened.capabilities.structured,
            logprobs=weighing == LOGPROB and opened.capabilities.logprobs,
            systems=systems,
            temperature=temperature,
            temperature_step=temperature_step,
            seed=seed,
            max_temperature=opened.capabilities.max_temperature,
        )
        make_plan(models=wanted or ("?",))  # what is wrong with the plan is said before any call
        stopping = with_weights(stopping_of(stop, waves, runs, quorum, kind), weighing)
        interrupt = interrupt or Interrupt()
        rest: dict[str, Any] = {"interrupt": interrupt, "watch": watch, "seed": seed}
        conductor = functools.partial(conductor_since, opened, terms, anyio.current_time(), rest)
        try:
            tiers = _checked(await resolved_models(opened, tiers, terms, interrupt), escalate_when)
        except CallError as error:
            return _unreachable(make_plan(models=wanted or ("?",)), wanted, opened, error)
        plans = [make_plan(models=models, shuffled=_certifies(stopping)) for models in tiers]
        tell_tape(opened, tiers[0])
        prices = listed_prices_of(opened, (*tiers, as_texts(judge, "judge"))) if price is None else prices
        hold = settled(_holding(plans, modes, opened.name, prices, stopping, concurrency))
        return weigh(await _held(plans, escalate_when, conductor, hold, prices), plans)


def _weighing(answer: Answer, weights: tuple[str, ...]) -> Weighing:
    """What the votes are weighted by; empty for nothing."""
    if weights and isinstance(answer, Parted):
        raise InputError("weights", f"left out with {answer.name}, voted on part by part", weights)
    if not weights or weights == (LOGPROB,):
        return LOGPROB if weights else ()
    from fanin.calibration import read_calibration

    return tuple(map(read_calibration, weights))


def _judge(
    answer: Answer, weights: tuple[str, ...], calibrations: tuple[str, ...]
) -> tuple[Callable[[Verdict, Sequence[Plan]], Verdict], Weighing]:
    """What the files make of a verdict, and what the votes are weighted by.

    Raises FaninError for a file that cannot be read, and for weights where there is not one vote.
    """
    weighing = _weighing(answer, weights)
    if not weighing and not calibrations:
        return lambda verdict, _: verdict, ()
    from fanin.calibration import read_calibration
    from fanin.judging import judged

    files = tuple(map(read_calibration, calibrations))
    return functools.partial(judged, weights=weighing, calibrations=files), weighing


def with_weights(stopping: Stopping | None, weighing: Weighing) -> Stopping | None:
    """The same, but that what is `decided` is so by the weights too; other rules promise nothing of them."""
    if stopping is None or not weighing or not stopping.rule.text.startswith("decided"):
        return stopping
    from fanin.judging import agreed

    return attrs.evolve(stopping, agreed=functools.partial(agreed, weights=weighing))


def _in_modes(
    mode: Mode | str | Sequence[Mode | str] | None, systems: tuple[str | None, ...]
) -> tuple[tuple[Mode, ...], tuple[str | None, ...]]:
    """The modes of a vote over analyses, and the system prompts that its runs then go round."""
    if mode is None:
        return (), systems
    from fanin.policy.analysing import as_modes, systems_for

    modes = as_modes(mode)
    return modes, systems_for(modes, systems)


def _holding(
    plans: Sequence[Plan],
    modes: Sequence[Mode],
    backend: str,
    prices: Prices,
    stopping: Stopping | None,
    concurrency: int,
) -> functools.partial[Coroutine[Any, Any, Verdict]]:
    """How a vote is held: each run one completion, or where there are modes an analysis.

    Raises InputError for a cost limit that cannot be kept.
    """
    hold = functools.partial(hold_vote, backend=backend, price=prices, stopping=stopping)
    if not modes:
        return hold
    from fanin.inquiry import check_cost_limit, hold_analyses

    for plan in plans:
        for mode in modes:
            check_cost_limit(mode, plan, fan_out(plan), prices)
    return functools.partial(hold_analyses, modes=modes, concurrency=concurrency, prices=prices, hold=hold)


def _settling(
    answer: Answer, judge: str | None, embed: Any, runs: int, apart: tuple[object, ...]
) -> Callable[[Hold], Hold]:
    """Makes a way of holding a vote settle its texts too; others stay as they are. Raises InputError."""
    if judge is None and embed is None and not (isinstance(answer, Text) and answer != Text()):
        return lambda hold: hold
    from fanin.settling import settling_of

    return settling_of(answer, judge=judge, embed=embed, runs=runs, apart=apart)


def vote_sync(question: str, **options: Any) -> Verdict:
    """`vote` for plain scripts and notebooks, with the same options: blocks until the verdict is there.

    Works inside a running event loop too (as in a notebook), since it runs in a thread of its own; an
    open backend belongs to its own event loop and cannot be handed over.
    """
    from anyio.from_thread import start_blocking_portal

    opened = options.get("backend")
    if isinstance(opened, Backend) and not isinstance(opened, type) and opened.capabilities.http:
        raise InputError("backend", "a name with vote_sync", opened)
    with start_blocking_portal() as portal:
        return portal.call(functools.partial(vote, question, **options))


def _plan(
    *,
    models: tuple[str, ...],
    systems: tuple[str | None, ...],
    temperature: float | None,
    temperature_step: float,
    max_temperature: float,
    seed: int,
    shuffled: bool = False,
    **rest: Any,
) -> Plan:
    variation = Variation(models, systems, temperature, temperature_step, max_temperature, seed, shuffled)
    return Plan(variation=variation, **rest)


def stopping_of(stop: str, waves: Waves, runs: int, quorum: int | None, answer: Answer) -> Stopping | None:
    """The stop rule that is meant; None for `all`, which needs none. Raises InputError."""
    if stop == "all":
        return None
    from fanin.answers import Number
    from fanin.policy.stopping import WAVES, parse_rule

    if waves not in WAVES:
        raise InputError("waves", f"one of {', '.join(WAVES)}", waves)
    if isinstance(answer, Parted):
        check_settles_parts(stop, answer)
    if isinstance(answer, Text) and (answer.unsettled or answer.whole):
        raise InputError("stop", "all where a judge or an embedding has the last word on the answers", stop)
    tolerant = isinstance(answer, Number) and bool(answer.abs_tol or answer.rel_tol)
    tolerant = tolerant or (isinstance(answer, Text) and answer.cluster == "lexical")
    return Stopping(parse_rule(stop, runs=runs, quorum=quorum, tolerance=tolerant), waves)


def prefers_schema(answer: Answer) -> bool:
    """Whether the answer is asked for by a backend's own schema output wherever there is one."""
    return reads_reply(answer) and answer.prefers_schema


def _certifies(stopping: Stopping | None) -> bool:
    """Whether the rule's promise holds only for members that are asked in random order."""
    return stopping is not None and stopping.rule.text.startswith("certified")


def _checked(tiers: tuple[tuple[str, ...], ...], when: str) -> tuple[tuple[str, ...], ...]:
    """The models of each tier as they are. Raises InputError for a condition or a tier that cannot be."""
    if len(tiers) > 1 or when != "split":
        from fanin.policy.escalating import check_tiers, check_when

        check_when(when)
        check_tiers(tiers)
    return tiers


async def _held(
    plans: Sequence[Plan],
    when: When,
    conductor: Callable[[float], Conductor],
    hold: Callable[[Plan, Conductor], Awaitable[Verdict]],
    prices: Prices,
) -> Verdict:
    """The verdict on one tier, or on as many as it takes."""
    if len(plans) == 1:
        return await hold(plans[0], conductor(0.0))
    from fanin.cascade import hold_cascade

    return await hold_cascade(plans, when, conductor, hold, prices)


def _unreachable(plan: Plan, wanted: tuple[str, ...], backend: Backend, error: CallError) -> Verdict:
    """The verdict where not even the list of models could be had: every run failed for that reason.

    Where a deadline or an interrupt came first, no run was asked at all.
    """
    runs = fan_out(plan)
    by = _STOPPED.get(error.kind, "all")
    outcomes = [Failure(run.index, error.kind, str(error)) for run in runs if by == "all"]
    gathered = gather(outcomes, len(runs))
    verdict = conclude(plan, runs, gathered, stopped=Stopped(by), backend=backend.name)
    return attrs.evolve(verdict, models=wanted)
