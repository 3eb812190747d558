"""What a miss says: the nearest recorded request, and what differs. Pure.

Everything shown comes from requests that are scrubbed, is cut to a few words, and holds no character
that a terminal would act upon.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from fanin.taping.bodies import Body
from fanin.taping.recording import Interaction, TapedRequest

_DIFFERENCES_SHOWN = 4
_COMPARED = 20
_WORDS_AROUND = 3


def explain(
    recorded: Sequence[Interaction],
    request: TapedRequest,
    run: int | None,
    places: Sequence[int],
    asked: int,
) -> str:
    """One short paragraph on why `request`, made for `run`, is not on the tape.

    `places`: where equal requests of that run lie in `recorded`; `asked`: how many times it has been
    asked by now.
    """
    who = "a call" if run is None else f"run {run}"
    what = f"{printable(request.method)} {printable(request.url)}"
    if places:
        return (
            f"{who} asks {what} {_times(asked)}, and it was recorded {_times(len(places))} "
            f"(interaction {places[-1] + 1})."
        )
    place, near = _nearest(recorded, request, run)
    whose = "a call without a run" if near.run is None else f"run {near.run}"
    found = f"{who} asks what is not on the tape ({what}). The nearest is interaction {place + 1}, of {whose}"
    differences = _differences(request, near.request)
    if not differences:
        return f"{found}: the same request, and the tape holds none of {who}."
    shown = differences[:_DIFFERENCES_SHOWN]
    if len(differences) > len(shown):
        shown.append(f"and {len(differences) - len(shown)} more")
    return f"{found}. What differs: {'; '.join(shown)}."


def printable(text: str) -> str:
    """The text with every character that is not printable written as an escape."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _nearest(
    recorded: Sequence[Interaction], request: TapedRequest, run: int | None
) -> tuple[int, Interaction]:
    own = [(place, each) for place, each in enumerate(recorded) if each.run == run]
    ranked = sorted(own or enumerate(recorded), key=lambda each: -_likeness(each[1].request, request))
    best = _likeness(ranked[0][1].request, request)
    rivals = [each for each in ranked[:_COMPARED] if _likeness(each[1].request, request) == best]
    if len(rivals) == 1:
        return rivals[0]
    text = _text(request.body)
    return max(
        rivals, key=lambda each: SequenceMatcher(None, _text(each[1].request.body), text).quick_ratio()
    )


def _likeness(one: TapedRequest, other: TapedRequest) -> int:
    """How much two requests have in common: their address counts most, then the model."""
    points = 8 * (one.method == other.method) + 8 * (one.url == other.url)
    a, b = _members(one.body), _members(other.body)
    points += 4 * ("model" in a and a["model"] == b.get("model"))
    return points + sum(name in b and b[name] == value for name, value in a.items())


def _members(body: Body | None) -> dict[str, object]:
    return body.value if body is not None and isinstance(body.value, dict) else {}


def _text(body: Body | None) -> str:
    if body is None:
        return ""
    return (json.dumps(body.value, ensure_ascii=False) if body.kind == "json" else str(body.value))[:4000]


def _differences(now: TapedRequest, then: TapedRequest) -> list[str]:
    found = []
    for name, a, b in (("method", now.method, then.method), ("URL", now.url, then.url)):
        if a != b:
            found.append(f"the {name} is {_short(a)}, on the tape {_short(b)}")
    if now.body is None or then.body is None or not now.body.kind == then.body.kind == "json":
        a, b = _whole(now.body), _whole(then.body)
        return found + ([_changed("the body", a, b)] if a != b else [])
    asked, taped = _leaves(now.body.value), _leaves(then.body.value)
    both = [path for path in asked if path in taped]
    # What both have and differ in says more than what one of them lacks.
    found += [_changed(path, asked[path], taped[path]) for path in both if _differ(asked[path], taped[path])]
    found += [
        f"{_cut(path)} is {_short(asked[path])}, not on the tape" for path in asked if path not in taped
    ]
    found += [
        f"{_cut(path)} is missing, on the tape {_short(taped[path])}" for path in taped if path not in asked
    ]
    return found


def _differ(now: object, then: object) -> bool:
    # In JSON, unlike in Python, true is not 1 and 1.0 is written differently from 1.
    return json.dumps(now) != json.dumps(then)


def _whole(body: Body | None) -> str:
    return "" if body is None else body.to_bytes().decode("utf-8", "replace")


def _leaves(value: object, path: str = "") -> dict[str, object]:
    """What stands at the ends of a JSON value, by path: `messages[1].content`."""
    children: list[tuple[str, object]] = []
    if isinstance(value, dict):
        children = [(_member(path, name), item) for name, item in value.items()]
    elif isinstance(value, list):
        children = [(f"{path}[{at}]", item) for at, item in enumerate(value)]
    if not children:
        return {path: value}
    return {leaf: end for name, item in children for leaf, end in _leaves(item, name).items()}


def _member(path: str, name: str) -> str:
    if not name.isidentifier():
        return f"{path}[{json.dumps(name, ensure_ascii=False)}]"
    return f"{path}.{name}" if path else name


def _changed(path: str, now: object, then: object) -> str:
    long = isinstance(now, str) and isinstance(then, str) and (" " in now or " " in then)
    if not long:
        return f"{_cut(path)} is {_short(now)}, on the tape {_short(then)}"
    return f'{_cut(path)} reads "{_words_changed(str(now), str(then))}" ({{+now+}}, [-on the tape-])'


def _words_changed(now: str, then: str) -> str:
    a, b = re.findall(r"\S+|\s+", now), re.findall(r"\S+|\s+", then)
    start = _common(a, b)
    end = _common(a[start:][::-1], b[start:][::-1])
    before, after = a[max(0, start - 2 * _WORDS_AROUND) : start], a[len(a) - end :][: 2 * _WORDS_AROUND]
    new, old = "".join(a[start : len(a) - end]), "".join(b[start : len(b) - end])
    change = (f"[-{_cut(old)}-]" if old else "") + (f"{{+{_cut(new)}+}}" if new else "")
    lead = "..." if start > len(before) else ""
    trail = "..." if end > len(after) else ""
    return f"{lead}{_flat(before)}{change}{_flat(after)}{trail}"


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """How many words both begin with."""
    for at, (one, other) in enumerate(zip(a, b, strict=False)):
        if one != other:
            return at
    return min(len(a), len(b))


def _flat(words: Sequence[str]) -> str:
    return _cut("".join(" " if word.isspace() else word for word in words))


def _short(value: object) -> str:
    return _cut(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _cut(text: str) -> str:
    text = printable(text[:80])
    return text if len(text) <= 60 else f"{text[:57]}..."
