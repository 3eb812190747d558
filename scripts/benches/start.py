"""CPU of starting the command, beside importing click and attrs, which it cannot do without.

Every command runs in a process of its own, in turns; reported is the smallest of the rounds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FANIN = str(Path(sys.executable).with_name("fanin"))
BASE = "import click, attrs"
COMMANDS: dict[str, tuple[list[str], float | None]] = {
    "python -c pass": ([sys.executable, "-c", "pass"], None),
    BASE: ([sys.executable, "-c", BASE], None),
    "import fanin": ([sys.executable, "-c", "import fanin"], None),
    "fanin --help": ([FANIN, "--help"], 1.3),
    "fanin vote --backend fake": ([FANIN, "vote", "Is it?", "--backend", "fake"], 3.2),
}
"""Name -> what is run, and how many times the CPU of `import click, attrs` it may take."""


def cpu_s(command: list[str]) -> float:
    """User and system time of one run."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as running:
        assert running.stderr is not None
        said = running.stderr.read()
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        sys.exit(f"bench: {' '.join(command)} left with {running.returncode}:\n{said.decode()}")
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(prog="scripts/bench start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or every start would compile all that it loads
    with tempfile.TemporaryDirectory() as home:
        os.environ["FANIN_HOME"] = home  # a vote is kept, but not among the user's own
        report(measured(rounds))


def measured(rounds: int) -> dict[str, float]:
    """Command -> its CPU in seconds."""
    best = dict.fromkeys(COMMANDS, float("inf"))
    for turn in range(-1, rounds):  # the first round writes bytecode and warms the disk
        for name, (command, _) in COMMANDS.items():
            spent = cpu_s(command)
            if turn >= 0:
                best[name] = min(best[name], spent)
    return best


def report(best: dict[str, float]) -> None:
    """Prints what was measured, and what was promised."""
    for name, (_, most) in COMMANDS.items():
        ratio = best[name] / best[BASE]
        promise = "" if most is None else f"  {'kept' if ratio <= most else 'MISSED'}: at most {most}"
        print(f"{name:27}{best[name]:7.3f} s{ratio:7.2f} x{promise}")


if __name__ == "__main__":
    main()
