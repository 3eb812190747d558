"""One of a few options."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from string import ascii_uppercase
from typing import Any

import attrs

from fanin.answers.normal import MAX_ANSWER, normalise, quote
from fanin.answers.protocol import Spoiled
from fanin.errors import InputError

MAX_OPTION = 300
"""The most characters of one option."""

_DRESS = "*_~`()[]{}<> "
_LABEL = re.compile(r"(?:option |choice )?[(\[]?([a-z])[.):\]]*")
_LABELLED = re.compile(r"(?:option |choice )?[(\[]?([a-z])(?:[.):\]]+| -) *(\S.*)")
_NO_EMPHASIS = str.maketrans("", "", "*_`")


def _stripped(options: Iterable[str]) -> tuple[str, ...]:
    if isinstance(options, str) or not isinstance(options, Iterable):
        raise InputError("options", "a list of texts", options)
    return tuple(option.strip() if isinstance(option, str) else option for option in options)


def _told_apart(_: Any, field: attrs.Attribute[Any], options: tuple[str, ...]) -> None:
    if len(options) < 2:
        raise InputError(field.name, "at least two", list(options))
    seen: dict[str, str] = {}
    for option in options:
        if not isinstance(option, str) or not normalise(option[:MAX_OPTION]):
            raise InputError(field.name, "texts that are not blank", option)
        if len(option) > MAX_OPTION or len(option.splitlines()) > 1:
            raise InputError(field.name, f"one line of at most {MAX_OPTION} characters each", option)
        form = normalise(option)
        if form in seen:
            raise InputError(
                field.name,
                "told apart by more than case, white space, quotes or dots",
                (seen[form], option),
                mend=f"Both read as {quote(form)}: leave one out or word it differently.",
            )
        seen[form] = option


@attrs.frozen
class Choice:
    """One of the options, in their declared spelling. Raises InputError unless they can be told apart."""

    options: tuple[str, ...] = attrs.field(converter=_stripped, validator=_told_apart)
    """At least two texts, no two of one normal form; white space around them does not count."""

    @cached_property
    def _forms(self) -> Mapping[str, str]:
        return {normalise(option): option for option in self.options}

    @property
    def name(self) -> str:
        """`choice`."""
        return "choice"

    @cached_property
    def labels(self) -> bool:
        """Whether runs are shown letters: not where an option looks like one, nor beyond 26 options."""
        lettered = any(_LABEL.fullmatch(form) or _LABELLED.fullmatch(form) for form in self._forms)
        return not lettered and len(self.options) <= len(ascii_uppercase)

    def instruction(self, order: Sequence[str]) -> str:
        """The options in the order given, and the form of the answer."""
        order = order or self.options
        if self.labels:
            lines = [f"{letter}. {option}" for letter, option in zip(ascii_uppercase, order, strict=False)]
            form = "the letter and the text of the option you choose"
        else:
            lines = [f"- {option}" for option in order]
            form = "the option you choose, word for word"
        return "\n".join(
            (
                "Options:",
                *lines,
                "",
                "First think step by step, in a few sentences. "
                f'Then end with one last line: "Answer: " and {form}.',
            )
        )

    def schema(self, order: Sequence[str]) -> Mapping[str, Any]:
        """One of the options' texts, in the order given."""
        return {"type": "string", "enum": list(order or self.options)}

    def read(self, text: str, order: Sequence[str]) -> str | Spoiled:
        """The option that the text is: its words, its letter in the order given, or both if they agree."""
        if len(text) > MAX_ANSWER:
            return Spoiled(f"none of the options: {quote(text)}")
        form = normalise(text)
        # Exact first: dress that belongs to an option, as in `A*`, must not be taken off.
        for candidate in (form, normalise(form.strip(_DRESS))):
            if candidate in self._forms:
                return self._forms[candidate]
        return self._read_label(_plain(form), tuple(order) or self.options, text)

    def _read_label(self, form: str, order: tuple[str, ...], text: str) -> str | Spoiled:
        # Options that are letters themselves take the part that letters play elsewhere.
        by_letter = dict(zip(ascii_uppercase.lower(), order, strict=False)) if self.labels else self._forms
        if (label := _LABEL.fullmatch(form)) and label[1] in by_letter:
            return by_letter[label[1]]
        labelled = _LABELLED.fullmatch(form)
        if labelled is None or labelled[1] not in by_letter:
            return Spoiled(f"none of the options: {quote(text)}")
        option = by_letter[labelled[1]]
        if self.labels and _plain(labelled[2]) != _plain(option):
            return Spoiled(f"the letter says {quote(option)}, the words do not: {quote(text)}")
        return option

    def same(self, choices: Sequence[str]) -> Mapping[str, str]:
        """Each is its own."""
        return {choice: choice for choice in choices}

    def show(self, choice: str) -> str:
        """The option as it was declared."""
        return choice


def _plain(text: str) -> str:
    """The normal form without any emphasis, as in `A. **whale**`."""
    return normalise(normalise(text).translate(_NO_EMPHASIS))
