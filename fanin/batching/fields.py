"""From the fields of one record of the input to an item; no I/O here.

`question` is needed. `id`, `context`, `answer` (the name of a type), `choices` (a list, or `a,b,c` with `\\,`
for a comma inside one), `tolerance` and the names of `items.OPTIONS` may be there; all others are passed
over, since files of questions often hold more than what is asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from fanin.answers import Answer
from fanin.answers.auto import parse_answer
from fanin.batching.items import OPTIONS, BadItem, Item
from fanin.errors import InputError
from fanin.show import one_line

Id = str | int | None


class UnusableRecord(Exception):
    """What is wrong with a record, in one sentence."""


def item_of(fields: Mapping[str, Any], number: int) -> Item | BadItem:
    """The item that these fields make; a BadItem, which says what is wrong, where they make none."""
    name: Id = None
    try:
        name = id_of(fields.get("id"))
        question = fields.get("question")
        if question is None:
            raise UnusableRecord(f"it has no question; its fields are: {_names(fields)}")
        return Item(
            number=number,
            id=name,
            question=_text("question", question),
            context=None if fields.get("context") is None else _text("context", fields["context"]),
            answer=_answer(fields),
            options=_options(fields),
        )
    except UnusableRecord as problem:
        return BadItem(number, name, str(problem))
    except InputError as error:
        return BadItem(number, name, one_line(error.message, 300))


def item_given(given: object, number: int) -> Item | BadItem:
    """The item that a program means: a text is its question, a mapping its fields."""
    if isinstance(given, str):
        return Item(number, None, given)
    if isinstance(given, Mapping):
        return item_of(given, number)
    return BadItem(number, None, f"a question is a text, an Item or its fields, not {_shown(given)}")


def id_of(value: Any) -> Id:
    """An id as it was given. Raises UnusableRecord for what is neither a text nor a whole number."""
    if value is None or (isinstance(value, (str, int)) and not isinstance(value, bool)):
        return value
    raise UnusableRecord(f"its id must be a text or a whole number, not {_shown(value)}")


def cells_as_fields(cells: Mapping[str, str]) -> dict[str, Any]:
    """The cells of a table as fields: an empty one is not there, and what has to be a number is one."""
    fields: dict[str, Any] = {name: cell for name, cell in cells.items() if cell.strip()}
    for name, cell in fields.items():
        if name in _NUMBERS:
            fields[name] = _number(cell)
    return fields


_NUMBERS = frozenset({"tolerance", *OPTIONS}) - {"model", "system"}


def _number(cell: str) -> Any:
    """The number that a cell holds; the cell itself where it holds none, for whoever checks it to say so."""
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or (name == "question" and not value.strip()):
        raise UnusableRecord(
            f"its {name} must be a text{' that is not blank' * (name == 'question')}, not {_shown(value)}"
        )
    return value


def _options(fields: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    for name in ("model", "system"):
        value = fields.get(name)
        several = isinstance(value, list) and value and all(isinstance(one, str) for one in value)
        if not (value is None or isinstance(value, str) or several):
            raise UnusableRecord(f"its {name} must be a text or a list of texts, not {_shown(value)}")
    return tuple((name, value) for name, value in fields.items() if name in OPTIONS and value is not None)


def _answer(fields: Mapping[str, Any]) -> Answer | None:
    answer, choices, tolerance = (fields.get(name) for name in ("answer", "choices", "tolerance"))
    if isinstance(choices, str):
        choices = re.split(r"(?<!\\),", choices)
        choices = [choice.replace("\\,", ",").strip() for choice in choices]
    if choices is not None and not (isinstance(choices, list) and all(isinstance(c, str) for c in choices)):
        raise UnusableRecord(f"its choices must be a list of texts, not {_shown(choices)}")
    if answer is not None and not isinstance(answer, str):
        raise UnusableRecord(f"its answer must be the name of a type of answer, not {_shown(answer)}")
    if tolerance is not None and (isinstance(tolerance, bool) or not isinstance(tolerance, (int, float))):
        raise UnusableRecord(f"its tolerance must be a number, not {_shown(tolerance)}")
    return _built(answer, None if choices is None else tuple(choices), tolerance)


@lru_cache(maxsize=1024)
def _built(answer: str | None, choices: tuple[str, ...] | None, tolerance: float | None) -> Answer | None:
    """The answer type, one object for all the items that ask alike."""
    from fanin.answers import Choice, Number

    if choices is not None:
        if answer is not None or tolerance is not None:
            raise UnusableRecord(
                "its choices already say what the answers are: leave answer and tolerance out"
            )
        return Choice(choices)
    if tolerance is not None:
        if answer is None or not isinstance(parse_answer(answer), Number):
            raise UnusableRecord("its tolerance goes with the answer number")
        return Number(abs_tol=tolerance)
    return None if answer is None or answer == "auto" else parse_answer(answer)


def _names(fields: Mapping[str, Any]) -> str:
    return one_line(", ".join(map(str, fields)), 120) or "none"


def _shown(value: Any) -> str:
    return one_line(repr(value), 60)
