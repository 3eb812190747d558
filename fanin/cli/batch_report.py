"""What a batch came to: a few lines on stderr, and the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fanin.cli.batch_display import money
from fanin.cli.exits import CUT_SHORT, INTERRUPTED, KEY, NOTHING_USABLE
from fanin.cli.progress import say
from fanin.show import clean, count, one_line

if TYPE_CHECKING:
    from fanin.batching.rows import Row
    from fanin.batching.standing import Standing

_SHOWN = 3

_ENDED = {
    "all": "",
    "interrupt": "interrupted",
    "deadline": "the deadline came",
    "budget": "the budget is spent",
    "limit": "a limit is spent",
    "circuit": "stopped, since every call fails alike",
    "journal": "the journal cannot be written",
}


def exit_code(standing: Standing) -> int:
    """The exit code of a batch that has ended.

    Where several fit: interrupted, the key, cut short, failed rows. Ties and missing quorums are no failures.
    """
    if standing.ended == "interrupt":
        return INTERRUPTED
    if standing.failed and standing.keys_refused == standing.failed:
        return KEY
    if standing.ended in ("deadline", "budget", "limit"):
        return CUT_SHORT
    return NOTHING_USABLE if standing.failed or standing.ended != "all" else 0


class Report:
    """Collects what is told at the end."""

    def __init__(self) -> None:
        self._failed: list[str] = []
        self._partial = 0

    def row(self, row: Row) -> None:
        """Takes note of one row."""
        self._partial += row.partial and not row.failed
        if row.failed and len(self._failed) < _SHOWN:
            self._failed.append(f"line {row.number}: {one_line(_why(row), 200)}")

    def say(self, standing: Standing, again: str | None) -> None:
        """The whole report; `again` is the command that goes on with the batch, None where none can."""
        for line in self._failed:
            say(line)
        if standing.failed > len(self._failed) > 0:
            say(f"and {standing.failed - len(self._failed):,} more rows that failed")
        say(summary(standing))
        if self._partial:
            say(f"{count(self._partial, 'row')} without all specialists: who is missing is said in it")
        if standing.maybe_twice:
            say(
                f"at most {count(standing.maybe_twice, 'call')} of earlier sessions may have been paid for"
                " and were lost before they were answered"
            )
        if standing.ended == "all":
            return
        if standing.why:
            say(one_line(standing.why, 400))
        if standing.ended == "budget" and again is not None:
            say("raise the cap first: it counts what was spent already")
        if again is None:
            say("nothing was kept: a batch without a journal cannot be resumed")
        else:
            say(f"to go on: {clean(again)}")


def _why(row: Row) -> str:
    """Why nothing came of a failed row, in one sentence."""
    found = row.object or {}
    failures = found.get("failures") or found.get("missing") or [{"message": "nothing could be read"}]
    # A panel names those who are missing in its order, the aggregator last.
    return str(row.error or found.get("problem") or failures[-1 if "missing" in found else 0]["message"])


def summary(standing: Standing) -> str:
    """Rows, calls, tokens and money in one line."""
    parts = [count(standing.done, "row")]
    if standing.failed:
        parts[0] += f" ({standing.failed:,} failed)"
    parts.append(f"{count(standing.calls, 'run')} answered")
    if standing.recalled:
        parts[-1] += f" and {standing.recalled:,} from the journal"
    usage = standing.usage
    if usage.input_tokens is not None and usage.output_tokens is not None:
        parts.append(f"{usage.input_tokens:,} + {usage.output_tokens:,} tokens")
    parts.append(money(standing.cost_usd))
    ended = _ENDED[standing.ended or "all"]
    return f"{ended}; {', '.join(parts)}" if ended else ", ".join(parts)
