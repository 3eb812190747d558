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


_HELD = {
    "retry-after": "the provider asked to wait",
    "rpm": "your limit of requests a minute (--rpm)",
    "tpm": "your limit of tokens a minute (--tpm)",
    "stagger": "the time between two starts (--stagger)",
    "probing": "a limit that is still being found out",
    "line": "in line behind other calls",
    "places": "for a place at the server",
}


def held_by(why: str) -> str:
    """What holds a request, in words, from the `detail` of its event."""
    if why in _HELD:
        return _HELD[why]
    whole = why.removeprefix("part of ")
    part = "" if whole == why else "this process' part of "
    unit = "tokens" if whole.startswith("tokens") else "requests"
    return f"{part}{_HELD.get(whole, f'the limit of {unit} that the provider tells')}"


def _until(wait_s: float) -> str:
    if not wait_s:
        return ""
    until = time.strftime("%H:%M:%S", time.localtime(time.time() + wait_s))
    return f"{wait_s:.2f} s, until {until}: "


def detail(event: Event) -> str:
    """An event as a line for `-v`."""
    words = {
        "asked": "asking",
        "answered": "answered",
        "failed": "failed",
        "retry": f"asking again in {event.wait_s:.2f} s",
        "limit": f"waiting {_until(event.wait_s)}{held_by(event.detail)}",
        "adapted": "asking again without a parameter",
        "tool": "calling a tool",
        "hedge": "asking a second time, since the first call takes long",
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
        self._state: dict[int, tuple[str, float, str]] = {}
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
        kind = "line" if event.kind == "limit" and not event.wait_s else event.kind
        self._state[event.index] = (kind, time.monotonic() + event.wait_s, event.detail)
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
        kinds = [kind for kind, _, _ in self._state.values()]
        done = kinds.count("answered") + kinds.count("failed")
        parts = [f"{done} of {count(self._runs, 'run')} done"]
        if asking := kinds.count("asked") + kinds.count("adapted") + kinds.count("hedge"):
            parts.append(f"{asking} asking")
        for kind, what in (("limit", "for the rate limit"), ("retry", "to ask again")):
            until = [(at, why) for state, at, why in self._state.values() if state == kind]
            if until:
                last_s, why = max(until)
                clock = time.strftime("%H:%M:%S", time.localtime(time.time() + last_s - time.monotonic()))
                why = held_by(why) if kind == "limit" else one_line(why, 60)
                parts.append(f"{len(until)} waiting {what} until {clock}{f' ({why})' if why else ''}")
        if queued := kinds.count("line"):
            parts.append(f"{queued} in line")
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
