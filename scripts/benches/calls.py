"""CPU per call of each adapter beside raw httpx2, the openai SDK and litellm, at 32 and 256 at once.

The server and every client are processes of their own. In each round every client takes one turn at
each concurrency, one client at a time; reported is the median over the rounds, in milliseconds and as
a ratio, since only the ratios carry over to another machine.
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from clients import CLIENTS

HERE = Path(__file__).parent
CALLS = {32: 320, 256: 1024}
"""Concurrency -> calls in one turn."""
NEEDS = {"openai SDK": "openai", "litellm": "litellm", "fanin litellm": "litellm"}


def installed(package: str | None) -> bool:
    """Whether a client can be run here."""
    try:
        return package is None or bool(version(package))
    except PackageNotFoundError:
        return False


@contextlib.contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that is spoken to by lines, and ends with its stdin."""
    with subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as running:
        yield running


def told(running: subprocess.Popen[str]) -> str:
    """The next line of a process."""
    assert running.stdout is not None
    line = running.stdout.readline()
    if not line:
        sys.exit("bench: a process has ended early (see above)")
    return line


def measured(names: list[str], rounds: int) -> dict[tuple[str, int], list[float]]:
    """(client, concurrency) -> milliseconds a call, one number a round."""
    figures: dict[tuple[str, int], list[float]] = {(name, at): [] for name in names for at in CALLS}
    with contextlib.ExitStack() as stack:
        port = told(stack.enter_context(process(str(HERE / "server.py")))).strip()
        workers = {name: stack.enter_context(process(str(HERE / "clients.py"), name, port)) for name in names}
        for turn in range(-1, rounds):  # the first round opens connections and counts for nothing
            for name, worker in workers.items():
                for at, calls in CALLS.items():
                    assert worker.stdin is not None
                    worker.stdin.write(f"{at} {calls}\n")
                    cpu_s = float(told(worker))
                    if turn >= 0:
                        figures[name, at].append(cpu_s / calls * 1000)
            print(f"\rround {turn + 1} of {rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return figures


def report(figures: dict[tuple[str, int], list[float]], names: list[str]) -> None:
    """Prints the table, and whether each adapter keeps what is promised for it."""
    median = {key: statistics.median(values) for key, values in figures.items()}
    few, many = CALLS
    sdk = median.get(("openai SDK", few))
    print(f"{'CPU, ms a call':15}{f'at {few}':>8}{f'at {many}':>8}{'x httpx2':>10}{'x SDK':>8}{'grows x':>9}")
    for name in names:
        at_few, at_many = median[name, few], median[name, many]
        to_sdk = f"{at_few / sdk:8.2f}" if sdk else f"{'-':>8}"
        to_raw, grown = at_few / median["httpx2 raw", few], at_many / at_few
        print(f"{name:15}{at_few:8.3f}{at_many:8.3f}{to_raw:10.2f}{to_sdk}{grown:9.2f}")
    print()
    for name in ("fanin groq", "fanin openai", "fanin ollama"):
        if name not in names:
            continue
        promises = {
            f"{few} at once <= 1.3 x httpx2": median[name, few] <= 1.3 * median["httpx2 raw", few],
            f"{many} at once <= 1.5 x {few} at once": median[name, many] <= 1.5 * median[name, few],
        }
        if sdk:
            promises["<= half of the openai SDK"] = median[name, few] <= 0.5 * sdk
        for promise, kept in promises.items():
            print(f"{'kept  ' if kept else 'MISSED'}  {name}: {promise}")


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(prog="scripts/bench calls", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--clients", default=",".join(CLIENTS), help="names, separated by commas")
    options = parser.parse_args()
    names = [name for name in CLIENTS if name in options.clients.split(",") or name == "httpx2 raw"]
    names = [name for name in names if installed(NEEDS.get(name))]
    packages = [package for package in ("httpx2", "openai", "litellm") if installed(package)]
    print(f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in packages))
    report(measured(names, options.rounds), names)


if __name__ == "__main__":
    main()
