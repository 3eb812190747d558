"""How sure a count can make one: about the ensemble's favourite answer, never about the truth.

Everything here is a function of counts (and of who cast them), and says how well the runs that were asked
stand for all the runs that could have been. That they agree on something wrong is another matter: see
`fanin.policy.calibrating`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import exp, fsum, lgamma, log, log2, sqrt

import attrs

from fanin.errors import InputError
from fanin.values import Ballot
from fanin.verdict import Verdict

Z_95 = 1.959963984540054
"""The normal quantile of a two-sided interval at 95 %."""

_STEPS = 800

Correlation = Callable[[str, str], float]
"""Two models -> the correlation of their being right, 0 to 1; of a model with itself: of two of its runs."""


def wilson(part: float, whole: float, z: float = Z_95) -> tuple[float, float]:
    """The interval of a share, both ends from 0 to 1; (0, 1) where there is nothing to count.

    Parts of votes are allowed. E. B. Wilson 1927, without continuity correction. Raises InputError unless
    0 <= `part` <= `whole`.
    """
    if not 0 <= part <= whole:
        raise InputError("part", f"from 0 to {whole:g}", part)
    if not whole:
        return 0.0, 1.0
    share, spread = part / whole, z * z / whole
    middle = share + spread / 2
    reach = sqrt(spread * (share * (1 - share) + spread / 4))
    return max(0.0, (middle - reach) / (1 + spread)), min(1.0, (middle + reach) / (1 + spread))


def entropy(counts: Sequence[int]) -> float:
    """The entropy of the votes in bits: 0 where all agree, 1 for an even split between two."""
    votes = sum(counts)
    return fsum(count / votes * log2(votes / count) for count in counts if count)


def mode_posterior(counts: Sequence[int], answers: int | None = None) -> float:
    """The probability, 0 to 1, that the first of the counts belongs to the most probable answer.

    `counts` have the leader first. `answers` is the number of possible answers, None where that is
    unknown: then those seen and one more. The prior is uniform over all shares (Dirichlet of ones), so for
    two answers it is the Beta rule, 1 - sum_{i=0..b} C(a+b+1, i) / 2^(a+b+1). For more it is an integral:
    shares are Gamma variables over their sum, and the leader's has to exceed each other one,

        integral of g_{a+1}(x) prod_j G_{b_j+1}(x) dx,

    by Simpson's rule, good to six digits. Raises InputError without a count, or with more counts than
    answers.
    """
    if not counts:
        raise InputError("counts", "one or more", counts)
    unseen = 1 if answers is None else answers - len(counts)
    if unseen < 0:
        raise InputError("answers", f"at least the {len(counts)} that have votes", answers)
    lead = counts[0]
    rivals = Counter([*counts[1:], *(0 for _ in range(unseen))])
    scale = lead + 1
    low = max(0.0, scale - 9 * sqrt(scale))
    step = (scale + 9 * sqrt(scale) + 30 - low) / _STEPS
    factorials = [lgamma(i + 1) for i in range(max((lead, *rivals)) + 1)]
    points = [low + step * i for i in range(_STEPS + 1)]
    ahead = [_ahead(x, lead, rivals, factorials) for x in points]
    inner = 4 * fsum(ahead[1:-1:2]) + 2 * fsum(ahead[2:-1:2])
    return min(1.0, step / 3 * (ahead[0] + inner + ahead[-1]))


def _ahead(x: float, lead: int, rivals: Counter[int], factorials: Sequence[float]) -> float:
    """The density of the leader at x, times the chance that every rival is below x."""
    if x == 0:
        return 0.0 if lead or rivals else 1.0
    log_x = log(x)
    density = exp(lead * log_x - x - factorials[lead])
    above, seen = 0.0, 0
    for votes in sorted(rivals):
        above += sum(exp(i * log_x - x - factorials[i]) for i in range(seen, votes + 1))
        seen = votes + 1
        density *= max(0.0, 1.0 - above) ** rivals[votes]
    return density


def distinct_votes(ballots: Sequence[Ballot]) -> tuple[str, ...]:
    """The models of the valid ballots, in their order; the same text at temperature 0 counts once.

    At temperature 0 a repetition is the same computation again, and says nothing new.
    """
    models, known = [], set()
    for ballot in ballots:
        if ballot.choice is None:
            continue
        if ballot.temperature == 0:
            if (ballot.model, ballot.text) in known:
                continue
            known.add((ballot.model, ballot.text))
        models.append(ballot.model)
    return tuple(models)


def effective_votes(models: Sequence[str], correlation: Correlation | None = None) -> float:
    """How many independent votes these are worth, from 1 to their number; 0 for none.

    n^2 / sum_ij rho_ij, the design effect of L. Kish 1965: n / (1 + (n - 1) rho) for one model. Without
    a measured `correlation` nothing is discounted.
    """
    if correlation is None or not models:
        return float(len(models))
    by_model = Counter(models)
    total = fsum(
        (many * other if one != another else many * (many - 1)) * _unit(correlation(one, another))
        for one, many in by_model.items()
        for another, other in by_model.items()
    )
    return len(models) ** 2 / (len(models) + total)


def _unit(rho: float) -> float:
    return min(1.0, max(0.0, rho))


@attrs.frozen
class Sureness:
    """What a count says beside the share of the winner."""

    posterior: float
    """The probability that the leader is the ensemble's most probable answer, 0 to 1."""
    interval: tuple[float, float]
    """The Wilson interval at 95 % on the leader's share of the valid votes."""
    margin: float
    """The leader's votes less the runner-up's, as a share of the valid votes; 0 is a tie."""
    entropy: float
    """Of the valid votes, in bits."""
    votes: int
    """Valid votes."""
    effective: float
    """How many independent votes they are worth."""


def sureness(
    verdict: Verdict, answers: int | None = None, correlation: Correlation | None = None
) -> Sureness | None:
    """What the votes of a verdict say beyond its support; None where there is no vote.

    `answers` is the number of possible answers, None where they cannot be listed.
    """
    counts = tuple(verdict.votes.values())
    if not counts:
        return None
    votes = sum(counts)
    second = counts[1] if len(counts) > 1 else 0
    return Sureness(
        posterior=mode_posterior(counts, answers),
        interval=wilson(counts[0], votes),
        margin=(counts[0] - second) / votes,
        entropy=entropy(counts),
        votes=votes,
        effective=effective_votes(distinct_votes(verdict.ballots), correlation),
    )
