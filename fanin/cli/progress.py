"""What is going on, on stderr: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol, Self

import click

from fanin.show import count, one_line
from fanin.values import Event

if TYPE_CHECKING:
    from rich.status import Status


class Progress(Protocol):
    """Is told the events of a vote."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def watch(self, event: Event) -> None:
        """Takes one event; called from the event loop, so it must not block."""
        ...

    def stopping(self) -> None:
        """The first Ctrl-C came."""
        ...


def say(text: str) -> None:
    """One line on stderr, already clean."""
    click.echo(f"fanin: {text}", err=True)


def detail(event: Event) -> str:
    """An event as a line for `-v`."""
    words = {
        "asked": "asking",
        "answered": "answered",
        "failed": "failed",
        "retry": f"asking again in {event.wait_s:.2f} s",
        "limit": f"waiting {event.wait_s:.2f} s for the rate limit",
        "adapted": "asking again without a parameter",
        "tool": "calling a tool",
    }[event.kind]
    why = f": {one_line(event.detail, 200)}" if event.detail and event.kind != "limit" else ""
    call = f", call {event.attempt}" if event.attempt > 1 else ""
    return f"{event.at_s:8.3f} s  run {event.index}{call}: {words}{why}"


class Plain:
    """No live line; with `verbose` a line for every event."""

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def watch(self, event: Event) -> None:
        if self._verbose:
            click.echo(detail(event), err=True)

    def stopping(self) -> None:
        say("stopping; what is there is counted (Ctrl-C again leaves at once)")


class Live:
    """One line that is rewritten in place: how many runs are done, and what the others wait for."""

    def __init__(self, runs: int, *, verbose: bool) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)
        self._runs = runs
        self._verbose = verbose
        self._state: dict[int, tuple[str, float]] = {}
        self._stopping = False
        self._status: Status | None = None

    def __enter__(self) -> Self:
        from rich.text import Text

        self._status = self._console.status(Text("asking"), refresh_per_second=8)
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def watch(self, event: Event) -> None:
        if event.kind == "asked" and self._state.get(event.index, ("",))[0] in ("answered", "failed"):
            # A run that has ended is asked again by the next tier only.
            self._state.clear()
        self._state[event.index] = (event.kind, time.monotonic() + event.wait_s)
        if self._verbose:
            self._console.print(detail(event), markup=False, soft_wrap=True)
        self._show()

    def stopping(self) -> None:
        self._stopping = True
        self._show()

    def _show(self) -> None:
        from rich.text import Text

        if self._status is not None:
            self._status.update(Text(self._line(), overflow="ellipsis", no_wrap=True))

    def _line(self) -> str:
        kinds = [kind for kind, _ in self._state.values()]
        done = kinds.count("answered") + kinds.count("failed")
        parts = [f"{done} of {count(self._runs, 'run')} done"]
        if asking := kinds.count("asked") + kinds.count("adapted"):
            parts.append(f"{asking} asking")
        for kind, why in (("limit", "for the rate limit"), ("retry", "to ask again")):
            until = [at for state, at in self._state.values() if state == kind]
            if until:
                clock = time.strftime("%H:%M:%S", time.localtime(time.time() + max(until) - time.monotonic()))
                parts.append(f"{len(until)} waiting {why} until {clock}")
        if failed := kinds.count("failed"):
            parts.append(f"{failed} failed")
        if self._stopping:
            parts.append("stopping (Ctrl-C again leaves at once)")
        return ", ".join(parts)


def progress(runs: int, *, terminal: bool, quiet: bool, verbose: bool) -> Progress:
    """The progress that fits: live on a terminal, plain elsewhere and with `-q`."""
    if terminal and not quiet:
        return Live(runs, verbose=verbose)
    return Plain(verbose=verbose and not quiet)
