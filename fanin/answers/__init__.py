"""Typed answers, pure: how to ask for one, how to read it, when two are the same.

An answer type is any frozen object with the members of `Answer`; the four methods a type of one's
own has to bring are `instruction`, `read`, `same` and `show`. A type is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fanin.answers.protocol import Answer, Spoiled

if TYPE_CHECKING:
    from fanin.answers.choice import Choice
    from fanin.answers.date import Date
    from fanin.answers.labels import Labels
    from fanin.answers.number import Number
    from fanin.answers.text import Text
    from fanin.answers.yes_no import YesNo

__all__ = ["Answer", "Choice", "Date", "Labels", "Number", "Spoiled", "Text", "YesNo"]


def __getattr__(name: str) -> Any:
    if name == "Choice":
        from fanin.answers.choice import Choice

        return Choice
    if name == "Date":
        from fanin.answers.date import Date

        return Date
    if name == "Labels":
        from fanin.answers.labels import Labels

        return Labels
    if name == "Number":
        from fanin.answers.number import Number

        return Number
    if name == "Text":
        from fanin.answers.text import Text

        return Text
    if name == "YesNo":
        from fanin.answers.yes_no import YesNo

        return YesNo
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
