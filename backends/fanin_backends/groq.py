"""Groq. Key: `GROQ_API_KEY`. Default model: `openai/gpt-oss-20b`.

Source: Groq API reference, which deprecates `max_tokens` for `max_completion_tokens`, and says of
`logprobs` that no model supports them yet.
"""

from __future__ import annotations

from collections.abc import Mapping

from fanin.backend import Backend
from fanin_backends.chat import ChatBackend, Dialect

DIALECT = Dialect(
    name="groq",
    own_url="https://api.groq.com/openai/v1",
    key_variable="GROQ_API_KEY",
    default_model="openai/gpt-oss-20b",
    token_limit="max_completion_tokens",
    logprobs=False,
)


def open_backend(
    *,
    base_url: str | None = None,
    key: str | None = None,
    environ: Mapping[str, str],
    replaying: bool = False,
) -> Backend:
    """Groq, or what speaks like it at `base_url`. `key` wins over the environment.

    Raises MissingKeyError where the provider's own address is asked without a key, InputError for an
    address that cannot be used. When `replaying` no key is needed.
    """
    address = DIALECT.address(base_url, key=key, environ=environ, replaying=replaying)
    return ChatBackend(DIALECT, address)
