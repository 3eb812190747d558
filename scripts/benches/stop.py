"""Stop rules: on stored votes, exactly between two answers, and what a decision costs.

The stored votes lie in the folder that FANIN_VOTES names, one `NAME.jsonl` or `NAME.jsonl.gz` a set, one
question a line: {"id", "gold", "samples": [{"answer"}, ...]}, `answer` null where a run gave none. Every
question's samples are shuffled by a fixed seed, and the rule sees them wave by wave (`fit`); its budget is
all of them, at most 40. The winner is the most frequent answer, of equals the one seen first; accuracy is
over all questions, agreement is with the winner of the whole budget.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from random import Random

import attrs

from fanin.policy.stopping import Rule, Seen, forecast, next_wave, parse_rule, seen_of

BETA = "posterior:0.95"
RULES = (
    "all",
    "decided",
    "decided:winner",
    "certified:0.05",
    BETA,
    "predictive:0.95",
    "predictive:0.99",
    "voi",
    "ahead:3",
    "ahead:4",
    "window:5",
    "start:3,step:2",
    "start:3,step:2 of 5",
)
MOST_RUNS = 40
SHARES = (0.5, 0.52, 0.55, 0.6, 0.8, 0.95)

Results = Sequence[str | None]


@attrs.frozen
class Question:
    """A question with its stored answers."""

    id: str
    gold: str
    answers: tuple[str | None, ...]


@attrs.define
class Measured:
    """Sums over the votes held."""

    votes: int = 0
    runs: int = 0
    rounds: int = 0
    right: int = 0
    agreed: int = 0

    def figures(self) -> tuple[float, ...]:
        """Mean runs, mean rounds, accuracy in %, agreement in %."""
        n = self.votes
        return self.runs / n, self.rounds / n, 100 * self.right / n, 100 * self.agreed / n


def stored(folder: Path) -> Iterator[tuple[str, list[Question]]]:
    """The sets of a folder by name."""
    for path in sorted([*folder.glob("*.jsonl"), *folder.glob("*.jsonl.gz")]):
        packed = path.read_bytes()
        lines = (gzip.decompress(packed) if path.suffix == ".gz" else packed).split(b"\n")
        read = [json.loads(line) for line in lines if line]
        questions = [
            Question(one["id"], one["gold"], tuple(sample["answer"] for sample in one["samples"]))
            for one in read
        ]
        yield path.name.partition(".")[0], questions


@cache
def rule_for(text: str, budget: int) -> Rule:
    """The rule for that budget; `TEXT of N` has a smaller one. One valid ballot is quorum enough."""
    text, _, smaller = text.partition(" of ")
    return parse_rule(text, runs=min(budget, int(smaller or budget)), quorum=1)


def winner(results: Results) -> str | None:
    """The most frequent answer, of equals the one seen first."""
    votes = Counter(answer for answer in results if answer is not None)
    return max(votes, key=votes.__getitem__, default=None)


def hold(results: Results, gold: str, measured: dict[str, Measured]) -> None:
    """One vote under every rule."""
    full = winner(results)
    seen = cache(lambda asked: seen_of(dict(enumerate(results[:asked]))))
    for text, sums in measured.items():
        rule = rule_for(text, len(results))
        asked = rounds = 0
        while wave := next_wave(rule, seen(asked)):
            asked += wave
            rounds += 1
        answer = winner(results[:asked])
        sums.votes += 1
        sums.runs += asked
        sums.rounds += rounds
        sums.right += answer == gold
        sums.agreed += answer == full


def measure(questions: Sequence[Question], orderings: int) -> dict[str, tuple[float, ...]]:
    """Every rule's figures on a set."""
    measured = {text: Measured() for text in RULES}
    for question in questions:
        for ordering in range(orderings):
            results = list(question.answers)
            Random(f"{ordering}:{question.id}").shuffle(results)
            hold(results[:MOST_RUNS], question.gold, measured)
    return {text: sums.figures() for text, sums in measured.items()}


def show(name: str, figures: dict[str, tuple[float, ...]]) -> None:
    """One set's table, with the distance to the Beta rule."""
    print(f"{name:24}    runs  rounds  accuracy  agreement   runs - Beta  agreement - Beta")
    for text, (runs, rounds, accuracy, agreement) in figures.items():
        beside = f"{runs - figures[BETA][0]:14.2f}{agreement - figures[BETA][3]:18.2f}"
        print(f"  {text:22}{runs:8.2f}{rounds:8.2f}{accuracy:10.2f}{agreement:11.2f}{beside}")
    print()


def on_stored_votes(folder: Path, orderings: int) -> None:
    """The tables of all sets and of their mean, and whether what is promised was kept."""
    sets = []
    for name, questions in stored(folder):
        figures = measure(questions, orderings)
        show(f"{name} ({len(questions)} x {orderings})", figures)
        sets.append(figures)
    if not sets:
        sys.exit(f"bench: no .jsonl or .jsonl.gz in {folder}")
    mean = {
        text: tuple(sum(column) / len(sets) for column in zip(*(one[text] for one in sets), strict=True))
        for text in RULES
    }
    show("mean of the sets", mean)
    fewer = all(one["voi"][0] < one[BETA][0] for one in sets)
    promise("decided agrees on every vote", all(one["decided"][3] == 100 for one in sets))
    promise("voi asks fewer runs than the Beta rule on every set", fewer)
    promise("and agrees as often, but for 0.05 points", mean["voi"][3] >= mean[BETA][3] - 0.05)


def promise(what: str, kept: bool) -> None:
    """One line of what has to hold."""
    print(f"{'kept' if kept else 'MISSED':8}{what}")


def between_two_answers() -> None:
    """What every rule does where the chances are known, without any sampling."""
    print(f"Two answers, at most {MOST_RUNS} runs, exactly: mean runs / stopped on the wrong answer, %")
    print(f"  {'share of the one':22}" + "".join(f"{share:>14.2f}" for share in SHARES))
    for text in RULES:
        made = [forecast(rule_for(text, MOST_RUNS), share) for share in SHARES]
        print(f"  {text:22}" + "".join(f"{one.runs:7.1f} /{100 * one.wrong:5.2f}" for one in made))
    print("\nWrong certificates, at most 200 runs, exactly, %")
    for text in ("certified:0.05", "certified:0.1"):
        wrong = [forecast(rule_for(text, 200), share).wrong for share in SHARES]
        print(f"  {text:22}" + "".join(f"{100 * chance:14.2f}" for chance in wrong))
        promise(f"at most {text.partition(':')[2]}", max(wrong) <= float(text.partition(":")[2]))
    clear = [forecast(rule_for("certified:0.05", MOST_RUNS), share).runs for share in (0.8, 0.95)]
    promise(
        "certified:0.05 takes at most 20.9 runs on .80 and 8.9 on .95", clear[0] <= 20.9 and clear[1] <= 8.9
    )


def costs() -> None:
    """Building a rule, and a decision for the first time and again, over all states of 40 runs."""
    states = [
        Seen((lead, second), order=("a",) * lead + ("b",) * second)
        for lead in range(1, MOST_RUNS)
        for second in range(1, lead + 1)
        if lead + second < MOST_RUNS
    ]
    print(f"Cost at {MOST_RUNS} runs          build, ms   first decision, us   again, us   next wave, us")
    for text in RULES[:-1]:
        began = time.perf_counter()
        rule = parse_rule(text, runs=MOST_RUNS, quorum=2)
        built = time.perf_counter() - began
        spent = []
        for decide in (rule.satisfied, rule.satisfied, lambda seen, rule=rule: next_wave(rule, seen)):
            began = time.perf_counter()
            for seen in states:
                decide(seen)
            spent.append((time.perf_counter() - began) / len(states))
        first, again, wave = (1e6 * seconds for seconds in spent)
        print(f"  {text:16}{1e3 * built:16.2f}{first:21.2f}{again:12.2f}{wave:16.2f}")


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(prog="scripts/bench stop", description=__doc__)
    parser.add_argument("--orderings", type=int, default=20)
    orderings = parser.parse_args().orderings
    costs()
    print()
    between_two_answers()
    print()
    folder = os.environ.get("FANIN_VOTES")
    if folder is None:
        print("FANIN_VOTES names no folder of stored votes, so none were measured.")
    else:
        on_stored_votes(Path(folder), orderings)


if __name__ == "__main__":
    main()
