"""Everything on a tape asked again, live."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fanin.errors import CassetteError, FaninError, InputError

if TYPE_CHECKING:
    import httpx2

    from fanin.taping.recording import TapedRequest, TapedResponse
    from fanin.taping.scrub import Scrubber
    from fanin_backends.address import Address

_SPEAKING = ("groq", "openai", "ollama")
_PATIENCE_S = 120.0


def verified(file: str, backend: str, base_url: str | None) -> Iterator[tuple[int, list[str], str | None]]:
    """For every answer on the tape: its number from 1, what changed shape, and how its words changed.

    Requests go one after the other to `base_url`, else to the backend's own or configured address,
    with its key; the address that the tape names gets no key, since anyone may have written it there.
    Raises CassetteError for a request that belongs to no such address, MissingKeyError, and
    FaninError where no answer comes.
    """
    import httpx2

    from fanin.show import one_line
    from fanin.taping.drift import drift, said
    from fanin.taping.recording import TapedResponse
    from fanin.taping.scrub import Scrubber, known_secrets
    from fanin.taping.storage import load

    recording = load(file)
    address = _address(backend, base_url)
    scrub = Scrubber(known_secrets(os.environ, address.secrets))
    # No proxy and no redirect: the key goes to the address that was named, and nowhere else.
    with httpx2.Client(timeout=_PATIENCE_S, trust_env=False, follow_redirects=False) as http:
        for number, each in enumerate(recording.interactions, 1):
            if not isinstance(each.outcome, TapedResponse):
                continue
            url = _url(each.request.url, recording.base_url, address.base_url, file, number)
            live = _ask(http, each.request, url, address, scrub)
            then, now = said(each.outcome), said(live)
            words = None
            if then != now and then is not None and now is not None:
                words = f"the answer is {one_line(now, 80)!r}, on the tape {one_line(then, 80)!r}"
            yield number, drift(each.outcome, live), words


def _address(backend: str, base_url: str | None) -> Address:
    from fanin_backends import groq, ollama_host, openai

    if backend not in _SPEAKING:
        raise InputError("backend", f"one of {', '.join(_SPEAKING)}", backend)
    if backend == "ollama":
        return ollama_host.host_address(base_url, key=None, environ=os.environ)
    dialect = groq.DIALECT if backend == "groq" else openai.DIALECT
    if backend == "openai":
        base_url = base_url or os.environ.get(openai.URL_VARIABLE)
    return dialect.address(base_url, key=None, environ=os.environ, replaying=False)


def _url(taped: str, recorded_at: str | None, base_url: str, file: str, number: int) -> str:
    """Where to ask again: below `base_url`, never elsewhere."""
    if taped == base_url or taped.startswith(base_url + "/"):
        return taped
    if recorded_at is not None and taped.startswith(recorded_at.rstrip("/") + "/"):
        return base_url + taped[len(recorded_at.rstrip("/")) :]
    raise CassetteError(
        file,
        f"interaction {number} was not asked of {base_url}, whose key is for nobody else",
        mend="Name the address it was recorded at with --base-url.",
    )


def _ask(
    http: httpx2.Client, request: TapedRequest, url: str, address: Address, scrub: Scrubber
) -> TapedResponse:
    import httpx2

    from fanin.taping.calls import RawResponse, taped_response

    headers = dict(request.headers)
    if address.authorization is not None:
        headers["authorization"] = address.authorization
    body = b"" if request.body is None else request.body.to_bytes()
    try:
        answer = http.request(request.method, url, content=body, headers=headers)
    except httpx2.HTTPError as error:
        raise FaninError(f"{address.host} gave no answer: {error}", mend="Is it running?") from None
    # Read, it is decoded already.
    answered = tuple((n, v) for n, v in answer.headers.items() if n.lower() != "content-encoding")
    return taped_response(RawResponse(answer.status_code, answered, answer.content), scrub)
