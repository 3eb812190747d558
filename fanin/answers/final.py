"""Where in a whole reply the final answer stands: after the thoughts, on the last answer line or in a box.

Everything here takes time in proportion to the length of the reply, whatever is in it.
"""

from __future__ import annotations

import re

import attrs

# Full-width forms alone: they are one character for one, so that places stay where they are.
_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}

_THOUGHT = re.compile(r"<(/?)think(?:ing)?\s{0,3}>", re.IGNORECASE)
_LABEL = re.compile(r"(?<![^\W_])answer(?![^\W_])", re.IGNORECASE)  # also _Answer_
_WINDOW = 80  # characters before the word in which its line or sentence must begin
_BEFORE = re.compile(
    # At the beginning of a line: a quotation, header, bullet or number in a list. `9. ` after a colon is
    # no number in a list but what stands before.
    r"(?:^(?:[\s>#+|~-]|\*(?=\s)|\d{1,2}[.)]\s){0,20}"
    r"|(?:[.!?;:)*\u2026]\s|\u3002)(?:[\s>#+|~-]|\*(?=\s)){0,20})"
    r"(?P<opened>[*_`\"']{0,4})"
    r"(?:(?:so|thus|therefore|hence|and),? {1,2})?(?:(?:the|my) {1,2})?(?:(?:final|correct) {1,2})?\Z",
    re.IGNORECASE | re.MULTILINE,
)
_AFTER = re.compile(r"[*_`\"']{0,4}(?: {0,2}\([^()\n]{0,40}\))?(?: is)?[*_`\"' ]{0,6}:", re.IGNORECASE)
_HEADING = re.compile(r"[*_ ]{0,8}(?=\n)")
_PHRASE = re.compile(r"\A *(?:(?:the|my) )?(?:final |correct )?answer is:? ", re.IGNORECASE)
_BRACE = re.compile(r"(?P<box>\\(?:boxed|fbox)\s{0,3}\{)|\\[{}]|[{}]")
_AROUND_BOX = re.compile(r"\\[a-zA-Z]{1,12}\s{0,3}\{|\}|\$|\\[()\[\]]")
_FENCE = re.compile(r"\s*(?:```|~~~)\w*\s*")
_OPENS_CODE = re.compile(r"\s*(?:```(?!.*```)|~~~(?!.*~~~))")


@attrs.frozen
class Final:
    """A final answer as it stands in a reply."""

    texts: tuple[str, ...]
    """What claims to be the answer, at least one text: all have to say the same."""
    beside: str = ""
    """What else stands on the answer line, without the markup around a box."""


def without_thoughts(reply: str) -> str:
    """The reply without what comes before the last `</think>` or after a `<think>` that never ends."""
    start, begin = 0, None
    for tag in _THOUGHT.finditer(reply):
        if tag[1]:
            start, begin = tag.end(), None
        elif begin is None:
            begin = tag.start()
    return reply[start:begin]


def final_answer(reply: str) -> Final | None:
    """The last answer line or `\\boxed{}` of a reply without thoughts, whichever comes later; None if none.

    An answer line holds `Answer:` or `Final answer:` at the beginning of a line or sentence, in any markdown;
    where nothing follows on its line, the next line that says something counts.
    """
    reply = reply.replace("\r\n", "\n").replace("\r", "\n")
    boxes = _boxes(reply)
    last_box_line = _line_start(reply, boxes[-1][0]) if boxes else -1
    labels = _last_labels(reply)
    if labels and labels[0].begin >= last_box_line:
        return _labelled(reply, labels, [box for box in boxes if box[0] >= labels[0].begin])
    if not boxes:
        return None
    return Final(tuple(reply[start:end] for start, end in boxes if start >= last_box_line))


def lone_line(reply: str) -> str | None:
    """The reply where it is one line, in a code fence or not; None where it is none or more."""
    lines = [line for line in reply.splitlines() if line.strip() and not _FENCE.fullmatch(line)]
    return lines[0].strip() if len(lines) == 1 else None


@attrs.frozen
class _Label:
    """One `Answer:`: where its sentence begins, where its text begins, and what markup is open there."""

    sentence: int
    begin: int
    opened: str


def _last_labels(reply: str) -> list[_Label]:
    """The labels on the last line that has any, in order."""
    narrow = reply.translate(_NARROW)
    labels: list[_Label] = []
    line = 0
    for word in reversed(list(_LABEL.finditer(narrow))):
        if word.start() < line:
            break
        if label := _label(narrow, word):
            line = line if labels else _line_start(narrow, word.start())
            labels.append(label)
    return labels[::-1]


def _label(narrow: str, word: re.Match[str]) -> _Label | None:
    after = _AFTER.match(narrow, word.end()) or _HEADING.match(narrow, word.end())
    if after is None:
        return None
    before = _BEFORE.search(narrow, max(0, word.start() - _WINDOW), word.start())
    if before is None or not (after[0].endswith(":") or before["opened"] or "#" in before[0]):
        return None
    closed = set(before["opened"]) & set(after[0])
    return _Label(before.start(), after.end(), "" if closed else before["opened"])


def _labelled(reply: str, labels: list[_Label], boxes: list[tuple[int, int]]) -> Final:
    begin = labels[0].begin
    line_end = _line_end(reply, begin)
    if boxes:
        # `Final answer: Answer: \boxed{x}` has nothing beside the box.
        taken = sorted([*boxes, *((label.sentence + 1, label.begin) for label in labels[1:])])
        beside, end = [], begin
        for start, then in (*taken, (max(line_end, boxes[-1][1]), len(reply))):
            beside.append(reply[end:start])
            end = max(end, then)
        return Final(tuple(reply[start:end] for start, end in boxes), _AROUND_BOX.sub(" ", " ".join(beside)))
    ends = [*(label.sentence + 1 for label in labels[1:]), line_end]
    texts = [
        reply[label.begin : end].replace(label.opened, "", 1) for label, end in zip(labels, ends, strict=True)
    ]
    # `Final answer: Answer: yes` says it once.
    said = [text for text in texts if text.strip()] or [_next_line(reply, line_end)]
    return Final(tuple(_PHRASE.sub("", text, count=1) for text in said))


def _next_line(reply: str, place: int) -> str:
    """The next line with a letter or a digit that opens no code; empty where there is none."""
    lines = reply[place:].split("\n")
    return next((line for line in lines if any(map(str.isalnum, line)) and not _OPENS_CODE.match(line)), "")


def _boxes(reply: str) -> list[tuple[int, int]]:
    """Where the contents of the outermost `\\boxed{}` begin and end, in order; a box never closed is none."""
    if "\\boxed" not in reply and "\\fbox" not in reply:
        return []
    open_braces: list[int] = []
    boxes: list[tuple[int, int]] = []
    for brace in _BRACE.finditer(reply):
        if brace["box"] or brace[0] == "{":
            open_braces.append(brace.end() if brace["box"] else -1)
        elif brace[0] == "}" and open_braces and (start := open_braces.pop()) >= 0:
            while boxes and boxes[-1][0] > start:
                boxes.pop()
            boxes.append((start, brace.start()))
    return boxes


def _line_start(reply: str, place: int) -> int:
    return reply.rfind("\n", 0, place) + 1


def _line_end(reply: str, place: int) -> int:
    end = reply.find("\n", place)
    return len(reply) if end < 0 else end
