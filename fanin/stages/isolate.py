"""Stage 2: a run becomes a request of its own."""

from __future__ import annotations

import json
import re
from itertools import count

from fanin.answers.protocol import reads_reply
from fanin.values import Message, Plan, Request, Run

_CLOSES = re.compile(r"</context(?:-([0-9]{1,9})(?![0-9]))?", re.IGNORECASE)
AS_JSON = (
    'Write all of it as one JSON object: your thinking in "reasoning", '
    'and in "answer" what would stand after "Answer:".'
)
DOCUMENT_AS_JSON = (
    'Write all of it as one JSON object, without a block: your thinking in "reasoning", '
    'and the document itself in "answer".'
)


def isolate(plan: Plan, run: Run) -> Request:
    """The one request of a run: its own messages and parameters, and nothing of any other run.

    The question and its context stand in the prompt word for word.
    """
    user = Message("user", _prompt(plan, run))
    return Request(
        index=run.index,
        model=run.model,
        messages=(user,) if run.system is None else (Message("system", run.system), user),
        temperature=run.temperature,
        seed=run.seed,
        max_tokens=plan.max_tokens,
        schema=_schema(plan, run) if plan.structured else None,
        logprobs=plan.logprobs,
    )


def _prompt(plan: Plan, run: Run) -> str:
    parts = []
    if plan.question.context:
        tag = _tag_not_in(plan.question.context)
        parts.append(f"<{tag}>\n{plan.question.context}\n</{tag}>")
        parts.append(f"Answer this question about the text between the {tag} tags:")
    parts.append(plan.question.text)
    parts.append(plan.answer.instruction(run.order))
    if plan.structured:
        parts.append(DOCUMENT_AS_JSON if reads_reply(plan.answer) else AS_JSON)
    return "\n\n".join(parts)


def _tag_not_in(context: str) -> str:
    """A tag that the context cannot close."""
    taken = {int(number or 1) for number in _CLOSES.findall(context)}
    if not taken:
        return "context"
    return f"context-{next(number for number in count(2) if number not in taken)}"


def _schema(plan: Plan, run: Run) -> str:
    """The JSON Schema of the whole reply; `reasoning` first, as models write keys in that order."""
    properties = {"reasoning": {"type": "string"}, "answer": dict(plan.answer.schema(run.order))}
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return json.dumps(schema, separators=(",", ":"))
