"""Votes that do not all weigh the same: what a voter's past accuracy makes its vote worth.

A voter is a model with a prompt. If voters err independently, and a wrong one says any of the K - 1 wrong
answers alike, then the most probable answer is the one with the largest sum of

    log( p (K - 1) / (1 - p) ),    p the voter's accuracy

(Nitzan and Paroush 1982 for two answers). The accuracies come from labels, or without any from the votes
alone (Dawid and Skene 1979, with one accuracy a voter). A weight below 0 speaks for a voter's being wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from math import exp, fsum, log
from typing import Literal, TypeAlias

import attrs

from fanin.errors import InputError

Voter: TypeAlias = tuple[str, str]
"""(model, prompt); the prompt is empty where there is but one."""
Cast: TypeAlias = tuple[Voter, str]
"""A valid vote: who cast it, and the choice. Spoiled and failed runs are none."""

_MOST_ROUNDS = 100
_AT_REST = 1e-6


@attrs.frozen
class Record:
    """What is known of one voter."""

    voter: Voter
    """Who it is."""
    right: float
    """Valid votes that were right; without labels the expected number."""
    valid: float
    """Valid votes: a run that gave none is no error of the voter's."""

    @property
    def accuracy(self) -> float:
        """(right + 1) / (valid + 2), Laplace's rule: never 0 and never 1."""
        return (self.right + 1) / (self.valid + 2)


@attrs.frozen(slots=False)
class Weights:
    """What the votes of an ensemble's members are worth."""

    source: Literal["labels", "votes"]
    """Fitted to known answers, or to the votes alone."""
    alternatives: float
    """K, the number of answers that errors are spread over and the right one; 2 or more."""
    records: tuple[Record, ...]
    """The voters, sorted."""

    @cached_property
    def log_odds(self) -> Mapping[Voter, float]:
        """Voter -> the weight of its vote."""
        return {record.voter: _log_odds(record.accuracy, self.alternatives) for record in self.records}

    def unknown(self, voters: Iterable[Voter]) -> tuple[Voter, ...]:
        """Those of the voters that have no weight, sorted."""
        return tuple(sorted(set(voters) - self.log_odds.keys()))


def _log_odds(accuracy: float, alternatives: float) -> float:
    return log(accuracy * (alternatives - 1) / (1 - accuracy))


def scores(votes: Iterable[Cast], log_odds: Mapping[Voter, float]) -> dict[str, float]:
    """Choice -> the sum of its votes' weights, in the order of the choices' text.

    The same to the bit in any order of the votes. Raises KeyError for a voter without a weight.
    """
    parts: dict[str, list[float]] = {}
    for voter, choice in votes:
        parts.setdefault(choice, []).append(log_odds[voter])
    return {choice: fsum(parts[choice]) for choice in sorted(parts)}


def logprob_scores(votes: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Choice -> the sum of its votes' weights, in the order of the choices' text, from (choice, logprob).

    A vote weighs exp(logprob), from 0 to 1, where `logprob` is the mean log-probability of the reply's
    tokens, natural logarithm: the probability of the reply, normalised by its length. Wang et al. 2022
    (self-consistency, arXiv 2203.11171), equation 1 and the row "weighted sum, normalized" of its table 1,
    where it does about as well as the plain majority. The same to the bit in any order of the votes.
    """
    parts: dict[str, list[float]] = {}
    for choice, logprob in votes:
        parts.setdefault(choice, []).append(exp(logprob))
    return {choice: fsum(parts[choice]) for choice in sorted(parts)}


def leaders(scored: Mapping[str, float]) -> tuple[str, ...]:
    """The choices with the most weight, by text; more than one is a tie, none where no vote was cast."""
    most = max(scored.values(), default=0.0)
    return tuple(choice for choice, score in scored.items() if score >= most - 1e-9)


def chances(scored: Mapping[str, float], alternatives: float) -> dict[str, float]:
    """Choice -> the probability that it is right, were the voters independent as the model has it.

    Answers that nobody gave share the rest: K less those given, each of score 0. Overconfident where
    voters err together, so calibrate it before anybody relies on it.
    """
    unseen = max(0.0, alternatives - len(scored))
    most = max((0.0, *scored.values()))
    odds = {choice: exp(score - most) for choice, score in scored.items()}
    total = fsum(odds.values()) + unseen * exp(-most)
    return {choice: part / total for choice, part in odds.items()}


def weights_from_labels(questions: Sequence[tuple[Sequence[Cast], str]]) -> Weights:
    """The weights that questions with known answers give: (votes, right answer) each.

    K is 1 + 1/c, where c is how often two wrong votes on one question agree: 2 where they always do, as
    for yes or no. Raises InputError without a vote.
    """
    right: Counter[Voter] = Counter()
    valid: Counter[Voter] = Counter()
    agreeing, pairs = 1, 1
    for votes, gold in questions:
        for voter, choice in votes:
            valid[voter] += 1
            right[voter] += choice == gold
        wrong = Counter(choice for _, choice in votes if choice != gold)
        pairs += wrong.total() * (wrong.total() - 1)
        agreeing += sum(many * (many - 1) for many in wrong.values())
    if not valid:
        raise InputError("labels", "questions with a valid vote", len(questions))
    return Weights("labels", 1 + pairs / agreeing, _records(right, valid))


def weights_from_votes(questions: Sequence[Sequence[Cast]]) -> Weights:
    """The weights that the votes alone give, by expectation and maximisation from the majority on.

    K is the mean number of different answers to a question, at least 2. It finds out who agrees with the
    others, so it is misled where most voters share an error. Raises InputError without a vote.
    """
    asked = [tuple(votes) for votes in questions if votes]
    if not asked:
        raise InputError("votes", "questions with a valid vote", len(questions))
    given = sum(len({choice for _, choice in votes}) for votes in asked)
    alternatives = max(2.0, given / len(asked))
    valid = Counter(voter for votes in asked for voter, _ in votes)
    believed = {votes: _shares(votes) for votes in set(asked)}  # many questions are voted on alike
    records: tuple[Record, ...] = ()
    for _ in range(_MOST_ROUNDS):
        right: Counter[Voter] = Counter()
        for votes in asked:
            belief = believed[votes]
            for voter, choice in votes:
                right[voter] += belief[choice]  # type: ignore[assignment]
        before, records = records, _records(right, valid)
        if before and all(
            abs(a.right - b.right) < _AT_REST * b.valid for a, b in zip(before, records, strict=True)
        ):
            break
        log_odds = {record.voter: _log_odds(record.accuracy, alternatives) for record in records}
        believed = {votes: _beliefs(scores(votes, log_odds)) for votes in believed}
    return Weights("votes", alternatives, records)


def _shares(votes: Sequence[Cast]) -> dict[str, float]:
    counts = Counter(choice for _, choice in votes)
    return {choice: many / len(votes) for choice, many in counts.items()}


def _beliefs(scored: Mapping[str, float]) -> dict[str, float]:
    """The chances among the answers that were given, as if one of them had to be right."""
    return chances(scored, 0)


def _records(right: Mapping[Voter, float], valid: Mapping[Voter, int]) -> tuple[Record, ...]:
    return tuple(Record(voter, float(right[voter]), float(valid[voter])) for voter in sorted(valid))
