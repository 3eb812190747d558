"""Recording: what goes over the wire is kept as it is, and becomes a tape at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from threading import Lock
from typing import TypeAlias

from fanin.context import RUN_INDEX, TapeOn
from fanin.errors import CallError, CassetteError
from fanin.taping.calls import RawRequest, RawResponse, taped_error, taped_request, taped_response
from fanin.taping.recording import Interaction, Recording, in_stable_order
from fanin.taping.scrub import Scrubber, clean_url

_Call: TypeAlias = "tuple[int | None, RawRequest, RawResponse | CallError]"

_UNANSWERED: ContextVar[tuple[Recorder, RawRequest] | None] = ContextVar("fanin_unanswered", default=None)
"""The request that this task sent last, and to which recorder, until it is answered."""


class Recorder:
    """Takes down the calls of one process. Safe from several threads at once."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._calls: list[_Call] = []
        self._lock = Lock()

    def asked(self, raw: RawRequest) -> None:
        """A request is about to be sent by this task."""
        _UNANSWERED.set((self, raw))

    def answered(self, raw: RawRequest, response: RawResponse) -> None:
        """The request was answered."""
        _UNANSWERED.set(None)
        self._keep(raw, response)

    def note_error(self, error: CallError) -> None:
        """A call of fanin's own failed; it is kept if the request that this task sent got no answer.

        An error that came of an answer (a refusal, a malformed body) needs no keeping: the answer
        is on the tape and will lead to it again.
        """
        unanswered = _UNANSWERED.get()
        if unanswered is not None and unanswered[0] is self and RUN_INDEX.get() is not None:
            _UNANSWERED.set(None)
            self._keep(unanswered[1], error)

    def _keep(self, raw: RawRequest, outcome: RawResponse | CallError) -> None:
        with self._lock:
            self._calls.append((RUN_INDEX.get(), raw, outcome))

    @property
    def took_nothing(self) -> bool:
        """Whether no call has been taken down so far."""
        return not self._calls

    def recording(
        self, about: TapeOn, secrets: frozenset[str], kept: Sequence[Interaction] = ()
    ) -> Recording:
        """Everything so far as a tape holds it, in its stable order and without the secrets.

        `kept` is what the tape held before; it stays as it is, and comes before what equals it.

        Raises CassetteError where nothing was sent, or where a secret is left that could not be
        taken out; it says where, and not which.
        """
        if not self._calls:
            raise CassetteError(
                self.path,
                "nothing was recorded: no HTTP request was sent",
                mend="A backend that sends no HTTP (the fake) needs no tape.",
            )
        scrub = Scrubber(secrets)
        recording = Recording(
            about.backend,
            None if about.base_url is None else clean_url(about.base_url, scrub),
            about.models,
            {model: tuple(names) for model, names in sorted(about.refused.items())},
            tuple(in_stable_order([*kept, *(_interaction(call, scrub) for call in self._calls)])),
        )
        refuse_secrets(recording, scrub, self.path)
        return recording


def refuse_secrets(recording: Recording, scrub: Scrubber, path: str) -> None:
    """Raises CassetteError where `recording` still holds a secret; it says where, and not which."""
    for place in places_of_secrets(recording, scrub):
        raise CassetteError(
            path,
            f"it was not saved: {place} holds what looks like a key",
            mend="Take the key out of what is asked or answered, and record again.",
        )


def places_of_secrets(recording: Recording, scrub: Scrubber) -> Iterator[str]:
    """Where in `recording` a secret stands, as `interaction 3, response body`."""
    for place, stored in _places(recording):
        if scrub.finds(json.dumps(stored, ensure_ascii=False)):
            yield place


def _interaction(call: _Call, scrub: Scrubber) -> Interaction:
    run, raw, outcome = call
    request = taped_request(raw, scrub)
    if isinstance(outcome, CallError):
        return Interaction(run, request, taped_error(outcome, scrub))
    return Interaction(run, request, taped_response(outcome, scrub))


def _places(recording: Recording) -> Iterator[tuple[str, object]]:
    from fanin.taping.format import stored_interaction

    yield "the backend's name", recording.backend
    yield "the base URL", recording.base_url
    yield "the list of models", recording.models
    yield "the list of refused parameters", recording.refused
    for number, interaction in enumerate(recording.interactions, 1):
        parts: Mapping[str, object] = stored_interaction(interaction)
        for part in ("request", "response", "error"):
            members = parts.get(part)
            if isinstance(members, Mapping):
                for name, value in members.items():
                    yield f"interaction {number}, {part} {name}", value
