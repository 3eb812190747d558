"""Text for people: a sanitiser for everything that came from elsewhere, and verdicts in words."""

from __future__ import annotations

from fanin.values import Runs
from fanin.verdict import Verdict

_JOINERS = "\u200c\u200d"  # scripts and emoji need them, and they move nothing on the screen


def clean(text: str) -> str:
    """The text with every character that is not printable spelled out, as `\\x1b`; line breaks stay.

    No C0, C1, OSC or bidi character is left, so nothing can move the cursor, colour the screen or
    show words in another order. Idempotent.
    """
    if text.isprintable():
        return text
    return "".join(_clean_char(char) for char in text.replace("\r\n", "\n"))


def _clean_char(char: str) -> str:
    if char.isprintable() or char in "\n\t" or char in _JOINERS:
        return char
    if char.isspace() and ord(char) > 0xA0 - 1 and char not in "\u2028\u2029":
        return " "
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def one_line(text: str, width: int = 200) -> str:
    """The text cleaned, on one line, cut to `width` characters with an ellipsis."""
    line = " ".join(clean(text[: 8 * width]).split())
    return line if len(line) <= width else line[: width - 1] + "\u2026"


def count(number: int, noun: str) -> str:
    """`1 run`, `5 runs`, `1,000 runs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def headline(verdict: Verdict) -> str:
    """One sentence: what was decided, or why nothing was."""
    runs = verdict.runs
    if verdict.fields:
        return _by_fields(verdict)
    if verdict.answer is not None:
        votes = verdict.votes[verdict.answer]
        runs_said = f"{votes} of {count(_counting(verdict), 'run')}"
        return f"{verdict.grade} agreement: {runs_said} ({verdict.pattern}){_spread(verdict)}"
    if verdict.outcome == "tie":
        most = max(verdict.votes.values())
        tied = [choice for choice, votes in verdict.votes.items() if votes == most]
        named = ", ".join(one_line(choice, 60) for choice in tied[:6])
        return f"no answer: a tie at {count(most, 'vote')} between {named}{' ...' if len(tied) > 6 else ''}"
    if verdict.outcome == "no_quorum":
        return f"no answer: only {runs.valid} of {count(_counting(verdict), 'run')} cast a vote"
    return f"no answer: none of {count(runs.planned, 'run')} gave anything usable"


def _by_fields(verdict: Verdict) -> str:
    """The headline of a vote on parts: how many have an answer, and what comes of the whole."""
    answered = sum(field.reason is None for field in verdict.fields.values())
    of = f"{answered} of {count(len(verdict.fields), 'field')} decided"
    if verdict.answer is None:
        return f"no answer: {of}"
    least = f"{verdict.confidence:.0%}{' or more' if verdict.confidence < 1 else ''}"
    return f"{verdict.grade} agreement on every required field, {least}: {of}"


def open_fields(verdict: Verdict) -> list[str]:
    """A line for every field without an answer: its pointer and why."""
    return [
        f"{clean(pointer) or 'the whole document'}: no answer, {one_line(field.reason, 300)}"
        for pointer, field in verdict.fields.items()
        if field.reason is not None
    ]


def _counting(verdict: Verdict) -> int:
    # A cascade's `stopped` may be that of a later tier than the one that decides.
    counted = next((tier for tier in verdict.tiers if tier.ballots == verdict.ballots), verdict)
    spared = verdict.runs.cancelled + verdict.runs.unasked if counted.stopped.by == "rule" else 0
    return verdict.runs.planned - spared


def clusters(verdict: Verdict) -> list[str]:
    """A line for every cluster of texts that is not one spelling alone: what was counted as what."""
    return [
        f"{one_line(each.representative, 60)} stands for {_some_of(each.members, each.representative)} too"
        for each in verdict.clusters
        if len(each.members) > 1
    ]


def _some_of(members: tuple[str, ...], representative: str) -> str:
    others = [one_line(member, 60) for member in members if member != representative]
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    return ", ".join(f'"{other}"' for other in others[:3]) + more


def _spread(verdict: Verdict) -> str:
    """How far the meanings are apart, where texts were clustered by it."""
    entropy = verdict.semantic_entropy
    return "" if entropy is None else f", semantic entropy {entropy:.2f}"


def endings(runs: Runs) -> str:
    """How the runs ended that cast no vote; empty where all did."""
    parts = [
        f"{number} {what}"
        for number, what in (
            (runs.spoiled, "spoiled"),
            (runs.failed, "failed"),
            (runs.cancelled, "cancelled"),
            (runs.unasked, "never asked"),
        )
        if number
    ]
    return ", ".join(parts)


def stopping(verdict: Verdict) -> str:
    """What cut the asking short, in words; empty where every run was asked."""
    return {
        "all": "",
        "rule": f"stopped by the rule {verdict.stopped.rule}",
        "deadline": "stopped by the deadline",
        "budget": "stopped by the budget",
        "limit": "stopped by a spent limit",
        "interrupt": "interrupted",
    }[verdict.stopped.by]


def tiers(verdict: Verdict) -> list[str]:
    """A line for each tier of a cascade: its models, its headline and what it cost."""
    return [
        f"tier {place} ({', '.join(map(clean, tier.models))}): {headline(tier)}; "
        f"{costs(tier, sum(event.kind == 'asked' for event in tier.events))}"
        for place, tier in enumerate(verdict.tiers, 1)
    ]


def costs(verdict: Verdict, calls: int) -> str:
    """Calls, tokens and US dollars, and what that is against a single call. A journal and stored votes do not
    tell of calls."""
    parts = [] if verdict.ballots and not calls else [count(calls, "call")]
    usage = verdict.usage
    if usage.input_tokens is not None and usage.output_tokens is not None:
        parts.append(f"{usage.input_tokens:,} + {usage.output_tokens:,} tokens")
    parts.append("price unknown" if verdict.cost_usd is None else f"US$ {verdict.cost_usd:.6f}")
    return f"{', '.join(parts)} (about {calls} x one call)" if calls > 1 else ", ".join(parts)


def reasons(verdict: Verdict) -> list[str]:
    """A line for every distinct way in which runs failed or spoiled their ballots, with how many did."""
    seen: dict[str, int] = {}
    for ballot in verdict.ballots:
        if ballot.spoiled is not None:
            line = f"spoiled: {one_line(ballot.spoiled, 160)}"
            seen[line] = seen.get(line, 0) + 1
    for failure in verdict.failures:
        line = f"failed ({failure.kind}): {one_line(failure.message, 300)}"
        seen[line] = seen.get(line, 0) + 1
    return [f"{count(number, 'run')} {line}" for line, number in seen.items()]


def dissent(verdict: Verdict, width: int = 300) -> list[tuple[str, str]]:
    """(choice, shortest text) for every choice that did not win, so that its reasons can be read."""
    shortest: dict[str, str] = {}
    for ballot in verdict.ballots:
        if ballot.choice is None or ballot.choice == verdict.answer:
            continue
        text = ballot.text.strip()
        if ballot.choice not in shortest or len(text) < len(shortest[ballot.choice]):
            shortest[ballot.choice] = text
    return [(one_line(choice, 60), one_line(text, width)) for choice, text in shortest.items()]
