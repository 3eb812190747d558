"""One run of `scripts/bench limits`: a client, a scenario, and what came of it.

    python limits_runs.py CLIENT SCENARIO_NAME URL KEY PART CAP_S

is one process of a run over sockets: it prints `ready`, waits for a line, does its part of the job and prints
what came of it as JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.request import Request, urlopen

import anyio
import attrs
import limited_server
from limited_provider import Limits, Provider
from limits_clients import CLIENTS, HttpWire, Surroundings, VirtualWire, all_at_once
from limits_jobs import SCENARIOS, Asked, Scenario
from shared_store import MemoryStore
from virtual_time import VirtualLoop


class MovingLoop(VirtualLoop):
    """Virtual time that never stands still, as no real time does: some peers wait for the rest of a
    rounding error again and again, at one and the same moment."""

    def time(self) -> float:
        """Virtual seconds; ten nanoseconds later each time somebody looks."""
        self._jumping.now_s += 1e-8
        return super().time()


@attrs.frozen
class Came:
    """What came of a run."""

    answered: int
    failed: int
    """Requests that were given up, or not answered by the end."""
    refused: int
    """By the provider's own count."""
    ratio: float
    """The makespan over the ideal; of several models the worst."""
    told_ratio: float
    """The makespan over what somebody told needs with the same luck."""
    cpu_ms: float
    """Of an answer, in the client's process; the provider's part too where the time is virtual."""
    refused_by_second: dict[str, int]
    error: str = ""
    """What the first that failed said."""

    @property
    def refusals(self) -> float:
        """Refusals for each answer."""
        return self.refused / max(1, self.answered)


def limits_of(scenario: Scenario) -> dict[str, Limits]:
    """Model -> its limits."""
    return {model: scenario.offer.of(model) for model, _ in scenario.job}


def summed_up(
    scenario: Scenario,
    done: dict[int, float],
    failed: dict[int, str],
    counts: dict[str, dict[str, Any]],
    cpu_s: float,
    ended_s: float,
) -> Came:
    """The figures, from when each answer came (seconds from the start) and the provider's count."""
    job = scenario.requests()
    spans = {
        model: max((done.get(asked.index, ended_s) for asked in job if asked.model == model), default=ended_s)
        for model, _ in scenario.job
    }
    seconds: dict[str, int] = {}
    for count in counts.values():
        for second, number in count["refused_by_second"].items():
            seconds[str(second)] = seconds.get(str(second), 0) + number
    return Came(
        len(done),
        len(job) - len(done),
        sum(count["refused"] for count in counts.values()),
        max(span / scenario.ideal_s(model) for model, span in spans.items()),
        max(span / scenario.told_s(model) for model, span in spans.items()),
        cpu_s / max(1, len(done)) * 1000,
        seconds,
        next(iter(failed.values()), ""),
    )


def run_virtually(name: str, scenario: Scenario) -> Came:
    """A run in which no time passes. Of several processes each has limiters of its own; fanin's share a
    store in memory."""
    provider = Provider(scenario.offer)
    done: dict[int, float] = {}
    failed: dict[int, str] = {}
    cap_s = 30 * max(scenario.ideal_s(model) for model, _ in scenario.job)

    async def main() -> tuple[float, float]:
        wire = VirtualWire(provider, scenario.timeout_s)
        store = MemoryStore() if scenario.parts > 1 else None
        around = Surroundings(limits_of(scenario), scenario.timeout_s, wire, provider=provider, store=store)
        calls = [await CLIENTS[name](around) for _ in range(scenario.parts)]
        began_s, cpu_s = anyio.current_time(), time.process_time()

        async def call(asked: Asked) -> None:
            await calls[asked.index % scenario.parts](asked)

        with anyio.move_on_after(cap_s):
            await all_at_once(call, scenario.requests(), done, failed)
        for index in done:
            done[index] -= began_s
        return time.process_time() - cpu_s, anyio.current_time() - began_s

    gc.collect()
    cpu_s, ended_s = anyio.run(main, backend_options={"loop_factory": MovingLoop})
    counts = {model: count.facts() for model, count in provider.counts.items()}
    return summed_up(scenario, done, failed, counts, cpu_s, ended_s)


@contextmanager
def process(*arguments: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that is spoken to by lines, and ends with its stdin."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ},
    ) as running:
        yield running


def line_of(running: subprocess.Popen[str]) -> str:
    """The next line of a process."""
    assert running.stdout is not None
    line = running.stdout.readline()
    if not line:
        sys.exit("bench: a process has ended early (see above)")
    return line


def run_really(name: str, scenario: Scenario, cap_s: float) -> Came:
    """A run over sockets: the server and every part of the job are processes of their own."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = stack.enter_context(process(str(limited_server.__file__), scenario.offer.to_json()))
        url = f"http://127.0.0.1:{line_of(server).strip()}"
        facts = json.dumps({"name": scenario.name, "parts": scenario.parts, "seed": scenario.offer.seed})
        parts = [
            stack.enter_context(
                process(__file__, name, facts, url, "k", str(part), str(cap_s), XDG_RUNTIME_DIR=folder)
            )
            for part in range(scenario.parts)
        ]
        for part in parts:
            line_of(part)
        for part in parts:
            assert part.stdin is not None
            part.stdin.write("go\n")
            part.stdin.flush()
        told = [json.loads(line_of(part)) for part in parts]
        request = Request(f"{url}/count", headers={"authorization": "Bearer k"})
        with urlopen(request) as reply:
            counts = json.load(reply)
    done = {int(index): at_s for part in told for index, at_s in part["done"].items()}
    failed = {int(index): said for part in told for index, said in part["failed"].items()}
    return summed_up(
        scenario,
        done,
        failed,
        counts,
        sum(part["cpu_s"] for part in told),
        max(part["ended_s"] for part in told),
    )


async def do_part(name: str, facts: str, url: str, key: str, part: str, cap_s: str) -> None:
    """One process's part of a job; prints what came of it."""
    asked_for = json.loads(facts)
    scenario = attrs.evolve(SCENARIOS[asked_for["name"]], parts=asked_for["parts"]).seeded(asked_for["seed"])
    wire = HttpWire(url, key, scenario.timeout_s)
    call = await CLIENTS[name](Surroundings(limits_of(scenario), scenario.timeout_s, wire, url, key))
    job = [asked for asked in scenario.requests() if asked.index % scenario.parts == int(part)]
    print("ready", flush=True)
    if not await anyio.to_thread.run_sync(sys.stdin.readline):
        return  # whoever started this is gone
    done: dict[int, float] = {}
    failed: dict[int, str] = {}
    began_s, cpu_s = anyio.current_time(), time.process_time()
    with anyio.move_on_after(float(cap_s)):
        await all_at_once(call, job, done, failed)
    told = {
        "done": {index: at_s - began_s for index, at_s in done.items()},
        "failed": failed,
        "cpu_s": time.process_time() - cpu_s,
        "ended_s": anyio.current_time() - began_s,
    }
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(do_part(*sys.argv[1:]))
