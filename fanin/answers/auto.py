"""Which type of answer a question asks for, by its opening words or by a name."""

from __future__ import annotations

import re

from fanin.answers.protocol import Answer
from fanin.answers.text import Text
from fanin.answers.yes_no import YesNo
from fanin.errors import InputError

_NAMES = ("yes/no", "number", "text", "date", "quantity")
_ALIASES = {"yesno": "yes/no", "yes-no": "yes/no"}

_OPENS_LIKE_ONE = re.compile(
    r"\W*(?:(?:is|are|am|was|were|do|does|did|has|have|had|can|could|will|would|shall|should|may|might|must|ought)"
    r"(?:n['\u2019]?t)?|(?:ai|ca|wo|sha)n['\u2019]?t|cannot)\s",
    re.IGNORECASE,
)
# "Can you tell me who wrote it?" wants to know who.
_REQUEST = re.compile(
    r"\W*(?:can|could|will|would|do)\s+(?:you|we|i)\s+(?:please\s+)?"
    r"(?:know|tell|explain|list|name|give|say|show|write|describe|find|calculate|compute|summari[sz]e|translate)\b",
    re.IGNORECASE,
)
_ALTERNATIVE = re.compile(r"\bor\b(?!\s+not\b)", re.IGNORECASE)
_YES_OR_NO = re.compile(r"\byes\s+or\s+no\b", re.IGNORECASE)


def auto_answer(question: str) -> Answer:
    """Yes/no for a question that opens like one (`Is ...`, `Should ...`), text for every other.

    A question that offers alternatives (`Is it a whale or a fish?`) or asks to be told something
    (`Can you tell me who ...`) is text, however it opens; `or not` is no alternative.
    """
    question = _YES_OR_NO.sub("", question)
    if not _OPENS_LIKE_ONE.match(question) or _REQUEST.match(question) or _ALTERNATIVE.search(question):
        return Text()
    return YesNo()


def parse_answer(spec: str) -> Answer:
    """The answer type of that name, in any case: `yes/no`, `number`, `text` or `date`. Raises InputError.

    `quantity` needs a table of units, which is not to be had here: `fanin.voting.as_answer` knows it too.
    """
    name = spec.strip().casefold()
    match _ALIASES.get(name, name):
        case "yes/no":
            return YesNo()
        case "text":
            return Text()
        case "number":
            # Loaded when it is asked for: its patterns take time at every start.
            from fanin.answers.number import Number

            return Number()
        case "date":
            from fanin.answers.date import Date

            return Date()
    raise InputError("answer", f"one of {', '.join(_NAMES)}", spec, mend=_mend(name))


def _mend(name: str) -> str | None:
    from difflib import get_close_matches

    if name in ("choice", "choices"):
        return "Name the options to choose from: --choices a,b,c, or fanin.Choice([...])."
    if name in ("json", "labels"):
        return "Use fanin.Json(schema) or fanin.Labels([...]), on the command line --schema or --labels."
    near = get_close_matches(name, _NAMES, n=1, cutoff=0.5)
    return f"Did you mean {near[0]}?" if near else None
