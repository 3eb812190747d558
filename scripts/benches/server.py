"""A chat server that costs its client nothing but the call: the same answer to everything, at once.

Speaks just enough HTTP/1.1 for keep-alive clients on 127.0.0.1, in the shapes of OpenAI's, Groq's and
Ollama's chat APIs. Prints its port, and ends when its stdin does. With `--no-limits` it tells no rate
limits, which a client might obey.
"""

from __future__ import annotations

import asyncio
import json
import sys

REPLY = "A whale breathes air and feeds its young with milk.\nAnswer: whale"
CHAT = {
    "id": "chatcmpl-0123456789",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": REPLY, "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 91, "completion_tokens": 17, "total_tokens": 108},
    "service_tier": "default",
    "system_fingerprint": "fp_0123456789",
    "x_groq": {"id": "req_0123456789"},
}
OLLAMA_CHAT = {
    "model": "m",
    "created_at": "2025-01-01T00:00:00.000000Z",
    "message": {"role": "assistant", "content": REPLY},
    "done_reason": "stop",
    "done": True,
    "total_duration": 1000000,
    "load_duration": 1000,
    "prompt_eval_count": 91,
    "prompt_eval_duration": 1000,
    "eval_count": 17,
    "eval_duration": 1000,
}
OLLAMA_SHOW = {
    "details": {"family": "m"},
    "model_info": {"general.architecture": "m", "m.context_length": 32768},
    "capabilities": ["completion"],
}
LIMITS = (
    ""
    if "--no-limits" in sys.argv
    else (
        "x-ratelimit-limit-requests: 14400\r\nx-ratelimit-limit-tokens: 18000\r\n"
        "x-ratelimit-remaining-requests: 14370\r\nx-ratelimit-remaining-tokens: 17997\r\n"
        "x-ratelimit-reset-requests: 2m59.56s\r\nx-ratelimit-reset-tokens: 7.66s\r\n"
    )
)


def answer(body: object) -> bytes:
    """A whole HTTP answer with that JSON body."""
    text = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{LIMITS}content-length: {len(text)}\r\n\r\n"
    return head.encode() + text


ANSWERS = {
    b"/v1/chat/completions": answer(CHAT),
    b"/api/chat": answer(OLLAMA_CHAT),
    b"/api/show": answer(OLLAMA_SHOW),
    b"/api/tags": answer({"models": [{"name": "m", "model": "m"}]}),
}


class Connection(asyncio.Protocol):
    """One client's connection: requests in, the same answer out."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.waiting = b""

    def data_received(self, data: bytes) -> None:
        """Answers every request that is whole."""
        self.waiting += data
        while (end := self.waiting.find(b"\r\n\r\n")) >= 0:
            head = self.waiting[:end]
            lowered = head.lower()
            start = lowered.find(b"content-length:")
            length = int(lowered[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
            if len(self.waiting) < end + 4 + length:
                return
            self.waiting = self.waiting[end + 4 + length :]
            path = head.split(b" ", 2)[1]
            self.transport.write(ANSWERS.get(path) or b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n")


async def main() -> None:
    """Serves until stdin ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
