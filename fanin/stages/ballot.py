"""Stage 4: what came back becomes a ballot, valid or spoiled."""

from __future__ import annotations

from fanin.answers.protocol import Spoiled
from fanin.answers.reply import read_completion
from fanin.values import Ballot, Plan, Run, Sample


def ballot(sample: Sample, run: Run, plan: Plan) -> Ballot:
    """The ballot of a run that came back: its answer in canonical spelling, or why it has none."""
    read = read_completion(sample.completion, plan.answer, run.order, structured=plan.structured)
    return Ballot(
        index=run.index,
        choice=None if isinstance(read, Spoiled) else read,
        spoiled=read.reason if isinstance(read, Spoiled) else None,
        model=run.model,
        temperature=None if "temperature" in sample.without else run.temperature,
        text=sample.completion.text,
        usage=sample.completion.usage,
        logprob=sample.completion.logprob,
    )
