"""Rate limits: fanin beside its peers against a provider that enforces them.

For each scenario and client: the makespan over the ideal (the least time the limits allow, and one median
answer), the makespan over what somebody told the limits needs with the same luck, refusals for each
answer, requests lost, and CPU of an answer. Medians over the rounds; what is lost is the worst of them.
In virtual time (the default) no socket is opened, and fanin's two processes of `two-processes` share a store
in memory; with `--real` every client is a process, and the count is the server's own.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from itertools import product

import attrs
from limits_clients import CLIENTS, ON_SOCKETS_ONLY, PACKAGES, available
from limits_jobs import SCENARIOS, Scenario, grid
from limits_load import OFFERS, measured
from limits_runs import Came, run_really, run_virtually

LOADS = {
    1_000: (50.0, tuple(OFFERS)),
    10_000: (100.0, ("requests", "tokens too")),
    100_000: (100.0, ("tokens too",)),
}
"""Requests waiting at once -> the most microseconds of CPU that one may cost, and what is told."""
GRID_PROMISE = {"median": 1.03, "p90": 1.20, "worst": 1.6, "median refusals": 0.1, "worst refusals": 1.0}


def note(text: str) -> None:
    """Tells on standard error how far it is; "" takes it away."""
    if sys.stderr.isatty():
        print(f"\r{text:76}\r", end="", file=sys.stderr, flush=True)


def middle(runs: Sequence[Came], figure: Callable[[Came], float]) -> float:
    """The median of a figure."""
    return statistics.median(figure(came) for came in runs)


def print_row(name: str, scenario: Scenario, runs: Sequence[Came]) -> None:
    """One client's line."""
    ratio, refusals = middle(runs, lambda came: came.ratio), middle(runs, lambda came: came.refusals)
    lost = max(came.failed for came in runs)
    told, cpu_ms = middle(runs, lambda came: came.told_ratio), middle(runs, lambda came: came.cpu_ms)
    promise = ""
    if name == "fanin" and scenario.promise is not None:
        bound = f"{scenario.promise.ratio:.2f} / {scenario.promise.refusals:.2f} / 0"
        promise = f"  {'kept' if scenario.promise.kept(ratio, refusals, lost) else 'MISSED'}: {bound}"
    print(f"  {name:12}{ratio:8.2f}{told:8.2f}{refusals:10.2f}{lost:7}{cpu_ms:9.2f}{promise}")
    error = next((came.error for came in runs if came.error), "")
    if name == "fanin" and error:
        print(f"  {'':12}the first lost: {error}")


def print_seconds(runs: Sequence[Came]) -> None:
    """The provider's count of refusals by the second, of the first round."""
    seconds = runs[0].refused_by_second
    shown = ", ".join(f"{second} s: {seconds[second]}" for second in sorted(seconds, key=int)[:12])
    print(f"  {'':12}refused by second: {shown or 'nothing'}{', ...' if len(seconds) > 12 else ''}")


def compare(options: argparse.Namespace, names: list[str]) -> None:
    """The table of scenarios and clients."""
    print(f"\n  {'':12}{'x ideal':>8}{'x told':>8}{'refusals':>10}{'lost':>7}{'CPU, ms':>9}")
    for scenario in chosen(options):
        parts = "" if scenario.parts == 1 else f"; {scenario.parts} processes"
        print(f"{scenario.name}: {scenario.what}{parts}")
        for name in names:
            runs = []
            for seed in range(1, options.rounds + 1):
                note(f"{scenario.name}: {name}, round {seed} of {options.rounds}")
                run = scenario.seeded(seed)
                runs.append(run_really(name, run, options.cap) if options.real else run_virtually(name, run))
            note("")
            print_row(name, scenario, runs)
            if options.seconds:
                print_seconds(runs)


def chosen(options: argparse.Namespace) -> list[Scenario]:
    """The scenarios that were asked for."""
    scenarios = [SCENARIOS[name] for name in options.scenarios]
    if options.processes is None:
        return scenarios
    return [attrs.evolve(scenario, parts=options.processes) for scenario in scenarios]


def at_share(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def print_grid(options: argparse.Namespace, names: list[str]) -> None:
    """Random limits, for every kind of header."""
    print(f"\n{options.cases} random limits for each kind of header, {options.requests} requests at once")
    print(f"  {'':25}{'x ideal':^21}{'x told':^21}{'refusals':^14}")
    print(f"  {'':25}{'median    p90  worst':>21}{'median    p90  worst':>21}{'median  worst':>14}   lost")
    for name in names:
        of_profile: dict[str, list[tuple[Came, Scenario]]] = {}
        for scenario in grid(options.cases, options.requests, options.draw, options.seed):
            note(f"{name}: {scenario.name}, {scenario.what}")
            of_profile.setdefault(scenario.name, []).append((run_virtually(name, scenario), scenario))
        note("")
        for profile, runs in of_profile.items():
            print_grid_row(f"{name}, {profile}", [came for came, _ in runs])
            if options.seconds:
                for came, scenario in sorted(runs, key=lambda run: -run[0].told_ratio)[:3]:
                    print(
                        f"      {came.told_ratio:.2f} x told, {came.refusals:.2f} refusals: {scenario.what}"
                    )
    bounds = ", ".join(f"{what} {bound}" for what, bound in GRID_PROMISE.items())
    print(f"fanin is held to, at most, of what somebody told needs: {bounds}")


def print_grid_row(name: str, runs: Sequence[Came]) -> None:
    """The figures over all limits of one kind of header."""
    cells = "".join(
        f"{statistics.median(values):7.3f}{at_share(values, 0.9):7.2f}{max(values):7.2f}"
        for values in ([came.ratio for came in runs], [came.told_ratio for came in runs])
    )
    refusals = [came.refusals for came in runs]
    cells += f"{statistics.median(refusals):7.2f}{max(refusals):7.2f}"
    lost = sum(came.failed for came in runs)
    verdict = ""
    if name.startswith("fanin"):
        told = [came.told_ratio for came in runs]
        figures = (
            statistics.median(told),
            at_share(told, 0.9),
            max(told),
            statistics.median(refusals),
            max(refusals),
        )
        kept = all(figure <= most for figure, most in zip(figures, GRID_PROMISE.values(), strict=True))
        verdict = "  kept" if kept and not lost else "  MISSED"
    print(f"  {name:25}{cells}{lost:7}{verdict}")


def print_loads(rounds: int) -> None:
    """What the limiter itself costs."""
    print("\nThe limiter itself: CPU of a request, less the same tasks and timers with nobody pacing them")
    print(f"  {'waiting':>7}  {'loop':8} {'told':12}{'tasks, us':>10}{'limiter, us':>12}{'refused':>9}")
    for requests, (most_us, offers) in LOADS.items():
        for loop, name in product(("asyncio", "trio"), offers):
            note(f"{requests} waiting, {loop}, {name}")
            turns = max(1, rounds * 1_000 // requests)
            figures = measured(loop, name, str(requests), str(turns))
            note("")
            kept = "kept" if figures["limiter_us"] <= most_us else "MISSED"
            print(
                f"  {requests:7}  {loop:8} {name:12}{figures['base_us']:10.0f}{figures['limiter_us']:12.0f}"
                f"{figures['refused']:9.3f}  {kept}: at most {most_us:.0f}"
            )
    print("Memory of a request that waits, all in all")
    for requests, loop in product(LOADS, ("asyncio", "trio")):
        paced, base = (measured(loop, what, str(requests), "1") for what in ("memory", "base memory"))
        sizes = (
            f"{paced['bytes'] / 1024:6.1f} KB, a task with an event and a timer {base['bytes'] / 1024:.1f} KB"
        )
        print(f"  {requests:7}  {loop:8} {sizes}")


def at_least_one(text: str) -> int:
    """A whole number from 1 on; what argparse takes for a wrong one else."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="scripts/bench limits", description=__doc__)
    parser.add_argument(
        "--clients", help=f"of {', '.join(CLIENTS)}; all but litellm, or fanin alone in a grid"
    )
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help="names, separated by commas")
    parser.add_argument(
        "--rounds", type=at_least_one, default=9, help="runs of each, every one with other luck"
    )
    parser.add_argument("--seconds", action="store_true", help="refusals by the second; the worst of a grid")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--virtual", action="store_true", help="in virtual time (the default)")
    how.add_argument("--real", action="store_true", help="over sockets: takes as long as it takes")
    how.add_argument("--grid", action="store_true", help="random limits for each kind of header, virtual")
    how.add_argument("--load", action="store_true", help="what the limiter itself costs: CPU and memory")
    parser.add_argument("--processes", type=at_least_one, help="over sockets, so many processes on one key")
    parser.add_argument("--cap", type=float, default=120.0, help="seconds after which a real run is ended")
    parser.add_argument("--cases", type=at_least_one, default=30, help="of the grid")
    parser.add_argument("--requests", type=at_least_one, default=300, help="of each case of the grid")
    parser.add_argument("--draw", choices=("log", "even"), default="log", help="how the grid's limits spread")
    parser.add_argument("--seed", type=int, default=1, help="of the grid")
    options = parser.parse_args()
    if options.processes is not None and (options.virtual or options.grid or options.load):
        parser.error("--processes are real ones: not with --virtual, --grid or --load")
    options.real = options.real or options.processes is not None
    options.scenarios = options.scenarios.split(",")
    usual = ["fanin"] if options.grid else [name for name in CLIENTS if name not in ON_SOCKETS_ONLY]
    options.clients = options.clients.split(",") if options.clients else usual
    if unknown := {*options.clients} - {*CLIENTS} | {*options.scenarios} - {*SCENARIOS}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    return options


def main() -> None:
    """Measures and reports."""
    options = parsed()
    if not options.real:
        os.environ["FANIN_SHARED_PACE"] = "0"  # no file outlives a run, or knows of virtual time
    names = available(options.clients, virtual=not options.real)
    shown = [f"{name} {version(name)}" for name in names if name in ("fanin", *PACKAGES)]
    print(", ".join([f"Python {platform.python_version()}", *shown]))
    if missing := [name for name in options.clients if name not in names]:
        print(f"left out, since not installed or without virtual time: {', '.join(missing)}")
    if options.load:
        print_loads(10 * options.rounds)
    elif options.grid:
        print_grid(options, names)
    else:
        compare(options, names)


if __name__ == "__main__":
    main()
