"""Typed answers, pure: how to ask for one, how to read it, when two are the same.

An answer type is any frozen object with the members of `Answer`; the four methods a type of one's
own has to bring are `instruction`, `read`, `same` and `show`.
"""

from __future__ import annotations

from fanin.answers.choice import Choice
from fanin.answers.number import Number
from fanin.answers.protocol import Answer, Spoiled
from fanin.answers.text import Text
from fanin.answers.yes_no import YesNo

__all__ = ["Answer", "Choice", "Number", "Spoiled", "Text", "YesNo"]
