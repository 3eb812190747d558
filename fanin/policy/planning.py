"""What a vote is expected to take before anything is asked: runs, tokens, US dollars and seconds.

Of a cascade too: every tier is a vote of its own, asked with the chance that the one before calls for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, inf
from typing import Literal

import attrs

from fanin.errors import InputError
from fanin.policy.pricing import Price, sum_usd
from fanin.policy.stopping import Rule, forecast
from fanin.values import in_range, optional, whole

QUESTIONS = (("easy", 0.95), ("usual", 0.8), ("close", 0.55))
"""The questions that are planned for: a name, and the share of runs that give the common answer."""

_POSITIVE = optional(in_range(1e-6, 1e12, "a number above 0"))


@attrs.frozen
class Told:
    """A limit of one model as earlier calls were told of it: a bucket, and how fast it fills."""

    counts: Literal["requests", "tokens"]
    """What it counts."""
    size: float
    """What passes at once when it is full."""
    per_s: float
    """What comes back in a second; above 0."""

    def earliest_s(self, calls: float, tokens: float) -> float:
        """Seconds until the last of so many calls, of so many tokens together, may begin."""
        return max(0.0, ((calls if self.counts == "requests" else tokens) - self.size) / self.per_s)


@attrs.frozen
class Limits:
    """The rate limits of one model, as far as they are known; None is unknown, and taken to be none."""

    rpm: float | None = attrs.field(default=None, validator=_POSITIVE)
    """Requests a minute."""
    tpm: float | None = attrs.field(default=None, validator=_POSITIVE)
    """Tokens a minute, read and written."""
    told: tuple[Told, ...] = ()
    """What earlier calls were told."""

    def earliest_s(self, calls: float, tokens: float) -> float:
        """Seconds from the first call until the last of so many may begin, together with so many tokens.

        A bucket that is full at the start and fills evenly (the token bucket of rate limiters): what it
        holds passes at once, the rest as it flows in.
        """
        own = ((calls, self.rpm or inf), (tokens, self.tpm or inf))
        return max(
            *(60 * max(0.0, amount / limit - 1) for amount, limit in own),
            *(told.earliest_s(calls, tokens) for told in self.told),
        )


@attrs.frozen
class Assumed:
    """What one call is taken to need."""

    input_tokens: float
    """Tokens read, in the mean of the runs."""
    output_tokens: int = attrs.field(validator=whole(1, 10_000_000))
    """Tokens written."""
    seconds_per_call: float = attrs.field(validator=in_range(0, 1e6, "a number of seconds, 0 or more"))
    """From the request to the answer."""
    concurrency: int = attrs.field(validator=whole(1, 10_000))
    """Calls in flight at once."""
    prices: tuple[Price | None, ...]
    """The prices of the models that the runs go round; None is unknown."""
    limits: Limits = Limits()
    """The limits of each of these models."""


@attrs.frozen
class Expected:
    """What a vote is expected to take on one kind of question, in the mean."""

    question: str
    """`easy`, `usual`, `close`, or `at most`: every run is asked and writes all it may."""
    share: float | None
    """The chance that a run gives the common answer; None where it does not matter."""
    runs: float
    """Runs asked."""
    input_tokens: float
    """Tokens read."""
    output_tokens: float
    """Tokens written."""
    cost_usd: float | None
    """US dollars; None where a price is unknown."""
    seconds: float
    """From the first call to the last answer."""
    stopped: float
    """The chance that the rule spares runs."""
    wrong: float
    """The chance that the rule stops for another answer than the common one."""


def expected(rule: Rule, assumed: Assumed, max_tokens: int) -> tuple[Expected, ...]:
    """What to expect of an easy, a usual and a close question with two answers, and at most.

    In waves that fit, and not sooner than the limits let the mean of the runs pass; failed calls, retries
    and waits for limits that are unknown come on top. Raises InputError where one call takes more tokens
    than pass in a minute: it would be refused.
    """
    one_call = assumed.input_tokens + assumed.output_tokens
    if assumed.limits.tpm is not None and one_call > assumed.limits.tpm:
        raise InputError("tpm", f"at least the {one_call:,.0f} tokens of one call", assumed.limits.tpm)
    made = []
    for question, share in QUESTIONS:
        course = forecast(rule, share, assumed.concurrency)
        made.append(
            _row(question, share, course.runs, course.rounds, assumed, (course.stopped, course.wrong))
        )
    # One run at a time is the most that waves can come to.
    rounds = rule.planned if rule.text != "all" else -(-rule.planned // assumed.concurrency)
    longest = attrs.evolve(assumed, output_tokens=max_tokens)
    return (*made, _row("at most", None, rule.planned, rounds, longest, (0.0, 0.0)))


def _row(
    question: str,
    share: float | None,
    runs: float,
    rounds: float,
    assumed: Assumed,
    chances: tuple[float, float],
) -> Expected:
    read, written = runs * assumed.input_tokens, runs * assumed.output_tokens
    return Expected(
        question,
        share,
        round(runs, 6),
        round(read, 3),
        round(written, 3),
        _mean_usd(read, written, assumed.prices),
        round(_seconds(runs, rounds, read + written, assumed), 3),
        *(round(chance, 9) for chance in chances),
    )


def _seconds(runs: float, rounds: float, tokens: float, assumed: Assumed) -> float:
    models = max(1, len(assumed.prices))
    last_begins_s = assumed.limits.earliest_s(runs / models, tokens / models)
    return max(rounds * assumed.seconds_per_call, last_begins_s + assumed.seconds_per_call)


def in_all(tiers: Sequence[Sequence[Expected]], reached: Sequence[Sequence[float]]) -> tuple[Expected, ...]:
    """What to expect of a cascade: of every kind of question, each tier's row times its chance to be asked.

    `tiers` are the rows of each tier as `expected` gives them, `reached` the chances of each, row by row.
    `stopped` and `wrong` are the first tier's.
    """
    made = []
    for rows, chances in zip(zip(*tiers, strict=True), zip(*reached, strict=True), strict=True):
        parts = list(zip(rows, chances, strict=True))
        costs = [None if row.cost_usd is None else chance * row.cost_usd for row, chance in parts]
        made.append(
            attrs.evolve(
                rows[0],
                runs=round(fsum(chance * row.runs for row, chance in parts), 6),
                input_tokens=round(fsum(chance * row.input_tokens for row, chance in parts), 3),
                output_tokens=round(fsum(chance * row.output_tokens for row, chance in parts), 3),
                cost_usd=sum_usd(costs),
                seconds=round(fsum(chance * row.seconds for row, chance in parts), 3),
            )
        )
    return tuple(made)


def _mean_usd(read: float, written: float, prices: Sequence[Price | None]) -> float | None:
    known = [price for price in prices if price is not None]
    if not known or len(known) < len(prices):
        return None
    usd = sum(read * price.input_usd + written * price.output_usd for price in known)
    return round(usd / len(known) / 1e6, 9)
