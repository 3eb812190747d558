"""One request's way past the limiter: what it is to cost, how long it may wait, what came of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from http import HTTPStatus

import attrs

from fanin.clock import Clock
from fanin.errors import CallError
from fanin.limiter import Limiter
from fanin.places import Place
from fanin.policy import pacing
from fanin.policy.estimating import estimated_tokens
from fanin.policy.pacing import Load, Outlook, Ticket
from fanin.terms import Terms
from fanin.values import Completion, Request, Usage
from fanin.waiter import TooLong


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
    at_once: int | None = None
    """The server lets what is more than this wait; None: it does not."""
    _place: int = attrs.field(init=False)
    _ticket: Ticket | None = attrs.field(init=False, default=None)
    _room: Place | None = attrs.field(init=False, default=None)

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
        await self._enter()
        try:
            granted = await self._admitted(self.terms.max_wait_s)
        except BaseException:
            self.dropped()
            raise
        if isinstance(granted, TooLong):
            self.dropped()
            return granted
        self._ticket = granted
        return None

    async def at_once_granted(self) -> bool:
        """Whether a call may begin now, with nobody waiting before it; if not, nothing is reserved."""
        crowd = None if self.at_once is None else self.limiter.places(self.at_once).crowd
        if self.limiter.waiting or (crowd is not None and crowd.full):
            return False
        await self._enter()
        granted = await self._admitted(max_wait_s=0.0)
        if isinstance(granted, TooLong):
            self.dropped()
            return False
        self._ticket = granted
        return True

    async def _enter(self) -> None:
        """Takes one of the server's places, where it has only so many."""
        if self.at_once is None:
            return
        places = self.limiter.places(self.at_once)
        if places.crowd.full:
            self.waiting(Outlook(math.inf, "places"), 0.0)
        self._room = await places.enter()

    async def _admitted(self, max_wait_s: float) -> Ticket | TooLong:
        tokens = estimated_tokens(self.request.messages) + (self.request.max_tokens or 0)
        return await self.limiter.admit(
            Load(1, tokens),
            self.clock,
            place=self._place,
            ends_s=self.ends_s,
            max_wait_s=max_wait_s,
            waiting=self.waiting,
        )

    def dropped(self) -> None:
        """The call was cut short: its place is free again."""
        if self._room is not None and self.at_once is not None:
            self.limiter.places(self.at_once).left(self._room)

    async def settle(self, answer: Completion | CallError) -> None:
        """Tells the limiter what came of the call that was granted last, and through it all who share
        the pace."""
        self._settle(answer)
        await self.limiter.settled(self.clock)

    def _settle(self, answer: Completion | CallError) -> None:
        ticket, now_s = self._ticket, self.clock.now_s()
        assert ticket is not None
        self._leave(answer, now_s - self.limiter.here_s(ticket.went_s))
        if isinstance(answer, Completion):
            self.limiter.answered(ticket, answer.headers, now_s, _tokens(answer.usage))
        elif answer.kind == "rate_limit" and not answer.final:
            told = pacing.refusal(answer.headers, answer.message, _wait_s(answer))
            self.limiter.refused(ticket, answer.headers, told, now_s)
        elif answer.status is not None and 400 <= answer.status < 500:
            self.limiter.returned(ticket, now_s)
        else:
            self.limiter.failed(ticket, answer.headers, now_s)

    def _leave(self, answer: Completion | CallError, took_s: float) -> None:
        if self._room is None or self.at_once is None:
            return
        places = self.limiter.places(self.at_once)
        if isinstance(answer, Completion):
            places.answered(self._room, took_s)
        elif answer.kind == "timeout" or answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
            places.overrun(self._room)
        else:
            places.left(self._room)


def _tokens(used: Usage) -> int | None:
    if used.input_tokens is None or used.output_tokens is None:
        return None
    return used.input_tokens + used.output_tokens


def _wait_s(refused: CallError) -> float | None:
    """The wait that a backend read; what is no time tells nothing."""
    told_s = refused.retry_after_s
    return told_s if told_s is not None and 0 <= told_s < math.inf else None
