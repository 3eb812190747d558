"""Files of the batch APIs of OpenAI and those who follow it: requests out, answers in; no I/O here.

Source: OpenAI API reference, "Batch" (request input object, request output object) and its guide "Batch API"
(at most 50,000 requests and 200 MB a file, one model a file, answers in any order); Groq's documentation,
"Groq Batch API", and its client, which names 100 MB a file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import attrs

from fanin.batching.fields import Id, UnusableRecord, id_of, item_of
from fanin.batching.items import BadItem, Item
from fanin.errors import CallError
from fanin.values import Failure, Outcome, Request, Sample

MAX_REQUESTS = 50_000
"""The most requests of one file."""
MAX_FILE_BYTES = 100 * 1000 * 1000
"""The most bytes of one file: the least that a provider names."""

_PATH = "/v1/chat/completions"
_OF_A_VOTE = {
    "model": "model",
    "temperature": "temperature",
    "seed": "seed",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
}
"""Field of a body -> parameter of `fanin.vote`."""
_WITHOUT_MEANING = frozenset({"messages", "metadata", "n", "store", "stream", "user"})
"""Fields of a body that change nothing about the answer to one run."""


def is_request(record: Mapping[str, Any]) -> bool:
    """Whether a record of the input is a request of a batch file and not a question of fanin's own."""
    return "custom_id" in record and "body" in record


def item_of_request(record: Mapping[str, Any], number: int) -> Item | BadItem:
    """The item that a request asks: its one user message, its system messages, and its parameters.

    A BadItem where it asks what a vote cannot: a conversation, an image, a tool, another endpoint.
    """
    name: Id = None
    try:
        name = id_of(record["custom_id"])
        body = record["body"]
        if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
            raise UnusableRecord("its body holds no list of messages")
        url = record.get("url", _PATH)
        if url != _PATH:
            raise UnusableRecord(f"it is for {url!r}; only {_PATH} can be voted on")
        given = {key for key, value in body.items() if value is not None}
        if unknown := sorted(given - _OF_A_VOTE.keys() - _WITHOUT_MEANING):
            raise UnusableRecord(f"its body asks for what a vote cannot give: {', '.join(unknown)}")
        system, question = _texts(body["messages"])
    except UnusableRecord as problem:
        return BadItem(number, name, str(problem))
    options = {_OF_A_VOTE[key]: body[key] for key in body if key in _OF_A_VOTE}
    return item_of({"id": name, "question": question, "system": system, **options}, number)


def _texts(messages: list[Any]) -> tuple[str | None, str]:
    """The system messages as one text, and the user's only message."""
    system: list[str] = []
    asked: list[str] = []
    for message in messages:
        role = message.get("role") if isinstance(message, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            content = _joined(content)
        if not isinstance(content, str):
            raise UnusableRecord("one of its messages is no text")
        if role in ("system", "developer") and not asked:
            system.append(content)
        elif role == "user":
            asked.append(content)
        else:
            raise UnusableRecord(
                f"it holds a conversation (a message of {role!r}); a vote is on one question"
            )
    if len(asked) != 1:
        raise UnusableRecord(f"it holds {len(asked)} messages of the user; a vote is on one question")
    return "\n\n".join(system) or None, asked[0]


def _joined(parts: list[Any]) -> str | None:
    texts = [
        part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in parts
    ]
    return "".join(map(str, texts)) if all(isinstance(text, str) for text in texts) else None


def request_line(request: Request, number: int, token_limit: str) -> bytes:
    """One request as a line of a batch file, with its line feed.

    `number` is the item's; `token_limit` is what the provider calls the limit of the answer's tokens.
    """
    from fanin_backends.chat import request_body

    body = request_body(request, token_limit)
    name = custom_id(number, request.index, body)
    return b'{"custom_id":"%b","method":"POST","url":"%b","body":%b}\n' % (
        name.encode("ascii"), _PATH.encode("ascii"), body,
    )  # fmt: skip


def custom_id(number: int, index: int, body: bytes) -> str:
    """What a run's request is called: its item, its run, and a fingerprint of all that it asks.

    An answer to another question, model or prompt can so never be taken for this run's.
    """
    return f"{number}-{index}-{blake2b(body, digest_size=8).hexdigest()}"


@attrs.frozen
class Answered:
    """One line of a file of answers."""

    custom_id: str
    """Which request it answers."""
    status: int
    """The HTTP status; 0 where there was none."""
    body: bytes
    """What the model's API said, as JSON."""
    error: str | None = None
    """Why there is no answer: the batch expired or was cancelled."""


def answered(line: str) -> Answered | None:
    """A line of a file of answers or of errors; None where it is none."""
    try:
        found = json.loads(line)
        name = found["custom_id"]
        response, error = found.get("response"), found.get("error")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    if not isinstance(name, str) or not found.keys() & {"response", "error"}:
        return None
    if isinstance(response, dict) and isinstance(response.get("status_code"), int):
        return Answered(name, response["status_code"], json.dumps(response.get("body")).encode("ascii"))
    message = error.get("message") or error.get("code") if isinstance(error, dict) else error
    return Answered(name, 0, b"", str(message or "it holds neither a response nor an error"))


def outcome_of(request: Request, answer: Answered | None, backend: str) -> Outcome:
    """What came of a run, by the answer to its request; a Failure where there is none."""
    from fanin_backends.chat import completion
    from fanin_backends.refusals import Asked
    from fanin_backends.wire import Reply

    if answer is None:
        return Failure(request.index, "malformed", "The answers hold none to this run.")
    if answer.error is not None:
        return Failure(request.index, "server", f"The batch gave no answer: {answer.error}")
    asked = Asked(backend, "the batch", "the key", request.model)
    try:
        return Sample(request.index, completion(Reply(answer.status, (), answer.body), asked, 0.0))
    except CallError as error:
        return Failure(request.index, error.kind, error.message)


def response_line(
    name: Id, number: int, found: Mapping[str, Any] | None, error: str | None
) -> dict[str, Any]:
    """A row as an answer of a batch file; the object fanin.vote/1 stands in its body under `fanin`.

    The message's content is the answer, null where there is none. A bad row is an error.
    """
    custom = f"line-{number}" if name is None else str(name)
    if found is None:
        failed = {"code": "bad_item", "message": error}
        return {"id": f"fanin-{number}", "custom_id": custom, "response": None, "error": failed}
    usage = found.get("usage") or {}
    read, written = usage.get("input_tokens"), usage.get("output_tokens")
    body = {
        "id": f"fanin-{number}",
        "object": "chat.completion",
        "created": 0,
        "model": ", ".join(found.get("models") or ()),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": found.get("answer")},
                "finish_reason": "stop",
            }
        ],
        "usage": None
        if read is None or written is None
        else {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
        "fanin": dict(found),
    }
    response = {"status_code": 200, "request_id": f"fanin-{number}", "body": body}
    return {"id": f"fanin-{number}", "custom_id": custom, "response": response, "error": None}
