"""Listing a hundred thousand kept runs, recounting runs from a file, and voting on what is not one word.

The first three are whole commands, start included. A document has 100 leaves, in 33 items of a list that no
key aligns, and each of its 9 runs has a fifth of them wrong and the items in another order; what is measured
goes from the replies to the verdict. Reported is the smallest of the rounds, by the clock: other load on the
machine makes it larger.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import attrs

import fanin
from fanin import Json, Text
from fanin.keeping import Log
from fanin.keeping.record import Record, record_text
from fanin.stages.conclude import conclude
from fanin.stages.fan_out import fan_out
from fanin.stages.gather import gather
from fanin.values import Completion, Plan, Question, Sample, Stopped, Variation

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


def concluded_s(answer: Any, replies: Iterable[list[str]]) -> float:
    """Seconds of the fastest vote on such replies, from the texts to the verdict."""
    best = float("inf")
    for texts in replies:
        plan = Plan(Question("?"), answer, Variation(("m",)), runs=len(texts))
        runs = fan_out(plan)
        gathered = gather([Sample(run.index, Completion(texts[run.index])) for run in runs], plan.runs)
        began = time.perf_counter()
        conclude(plan, runs, gathered, stopped=Stopped(), backend="bench")
        best = min(best, time.perf_counter() - began)
    return best


def documents(rounds: int) -> Iterator[list[str]]:
    """The replies of 9 runs, others in each round."""
    random = Random(0)

    def value(place: int) -> int | str:
        wrong = random.random() < 0.2
        if place % 3 == 0:
            return f"other {random.random()}" if wrong else f"thing {place}"
        return random.randrange(1000) if wrong else place

    for _ in range(rounds):
        texts = []
        for _ in range(9):
            items = [{name: value(3 * item + at) for at, name in enumerate("abc")} for item in range(33)]
            random.shuffle(items)
            texts.append(json.dumps({"number": "A-1", "items": items}))
        yield texts


ITEM = {
    "type": "object",
    "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "integer"}},
    "required": ["a", "b", "c"],
}
DOCUMENT = {
    "type": "object",
    "properties": {"number": {"type": "string"}, "items": {"type": "array", "items": ITEM}},
    "required": ["number", "items"],
}


def long_texts(rounds: int) -> Iterator[list[str]]:
    """200 answers of 500 characters, others in each round."""
    random = Random(0)
    words = ["".join(random.choices("abcdefghij", k=7)) for _ in range(300)]
    for _ in range(rounds):
        bases = [" ".join(random.choices(words, k=62)) for _ in range(20)]
        yield [f"Answer: {random.choice(bases)} {random.choice(words)}"[:508] for _ in range(200)]


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
            tell(name, best, most)
    tell("vote, 9 documents of 100 leaves", concluded_s(Json(DOCUMENT), documents(4 * rounds)), 0.01)
    tell("clusters, 200 texts of 500 chars", concluded_s(Text(cluster="lexical"), long_texts(rounds)), 0.2)


def tell(name: str, best: float, most: float) -> None:
    """One line of the report."""
    print(f"{name:34}{best:7.4f} s  {'kept' if best <= most else 'MISSED'}: at most {most}")


if __name__ == "__main__":
    main()
