"""Listing a hundred thousand kept runs, and recounting runs from a file; whole commands, start included.

Reported is the smallest of the rounds, by the clock: other load on the machine makes it larger.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import attrs

import fanin
from fanin.keeping import Log
from fanin.keeping.record import Record, record_text

FANIN = str(Path(sys.executable).with_name("fanin"))


def spent_s(words: list[str], rounds: int) -> float:
    """Seconds of the fastest of so many rounds."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run([FANIN, *words], stdout=subprocess.DEVNULL, check=True)
        best = min(best, time.perf_counter() - began)
    return best


def fill(log: Log, runs: int) -> Record:
    """Puts so many copies of a small run into the log, without what keeping each would take."""
    import sqlite3

    log.keep(fanin.vote_sync("Is it so?", backend=fanin.Fake("yes,no,yes"), runs=5))
    record = log.find("last")
    raw = sqlite3.connect(log.path)
    with raw:
        for table, number in (("runs", "id"), ("records", "place")):
            columns = [row[1] for row in raw.execute(f"PRAGMA table_info({table})")]
            [row] = raw.execute(f"SELECT * FROM {table}").fetchall()
            marks = ", ".join("?" * len(columns))
            made = (
                [
                    place if name == "place" else f"{place:010d}" if name == number else value
                    for name, value in zip(columns, row, strict=True)
                ]
                for place in range(2, runs + 1)
            )
            raw.executemany(f"INSERT INTO {table} VALUES ({marks})", made)
    raw.close()
    return record


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(prog="scripts/bench kept", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as home:
        os.environ["FANIN_HOME"] = home
        log, folder = Log(), Path(home)
        record = fill(log, 100_000)
        large = folder / "large.jsonl"
        kept = log.keep(fanin.vote_sync("Is it so?", backend=fanin.Fake("yes,no,yes"), runs=1000))
        large.write_text(record_text(log.find(kept)) + "\n")
        many = folder / "many.jsonl"
        copies = (attrs.evolve(record, id=f"{number:010d}") for number in range(1000))
        many.write_text("".join(f"{record_text(copy)}\n" for copy in copies))
        measured: dict[str, tuple[list[str], float]] = {
            "runs list, 100,000 kept": (["runs", "list"], 0.3),
            "recount, one vote of 1,000 runs": (["recount", str(large), "-q"], 0.5),
            "recount, 1,000 votes of 5 runs": (["recount", str(many), "-q"], 0.5),
        }
        for name, (words, most) in measured.items():
            best = spent_s(words, rounds)
            print(f"{name:34}{best:7.3f} s  {'kept' if best <= most else 'MISSED'}: at most {most}")


if __name__ == "__main__":
    main()
