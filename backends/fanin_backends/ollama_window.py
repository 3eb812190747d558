"""How large a window to ask Ollama for, and whether a prompt was cut to fit one. Pure.

Ollama's default window is small, and a prompt that is longer loses its beginning without a word. So
every request names a window that surely holds its prompt and its answer. It is computed from the
request alone: the same request must be the same bytes on every machine, or no tape could replay it.

Source: ollama/ollama, `llm/llama_server.go` (`contextShiftPromptLimit`) and the runner before it.
"""

from __future__ import annotations

from collections.abc import Sequence

from fanin.errors import CallError
from fanin.values import Message, Request
from fanin_backends.wire import field

STEP = 2048
"""Windows are multiples of this: each change of the window makes the server load the model anew."""
SMALLEST = 4096

_PER_MESSAGE = 16
_LETTERS = bytes(range(ord("a"), ord("z") + 1)) + bytes(range(ord("A"), ord("Z") + 1)) + b" "
_NOT_ASCII = bytes(range(0x80, 0x100))
_KEPT = (4, 5)  # num_keep is 4 where nobody sets it; a beginning-of-sequence token may add 1


def most_tokens(messages: Sequence[Message]) -> int:
    """More tokens than any usual tokenizer makes of the messages.

    Two letters a token, 1.5 bytes where they are not ASCII, digits and signs one each, and what the
    template puts around a message.
    """
    halves = 0
    for message in messages:
        data = _utf8(message.content)
        letters = len(data) - len(data.translate(None, _LETTERS))
        foreign = len(data) - len(data.translate(None, _NOT_ASCII))
        single = len(data) - letters - foreign
        halves += letters + foreign * 4 // 3 + 2 * single + 2 * _PER_MESSAGE
    return (halves + 1) // 2


def typical_tokens(messages: Sequence[Message]) -> int:
    """About how many tokens the messages are: four bytes each."""
    return sum(len(_utf8(message.content)) for message in messages) // 4


def window(request: Request) -> int:
    """The `num_ctx` to ask for: room for the prompt and the answer, a multiple of `STEP`."""
    needed = most_tokens(_everything(request)) + (request.max_tokens or 0)
    return max(SMALLEST, -(-needed // STEP) * STEP)


def trained_window(shown: object) -> int | None:
    """The most tokens the model can hold, from the JSON of `/api/show`; None where it does not say."""
    architecture = field(shown, "model_info", "general.architecture")
    tokens = field(shown, "model_info", f"{architecture}.context_length")
    return tokens if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens > 0 else None


def check_fits(request: Request, trained: int | None) -> None:
    """Raises CallError where the prompt is longer than the model can hold at all."""
    tokens = typical_tokens(_everything(request))
    if trained is not None and tokens > trained:
        raise CallError(
            "bad_request",
            f"The prompt of about {tokens:,} tokens is longer than the window of {request.model}"
            f" ({trained:,} tokens).",
            final=True,
            mend="Shorten the context, or use a model with a larger window.",
        )


def check_whole(request: Request, read_tokens: int | None) -> None:
    """Raises CallError where the server read the prompt only in part, as far as that can be told.

    `read_tokens` is what it says it read. It fills the window where the prompt did not fit. Newer
    servers cut to half the window instead, to a number that a whole prompt hits only by chance; that
    counts where the prompt is also far longer than so many tokens can hold.
    """
    if read_tokens is None:
        return
    asked, tokens = window(request), typical_tokens(_everything(request))
    cut = tokens > read_tokens * 3 // 2 and any(read_tokens in _cut_sizes(size) for size in _windows(asked))
    if read_tokens >= asked - 1 or cut:
        raise CallError(
            "bad_request",
            f"The server cut the prompt: it read {read_tokens:,} tokens of about {tokens:,}.",
            final=True,
            mend="Shorten the context, or use a model with a larger window.",
        )


def _everything(request: Request) -> list[Message]:
    """All that the model reads: the chat, and tools and calls as if they were messages."""
    calls = (call for message in request.messages for call in message.tool_calls)
    return [
        *request.messages,
        *(Message("system", f"{tool.name} {tool.description} {tool.parameters}") for tool in request.tools),
        *(Message("assistant", f"{call.name} {call.arguments}") for call in calls),
    ]


def _windows(asked: int) -> list[int]:
    # A model's own window may be smaller than what was asked for: a power of two as a rule.
    return [asked, *(2**power for power in range(11, 21) if 2**power < asked)]


def _cut_sizes(size: int) -> tuple[int, ...]:
    return (size, size - 1, *(size - (size - kept) // 2 for kept in _KEPT))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
