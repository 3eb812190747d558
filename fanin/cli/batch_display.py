"""How a batch goes, on stderr: live on a terminal, elsewhere a plain line every five seconds."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, Self

import anyio
import attrs
import click

from fanin.cli.progress import say
from fanin.show import count, one_line

if TYPE_CHECKING:
    from rich.status import Status

    from fanin.batching.rates import Rate
    from fanin.batching.standing import Standing

_EVERY_S = 5.0
_REFRESH_S = 0.25
_WINDOW_S = 60.0

_WHY = {
    "limit": "for the rate limit",
    "retry": "to ask again",
    "budget": "for the budget",
    "prefix": "for the first call of their prefix",
    "turn": "for another model's calls",
}


_A_MINUTE = {"requests": "rpm", "tokens": "tpm"}


@attrs.frozen
class Look:
    """A batch as it was at one moment, with what is to be expected of it."""

    standing: Standing
    """What was done and what is under way."""
    rows: float | None
    """How many rows there will be, about; None where that cannot be told."""
    calls_per_s: float
    """Calls that were answered in a second, lately."""
    last_minute: tuple[int, ...] = ()
    """Of each of the standing's rates, what was sent in the last minute."""

    @property
    def left(self) -> float | None:
        """How many rows are still to come, about."""
        return None if self.rows is None else max(0.0, self.rows - self.standing.done)

    @property
    def _calls_left(self) -> float | None:
        standing = self.standing
        if self.left is None or not standing.done:
            return None
        return self.left * (standing.calls + standing.recalled) / standing.done

    @property
    def seconds_left(self) -> float | None:
        """How long the rest will take at this rate; None where that cannot be told."""
        calls = self._calls_left
        return None if calls is None or not self.calls_per_s else calls / self.calls_per_s

    @property
    def cost_in_all(self) -> float | None:
        """What all will have cost, in US dollars, if the rest costs as much a call."""
        cost, calls = self.standing.cost_usd, self._calls_left
        if cost is None or calls is None or not self.standing.calls:
            return None
        return cost + calls * cost / self.standing.calls

    def __str__(self) -> str:
        standing = self.standing
        total = "" if self.rows is None else f" of about {self.rows:,.0f}"
        parts = [f"{standing.done:,}{total} done"]
        if standing.failed:
            parts[0] += f" ({standing.failed:,} failed)"
        parts.append(f"{standing.asked} in flight")
        parts += [f"{calls} waiting {_WHY[why]}" for why, calls in standing.waiting]
        if standing.recalled:
            parts.append(f"{count(standing.recalled, 'run')} from the journal")
        parts.append(money(standing.cost_usd))
        if self.cost_in_all is not None and standing.cost_usd:
            parts[-1] += f" (about {self.cost_in_all:.4f} in all)"
        parts.append(_rate(self.calls_per_s))
        parts += self._against_limits()
        if self.seconds_left is not None:
            parts.append(f"about {duration(self.seconds_left)} left")
        return ", ".join(parts)

    def _against_limits(self) -> list[str]:
        """The rate of each limit beside it, with the model's name where there are several."""
        rates = self.standing.rates
        several = len({rate.model for rate in rates}) > 1
        shown = []
        for rate, sent in zip(rates, self.last_minute, strict=True):
            about = "about " if rate.found else ""
            told = f"{_A_MINUTE[rate.unit]} {sent:,} of {about}{rate.limit:,.0f}"
            if rate.left is not None:
                told = f"{rate.left:,.0f} of {rate.limit:,.0f} {rate.unit} left"
            shown.append(f"{one_line(rate.model, 40)}: {told}" if several else told)
        return shown


def money(cost_usd: float | None) -> str:
    """US dollars, or that they are unknown."""
    return "price unknown" if cost_usd is None else f"US$ {cost_usd:.4f}"


def _rate(calls_per_s: float) -> str:
    return f"{calls_per_s:.1f} calls/s" if calls_per_s >= 1 else f"{60 * calls_per_s:.1f} calls/min"


def duration(seconds: float) -> str:
    """A length of time in its two largest units: `45 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`."""
    whole = math.ceil(seconds)
    for large, small, size, step in (("d", "h", 86400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if whole >= size:
            rest = whole % size // step
            return f"{whole // size} {large} {rest} {small}" if rest else f"{whole // size} {large}"
    return f"{whole} s"


class Watching:
    """Looks at a batch again and again, and knows from that how fast it goes."""

    def __init__(self, standing: Callable[[], Standing], share: Callable[[], float | None]) -> None:
        """`share`: how much of the input was read, 0.0 to 1.0; None where that is unknown."""
        self._standing = standing
        self._share = share
        self._seen: deque[tuple[float, int]] = deque()
        self._sent: dict[tuple[str, ...], deque[tuple[float, int]]] = {}

    def look(self, now_s: float) -> Look:
        """How it stands at that time of the event loop's clock."""
        standing, share = self._standing(), self._share()
        since_s, before = _noted(self._seen, now_s, standing.calls)
        calls_per_s = (standing.calls - before) / (now_s - since_s) if now_s > since_s else 0.0
        last_minute = tuple([self._last_minute(rate, now_s) for rate in standing.rates])
        return Look(standing, standing.read / share if share else None, calls_per_s, last_minute)

    def _last_minute(self, rate: Rate, now_s: float) -> int:
        # What was sent before the limit was known was sent since the beginning.
        seen = self._sent.setdefault((rate.account, rate.model, rate.unit), deque([(self._seen[0][0], 0)]))
        return rate.sent - _noted(seen, now_s, rate.sent)[1]


def _noted(seen: deque[tuple[float, int]], now_s: float, count: int) -> tuple[float, int]:
    """Notes a count; (when, count) of the last look that was a minute ago, or of the first one."""
    seen.append((now_s, count))
    while len(seen) > 2 and now_s - seen[1][0] >= _WINDOW_S:
        seen.popleft()
    return seen[0]


class Display(Protocol):
    """Shows a batch while it goes on."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    async def show(self, watching: Watching) -> None:
        """Shows how it goes until it is cancelled."""
        ...

    def tell(self, line: str) -> None:
        """One line that stays."""
        ...

    def event(self, line: str) -> None:
        """One line of what happens, which stays too."""
        ...


class Plain:
    """A line every five seconds; none with `quiet`."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    async def show(self, watching: Watching) -> None:
        if self._quiet:
            return
        watching.look(anyio.current_time())
        while True:
            await anyio.sleep(_EVERY_S)
            say(str(watching.look(anyio.current_time())))

    def tell(self, line: str) -> None:
        say(line)

    def event(self, line: str) -> None:
        click.echo(line, err=True)


class Live:
    """Rewritten in place four times a second."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)
        self._status: Status | None = None

    def __enter__(self) -> Self:
        from rich.text import Text

        self._status = self._console.status(Text("beginning"), refresh_per_second=8)
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    async def show(self, watching: Watching) -> None:
        from rich.text import Text

        while True:
            if self._status is not None:
                self._status.update(Text(str(watching.look(anyio.current_time()))))
            await anyio.sleep(_REFRESH_S)

    def tell(self, line: str) -> None:
        self.event(f"fanin: {line}")

    def event(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)


def display(*, terminal: bool, quiet: bool) -> Display:
    """The display that fits: live on a terminal, plain elsewhere; with `quiet` only what has to be said."""
    return Live() if terminal and not quiet else Plain(quiet=quiet)
