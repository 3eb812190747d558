"""From a whole reply to one canonical answer, or to the reason why there is none.

Strict where it must be and forgiving where it may: a value in any dress counts, with an explanation after
it too, as long as that names no other value; a reply that could mean two things counts for neither.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice

from fanin.answers.final import Final, final_answer, lone_line, without_thoughts
from fanin.answers.normal import MAX_ANSWER, fold, normalise, quote
from fanin.answers.protocol import Answer, Spoiled, reads_reply
from fanin.answers.text import Text, is_refusal
from fanin.values import Completion, Finish

UNFINISHED: dict[Finish, str] = {
    "length": "cut off by length",
    "refusal": "refused",
    "content_filter": "stopped by a content filter",
}
"""Endings that cast no vote, whatever the text, with the reason."""
_EXPLAINS = re.compile(r"[,;.:](?=\s)| - | ?[\u2013\u2014] ?| ?\(")
_EDGES = "()[]{}<>\"'`*_.,;:!?"


def read_completion(
    completion: Completion, answer: Answer, order: Sequence[str], *, structured: bool = False
) -> str | Spoiled:
    """The canonical answer of a completion, or why there is none. Never raises, whatever the text.

    `order`: the options as this run saw them. `structured`: the reply is the JSON object that was asked
    for, and its `answer` counts.
    """
    if completion.finish in UNFINISHED:
        return Spoiled(UNFINISHED[completion.finish])
    if not completion.text.strip():
        return Spoiled("empty")
    if reads_reply(answer):
        return answer.read_reply(completion.text, structured=structured)
    read = read_structured if structured else read_reply
    return read(completion.text, answer, order)


def read_reply(reply: str, answer: Answer, order: Sequence[str]) -> str | Spoiled:
    """The answer on the last answer line; without one, the reply itself where it is a legal value."""
    reply = without_thoughts(reply)
    if not reply.strip():
        return Spoiled("thoughts and no answer")
    if isinstance(answer, Text) and answer.whole:
        return answer.read(reply, order)
    if final := final_answer(reply):
        return _read_final(final, answer, order)
    line = lone_line(reply)
    choice = Spoiled("no answer line") if line is None else answer.read(line, order)
    if isinstance(choice, Spoiled):
        return Spoiled("refused" if is_refusal(reply) else f"no answer line: {quote(reply)}")
    return choice


def read_structured(reply: str, answer: Answer, order: Sequence[str]) -> str | Spoiled:
    """The `answer` of a JSON object; numbers are read by their digits, so that nothing is rounded."""
    text = reply.strip()
    if not text.startswith("{"):
        lines = without_thoughts(reply).strip().splitlines()
        text = "\n".join(line for line in lines if not line.startswith("```"))
    try:
        # As texts, numbers of any length can be read; as tuples, objects keep a key that comes twice.
        fields = json.loads(
            text, strict=False, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=tuple
        )
    except (ValueError, RecursionError):
        return Spoiled(f"broken JSON: {quote(text)}")
    values = [value for key, value in fields if key == "answer"] if isinstance(fields, tuple) else []
    if not values:
        return Spoiled(f"no answer in the JSON: {quote(text)}")
    texts = [json.dumps(value) if isinstance(value, bool) else value for value in values]
    if not all(isinstance(text, str) for text in texts):
        return Spoiled(f"the JSON's answer is no text and no number: {quote(text)}")
    return _read_final(Final(tuple(texts)), answer, order)


def _read_final(final: Final, answer: Answer, order: Sequence[str]) -> str | Spoiled:
    first: str | None = None
    for text in dict.fromkeys(final.texts):
        choice = read_answer(text, answer, order)
        if isinstance(choice, Spoiled):
            return choice
        first = choice if first is None else first
        if _differ(first, choice, answer) or _names_another(final.beside, "", choice, answer, order):
            return Spoiled(f"more than one answer: {quote(' '.join((*final.texts[:20], final.beside)))}")
    assert first is not None, "a final answer has a text"
    return first


def _differ(one: str, other: str, answer: Answer) -> bool:
    return len(set(answer.same((one, other)).values())) > 1


def read_answer(text: str, answer: Answer, order: Sequence[str]) -> str | Spoiled:
    """The value that a text without reasoning is, or that it begins with if an explanation follows.

    `Yes, 1009 is prime` is yes; where the explanation names another legal value (`Yes, or no`), the answer
    is spoiled.
    """
    text = text.strip()
    if not text:
        return Spoiled("the answer line is empty")
    choice = answer.read(text, order)
    if isinstance(choice, str) or len(text) > MAX_ANSWER:
        return choice
    for head in _heads(text):
        leading = answer.read(head, order)
        if isinstance(leading, str):
            if not _names_another(text, head, leading, answer, order):
                return leading
            return Spoiled(f"more than one answer: {quote(text)}") if answer.options else choice
    return choice


_MOST_HEADS = 16
"""A value ends before the seventeenth mark that could end it, or it is none."""


def _heads(text: str) -> Iterator[str]:
    """What may be the value where an explanation follows, the longest first."""
    for cut in reversed(list(islice(_EXPLAINS.finditer(text), _MOST_HEADS))):
        head = text[: cut.start()].rstrip()
        # A letter and a dot are the label of what follows, which has to agree.
        if head and not (len(head) == 1 and head.isalpha() and cut[0] in ".:"):
            yield head


def _names_another(text: str, head: str, choice: str, answer: Answer, order: Sequence[str]) -> bool:
    """Whether what follows the head, which reads as `choice`, names another legal value."""
    if len(text) > MAX_ANSWER:
        return True
    if any(_names_option(text, head, choice, option) for option in answer.options if option != choice):
        return True
    words = (word.strip(_EDGES) for word in text[len(head) :].split())
    return any(_is_rival(word, choice, answer, order) for word in words if word)


def _names_option(text: str, head: str, choice: str, option: str) -> bool:
    """Whether the option stands in the text as words of its own, not wholly inside the head."""
    whole, lead = (" ".join(fold(part).split()) for part in (text, head))
    wanted, own = normalise(option), normalise(choice)
    if len(wanted) == 1:
        return False  # left to _is_rival, which tells A from the article
    if wanted in own:
        whole = whole[: len(lead)] + whole[len(lead) :].replace(own, " ")
    whole = f" {whole} "
    place = whole.find(wanted)
    while place >= 0:
        end = place + len(wanted)
        joined = (whole[place - 1] + wanted[0]).isalnum() or (wanted[-1] + whole[end]).isalnum()
        if not joined and end > len(lead) + 1:
            return True
        place = whole.find(wanted, place + 1)
    return False


def _is_rival(word: str, choice: str, answer: Answer, order: Sequence[str]) -> bool:
    """Whether a word of an explanation is another value: a letter, a number, but no option's text."""
    if (len(word) == 1 and word.islower()) or not (answer.options or any(map(str.isalnum, word))):
        return False
    other = answer.read(word, order)
    if isinstance(other, str):
        option_text = len(word) > 1 and other in answer.options and normalise(word) == normalise(other)
        return not option_text and _differ(other, choice, answer)
    # A number in no legal form, as in `10, 20%`.
    return not answer.options and any(map(str.isdigit, word))
