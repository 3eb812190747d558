"""The command run inside the test's own process: its exit code and what it wrote."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import attrs
import pytest
from virtual_time import VirtualLoop

from fanin.cli import main


@attrs.frozen
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@attrs.frozen
class Command:
    """Runs `fanin` on virtual time, so that what the fake's latency or a wait takes costs nothing."""

    patch: pytest.MonkeyPatch
    captured: pytest.CaptureFixture[str]

    def __call__(self, *words: str, stdin: bytes | Path | None = None) -> Ended:
        """Runs the command with these words; `stdin` is a pipe that holds the bytes, or a file."""
        self.patch.setattr(sys, "argv", ["fanin", *words])
        run = anyio.run

        def run_virtually(*args: object) -> object:
            return run(*args, backend_options={"loop_factory": VirtualLoop})  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch, _standard_input(stdin) as given:
            patch.setattr(sys, "stdin", given)
            patch.setattr(anyio, "run", run_virtually)
            self.captured.readouterr()
            handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
            with pytest.raises(SystemExit) as left:
                main()
            for number, handler in handlers.items():
                signal.signal(number, handler)
        wrote = self.captured.readouterr()
        code = left.value.code
        assert code is None or isinstance(code, int)
        return Ended(code or 0, wrote.out, wrote.err)


@contextmanager
def _standard_input(given: bytes | Path | None) -> Iterator[object]:
    if isinstance(given, bytes):
        reading, writing = os.pipe()
        os.write(writing, given)
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as stream:
            yield stream
    else:
        with Path(given or os.devnull).open(encoding="utf-8") as stream:
            yield stream
