"""What a vote is expected to take before anything is asked: runs, tokens, US dollars and seconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from fanin.policy.pricing import Price
from fanin.policy.stopping import Rule, forecast
from fanin.values import Message, in_range, whole

QUESTIONS = (("easy", 0.95), ("usual", 0.8), ("close", 0.55))
"""The questions that are planned for: a name, and the share of runs that give the common answer."""

_BYTES_A_TOKEN = 4


def estimated_tokens(messages: Iterable[Message]) -> int:
    """About how many tokens a prompt has: one for every four bytes of UTF-8 begun.

    A rule of thumb for English with the usual tokenizers (OpenAI, "What are tokens": about four
    characters each); counted in bytes since other scripts take more tokens a character.
    """
    size = sum(len(message.content.encode("utf-8", "surrogatepass")) for message in messages)
    return -(-size // _BYTES_A_TOKEN)


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

    In waves that fit; failed calls, retries and waits for rate limits come on top.
    """
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
        round(rounds * assumed.seconds_per_call, 3),
        *(round(chance, 9) for chance in chances),
    )


def _mean_usd(read: float, written: float, prices: Sequence[Price | None]) -> float | None:
    known = [price for price in prices if price is not None]
    if not known or len(known) < len(prices):
        return None
    usd = sum(read * price.input_usd + written * price.output_usd for price in known)
    return round(usd / len(known) / 1e6, 9)
