"""Which texts came before, in 24 to 48 bytes a text, however long the texts are."""

from __future__ import annotations

from array import array
from hashlib import blake2b

_SMALLEST = 1024


class Fingerprints:
    """Texts by a fingerprint of 64 bits, each with one number: a hash table in two arrays.

    Two different texts have one fingerprint with a chance of n^2 / 2^65: of a million texts, once in
    37 million files.
    """

    def __init__(self) -> None:
        self._prints = array("Q", bytes(8 * _SMALLEST))  # 0 is an empty place
        self._numbers = array("Q", bytes(8 * _SMALLEST))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def get(self, text: str) -> int | None:
        """The number of that text; None where it has none."""
        print_ = _print(text)
        place = self._place(print_)
        return self._numbers[place] if self._prints[place] else None

    def put(self, text: str, number: int) -> int | None:
        """The number that the text has; None where it had none, and then it gets this one.

        `number`: 0 to 2**64 - 1.
        """
        print_ = _print(text)
        place = self._place(print_)
        if self._prints[place]:
            return self._numbers[place]
        self._prints[place], self._numbers[place] = print_, number
        self._count += 1
        if 3 * self._count > 2 * len(self._prints):
            self._grow()
        return None

    def count(self, text: str) -> int:
        """How often that text was counted before."""
        print_ = _print(text)
        place = self._place(print_)
        if not self._prints[place]:
            self.put(text, 1)
            return 0
        self._numbers[place] += 1
        return self._numbers[place] - 1

    def _place(self, print_: int) -> int:
        """Where it is, or the empty place where it would be."""
        last = len(self._prints) - 1
        place = print_ & last
        while self._prints[place] not in (0, print_):
            place = (place + 1) & last
        return place

    def _grow(self) -> None:
        prints, numbers = self._prints, self._numbers
        self._prints = array("Q", bytes(16 * len(prints)))
        self._numbers = array("Q", bytes(16 * len(prints)))
        for print_, number in zip(prints, numbers, strict=True):
            if print_:
                place = self._place(print_)
                self._prints[place], self._numbers[place] = print_, number


def _print(text: str) -> int:
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) or 1
