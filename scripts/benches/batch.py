"""What a batch costs: on the fake backend by size, and on a local server beside other ways to make calls.

First table: QUESTIONS x 3 runs on the fake without latency, journal on, 64 in flight, each size in a process
of its own, sizes interleaved and the best of the rounds: runs a second, CPU a run, CPU an item against the
smaller size, and the most memory the process took.

Second table: calls a second at 64 in flight to the server of `server.py`, one call a question: a batch with
its journal, a bare gather over httpx2, litellm, and langchain's `abatch`. That has an environment of its own,
made at the first time; where it cannot be, the row is left out and why is said. Every client and the server
are processes of their own, one client at a time; what a client imports and opens first is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Awaitable, Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from calls import installed, process, told
from clients import PROMPT, Call, litellm_itself, raw_httpx2

from fanin.answers import Choice
from fanin.batching.items import Item
from fanin.batching.runner import batch

HERE = Path(__file__)
JOBS = 64
RUNS = 3


def questions(count: int) -> Iterator[Item]:
    """Questions that differ."""
    return (Item(number, number, f"Is {number} odd?") for number in range(1, count + 1))


async def on_the_fake(count: int, journal: Path) -> None:
    """A batch of that many questions; every row's line is made, as for a file."""
    size = 0
    options = {"backend": "fake", "model": "yes,yes,no", "runs": RUNS, "jobs": JOBS, "journal": journal}
    async with batch(questions(count), **options) as rows:
        async for row in rows:
            size += len(row.line)
    assert rows.standing.calls == RUNS * count


Go = Callable[[int], Awaitable[object]]
"""Makes that many calls."""


async def fanin_batch(url: str) -> Go:
    """A batch with its journal, one run a question."""

    async def go(count: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            options = {"backend": "openai", "base_url": f"{url}/v1", "model": "m", "runs": 1, "jobs": JOBS}
            items = (Item(number, number, PROMPT) for number in range(1, count + 1))
            answer = Choice(("whale", "shark", "tuna"))
            async with batch(items, answer=answer, journal=Path(folder, "j"), **options) as rows:
                async for row in rows:
                    assert row.object is not None
                    assert row.object["answer"] == "whale"
            assert rows.standing.calls == count

    await go(1)  # what it loads at its first call is not measured
    return go


def gathering(opened: Callable[[str], Awaitable[Call]]) -> Callable[[str], Awaitable[Go]]:
    """A bare gather of a client's calls, each worker one after the other."""

    async def ready(url: str) -> Go:
        call = await opened(url)

        async def go(count: int) -> None:
            indexes = iter(range(count))

            async def one_after_the_other() -> None:
                for index in indexes:
                    assert (await call(index)).endswith("whale")

            await asyncio.gather(*(one_after_the_other() for _ in range(JOBS)))

        return go

    return ready


PEERS: dict[str, tuple[Callable[[str], Awaitable[Go]], str | None]] = {
    "fanin batch": (fanin_batch, None),
    "httpx2 gather": (gathering(raw_httpx2), None),
    "litellm": (gathering(litellm_itself), "litellm"),
}
LANGCHAIN = "langchain abatch"
PINNED = ("langchain-openai==1.7.3", "langchain-core==1.7.2")


def worker(name: str, count: int, port: str) -> None:
    """One measurement in this process, printed as JSON."""

    async def run(folder: str) -> tuple[float, float]:
        if name == "fake":
            journal = Path(folder, "out.journal")
            go: Go = functools.partial(on_the_fake, journal=journal)
        else:
            go = await PEERS[name][0](f"http://127.0.0.1:{port}")
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        await go(count)
        return time.perf_counter() - wall_s, time.process_time() - cpu_s

    with tempfile.TemporaryDirectory() as folder:
        wall_s, cpu_s = asyncio.run(run(folder))
    print(json.dumps([wall_s, cpu_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def langchain() -> str | None:
    """The Python of langchain's environment, made where there is none; None, and why, where it cannot be."""
    folder = Path(sys.prefix, "bench-langchain")
    python = folder / "bin" / "python"
    made_for, wanted = folder / "made-for", " ".join(PINNED)
    if made_for.is_file() and made_for.read_text() == wanted:
        return str(python)
    print(f"Installing {wanted} ...", file=sys.stderr)
    uv = shutil.which("uv")
    pip = [uv, "pip", "install", "--python", str(python)] if uv else [str(python), "-m", "pip", "install"]
    try:
        venv.create(folder, clear=True, with_pip=uv is None)
        subprocess.run([*pip, "--quiet", *PINNED], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        print(f"left out: {LANGCHAIN}, which cannot be installed ({said[-1] if said else 'no reason'})")
        return None
    made_for.write_text(wanted)
    return str(python)


def measured(name: str, count: int, port: str = "0", python: str | None = None) -> list[float]:
    """[wall s, CPU s, most memory in MB] of one measurement in a process of its own."""
    arguments = [sys.executable, str(HERE), "--worker", name, "--questions", str(count), "--port", port]
    if name == LANGCHAIN:
        server = f"http://127.0.0.1:{port}"
        script = str(HERE.with_name("langchain_batch.py"))
        arguments = [str(python), script, server, str(count), str(JOBS), PROMPT]
    environment = {"PATH": "", "OPENAI_API_KEY": "k", "FANIN_SHARED_PACE": "0", "HOME": tempfile.gettempdir()}
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(f"bench: {name} has failed\n{done.stderr}")
    figures: list[float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def by_size(most: int, rounds: int) -> None:
    """The first table."""
    sizes = sorted({max(most // 100, 1), max(most // 10, 1), most})
    best = {size: [float("inf")] * 3 for size in sizes}
    for _ in range(rounds):
        for size in sizes:
            best[size] = list(map(min, best[size], measured("fake", size)))
    print(f"{'questions':>10}{'runs/s':>9}{'us CPU/run':>12}{'x smaller':>11}{'MB':>7}")
    for size, smaller in zip(sizes, [sizes[0], *sizes], strict=False):
        wall_s, cpu_s, megabytes = best[size]
        grown = cpu_s / size / (best[smaller][1] / smaller)
        calls = RUNS * size
        print(f"{size:10,}{calls / wall_s:9,.0f}{cpu_s / calls * 1e6:12.0f}{grown:11.2f}{megabytes:7.0f}")
    wall_s, cpu_s, megabytes = best[most]
    say(RUNS * most / wall_s >= 5000, "5,000 runs/s")
    say(cpu_s / (RUNS * most) <= 200e-6, "200 us of CPU a run")
    say(megabytes <= best[sizes[0]][2] + 20, f"memory within 20 MB of that at {sizes[0]:,}")
    say(cpu_s / most <= 1.15 * best[sizes[1]][1] / sizes[1], f"CPU an item <= 1.15 x that at {sizes[1]:,}")


def beside_peers(count: int, rounds: int) -> None:
    """The second table."""
    names = [name for name, (_, package) in PEERS.items() if installed(package)]
    python = langchain()
    if python is not None:
        names.append(LANGCHAIN)
    best = dict.fromkeys(names, [float("inf")] * 3)
    with process(str(HERE.with_name("server.py")), "--no-limits") as server:
        port = told(server).strip()
        for _ in range(rounds):
            for name in names:
                best[name] = list(map(min, best[name], measured(name, count, port, python)))
    print(f"\n{'at 64 in flight':18}{'calls/s':>9}{'us CPU/call':>13}{'MB':>6}")
    for name in names:
        wall_s, cpu_s, megabytes = best[name]
        print(f"{name:18}{count / wall_s:9,.0f}{cpu_s / count * 1e6:13.0f}{megabytes:6.0f}")
    own = best["fanin batch"][0]
    say(own <= 2 * best["httpx2 gather"][0], "half of a bare gather over httpx2")
    if "litellm" in best:
        say(2 * own <= best["litellm"][0], "twice litellm")


def say(kept: bool, promise: str) -> None:
    """One promise, kept or missed."""
    print(f"{'kept  ' if kept else 'MISSED'}  {promise}")


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(prog="scripts/bench batch", description=__doc__)
    parser.add_argument("--questions", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=2000, help="calls to the local server")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--port", default="0", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.questions, options.port)
        return
    packages = [name for name in ("anyio", "httpx2", "litellm") if installed(name)]
    print(f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in packages))
    by_size(options.questions, options.rounds)
    beside_peers(options.calls, options.rounds)


if __name__ == "__main__":
    main()
