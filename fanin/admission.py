"""One request's way past the limiter: what it is to cost, how long it may wait, what came of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs

from fanin.clock import Clock
from fanin.errors import CallError
from fanin.limiter import Limiter, TooLong
from fanin.policy import pacing
from fanin.policy.estimating import estimated_tokens
from fanin.policy.pacing import Load, Outlook, Ticket
from fanin.terms import Terms
from fanin.values import Completion, Request, Usage


@attrs.define
class Admission:
    """A request at the limiter of its account and model; all its calls keep its place in the line."""

    limiter: Limiter
    request: Request
    clock: Clock
    terms: Terms
    ends_s: float
    """No call begins later than this."""
    waiting: Callable[[Outlook, float], None]
    """Is told what holds the request, and for how many seconds."""
    _place: int = attrs.field(init=False)
    _ticket: Ticket | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self._place = self.limiter.place()
        terms = self.terms
        self.limiter.limit(
            self.clock.now_s(),
            rpm=terms.rpm,
            tpm=terms.tpm,
            stagger_s=terms.stagger_s,
            cap_s=terms.max_wait_s,
        )

    async def granted(self) -> TooLong | None:
        """Waits until a call may begin; TooLong where that would take longer than the terms allow."""
        tokens = estimated_tokens(self.request.messages) + (self.request.max_tokens or 0)
        granted = await self.limiter.admit(
            Load(1, tokens),
            self.clock,
            place=self._place,
            ends_s=self.ends_s,
            max_wait_s=self.terms.max_wait_s,
            waiting=self.waiting,
        )
        if isinstance(granted, TooLong):
            return granted
        self._ticket = granted
        return None

    def settle(self, answer: Completion | CallError) -> None:
        """Tells the limiter what came of the call that was granted last."""
        ticket, now_s = self._ticket, self.clock.now_s()
        assert ticket is not None
        if isinstance(answer, Completion):
            self.limiter.answered(ticket, answer.headers, now_s, _tokens(answer.usage))
        elif answer.kind == "rate_limit" and not answer.final:
            told = pacing.refusal(answer.headers, answer.message, _wait_s(answer))
            self.limiter.refused(ticket, answer.headers, told, now_s)
        elif answer.status is not None and 400 <= answer.status < 500:
            self.limiter.returned(ticket, now_s)
        else:
            self.limiter.failed(ticket, answer.headers, now_s)


def _tokens(used: Usage) -> int | None:
    if used.input_tokens is None or used.output_tokens is None:
        return None
    return used.input_tokens + used.output_tokens


def _wait_s(refused: CallError) -> float | None:
    """The wait that a backend read; what is no time tells nothing."""
    told_s = refused.retry_after_s
    return told_s if told_s is not None and 0 <= told_s < math.inf else None
