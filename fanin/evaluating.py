"""How well ways of deciding do on questions with known answers: nothing is asked.

Every question's stored votes are shuffled by fixed numbers, and a way of deciding sees them in that order.
Accuracy is over all questions; a way that ends in a tie takes the answer it saw first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from math import fsum
from random import Random

from fanin.calibration import ENOUGH_LABELS, labelled_weights, shape_of, weighted
from fanin.errors import InputError
from fanin.evaluation import Calibrated, Evaluation, Graded, Measured
from fanin.policy.calibrating import Foretold, Shape, brier, calibration_error
from fanin.policy.confidence import wilson
from fanin.policy.stopping import Rule, next_wave, parse_rule, seen_of
from fanin.policy.weighing import Voter, Weights, leaders, logprob_scores, weights_from_votes
from fanin.reliability import Drawn, calibrations, mean, spread
from fanin.show import count
from fanin.stages.grade import grade
from fanin.stored_votes import StoredQuestion, StoredVote, models_of
from fanin.values import Runs, Tally

STOPS = ("decided", "certified:0.05", "posterior:0.95", "voi", "ahead:3", "start:3,step:2")
"""The stop rules that are measured unless others are named."""
MOST_RUNS = 40
"""The largest budget of a vote."""
GRADES = ("high", "medium", "low", "none")


def evaluate(
    questions: Sequence[StoredQuestion],
    *,
    runs: int = 5,
    labels: int = 50,
    draws: int = 20,
    stops: Sequence[str] | None = None,
) -> Evaluation:
    """Measures on the questions that have a right answer.

    `labels` is the number of questions that weights and the best single voter are chosen on, `draws` the
    number of shuffles, of choices of labels and of random halves. `stops` are the rules that are measured;
    None: those of `STOPS` that so many runs allow. Raises InputError as `check` does.
    """
    known = [question for question in questions if question.gold is not None]
    budget = min((len(question.votes) for question in known if question.votes), default=1)
    rules = check(len(known), runs=runs, labels=labels, draws=draws, stops=stops, budget=budget)
    orders = [[question.drawn(draw, MOST_RUNS) for question in known] for draw in range(draws)]
    methods = [_by_rule(known, text, orders) for text in ("all", *rules)]
    weighing = _by_weights(known, labels, draws)
    drawn = [[shape_of(votes[:runs]) for votes in its] for its in zip(*orders, strict=True)]
    ways = calibrations(known, drawn, labels)
    return Evaluation(
        kind=known[0].kind,
        questions=len(known),
        models=models_of(known),
        runs=runs,
        methods=(*methods, *weighing, *_by_logprob(known)),
        grades=_grades(known, drawn, runs),
        calibrations=ways,
        growth=_growth(known, orders),
        remarks=(
            *_remarks(methods[0], weighing, ways),
            *_shorter(known, runs),
            *(
                f"{text} is left out: with {count(budget, 'run')} it can never stop a vote."
                for text in STOPS
                if stops is None and text not in rules
            ),
        ),
    )


def check(
    known: int, *, runs: int, labels: int, draws: int, stops: Sequence[str] | None, budget: int
) -> tuple[str, ...]:
    """The stop rules that can be measured on so many questions of known answer with `budget` votes or more.

    Raises InputError: too few questions for the labels asked for, a number below 1, a rule in `stops` that
    is unknown or could never stop so few runs.
    """
    for field, number in (("runs", runs), ("labels", labels), ("draws", draws)):
        if number < 1:
            raise InputError(field, "a whole number from 1", number)
    if not known:
        mend = "Stored votes have it as gold, questions that are asked as label."
        raise InputError("questions", "some with a known answer", "none", mend=mend)
    if labels >= known:
        raise InputError("labels", f"fewer than the {count(known, 'question')} with a known answer", labels)
    fitting = []
    for text in STOPS if stops is None else stops:
        try:
            parse_rule(text, runs=min(budget, MOST_RUNS), quorum=1)
        except InputError:
            if stops is not None:
                raise
        else:
            fitting.append(text)
    return tuple(fitting)


Orders = Sequence[Sequence[Sequence[StoredVote]]]
"""For every draw, for every question: its votes in the order that they are seen in."""


def _cost(votes: Iterable[StoredVote]) -> float | None:
    costs = [vote.cost_usd for vote in votes]
    return None if None in costs else fsum(cost for cost in costs if cost is not None)


def _mean_cost(costs: Sequence[float | None]) -> float | None:
    return None if None in costs else mean([cost for cost in costs if cost is not None])


def _first_leader(votes: Sequence[StoredVote]) -> tuple[str | None, int]:
    """The most frequent answer, of equals the one seen first, and its votes."""
    counts = Counter(vote.answer for vote in votes if vote.answer is not None)
    leader = max(counts, key=counts.__getitem__, default=None)
    return leader, counts[leader] if leader is not None else 0


def _by_rule(known: Sequence[StoredQuestion], text: str, orders: Orders) -> Measured:
    """A stop rule under the majority; one valid ballot is quorum enough."""
    rule_for: Callable[[int], Rule] = cache(lambda budget: parse_rule(text, runs=budget, quorum=1))
    accuracies: list[float] = []
    foretold: list[Foretold] = []
    asked: list[int] = []
    costs: list[float | None] = []
    for order in orders:
        right = 0
        for question, votes in zip(known, order, strict=True):
            ended = _ended(rule_for(len(votes)), votes) if votes else 0
            leader, lead = _first_leader(votes[:ended])
            right += leader == question.gold
            foretold.append((lead / max(1, ended), leader == question.gold))
            asked.append(ended)
            costs.append(_cost(votes[:ended]))
        accuracies.append(right / len(known))
    name = "majority of all" if text == "all" else f"majority, {text}"
    return Measured(
        name,
        mean(accuracies),
        spread(accuracies),
        brier(foretold),
        calibration_error(foretold),
        mean(asked),
        _mean_cost(costs),
    )


def _ended(rule: Rule, votes: Sequence[StoredVote]) -> int:
    """After how many of the votes the rule stops."""
    answers = [vote.answer for vote in votes]
    if rule.text == "all":
        return len(answers)
    asked = 0
    while wave := next_wave(rule, seen_of(dict(enumerate(answers[:asked])))):
        asked += wave
    return asked


def _by_weights(known: Sequence[StoredQuestion], labels: int, draws: int) -> tuple[Measured, ...]:
    """Weights from labels, weights from the votes alone, and the best single voter by the labels."""
    by_labels, singles = [], []
    for draw in range(draws):
        order = list(range(len(known)))
        Random(f"labels {draw}").shuffle(order)
        chosen = [known[place] for place in order[:labels]]
        weights = labelled_weights(chosen)
        others = [known[place] for place in order[labels:]]
        by_labels.append([_decide(question, weights) for question in others])
        best = _best(chosen)
        singles.append([_single(question, best) for question in others])
    blind = weights_from_votes([question.cast for question in known])
    runs = mean([len(question.votes) for question in known])
    cost = _mean_cost([_cost(question.votes) for question in known])
    return (
        _weighed(f"weights, {labels} labels", by_labels, runs, cost),
        _weighed("weights, no labels", [[_decide(question, blind) for question in known]], runs, cost),
        _alone(f"best single voter, {labels} labels", singles),
    )


def _by_logprob(known: Sequence[StoredQuestion]) -> tuple[Measured, ...]:
    """Weights by log-probabilities, where every vote has one; such a weight gives no confidence."""
    valid = [vote for question in known for vote in question.votes if vote.answer is not None]
    if not valid or any(vote.logprob is None for vote in valid):
        return ()
    right = []
    for question in known:
        cast = [
            (vote.answer, vote.logprob)
            for vote in question.votes
            if vote.answer is not None and vote.logprob is not None
        ]
        right.append(leaders(logprob_scores(cast)) == (question.gold,))
    runs = mean([len(question.votes) for question in known])
    cost = _mean_cost([_cost(question.votes) for question in known])
    return (Measured("weights, logprob", mean(right), 0.0, None, None, runs, cost),)


def _best(labelled: Sequence[StoredQuestion]) -> Voter:
    """The voter whose runs are right most often; one that gives no answer is not."""
    right: Counter[Voter] = Counter()
    asked: Counter[Voter] = Counter()
    for question in labelled:
        for vote in question.votes:
            asked[vote.voter] += 1
            right[vote.voter] += vote.answer == question.gold
    return max(sorted(asked), key=lambda voter: (right[voter] + 1) / (asked[voter] + 2))


def _decide(question: StoredQuestion, weights: Weights) -> Foretold:
    answer, chance = weighted(question.votes, weights)
    return chance, answer is not None and answer == question.gold


def _weighed(name: str, drawn: Sequence[Sequence[Foretold]], runs: float, cost: float | None) -> Measured:
    accuracies = [mean([right for _, right in foretold]) for foretold in drawn]
    together = [one for foretold in drawn for one in foretold]
    return Measured(
        name,
        mean(accuracies),
        spread(accuracies),
        brier(together),
        calibration_error(together),
        runs,
        cost,
    )


def _single(question: StoredQuestion, voter: Voter) -> tuple[float, float | None]:
    """(the chance that one of the voter's runs is right, its cost)."""
    own = [vote for vote in question.votes if vote.voter == voter]
    if not own:
        return 0.0, 0.0
    cost = _cost(own)
    return mean([vote.answer == question.gold for vote in own]), None if cost is None else cost / len(own)


def _alone(name: str, singles: Sequence[Sequence[tuple[float, float | None]]]) -> Measured:
    accuracies = [mean([right for right, _ in draw]) for draw in singles]
    cost = _mean_cost([cost for draw in singles for _, cost in draw])
    return Measured(name, mean(accuracies), spread(accuracies), None, None, 1.0, cost)


def _grades(known: Sequence[StoredQuestion], drawn: Drawn, runs: int) -> tuple[Graded, ...]:
    votes: Counter[str] = Counter()
    right: Counter[str] = Counter()
    graded = cache(_grade)
    for question, its in zip(known, drawn, strict=True):
        for shape, winner in its:
            name = graded(shape, winner is not None)
            votes[name] += 1
            right[name] += winner is not None and winner == question.gold
    draws = len(drawn[0])
    return tuple(
        Graded(
            name,
            votes[name] / votes.total(),
            votes[name] / draws,
            right[name] / votes[name],
            wilson(right[name] / draws, votes[name] / draws),
        )
        for name in GRADES
        if votes[name]
    )


def _grade(shape: Shape, decided: bool) -> str:
    if not decided:
        return "none"
    valid = sum(shape.counts)
    counts = tuple((str(place), many) for place, many in enumerate(shape.counts))
    return grade(Tally(counts, Runs(shape.runs, valid, shape.lost, 0), shape.runs, shape.runs // 2 + 1))


def _growth(known: Sequence[StoredQuestion], orders: Orders) -> tuple[tuple[int, float], ...]:
    """The accuracy of the first 1, 3, 5, ... runs' majority."""
    longest = max(len(votes) for votes in orders[0])
    steps = [runs for runs in (1, 3, 5, 7, 9, 15, 21, 30, 40) if runs <= longest]
    right = Counter[int]()
    for order in orders:
        for question, votes in zip(known, order, strict=True):
            for runs in steps:
                right[runs] += _first_leader(votes[:runs])[0] == question.gold
    return tuple((runs, right[runs] / (len(orders) * len(known))) for runs in steps)


def _shorter(known: Sequence[StoredQuestion], runs: int) -> Iterable[str]:
    few = sum(len(question.votes) < runs for question in known)
    if few:
        have = "has" if few == 1 else "have"
        yield (
            f"{few:,} of {count(len(known), 'question')} {have} fewer than {runs} votes: as many as there are"
            " make the vote that is graded."
        )


def _remarks(
    majority: Measured, weighing: Sequence[Measured], calibrations: Sequence[Calibrated]
) -> Iterable[str]:
    by_labels, _, single = weighing
    if single.accuracy > majority.accuracy:
        beaten = by_labels.accuracy < single.accuracy
        yield (
            f"The best single voter alone does better ({100 * single.accuracy:.1f} %) than the majority "
            f"({100 * majority.accuracy:.1f} %), {'and' if beaten else 'but not'} better than the weighted "
            f"vote ({100 * by_labels.accuracy:.1f} %)."
        )
    for one in calibrations:
        if one.labels and not one.enough:
            labels = f"{count(one.labels, 'label')} {'is' if one.labels == 1 else 'are'}"
            yield f"{one.name}: {labels} not enough to calibrate, it takes {ENOUGH_LABELS}."
