"""The language of the fake's scripts, pure: a text in, frozen items out.

    script   item , item , ...        run i gets item i, modulo their number
    item     answer > answer > ...    the successive calls of one run; the last one stays
             ... =N                   at an item's end, on every item or on none: its weight, and a
                                      run draws its item by its seed
    answer   text                     the whole text of the completion
             !NAME or !429:N          a fault, see FAULTS
             !call:NAME{JSON}         a tool call with its arguments, or several in a row
             ... @N                   at an answer's end: it takes N seconds

Spaces around an item or an answer do not count. What stands in `"quotes"` or `{braces}` is taken as
it is written, so JSON needs no escapes. Elsewhere `\\n` is a new line, `\\` before any other letter or
digit is itself (`\\boxed{4}`), and `\\` before anything else takes its meaning away: `\\,` `\\>` `\\!` `\\@`
`\\=` `\\"` `\\{` `\\\\`. `escape` does that for any text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import attrs

from fanin.errors import CallError, FailureKind, InputError
from fanin.policy.variation import unit
from fanin.values import Finish, ToolCall


@attrs.frozen
class Fault:
    """What the fake raises in place of an answer: the fields of a `CallError`."""

    kind: FailureKind
    message: str
    status: int | None = None
    retry_after_s: float | None = None
    final: bool = False
    exhausted: bool = False

    def error(self) -> CallError:
        """A new error: an exception holds its own traceback and cannot be shared between runs."""
        return CallError(
            self.kind,
            self.message,
            status=self.status,
            retry_after_s=self.retry_after_s,
            final=self.final,
            exhausted=self.exhausted,
        )


@attrs.frozen
class Step:
    """One answer of an item: a text, or a fault."""

    text: str = ""
    """The whole text of the completion."""
    finish: Finish = "stop"
    """Why the model ended."""
    tool_calls: tuple[ToolCall, ...] = ()
    """What the model asks to have called; their ids are the fake's to give."""
    fault: Fault | None = None
    """What is raised instead; None where the model answers."""
    latency_s: float = 0.0
    """How long the call takes, in seconds."""


FAULTS: dict[str, Step] = {
    "429": Step(fault=Fault("rate_limit", "The fake is asked too often.", 429)),
    "500": Step(fault=Fault("server", "The fake has an error of its own.", 500)),
    "auth": Step(fault=Fault("auth", "The fake refuses the key.", 401, final=True)),
    "connection": Step(fault=Fault("connection", "The fake cannot be reached.")),
    "cut": Step("Let me think about it step by step. First of all,", "length"),
    "empty": Step(""),
    "html": Step(fault=Fault("malformed", "The fake sent a web page instead of JSON.", 200)),
    "quota": Step(fault=Fault("quota", "The fake's quota is spent.", 429, final=True, exhausted=True)),
    "refusal": Step("I'm sorry, but I can't help with that.", "refusal"),
    "timeout": Step(fault=Fault("timeout", "The fake ran out of its time.")),
}
"""Fault name -> what comes of it. `!timeout` fails at once; `!429:2.5` asks to wait 2.5 seconds."""


@attrs.frozen
class Item:
    """What one run gets: the answers to its successive calls."""

    steps: tuple[Step, ...]
    """At least one; call k gets step k, and the last one from then on."""
    weight: float | None = None
    """How often it is drawn, relative to the others; None where runs take turns."""

    def step(self, attempt: int) -> Step:
        """The answer to the call number `attempt`, counted from 1."""
        return self.steps[min(attempt, len(self.steps)) - 1]


@attrs.frozen
class Script:
    """A whole script: its items, all of them with a weight or none."""

    items: tuple[Item, ...]

    def item(self, index: int, seed: int | None) -> Item:
        """The item of run `index`; a draw looks at `seed`, and at the index where there is none."""
        if self.items[0].weight is None:
            return self.items[index % len(self.items)]
        weights = [item.weight or 0.0 for item in self.items]
        point = unit("draw", index if seed is None else seed) * sum(weights)
        drawn = self.items[0]
        for item, weight in zip(self.items, weights, strict=True):
            if weight:
                drawn = item
            if point < weight:
                break
            point -= weight
        return drawn


def parse(script: str) -> Script:
    """The items of a script, split at its commas; an empty one is `yes`. Raises InputError."""
    if not script.strip():
        script = "yes"
    return _script(script, [_item(script, parts) for parts in _split(script, commas=True)])


def parse_items(items: Sequence[str]) -> Script:
    """The same for items that are already apart: their commas are plain text. Raises InputError."""
    if not items or not all(isinstance(item, str) for item in items):
        raise InputError("script", "a text, or a list of texts with at least one", items)
    return _script(items, [_item(item, parts) for item in items for parts in _split(item, commas=False)])


def escape(text: str) -> str:
    """The script of one item that answers exactly `text`, whatever it holds."""

    def quoted(found: re.Match[str]) -> str:
        return "".join("\\n" if char == "\n" else f"\\{char}" for char in found[0])

    return re.sub(r'[\\,>{"!@=\n]|\A\s+|\s+\Z', quoted, text) or "!empty"


@attrs.frozen
class _Text:
    """A piece of a script: what it says, and beside it the characters that keep a meaning.

    The two are of one length; in `marks` every character that is only text is a backslash.
    """

    says: str
    marks: str

    def __getitem__(self, part: slice) -> _Text:
        return _Text(self.says[part], self.marks[part])

    def strip(self) -> _Text:
        start = len(self.marks) - len(self.marks.lstrip())
        return self[start : max(start, len(self.marks.rstrip()))]


_TOKEN = re.compile(r'\\.|"(?:\\.|[^"\\])*"|[^\\"{},>]+|.', re.DOTALL)
_SUFFIX = re.compile(r"([@=])([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\Z")


def _split(script: str, *, commas: bool) -> Iterator[list[_Text]]:
    """Cuts a script at its commas (if they count) into items, and each of those at `>` into answers."""
    item: list[_Text] = []
    says = marks = ""
    depth = 0
    for token in _TOKEN.findall(script):
        if token == '"':
            raise InputError("script", 'closed at every quote (\\" is a plain one)', script)
        depth += (token == "{") - (token == "}" and depth > 0)
        if depth == 0 and (token == ">" or (token == "," and commas)):
            item.append(_Text(says, marks).strip())
            says = marks = ""
            if token == ",":
                yield item
                item = []
            continue
        verbatim = depth > 0 or token[0] in '"}'
        text = token if verbatim or token[0] != "\\" else _unescaped(token)
        says += text
        marks += "\\" * len(text) if verbatim or token[0] == "\\" else text
    if depth:
        raise InputError("script", "closed at every brace (\\{ is a plain one)", script)
    yield [*item, _Text(says, marks).strip()]


def _unescaped(token: str) -> str:
    if token == "\\n":
        return "\n"
    return token if token[1:].isalnum() else token[1:] or token


def _item(script: str, parts: list[_Text]) -> Item:
    steps = []
    weight: float | None = None
    for place, part in enumerate(parts, start=1):
        latency_s: float | None = None
        while suffix := _SUFFIX.search(part.marks):
            if suffix[1] == "@" and latency_s is None:
                latency_s = _number("latency", suffix[2])
            elif suffix[1] == "=" and weight is None and place == len(parts):
                weight = _number("weight", suffix[2])
            else:
                break
            part = part[: suffix.start()].strip()
        steps.append(attrs.evolve(_step(script, part), latency_s=latency_s or 0.0))
    return Item(tuple(steps), weight)


def _step(script: str, part: _Text) -> Step:
    if not part.says:
        raise InputError("script", "of items that are not empty (!empty is an empty answer)", script)
    if not part.marks.startswith("!"):
        return Step(part.says)
    if part.marks.startswith("!call"):
        return Step(finish="tool_calls", tool_calls=_calls(part))
    name, colon, wait = part.says[1:].partition(":")
    step = FAULTS.get(name)
    if step is None:
        raise _unknown(name, part.says)
    if not colon:
        return step
    if name != "429" or not re.fullmatch(r"[0-9]+(\.[0-9]+)?", wait):
        raise InputError("fault", "!429:SECONDS where it has a value", part.says)
    return Step(fault=Fault("rate_limit", "The fake is asked too often.", 429, _number("wait", wait)))


_CALL = re.compile(r"!call:([a-zA-Z0-9_.-]+)\s*")


def _calls(part: _Text) -> tuple[ToolCall, ...]:
    """The calls of an answer. What stands between one's name and the next one is its arguments."""
    heads = list(_CALL.finditer(part.marks))
    ends = [*(head.start() for head in heads), len(part.says)][1:]
    given = [part.says[head.end() : end].strip() or "{}" for head, end in zip(heads, ends, strict=True)]
    if not heads or heads[0].start() or any(each[0] + each[-1] != "{}" for each in given):
        raise InputError("tool call", 'of the form !call:NAME{"argument":"value"}', part.says)
    return tuple(ToolCall("", head[1], each) for head, each in zip(heads, given, strict=True))


def _unknown(name: str, written: str) -> InputError:
    import difflib

    near = difflib.get_close_matches(name, FAULTS, n=1, cutoff=0.5)
    guess = f"Did you mean !{near[0]}? " if near else ""
    known = ", ".join(f"!{name}" for name in FAULTS)
    return InputError(
        "fault", f"one of {known}", written, mend=f"{guess}A text that begins with ! is written \\!."
    )


def _number(field: str, digits: str) -> float:
    value = float(digits)
    if value > 1e6:
        raise InputError(field, "from 0 to 1000000", digits)
    return value


def _script(source: object, items: list[Item]) -> Script:
    weights = [item.weight for item in items if item.weight is not None]
    if weights and len(weights) < len(items):
        mend = "A text that ends like a weight is written with \\=, as in x\\=3."
        raise InputError("script", "of items that all have a weight =N, or none", source, mend=mend)
    if weights and not sum(weights):
        raise InputError("script", "of items with a weight above 0 among them", source)
    return Script(tuple(items))
