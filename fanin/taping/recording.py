"""What a tape holds, as frozen values. Pure."""

from __future__ import annotations

import hashlib
import json
from typing import TypeAlias

import attrs

from fanin.errors import FailureKind
from fanin.taping.bodies import Body, to_stored

KEPT_HEADERS = ("content-encoding", "content-type", "location", "retry-after", "retry-after-ms")
"""The response headers that a tape keeps, besides all that begin with `x-ratelimit-`."""

Key: TypeAlias = tuple[bytes, "int | None"]
"""What tells two calls apart: the digest of the request, and the run where fanin made the call."""


@attrs.frozen
class TapedRequest:
    """A request as the tape holds it: without secrets and without volatile headers."""

    method: str
    """Upper case."""
    url: str
    """Without user, password, fragment and key parameters."""
    headers: dict[str, str]
    """`content-type` alone, where there is one. No part of the key."""
    body: Body | None
    """None: no body."""

    @property
    def canonical(self) -> str:
        """One text for all requests that are the same: JSON with sorted names."""
        body = None if self.body is None else to_stored(self.body)
        return json.dumps([self.method, self.url, body], sort_keys=True, separators=(",", ":"))

    @property
    def digest(self) -> bytes:
        """The SHA-256 of `canonical`."""
        return hashlib.sha256(self.canonical.encode("ascii")).digest()


@attrs.frozen
class TapedResponse:
    """What the server answered."""

    status: int
    """100 to 999."""
    headers: dict[str, str]
    """Kept ones alone, lower-case names; several of one name are joined with `, ` (RFC 9110, 5.3)."""
    body: Body | None
    """Decoded; None: empty."""


@attrs.frozen
class TapedError:
    """How one of fanin's own calls ended that got no answer."""

    kind: FailureKind
    """As in `CallError`."""
    message: str
    """One sentence, without secrets."""
    mend: str | None = None
    """What the reader can do about it."""
    final: bool = False
    """No repetition can mend it."""


@attrs.frozen
class Interaction:
    """One request and how it ended."""

    run: int | None
    """The run that fanin made the call for; None for all other calls."""
    request: TapedRequest
    outcome: TapedResponse | TapedError

    @property
    def key(self) -> Key:
        """What a replayed request is looked up by."""
        return self.request.digest, self.run


@attrs.frozen
class Recording:
    """All that a tape holds."""

    backend: str | None
    """The name of the backend it was made with; None where fanin connected none."""
    base_url: str | None
    """The address it was made against, without secrets."""
    models: tuple[str, ...]
    """The models that were asked."""
    refused: dict[str, tuple[str, ...]]
    """Model -> request parameters it does not accept."""
    interactions: tuple[Interaction, ...]
    """In the order of `in_stable_order`; equal keys in the order they were asked."""


def in_stable_order(interactions: list[Interaction]) -> list[Interaction]:
    """By run (calls without one first), then shorter requests first, then by their text.

    Not by arrival, which differs from one recording to the next; that decides between equal requests
    alone. Shorter first keeps the turns of a growing chat in order.
    """

    def place(interaction: Interaction) -> tuple[int, int, str]:
        text = interaction.request.canonical
        return -1 if interaction.run is None else interaction.run, len(text), text

    return sorted(interactions, key=place)


def keeps_header(name: str) -> bool:
    """Whether a tape keeps the response header `name` (lower case)."""
    return name in KEPT_HEADERS or name.startswith("x-ratelimit-")


def sendable(value: str) -> bool:
    """Whether every HTTP client takes this as the value of a header: printable ASCII alone."""
    return value.isascii() and value.isprintable()
