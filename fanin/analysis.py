"""The doors to one analysis: `analyze` and `analyze_sync`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import anyio
import attrs

from fanin.analysed import Analysis, Course, Mode
from fanin.answers import Answer
from fanin.backend import Backend
from fanin.conductor import Watch
from fanin.errors import CallError, InputError
from fanin.inquiry import Inquiry, Tell, check_cost_limit
from fanin.opening import conductor_since, listed_prices_of, opened_backend, resolved_models, tell_tape
from fanin.policy.analysing import as_mode
from fanin.policy.pricing import Price, Prices, as_prices
from fanin.stages.account import analysis_of
from fanin.stages.fan_out import fan_out
from fanin.terms import Interrupt, Terms
from fanin.values import Failure, Outcome, Plan, Question, Run, Variation
from fanin.voting import as_answer

_NOT_BEGUN = "It ended before any call was made."


async def analyze(
    query: str,
    *,
    context: str | None = None,
    mode: Mode | str = "balanced",
    answer: Answer | str | None = None,
    backend: str | Backend | None = None,
    model: str | None = None,
    base_url: str | None = None,
    system: str | None = None,
    temperature: float | None = 0.6,
    seed: int = 0,
    max_tokens: int = 2048,
    structured: bool = False,
    min_iterations: int | None = None,
    max_iterations: int | None = None,
    candidate_plans: int | None = None,
    max_steps: int | None = None,
    temperature_offset: float | None = None,
    reasoning_effort: str | None = None,
    cost_limit_usd: float | None = None,
    concurrency: int = 8,
    timeout_s: float = 120.0,
    deadline_s: float | None = None,
    retries: int = 4,
    max_wait_s: float = 600.0,
    rpm: float | None = None,
    tpm: float | None = None,
    stagger_s: float = 0.0,
    pace: str = "file",
    price: Price | Mapping[str, Price] | Mapping[str | None, Price] | None = None,
    watch: Watch | None = None,
    tell: Tell | None = None,
    interrupt: Interrupt | None = None,
) -> Analysis:
    """Works on `query` in several steps and returns the Analysis, whatever came of it.

    A plan is made (several in parallel, of which a judging call chooses), its steps are carried out one
    after the other, what is missing is assessed, and so on for as many rounds as the mode has; then comes
    the synthesis, and a focused answer of the asked type is taken from that.

    - `mode`: `quick`, `balanced`, `thorough` or `research`, or a Mode; `fanin.policy.analysing.MODES` is the
      table. `min_iterations`, `max_iterations`, `candidate_plans`, `max_steps`, `temperature_offset`,
      `reasoning_effort` and `cost_limit_usd` take the place of the mode's own setting where they are given.
    - `context`, `answer`, `backend`, `base_url`, `system`, `seed`, `max_tokens`, `structured` (of the focused
      answer), `price` and the limits of time are those of `fanin.vote`; `model` is one model, None the
      configured or default one.
    - `temperature`: of plans (every further one 0.1 higher), steps and synthesis; calls that choose, assess
      or read are asked at 0. None leaves all to the provider.
    - `cost_limit_usd` bounds the whole analysis, by an estimate of what the next call can cost at most: where
      it gets tight, the steps end and the synthesis is written. It needs a known price.
    - `rpm`, `tpm`, `stagger_s`, `pace`: as in `fanin.vote`.
    - `watch` is told every Event as it happens, `tell` what is done next, in words; `interrupt.stop()` ends
      the asking.

    Failed calls, a deadline and an answer that cannot be read are values in the Analysis, with all that was
    found until then. Raises FaninError for what is wrong before the first call, and CassetteMissError where a
    tape that is being replayed does not hold a request.
    """
    asked = Question(query, context)
    kind = as_answer(answer, query)
    settings = as_mode(
        mode,
        min_iterations=min_iterations,
        max_iterations=max_iterations,
        candidate_plans=candidate_plans,
        max_steps=max_steps,
        temperature_offset=temperature_offset,
        reasoning_effort=reasoning_effort,
        cost_limit_usd=cost_limit_usd,
    )
    terms = Terms(concurrency, timeout_s, deadline_s, retries, max_wait_s, rpm, tpm, stagger_s, pace)
    prices = None if price is None else as_prices(price)
    wanted = _one("model", model)
    async with AsyncExitStack() as stack:
        opened = await opened_backend(stack, backend, wanted, base_url)
        plan = Plan(
            asked,
            kind,
            Variation(
                wanted or ("?",),
                _one("system", system),
                temperature,
                max_temperature=opened.capabilities.max_temperature,
                seed=seed,
            ),
            runs=1,
            max_tokens=max_tokens,
            structured=structured and opened.capabilities.structured,
        )
        heard = {"interrupt": interrupt or Interrupt(), "watch": watch, "seed": seed}
        return await _carried_out(opened, plan, wanted, settings, terms, prices, heard, tell)


def analyze_sync(query: str, **options: Any) -> Analysis:
    """`analyze` for plain scripts and notebooks, with the same options: blocks until the analysis is there.

    Works inside a running event loop too, since it runs in a thread of its own; an open backend belongs to
    its own event loop and cannot be handed over.
    """
    from anyio.from_thread import start_blocking_portal

    opened = options.get("backend")
    if isinstance(opened, Backend) and not isinstance(opened, type) and opened.capabilities.http:
        raise InputError("backend", "a name with analyze_sync", opened)
    with start_blocking_portal() as portal:
        return portal.call(functools.partial(analyze, query, **options))


async def _carried_out(
    backend: Backend,
    plan: Plan,
    wanted: tuple[str, ...],
    mode: Mode,
    terms: Terms,
    prices: Prices | None,
    heard: dict[str, Any],
    tell: Tell | None,
) -> Analysis:
    """Carries out the one analysis of a plan, from finding out its model to what came of it."""
    began_s = anyio.current_time()
    try:
        [models] = await resolved_models(backend, (wanted,), terms, heard["interrupt"])
    except CallError as error:
        [run] = fan_out(plan)
        lost = Failure(0, error.kind, str(error), 0)
        return analysis_of(Course(mode), plan, run, backend=backend.name, prices={}, cut=lost)
    plan = attrs.evolve(plan, variation=attrs.evolve(plan.variation, models=models))
    tell_tape(backend, models)
    prices = listed_prices_of(backend, (models,)) if prices is None else prices
    [run] = fan_out(plan)
    check_cost_limit(mode, plan, [run], prices)
    conductor = conductor_since(backend, terms, began_s, heard, 0.0)
    slots = anyio.Semaphore(terms.concurrency)
    inquiry = Inquiry(plan, run, mode, conductor, slots=slots, prices=prices, tell=tell)

    async def job(_: Run) -> Outcome | None:
        return await inquiry.carry_out()

    ended = await conductor.conduct([run], job)
    cut = next((outcome for outcome in ended.outcomes if isinstance(outcome, Failure)), None)
    if not ended.outcomes:
        cut = Failure(0, "interrupted" if ended.by == "interrupt" else "deadline", _NOT_BEGUN, 0)
    return inquiry.analysis(prices=prices, cut=cut, events=tuple(conductor.events))


def _one(field: str, value: str | None) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, str):
        raise InputError(field, "one text", value)
    return (value,)
