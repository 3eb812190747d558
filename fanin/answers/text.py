"""A free text, and when two of them count as the same: word for word, by their letters, or by meaning."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import attrs

from fanin.answers.normal import MAX_ANSWER, fold, normalise, quote, spelling
from fanin.answers.protocol import Spoiled
from fanin.clusters import ClusterBy
from fanin.errors import InputError

MAX_TEXT = 300
"""The most characters of a text answer that is compared word for word: longer ones are never the same."""
MAX_WHOLE = 20_000
"""The most characters of a reply that is an answer as a whole."""
NEAR = 0.8
"""The usual threshold of the cosine of two embeddings."""

CLUSTERS: tuple[str, ...] = get_args(ClusterBy)
_WITH_THRESHOLD = ("lexical", "embedding")

_REFUSAL = re.compile(
    r"(?:(?:i'm |i am )?sorry[,.]? (?:but )?|i apologi[sz]e[,.]? (?:but )?|unfortunately,? )?"
    r"(?:as an ai\b|(?:i'm|i am) (?:not able|unable) to\b"
    r"|i (?:cannot|can't|can not|won't|will not) "
    r"(?:help|assist|comply|answer|provide|fulfil|continue|discuss|engage|do that|determine)\b)"
)


def is_refusal(text: str) -> bool:
    """Whether the text opens as models do that decline to answer: `I'm sorry, but I can't help ...`."""
    return bool(_REFUSAL.match(normalise(text[:MAX_TEXT])))


def _cluster(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if value not in CLUSTERS:
        raise InputError(field.name, f"one of {', '.join(CLUSTERS)}", value, mend=_nearest(value, CLUSTERS))


def _select(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if value not in ("votes", "judge"):
        raise InputError(field.name, "votes or judge", value)


def _nearest(value: object, names: Sequence[str]) -> str | None:
    from difflib import get_close_matches

    near = get_close_matches(str(value), names, n=1)
    return f"Did you mean {near[0]}?" if near else None


@attrs.frozen
class Text:
    """A free text; texts of one normal form are always one, and `cluster` says which others are.

    The canonical spelling keeps the case and leaves off the dress: `"The Hague."` is `The Hague`.
    Spellings of one normal form are counted, and shown, as the most frequent of them; clusters as the one
    that is nearest to all others. Raises InputError for settings that do not go together.
    """

    cluster: ClusterBy = attrs.field(default="exact", validator=_cluster)
    """`exact`: nothing else is the same. `lexical`: nor what is nearly the same by its letters. `judge`: a
    model says whether two mean the same. `embedding`: vectors of a function that is given to the vote. The
    last two are found out after the runs have come back: this value alone compares word for word."""
    threshold: float | None = None
    """From how alike on two are the same, above 0, 1 at most: for `lexical` the share of trigrams, for
    `embedding` the cosine. None is the usual one, 0.7 and 0.8."""
    select: Literal["votes", "judge"] = attrs.field(default="votes", validator=_select)
    """`judge`: the whole reply is the answer, and a model picks the one most consistent with the others."""

    def __attrs_post_init__(self) -> None:
        value = self.threshold
        if value is None:
            return
        if self.cluster not in _WITH_THRESHOLD:
            raise InputError("threshold", f"left out where the cluster is {self.cluster}", value)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 < value <= 1:
            raise InputError("threshold", "a number above 0, and 1 at most", value)

    @property
    def name(self) -> str:
        """`text`."""
        return "text"

    @property
    def options(self) -> tuple[str, ...]:
        """Empty: they cannot be listed."""
        return ()

    @property
    def whole(self) -> bool:
        """Whether the whole reply is the answer, and no last line of it."""
        return self.select == "judge"

    @property
    def unsettled(self) -> bool:
        """Whether it has still to be found out which answers mean the same."""
        return self.cluster in ("judge", "embedding")

    def instruction(self, order: Sequence[str]) -> str:
        """The form of the answer: as short as it can be where it is compared word for word."""
        if self.whole:
            return "Give your whole answer, and nothing beside it."
        form = "in as few words as possible" if self.cluster == "exact" else "in one short sentence"
        return (
            "First think step by step, in a few sentences. "
            f'Then end with one last line: "Answer: " and the answer alone, {form}.'
        )

    def schema(self, order: Sequence[str]) -> Mapping[str, Any]:
        """A string."""
        return {"type": "string"}

    def read(self, text: str, order: Sequence[str]) -> str | Spoiled:
        """The text without its dress; spoiled where it is blank, a refusal or too long.

        Too long is more than MAX_TEXT characters, MAX_ANSWER with clusters, MAX_WHOLE where the whole reply
        is the answer: then its dress stays on as well.
        """
        alone = text.strip()
        most = MAX_WHOLE if self.whole else MAX_TEXT if self.cluster == "exact" else MAX_ANSWER
        if len(alone) > most:
            return Spoiled(f"longer than {most} characters: {quote(alone)}")
        choice = alone if self.whole else spelling(alone)
        if not choice.strip("."):
            return Spoiled("empty")
        if is_refusal(choice):
            return Spoiled(f"refused: {quote(alone)}")
        return choice

    def same(self, choices: Sequence[str]) -> Mapping[str, str]:
        """Those of one normal form are the most frequent spelling of it, of equals the first by text.

        Where they are clustered, each is the representative of its cluster. `choices` are the canonical
        answers of all ballots. The order of `choices` never matters.
        """
        votes = Counter(choices)
        forms = {choice: self.form(choice) for choice in votes}
        heads: dict[str, str] = {}
        for choice in sorted(sorted(votes), key=votes.__getitem__, reverse=True):
            heads.setdefault(forms[choice], choice)
        cast: Counter[str] = Counter()
        for choice, form in forms.items():
            cast[form] += votes[choice]
        counted_as = self._merged(heads, cast)
        return {choice: counted_as[form] for choice, form in forms.items()}

    def show(self, choice: str) -> str:
        """The canonical spelling."""
        return choice

    def form(self, choice: str) -> str:
        """What two spellings of one answer have in common."""
        # Peeling the dress off a whole reply would take too long, and make no two the same.
        return " ".join(fold(choice).split()) if self.whole else normalise(choice)

    def _merged(self, heads: Mapping[str, str], cast: Mapping[str, int]) -> Mapping[str, str]:
        """Normal form -> what it is counted as; `heads` is its spelling, `cast` its votes."""
        if self.cluster != "lexical" or len(heads) < 2:
            return heads
        # Loaded where it is asked for: exact texts are the usual ones.
        from fanin.answers.likeness import ALIKE, lexical_groups

        groups = lexical_groups(tuple(sorted(cast.items())), self.threshold or ALIKE)
        return {form: heads[group[0]] for group in groups for form in group}


@attrs.frozen
class SettledText(Text):
    """A text of which has been found out which answers mean the same."""

    groups: tuple[tuple[str, ...], ...] = ()
    """Normal forms that mean the same, the representative's first; a form in none is by itself."""

    @property
    def unsettled(self) -> bool:
        """No longer."""
        return False

    def _merged(self, heads: Mapping[str, str], cast: Mapping[str, int]) -> Mapping[str, str]:
        counted_as = dict(heads)
        for group in self.groups:
            there = [form for form in group if form in heads]
            counted_as |= dict.fromkeys(there, heads[there[0]]) if there else {}
        return counted_as


def check_as_it_stands(answer: object, field: str) -> None:
    """Raises InputError for a text that needs a judge or an embedding, where there is none."""
    if isinstance(answer, Text) and (answer.unsettled or answer.whole):
        bound = "a type whose answers are compared as they stand (a text: exact or lexical)"
        raise InputError(field, bound, answer)


def parse_cluster(spec: str) -> tuple[ClusterBy, float | None]:
    """The way of clustering and its threshold, as `lexical`, `lexical:0.8` or `judge`. Raises InputError."""
    name, colon, number = spec.strip().partition(":")
    try:
        threshold = float(number) if colon else None
    except ValueError:
        raise InputError("cluster", "NAME or NAME:NUMBER, such as lexical:0.8", spec) from None
    name = name.strip().casefold()
    for known in get_args(ClusterBy):
        if known == name:
            return known, threshold
    mend = _nearest(name, CLUSTERS)
    raise InputError("cluster", f"one of {', '.join(CLUSTERS)}", spec, mend=mend)
