"""A stand-in for Groq's address in front of any OpenAI-compatible server: not Groq.

    python scripts/groq_standin.py PORT UPSTREAM_URL UPSTREAM_MODEL

The text and the token counts are the upstream model's own. What is added has the shape of Groq's
answers: the path, the `x-ratelimit-*` headers (requests a day, tokens a minute), `x_groq`,
`service_tier` and the times in `usage`. Every model name is answered by the one upstream model, and a
request without a key is refused as Groq refuses it. Standard library only; for `scripts/record`.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_DAY_REQUESTS, _MINUTE_TOKENS = 1000, 8000


class Account:
    """How much of the two limits is left."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.requests = 0
        self.tokens = 0.0
        self.seen_s = time.monotonic()

    def use(self, tokens: int) -> dict[str, str]:
        """Takes one request and so many tokens, and tells what is left as Groq does."""
        with self.lock:
            now_s = time.monotonic()
            self.tokens = max(0.0, self.tokens - (now_s - self.seen_s) * _MINUTE_TOKENS / 60)
            self.seen_s = now_s
            self.requests += 1
            self.tokens += tokens
            left = max(0, int(_MINUTE_TOKENS - self.tokens))
            return {
                "x-ratelimit-limit-requests": str(_DAY_REQUESTS),
                "x-ratelimit-limit-tokens": str(_MINUTE_TOKENS),
                "x-ratelimit-remaining-requests": str(max(0, _DAY_REQUESTS - self.requests)),
                "x-ratelimit-remaining-tokens": str(left),
                "x-ratelimit-reset-requests": _go_duration(self.requests * 86400 / _DAY_REQUESTS),
                "x-ratelimit-reset-tokens": _go_duration((_MINUTE_TOKENS - left) * 60 / _MINUTE_TOKENS),
            }


def _go_duration(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    shown = f"{rest:.3f}".rstrip("0").rstrip(".")
    return f"{int(minutes)}m{shown}s" if minutes else f"{shown}s"


class Handler(BaseHTTPRequestHandler):
    """POST /openai/v1/chat/completions."""

    protocol_version = "HTTP/1.1"
    upstream = ""
    model = ""
    account = Account()

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)))
        if not self.headers.get("authorization", "").startswith("Bearer "):
            self._send(401, {"error": {"message": "Invalid API Key", "type": "invalid_request_error",
                                       "code": "invalid_api_key"}}, {})  # fmt: skip
            return
        began_s = time.monotonic()
        body = json.dumps({**asked, "model": self.model}).encode()
        request = urllib.request.Request(self.upstream, body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                data = json.load(answer)
        except urllib.error.HTTPError as error:
            self._send(error.code, json.load(error), {})
            return
        self._send(200, _as_groq(data, asked["model"], time.monotonic() - began_s), self._limits(data))

    def _limits(self, data: dict) -> dict[str, str]:
        return self.account.use(data["usage"]["total_tokens"])

    def _send(self, status: int, body: dict, headers: dict[str, str]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _as_groq(data: dict, model: str, total_s: float) -> dict:
    choice, usage = data["choices"][0], data["usage"]
    prompt_s = total_s * 0.1
    return {
        "id": data["id"],
        "object": "chat.completion",
        "created": data["created"],
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": choice["message"]["content"]},
                "logprobs": None,
                "finish_reason": choice["finish_reason"],
            }
        ],
        "usage": {
            "queue_time": 0.0,
            "prompt_tokens": usage["prompt_tokens"],
            "prompt_time": round(prompt_s, 9),
            "completion_tokens": usage["completion_tokens"],
            "completion_time": round(total_s - prompt_s, 9),
            "total_tokens": usage["total_tokens"],
            "total_time": round(total_s, 9),
        },
        "usage_breakdown": None,
        "system_fingerprint": "fp_standin",
        "x_groq": {"id": f"req_{data['id'][-26:]}"},
        "service_tier": "on_demand",
    }


def main() -> None:
    port, Handler.upstream, Handler.model = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
