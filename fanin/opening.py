"""What every door does before its first call: the backend, its models, their prices, and a conductor."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import anyio
import attrs

from fanin.backend import Backend
from fanin.conductor import Conductor
from fanin.connecting import connect
from fanin.context import tape_on
from fanin.errors import CallError, InputError
from fanin.policy.pricing import Prices
from fanin.terms import Interrupt, Terms


def as_texts(value: str | Sequence[str | None] | None, field: str) -> tuple[Any, ...]:
    """One text or several as a tuple; none for None. Raises InputError, which names the field."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, Sequence):
        raise InputError(field, "a text or several", value)
    return tuple(value)


async def opened_backend(
    stack: AsyncExitStack, backend: str | Backend | None, models: tuple[str, ...], base_url: str | None
) -> Backend:
    """The backend that is meant; one that is opened here is closed with the stack."""
    if backend is None or isinstance(backend, str):
        return await stack.enter_async_context(connect(backend, model=models, base_url=base_url))
    if not isinstance(backend, Backend) or isinstance(backend, type):
        raise InputError("backend", "a name or an open backend", backend)
    if base_url is not None:
        raise InputError("base_url", "left out with an open backend", base_url)
    return backend


def listed_prices_of(backend: Backend, tiers: tuple[tuple[str, ...], ...]) -> Prices:
    """The listed prices of the models; none under a tape, so that a replay gives the same everywhere."""
    if tape_on() is not None or not backend.capabilities.http:
        return {}
    from fanin.price_table import listed_prices

    return listed_prices(backend.name, backend.base_url, [model for models in tiers for model in models])


async def resolved_models(
    backend: Backend, tiers: tuple[tuple[str, ...], ...], terms: Terms, interrupt: Interrupt
) -> tuple[tuple[str, ...], ...]:
    """The models that will be asked, tier by tier.

    Raises CallError where that cannot be found out, or not in time.
    """
    by_deadline = terms.deadline_s is not None and terms.deadline_s < terms.timeout_s
    with anyio.move_on_after(terms.deadline_s if by_deadline else terms.timeout_s) as scope:
        interrupt.covers(scope)
        return tuple([await backend.resolve(models) for models in tiers])
    if interrupt.requested:
        raise CallError("interrupted", "It was interrupted before any run was asked.")
    if by_deadline:
        raise CallError("deadline", "The deadline came before any run was asked.")
    raise CallError("timeout", f"No list of models within {terms.timeout_s:g} s.")


def conductor_since(
    backend: Backend, terms: Terms, began_s: float, rest: dict[str, Any], after_s: float
) -> Conductor:
    """A conductor for what is left of the job that began at `began_s` on the event loop's clock."""
    left = _later(terms, anyio.current_time() - began_s)
    return Conductor(backend, left, after_s=after_s, **rest)


def _later(terms: Terms, spent_s: float) -> Terms:
    """The terms of a job of which `spent_s` are over."""
    if terms.deadline_s is None:
        return terms
    return attrs.evolve(terms, deadline_s=max(terms.deadline_s - spent_s, 1e-9))


def tell_tape(backend: Backend, models: tuple[str, ...]) -> None:
    """Tells a tape that is recording whom it records; nothing where there is none."""
    tape = tape_on()
    if tape is None or tape.mode != "record" or not backend.capabilities.http:
        return
    tape.backend = tape.backend or backend.name
    tape.base_url = tape.base_url or backend.base_url
    tape.models = tuple(dict.fromkeys((*tape.models, *models)))
