"""What `scripts/bench limits` asks of a limiter: offers of a provider, and jobs to get through them.

The ideal is the least time in which the limits let a job through: the burst at once, the rest at the refill,
and then one answer of median length. `told` is what somebody who knows the limits would need with this very
luck: the slow answers and the spoilt ones counted in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random

import attrs
from limited_provider import PROFILES, Limits, Offer, told_makespan_s

TRIP_S = 0.004
"""The way to the provider."""
TEN = Limits(10, 10)
MIXED = Limits(100, 100, 10_000, 10_000)
FREE = Limits(0.5, 30, 100, 6_000)
AMPLE = 1e6
"""Tokens that never run short."""


@attrs.frozen
class Asked:
    """One request of a job."""

    index: int
    model: str
    tokens: int

    @property
    def max_tokens(self) -> int:
        """The most tokens of its answer: half of what it is counted as."""
        return self.tokens // 2

    @property
    def prompt(self) -> str:
        """The other half, at four characters a token."""
        return "x" * (4 * (self.tokens - self.max_tokens))


@attrs.frozen
class Promise:
    """The most that fanin may need; with it goes that no request fails."""

    ratio: float
    refusals: float

    def kept(self, ratio: float, refusals: float, failed: float) -> bool:
        """Whether these figures keep it, as they are printed."""
        return round(ratio, 2) <= self.ratio and round(refusals, 2) <= self.refusals and not failed


_OF_TEN = Offer(TEN)


@attrs.frozen
class Scenario:
    """An offer, a job, and who does it."""

    name: str
    what: str
    offer: Offer = _OF_TEN
    job: tuple[tuple[str, int], ...] = (("m", 300),)
    """(model, requests)."""
    mixed: bool = False
    """Requests of mixed size, 100 to 4000 tokens, in place of 40 each."""
    parts: int = 1
    """Processes that share the job, and the key."""
    timeout_s: float = 60.0
    """Of one call."""
    promise: Promise | None = None

    def requests(self) -> list[Asked]:
        """The job, its models mixed; the same every time."""
        random = Random(7)
        models = [model for model, count in self.job for _ in range(count)]
        random.shuffle(models)
        sizes = [round(random.lognormvariate(math.log(780), 0.7)) if self.mixed else 40 for _ in models]
        return [
            Asked(index, model, min(4000, max(100, size)) if self.mixed else size)
            for index, (model, size) in enumerate(zip(models, sizes, strict=True))
        ]

    def sizes(self) -> dict[str, list[int]]:
        """Model -> the tokens of its requests."""
        return {
            model: [asked.tokens for asked in self.requests() if asked.model == model]
            for model, _ in self.job
        }

    def ideal_s(self, model: str) -> float:
        """The least time for that model's part of the job."""
        limits, sizes = self.offer.of(model), self.sizes()[model]
        waits = [0.0, (len(sizes) - limits.burst) / limits.requests_per_s]
        if limits.tokens_per_s is not None and limits.token_burst is not None:
            waits.append((sum(sizes) - limits.token_burst) / limits.tokens_per_s)
        return max(waits) + self.offer.latency_s

    def told_s(self, model: str) -> float:
        """What whoever knows the limits needs for it with this luck."""
        sizes = {model: self.sizes()[model]}
        return told_makespan_s(self.offer, sizes, trip_s=TRIP_S, timeout_s=self.timeout_s)

    def seeded(self, seed: int) -> Scenario:
        """The same with other luck."""
        return attrs.evolve(self, offer=attrs.evolve(self.offer, seed=seed))


_TWO = {"a": Limits(2, 2), "b": Limits(20, 20)}
_SPOILT = Offer(TEN, server_errors=0.05, resets=0.02, hangs=0.01, malformed=0.01)

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("requests", "all headers, 10 requests/s, burst 10", promise=Promise(1.02, 0.02)),
        Scenario(
            "tokens",
            "all headers, 10,000 tokens/s, mixed sizes",
            Offer(MIXED),
            mixed=True,
            promise=Promise(1.02, 0.02),
        ),
        Scenario(
            "two-models",
            "2/s and 20/s at once, the worse of the two",
            Offer(of_models=_TWO),
            (("a", 40), ("b", 260)),
            promise=Promise(1.03, 0.10),
        ),
        Scenario(
            "retry-after",
            "nothing but retry-after",
            Offer(TEN, profile="retry_after"),
            promise=Promise(1.15, 0.10),
        ),
        Scenario("nothing", "no header at all", Offer(TEN, profile="none"), promise=Promise(1.05, 0.10)),
        Scenario(
            "faults",
            "5 % 5xx, 2 % resets, 1 % hangs, 1 % malformed",
            _SPOILT,
            timeout_s=5.0,
            promise=Promise(1.12, 0.05),
        ),
        Scenario("two-processes", "two processes, one key", parts=2, promise=Promise(1.05, 0.05)),
        Scenario("burst-1", "one request at once", Offer(Limits(10, 1)), promise=Promise(1.15, 0.10)),
        Scenario(
            "free-tier",
            "Groq's headers, 30 requests and 6000 tokens a minute",
            Offer(FREE, profile="groq"),
            (("m", 60),),
            mixed=True,
            timeout_s=120.0,
            promise=Promise(1.15, 0.10),
        ),
        Scenario("slow", "answers in 5 s", Offer(TEN, latency_s=5.0), promise=Promise(1.15, 0.10)),
        Scenario("openai", "OpenAI's headers", Offer(TEN, profile="openai"), promise=Promise(1.02, 0.02)),
        Scenario(
            "groq",
            "Groq's headers: requests a day, the rate told by refusals",
            Offer(attrs.evolve(TEN, tokens_per_s=AMPLE, token_burst=AMPLE), profile="groq"),
        ),
        Scenario(
            "quantized",
            "a minute's limit in the headers, a second's enforced",
            Offer(TEN, profile="quantized"),
        ),
    )
}


def grid(count: int, requests: int, draw: str, seed: int) -> Iterator[Scenario]:
    """Random limits under every kind of header: `draw` is `log` or `even`, how they are spread.

    0.3 to 60 requests/s, a burst of 0.3 to 30 s worth, answers in 0.2 to 6 s.
    """

    def between(random: Random, low: float, high: float) -> float:
        if draw == "even":
            return random.uniform(low, high)
        return math.exp(random.uniform(math.log(low), math.log(high)))

    for profile in PROFILES:
        random = Random(seed)
        ample = AMPLE if profile == "groq" else None
        for number in range(count):
            per_s = between(random, 0.3, 60)
            burst = max(1.0, round(per_s * between(random, 0.3, 30)))
            limits = Limits(per_s, burst, ample, ample)
            offer = Offer(
                limits, profile=profile, latency_s=between(random, 0.2, 6), seed=1000 * seed + number
            )
            yield Scenario(
                profile,
                f"{per_s:.2f}/s, burst {burst:.0f}, {offer.latency_s:.2f} s",
                offer,
                (("m", requests),),
            )
