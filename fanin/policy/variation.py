"""How runs differ from one another: seeds, temperatures and the order of choices, all decided purely.

The same plan gives the same runs on every machine: nothing here depends on `hash()`, on a random
generator or on a clock.
"""

from __future__ import annotations

import hashlib

from fanin.values import Run, Variation

RUNGS = 5
"""The ladder of temperatures has five rungs, then it starts again."""

_SEEDS = 2**31
_STRIDE = 0x9E3779B1
"""Odd, so that `index * _STRIDE` runs through all seeds before one comes twice."""


def stable_hash(*parts: object) -> int:
    """A 64-bit hash of the parts' texts that is the same on every machine and in every process."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def unit(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    return (stable_hash(*parts) >> 11) / 2**53


def seed_of(seed: int, index: int) -> int:
    """The sampling seed of one run, 0 to 2**31 - 1; distinct for all indexes below 2**31."""
    return (stable_hash("seed", seed) + index * _STRIDE) % _SEEDS


def order_of(options: tuple[str, ...], seed: int, index: int) -> tuple[str, ...]:
    """The options in the order one run is shown them: a permutation that depends on seed and index."""
    return tuple(sorted(options, key=lambda option: stable_hash("order", seed, index, option)))


def temperature_of(variation: Variation, place: int) -> float | None:
    """The temperature of the run in that place; None where the plan leaves it to the provider."""
    if variation.temperature is None:
        return None
    rung = place // (len(variation.models) * len(variation.systems)) % RUNGS
    # Rounded so that 0.6 + 2 * 0.1 is sent, and taped, as 0.8.
    return min(round(variation.temperature + rung * variation.temperature_step, 6), variation.max_temperature)


def places_of(variation: Variation, runs: int) -> tuple[int, ...]:
    """For each of so many runs, whose turn it takes: its own, or where shuffled another one's."""
    if not variation.shuffled:
        return tuple(range(runs))
    return tuple(sorted(range(runs), key=lambda place: stable_hash("place", variation.seed, place)))


def vary(variation: Variation, index: int, options: tuple[str, ...], place: int | None = None) -> Run:
    """The run of that index, with a seed and an order of the options of its own.

    Model, system prompt and rung are those of its `place` in turn; None is the index itself.
    """
    place = index if place is None else place
    models, systems = variation.models, variation.systems
    return Run(
        index=index,
        model=models[place % len(models)],
        temperature=temperature_of(variation, place),
        seed=seed_of(variation.seed, index),
        system=systems[place // len(models) % len(systems)],
        order=order_of(options, variation.seed, index),
    )
