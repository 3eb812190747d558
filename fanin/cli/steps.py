"""What analyses are doing, on stderr: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

import click

from fanin.cli.progress import detail, say
from fanin.show import count, one_line
from fanin.values import Event

if TYPE_CHECKING:
    from rich.status import Status

_WAITS = {"limit": "for the rate limit", "retry": "to ask again"}


class Steps:
    """The progress of analyses: how many calls they took so far, and of a single one what it does next."""

    def __init__(self, analyses: int, *, terminal: bool, quiet: bool, verbose: bool) -> None:
        self._live = terminal and not quiet
        self._plain = not terminal and not quiet
        self._verbose = verbose and not quiet
        self._doing = "beginning" if analyses == 1 else f"{analyses} analyses"
        self._kinds: dict[str, int] = {}
        self._waiting = ("", 0.0)
        self._stopping = False
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if self._live:
            from rich.console import Console
            from rich.text import Text

            console = Console(stderr=True, highlight=False)
            self._status = console.status(Text(self.line()), refresh_per_second=8)
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def tell(self, _: int, text: str) -> None:
        """Takes what the one analysis does next."""
        self._doing = one_line(text, 100)
        if self._plain:
            say(self._doing)
        self._show()

    def watch(self, event: Event) -> None:
        """Takes one event; called from the event loop, so it must not block."""
        self._kinds[event.kind] = self._kinds.get(event.kind, 0) + 1
        if event.kind in _WAITS:
            self._waiting = _WAITS[event.kind], time.time() + event.wait_s
        if self._verbose:
            self._print(detail(event))
        self._show()

    def stopping(self) -> None:
        """The first Ctrl-C came."""
        self._stopping = True
        if self._plain:
            say("stopping; what is there is kept (Ctrl-C again leaves at once)")
        self._show()

    def line(self) -> str:
        """The live line as it is now."""
        parts = [self._doing, f"{count(self._kinds.get('answered', 0), 'call')} answered"]
        if failed := self._kinds.get("failed", 0):
            parts.append(f"{failed} failed")
        why, until_s = self._waiting
        if why and until_s > time.time():
            parts.append(f"waiting {why} until {time.strftime('%H:%M:%S', time.localtime(until_s))}")
        if self._stopping:
            parts.append("stopping (Ctrl-C again leaves at once)")
        return ", ".join(parts)

    def _print(self, text: str) -> None:
        if self._status is not None:
            self._status.console.print(text, markup=False, soft_wrap=True)
        else:
            click.echo(text, err=True)

    def _show(self) -> None:
        if self._status is None:
            return
        from rich.text import Text

        self._status.update(Text(self.line(), overflow="ellipsis", no_wrap=True))
