"""A provider with rate limits, for tests and benches: what it admits, tells, refuses and spoils.

`Provider` is pure: requests come with their time, what becomes of them goes out as a `Fate`. Two edges
stand on it: `LimitedBackend`, a backend on the event loop's own time (virtual time too), and
`limited_server.py`, HTTP on 127.0.0.1 for other processes.

A limit is a bucket that refills continuously. Headers and bodies have the shapes that Groq and OpenAI
document under "Rate limits", and that recorded refusals of theirs show.
"""

from __future__ import annotations

import heapq
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Literal, TypeAlias

import anyio
import attrs

from fanin.backend import Capabilities
from fanin.errors import CallError
from fanin.values import Completion, Request
from fanin_backends.chat import completion
from fanin_backends.refusals import Asked
from fanin_backends.wire import Reply, kept_headers

Profile: TypeAlias = Literal["full", "openai", "groq", "quantized", "retry_after", "none"]
"""What is told.

- `full`: the buckets themselves in `x-ratelimit-*`, `retry-after`, and the numbers in the refusal's text;
- `openai`: that, with `retry-after-ms` and OpenAI's words;
- `groq`: the requests a DAY in the headers; the bucket of requests is told by refusals alone;
- `quantized`: a whole minute's requests in the headers, where a smaller bucket refuses;
- `retry_after`: whole seconds in `retry-after`, nothing else;
- `none`: nothing.
"""

PROFILES: tuple[Profile, ...] = ("full", "openai", "groq", "quantized", "retry_after", "none")
EDGE = 1e-9
"""What a bucket may lack of a request, for the rounding of floats."""
DAY_S = 86_400.0


@attrs.frozen
class Limits:
    """What one model of one account may be sent. None: without limit."""

    requests_per_s: float = 10.0
    """The refill of the requests."""
    burst: float = 10.0
    """Requests at once."""
    tokens_per_s: float | None = None
    """The refill of the tokens."""
    token_burst: float | None = None
    """Tokens at once."""
    requests_per_day: float = 14_400.0
    """Held by the profile `groq` alone."""
    tokens_per_day: float | None = None
    """Stands in no header, as Groq's does not."""


@attrs.frozen
class Offer:
    """All that is fixed beforehand: what is allowed and told, how long answers take, what goes wrong."""

    limits: Limits = Limits()
    """Of every model that has none of its own."""
    of_models: Mapping[str, Limits] = {}
    """Model -> its own limits."""
    profile: Profile = "full"
    """What headers and bodies tell."""
    latency_s: float = 0.3
    """The median time of an answer; a refusal comes at once."""
    spread: float = 0.35
    """The standard deviation of that time's logarithm; 0: every answer takes as long."""
    server_errors: float = 0.0
    """Share of the admitted requests that end in a 500, 502 or 503, after a fifth of the time."""
    resets: float = 0.0
    """Share whose connection breaks at once."""
    hangs: float = 0.0
    """Share whose connection breaks after `hang_s`."""
    malformed: float = 0.0
    """Share that is answered with half a JSON body."""
    hang_s: float = 60.0
    seed: int = 0
    """Of the latencies and the faults."""

    def of(self, model: str) -> Limits:
        """The limits of a model."""
        return self.of_models.get(model, self.limits)

    def to_json(self) -> str:
        """As one line of JSON."""
        return json.dumps(attrs.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Offer:
        """What `to_json` wrote."""
        facts: dict[str, Any] = json.loads(text)
        facts["limits"] = Limits(**facts["limits"])
        facts["of_models"] = {model: Limits(**limits) for model, limits in facts["of_models"].items()}
        return cls(**facts)


@attrs.define
class Bucket:
    """One limit: a level that refills up to a size."""

    unit: Literal["requests", "tokens"]
    window: Literal["minute", "day"]
    size: float
    per_s: float
    level: float
    seen_s: float
    shown: bool = True
    """Whether headers tell of it."""

    def refill(self, now_s: float) -> None:
        """Brings the level up to now; a clock that went back changes nothing."""
        self.level = min(self.size, self.level + max(0.0, now_s - self.seen_s) * self.per_s)
        self.seen_s = max(self.seen_s, now_s)

    def need(self, tokens: float) -> float:
        """What a request takes out of it."""
        return 1.0 if self.unit == "requests" else tokens

    def wait_s(self, tokens: float) -> float:
        """Seconds until it has room for a request of so many tokens."""
        lacking = self.need(tokens) - self.level
        return lacking / self.per_s if lacking > EDGE else 0.0

    def headers(self) -> list[tuple[str, str]]:
        """What `x-ratelimit-*` tells of it."""
        return [
            (f"x-ratelimit-limit-{self.unit}", f"{self.size:.0f}"),
            (f"x-ratelimit-remaining-{self.unit}", f"{math.floor(self.level + EDGE)}"),
            (f"x-ratelimit-reset-{self.unit}", go_duration((self.size - self.level) / self.per_s)),
        ]


def go_duration(seconds: float) -> str:
    """A duration as Go prints it, to the millisecond above: `0s`, `120ms`, `7.66s`, `2m59.56s`, `1h0m0s`."""
    milliseconds = math.ceil(seconds * 1000 - 1e-6)
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, left = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{text}{left / 1000:.3f}".rstrip("0").rstrip(".") + "s"


@attrs.frozen
class Fate:
    """What becomes of a request: an answer after some time, or a broken connection."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    after_s: float = 0.0
    """When it comes, counted from the request's arrival."""
    cut: bool = False
    """The connection breaks instead."""
    spoilt: bool = False
    """It was let in, and something went wrong."""


@attrs.define
class Count:
    """The provider's own count of one model's requests."""

    admitted_s: list[float] = attrs.field(factory=list)
    """When requests were let in, faulty ones too; in order."""
    refused_s: list[float] = attrs.field(factory=list)
    """When requests were refused, in order."""
    tokens: float = 0.0
    """Tokens let in."""
    faults: int = 0
    """Requests let in and then spoilt."""

    def refused_by_second(self) -> dict[int, int]:
        """Second, from the first request on -> refusals in it."""
        began_s = min([*self.admitted_s[:1], *self.refused_s[:1]], default=0.0)
        return dict(sorted(Counter(int(at_s - began_s) for at_s in self.refused_s).items()))

    def facts(self) -> dict[str, Any]:
        """As plain facts, for JSON."""
        return {
            "admitted": len(self.admitted_s),
            "refused": len(self.refused_s),
            "faults": self.faults,
            "tokens": self.tokens,
            "refused_by_second": self.refused_by_second(),
        }


class Provider:
    """One account at a provider; every model has buckets of its own."""

    def __init__(self, offer: Offer = Offer()) -> None:
        self.offer = offer
        self.counts: dict[str, Count] = {}
        """Model -> what came of its requests."""
        self._buckets: dict[str, list[Bucket]] = {}
        self._luck: dict[str, _Luck] = {}

    def arrive(self, model: str, tokens: float, now_s: float) -> Fate:
        """What becomes of a request that comes now and is counted as so many tokens.

        It is let in where every bucket has room, and only then charged.
        """
        held = self._open(model, now_s)
        count = self.counts[model]
        tight = max(held, key=lambda bucket: bucket.wait_s(tokens))
        if tight.wait_s(tokens) > 0:
            count.refused_s.append(now_s)
            return _refusal(self.offer.profile, model, tight, tokens, self._told(held))
        for bucket in held:
            bucket.level = max(0.0, bucket.level - bucket.need(tokens))
        count.admitted_s.append(now_s)
        count.tokens += tokens
        fate = self._luck[model].fate(_answer(model, tokens), self._told(held))
        count.faults += fate.spoilt
        return fate

    def levels(self, model: str, now_s: float) -> dict[str, float]:
        """`requests per minute` and the like -> what that bucket holds now; of two, the one that refuses."""
        held = reversed(self._open(model, now_s))
        return {f"{bucket.unit} per {bucket.window}": bucket.level for bucket in held}

    def change(self, model: str, limits: Limits, now_s: float) -> None:
        """The model has these limits from now on; what is used of the old ones is used of the new."""
        new = buckets(limits, self.offer.profile, now_s)
        for before in self._open(model, now_s):
            for after in new:
                if (before.unit, before.window, before.shown) == (after.unit, after.window, after.shown):
                    after.level = max(0.0, after.size - (before.size - before.level))
        self._buckets[model] = new

    def _open(self, model: str, now_s: float) -> list[Bucket]:
        """The model's buckets as they are now; full ones where nobody has asked it yet."""
        if model not in self._buckets:
            self._buckets[model] = buckets(self.offer.of(model), self.offer.profile, now_s)
            self._luck[model] = _Luck(self.offer, model)
            self.counts[model] = Count()
        for bucket in self._buckets[model]:
            bucket.refill(now_s)
        return self._buckets[model]

    def _told(self, held: Sequence[Bucket]) -> tuple[tuple[str, str], ...]:
        if self.offer.profile in ("retry_after", "none"):
            return ()
        return tuple(pair for bucket in held if bucket.shown for pair in bucket.headers())


def buckets(limits: Limits, profile: Profile, now_s: float) -> list[Bucket]:
    """Full buckets for these limits, the requests of a minute first."""

    def bucket(unit: Any, window: Any, size: float, per_s: float, shown: bool) -> Bucket:
        return Bucket(unit, window, size, per_s, size, now_s, shown)

    held = [
        bucket("requests", "minute", limits.burst, limits.requests_per_s, profile in ("full", "openai")),
    ]
    if profile == "groq":
        held.append(bucket("requests", "day", limits.requests_per_day, limits.requests_per_day / DAY_S, True))
    if profile == "quantized":
        minute = max(limits.burst, 60 * limits.requests_per_s)
        held.append(bucket("requests", "minute", minute, limits.requests_per_s, True))
    if limits.tokens_per_s is not None and limits.token_burst is not None:
        held.append(bucket("tokens", "minute", limits.token_burst, limits.tokens_per_s, True))
    if limits.tokens_per_day is not None:
        held.append(bucket("tokens", "day", limits.tokens_per_day, limits.tokens_per_day / DAY_S, False))
    return held


class _Luck:
    """The latencies and faults of one model: the n-th request let in has always the same."""

    def __init__(self, offer: Offer, model: str) -> None:
        self._offer = offer
        self._latency = Random(f"{offer.seed} {model} latency")
        self._faults = Random(f"{offer.seed} {model} faults")

    def latency_s(self) -> float:
        return self._offer.latency_s * math.exp(self._latency.gauss(0.0, self._offer.spread))

    def fate(self, body: bytes, headers: tuple[tuple[str, str], ...]) -> Fate:
        offer, latency_s = self._offer, self.latency_s()
        kinds = ("server_error", "reset", "hang", "malformed", "none")
        shares = [offer.server_errors, offer.resets, offer.hangs, offer.malformed]
        kind = self._faults.choices(kinds, [*shares, max(0.0, 1 - sum(shares))])[0]
        if kind == "server_error":
            said = {"error": {"message": "The server had an error.", "type": "server_error"}}
            status = self._faults.choice((500, 502, 503))
            return Fate(status, headers, json.dumps(said).encode(), latency_s / 5, spoilt=True)
        if kind in ("reset", "hang"):
            return Fate(0, (), b"", offer.hang_s if kind == "hang" else 0.0, cut=True, spoilt=True)
        if kind == "malformed":
            return Fate(200, headers, body[: len(body) // 2], latency_s, spoilt=True)
        return Fate(200, headers, body, latency_s)


def _answer(model: str, tokens: float) -> bytes:
    message = {"role": "assistant", "content": "Answer: yes"}
    put_out = min(8, int(tokens))
    value = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": int(tokens) - put_out,
            "completion_tokens": put_out,
            "total_tokens": int(tokens),
        },
    }
    return json.dumps(value).encode()


def _refusal(
    profile: Profile, model: str, tight: Bucket, tokens: float, told: tuple[tuple[str, str], ...]
) -> Fate:
    wait_s, never = tight.wait_s(tokens), tight.need(tokens) > tight.size
    if profile != "none":
        told = (*told, ("retry-after", str(max(1, math.ceil(wait_s - 1e-9)))))
    if profile == "openai":
        told = (*told, ("retry-after-ms", str(math.ceil(wait_s * 1000 - 1e-6))))
    if profile in ("retry_after", "none"):
        text = "Too many requests"
    else:
        text = _words(profile in ("openai", "quantized"), model, tight, tokens, never)
    error = {"message": text, "type": tight.unit, "code": "rate_limit_exceeded"}
    status = 413 if never and profile == "groq" else 429
    return Fate(status, told, json.dumps({"error": error}).encode())


def _words(of_openai: bool, model: str, tight: Bucket, tokens: float, never: bool) -> str:
    short = f"({tight.unit[0].upper()}P{tight.window[0].upper()})"
    numbers = f"Limit {tight.size:.0f}"
    if not never:
        numbers += f", Used {math.ceil(tight.size - tight.level - 1e-9)}"
    numbers += f", Requested {tight.need(tokens):.0f}"
    what = "Request too large for" if never else "Rate limit reached for"
    wait = go_duration(tight.wait_s(tokens))
    if of_openai:
        window = "min" if tight.window == "minute" else "day"
        end = "Reduce the input or the output." if never else f"Please try again in {wait}."
        return f"{what} {model} in organization org-x on {tight.unit} per {window} {short}: {numbers}. {end}"
    of = f"{what} model `{model}` in organization `org_x` service tier `on_demand`"
    on = f"on {tight.unit} per {tight.window} {short}: {numbers}"
    if never:
        return f"{of} {on}, please reduce your message size and try again."
    return f"{of} {on}. Please try again in {wait}. Need more tokens? Upgrade to a higher tier."


def told_makespan_s(
    offer: Offer,
    tokens: Mapping[str, Sequence[float]],
    *,
    trip_s: float = 0.0,
    timeout_s: float = math.inf,
) -> float:
    """The time the last answer comes at, where somebody knows the limits beforehand.

    Every request leaves as early as the buckets allow, oldest first; what comes of it is this offer's
    luck, and what is spoilt is asked again as soon as that is seen. `tokens` is model -> the size of its
    requests; `trip_s` is the way there, `timeout_s` the longest that one call may take.
    """
    return max((_told_s(offer, model, tokens[model], trip_s, timeout_s) for model in tokens), default=0.0)


def _told_s(offer: Offer, model: str, sizes: Sequence[float], trip_s: float, timeout_s: float) -> float:
    held, luck = buckets(offer.of(model), offer.profile, 0.0), _Luck(offer, model)
    waiting = [(0.0, number, size) for number, size in enumerate(sizes)]
    now_s = ends_s = 0.0
    while waiting:
        ready_s, number, size = heapq.heappop(waiting)
        now_s = max(now_s, ready_s)
        for bucket in held:
            bucket.refill(now_s)
        now_s += max(bucket.wait_s(size) for bucket in held)
        for bucket in held:
            bucket.refill(now_s)
            bucket.level = max(0.0, bucket.level - bucket.need(size))
        fate = luck.fate(b"", ())
        seen_s = now_s + trip_s + min(fate.after_s, timeout_s)
        if fate.spoilt:
            heapq.heappush(waiting, (seen_s, number, size))
        else:
            ends_s = max(ends_s, seen_s)
    return ends_s


def tokens_of(characters: int, max_tokens: int | None) -> int:
    """What a request is counted as: a token for four characters, and the most that the answer may have."""
    return math.ceil(characters / 4) + (16 if max_tokens is None else max_tokens)


class LimitedBackend:
    """The provider as a backend, on the time of the event loop it is used in; reads answers as HTTP's."""

    name = "limited"

    def __init__(
        self, provider: Provider, *, account: str = "limited", limited: bool = True, trip_s: float = 0.004
    ) -> None:
        """`limited=False` declares no limits, so that nobody paces the calls; `trip_s` is the way there,
        which takes each request half as long again or half as short."""
        self.provider = provider
        self.capabilities = Capabilities(limited=limited, http=False)
        self.account = account
        self.base_url: str | None = None
        self.in_flight = 0
        self.most_in_flight = 0
        self._trip_s = trip_s
        self._way = Random(f"{provider.offer.seed} way")

    async def resolve(self, models: tuple[str, ...]) -> tuple[str, ...]:
        return models or ("m",)

    async def complete(self, request: Request) -> Completion:
        characters = sum(len(message.content) for message in request.messages)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await anyio.sleep(self._trip_s * self._way.uniform(0.5, 1.5))
            tokens = tokens_of(characters, request.max_tokens)
            fate = self.provider.arrive(request.model, tokens, anyio.current_time())
            await anyio.sleep(fate.after_s)
        finally:
            self.in_flight -= 1
        if fate.cut:
            raise CallError("connection", "The connection broke before the answer was whole.")
        raw = [(name.encode(), value.encode()) for name, value in fate.headers]
        asked = Asked(self.name, "", "", request.model)
        return completion(Reply(fate.status, kept_headers(raw), fate.body), asked, 0.0)

    async def aclose(self) -> None:
        """Nothing to close."""
