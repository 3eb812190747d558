"""How many tokens a prompt has, before anybody counted them."""

from __future__ import annotations

from collections.abc import Iterable

from fanin.values import Message

_BYTES_A_TOKEN = 4


def estimated_tokens(messages: Iterable[Message]) -> int:
    """About how many tokens a prompt has: one for every four bytes of UTF-8 begun.

    A rule of thumb for English with the usual tokenizers (OpenAI, "What are tokens": about four
    characters each); counted in bytes since other scripts take more tokens a character.
    """
    size = sum(len(message.content.encode("utf-8", "surrogatepass")) for message in messages)
    return -(-size // _BYTES_A_TOKEN)
