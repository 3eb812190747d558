"""The last step of every call: no key leaves it, neither in an answer nor in an error."""

from __future__ import annotations

import attrs

from fanin.errors import CallError
from fanin.policy.redaction import Redaction
from fanin.values import Completion
from fanin_backends.wire import Headers


def keyless_completion(answer: Completion, redaction: Redaction) -> Completion:
    """The answer without any part of a key that the server echoed."""
    model = None if answer.model is None else redaction.clean(answer.model)
    text, headers = redaction.clean(answer.text), _keyless(answer.headers, redaction)
    calls = tuple(
        attrs.evolve(call, name=redaction.clean(call.name), arguments=redaction.clean(call.arguments))
        for call in answer.tool_calls
    )
    return Completion(text, answer.finish, answer.usage, model, headers, calls, answer.logprob)


def keyless_error(error: CallError, redaction: Redaction) -> CallError:
    """The error without any part of a key that the server echoed."""
    return CallError(
        error.kind,
        redaction.clean(error.message),
        status=error.status,
        retry_after_s=error.retry_after_s,
        refused=error.refused,
        final=error.final,
        exhausted=error.exhausted,
        headers=_keyless(error.headers, redaction),
        mend=error.mend,
    )


def _keyless(headers: Headers, redaction: Redaction) -> Headers:
    return tuple((redaction.clean(name), redaction.clean(value)) for name, value in headers)
