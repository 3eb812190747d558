"""A panel at work, on stderr: one row an agent on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, Self

import attrs
import click

from fanin.agent_run import AgentRun
from fanin.cli.progress import detail, say
from fanin.panels import PanelEvent
from fanin.report import missing_in
from fanin.show import clean, count, one_line

if TYPE_CHECKING:
    from rich.constrain import Constrain
    from rich.live import Live
    from rich.table import Table


class PanelView(Protocol):
    """Is told the events of a panel."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def watch(self, event: PanelEvent) -> None:
        """Takes one event; called from the event loop, so it must not block."""
        ...

    def stopping(self) -> None:
        """The first Ctrl-C came."""
        ...


def ending(run: AgentRun) -> str:
    """How an agent's work ended, in a few words: `completed`, or why it gave nothing."""
    absent = missing_in(run)
    return f"{absent[0].kind}: {one_line(absent[0].message, 160)}" if absent else "completed"


def effort(run: AgentRun) -> str:
    """What an agent's work took: turns, tool calls and tokens."""
    parts = [count(run.turns, "turn")]
    if run.tool_calls:
        parts.append(count(len(run.tool_calls), "tool call"))
    if run.usage.input_tokens is not None and run.usage.output_tokens is not None:
        parts.append(f"{run.usage.input_tokens:,} + {run.usage.output_tokens:,} tokens")
    return ", ".join(parts)


class Lines:
    """A line when an agent is launched and when it has ended; with `verbose` one for every event."""

    def __init__(self, seats: Sequence[str], *, quiet: bool, verbose: bool) -> None:
        self._seats = seats
        self._quiet = quiet
        self._verbose = verbose

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def watch(self, event: PanelEvent) -> None:
        if self._quiet:
            return
        if event.event is not None:
            if self._verbose:
                click.echo(f"{detail(event.event)} ({clean(event.name)})", err=True)
        elif event.run is None:
            say(f"{clean(event.name)} launched")
        else:
            say(f"{clean(event.name)} {self._ended(event.index, event.at_s, event.run)}")

    def _ended(self, index: int, at_s: float, run: AgentRun) -> str:
        words = ending(run)
        if words != "completed":
            return f"failed at {at_s:.1f} s ({words.rstrip('.')}; {effort(run)})"
        done = "aggregated" if index == len(self._seats) - 1 else words
        return f"{done} at {at_s:.1f} s ({effort(run)})"

    def stopping(self) -> None:
        say("stopping; what is there is reported (Ctrl-C again leaves at once)")


@attrs.define
class _Row:
    """What is seen of one agent."""

    name: str
    state: str = "waiting"
    began_s: float | None = None
    ended_s: float | None = None
    tokens: str = ""

    def seconds(self, now_s: float) -> str:
        """How long it has been at work."""
        if self.began_s is None:
            return ""
        return f"{(now_s if self.ended_s is None else self.ended_s) - self.began_s:.1f} s"


class Rows:
    """One row an agent, rewritten in place: what it does, for how long, and the tokens it took."""

    def __init__(self, seats: Sequence[str], *, verbose: bool) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)
        self._verbose = verbose
        self._rows = [_Row(one_line(name, 60)) for name in seats]
        self._live: Live | None = None

    def __enter__(self) -> Self:
        from rich.live import Live

        self._live = Live(
            console=self._console,
            get_renderable=self._shown,
            refresh_per_second=8,
            vertical_overflow="visible",
        )
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def watch(self, event: PanelEvent) -> None:
        row = self._rows[event.index]
        if event.event is not None:
            row.state = _state(event)
            if self._verbose:
                line = f"{detail(event.event)} ({clean(event.name)})"
                self._console.print(line, markup=False, soft_wrap=True)
        elif event.run is None:
            row.state, row.began_s = "launched", time.monotonic()
        else:
            words = ending(event.run)
            row.state = "done" if words == "completed" else f"failed ({words})"
            row.ended_s, row.tokens = time.monotonic(), effort(event.run)

    def stopping(self) -> None:
        self._console.print("fanin: stopping (Ctrl-C again leaves at once)", markup=False)

    def _shown(self) -> Constrain:
        # Where a terminal writes ^C^C behind the last row, that must not begin a new line: it would stay.
        from rich.constrain import Constrain

        return Constrain(self.table(), self._console.width - len("^C^C"))

    def table(self) -> Table:
        """The rows as they are now."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, show_header=False)
        now_s = time.monotonic()
        for row in self._rows:
            cells = (row.name, one_line(row.state, 100), row.seconds(now_s), row.tokens)
            table.add_row(*(Text(cell, overflow="ellipsis", no_wrap=True) for cell in cells))
        return table


def _state(event: PanelEvent) -> str:
    assert event.event is not None
    why = one_line(event.event.detail, 60)
    return {
        "asked": "asking",
        "answered": "answered",
        "failed": "failed",
        "retry": "waiting to ask again",
        "limit": "waiting for the rate limit",
        "adapted": "asking again without a parameter",
        "tool": f"calling {why}",
        "hedge": "asking a second time",
    }.get(event.kind, event.kind)


def panel_view(seats: Sequence[str], *, terminal: bool, quiet: bool, verbose: bool) -> PanelView:
    """The view that fits: rows on a terminal, lines elsewhere, nothing with `quiet`."""
    if terminal and not quiet:
        return Rows(seats, verbose=verbose)
    return Lines(seats, quiet=quiet, verbose=verbose)
