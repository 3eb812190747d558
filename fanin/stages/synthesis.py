"""Stage 4 of a panel, the messages: what specialists and the aggregator are told beside their own prompts."""

from __future__ import annotations

from collections.abc import Sequence

from fanin.errors import InputError
from fanin.stages.combine import combine, quoted

MIN_CHARS = 200
"""The least that an output may be cut to, so that something is left of it beside the note."""


def with_parts(query: str, parts: Sequence[tuple[str, str]]) -> str:
    """The query, and below it (name, text) parts under headers; the bare query where there are none.

    With parts, a query with header-like lines is quoted, so that `split` finds the parts alone.
    """
    return f"{quoted(query)}\n\n{combine(parts)}" if parts else query


def synthesis(
    query: str,
    parts: Sequence[tuple[str, str]],
    *,
    missing: Sequence[tuple[str, str]] = (),
    tally: str | None = None,
) -> str:
    """The one message that an aggregator gets: the query, then every (name, text) under its header.

    Between them, only where there is something to say: who is missing and why, and the votes as they
    were counted. `split` gives the parts back, whatever the query, the reasons and the texts hold.
    """
    asked = quoted(query)
    head = f"{query}:" if asked == query else f"the query that is quoted here:\n{asked}"
    notes = [f"Missing: {name} ({_one_line(why).rstrip('.')})." for name, why in missing]
    if tally is not None:
        notes.append(f"Votes of the analysts, counted and not to be counted again: {_one_line(tally)}.")
    before = [f"Synthesize these independent analyses of {head}"]
    if notes:
        before.append("\n".join(notes))
    return "\n\n".join([*before, combine(parts)])


def cut_middle(text: str, max_chars: int) -> str:
    """The text where it has `max_chars` characters or fewer; else its beginning and its end.

    A line between the two says how many characters were left out, and the whole is no longer than
    `max_chars`. Raises InputError for fewer than 200.
    """
    if max_chars < MIN_CHARS:
        raise InputError("max_chars", f"{MIN_CHARS} or more", max_chars)
    if len(text) <= max_chars:
        return text
    kept = max_chars - len(_cut_note(len(text)))
    note = _cut_note(len(text) - kept)
    return f"{text[: kept - kept // 2]}{note}{text[len(text) - kept // 2 :]}"


def _cut_note(left_out: int) -> str:
    return f"\n[... {left_out:,} characters left out ...]\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())
