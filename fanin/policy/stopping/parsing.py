"""From the text of a stop rule to the rule: what is wrong with it is said before the first call."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from fractions import Fraction

import attrs

from fanin.errors import InputError
from fanin.policy.stopping.certified import MOST_ALPHA, Certified, certified_votes, least_runs
from fanin.policy.stopping.decided import Decided
from fanin.policy.stopping.habits import StartStep, Window, ahead_votes
from fanin.policy.stopping.posterior import Predictive, posterior_votes
from fanin.policy.stopping.rule import All, Rule, Threshold
from fanin.policy.stopping.voi import MOST_RUNS, ValueOfInformation, voi_votes

LEAST_ALPHA = Fraction(1, 10**9)
"""The smallest error that can be asked for: 31 unanimous votes."""

_NUMBER = re.compile(r"(?=.{1,20}$)[0-9]*\.?[0-9]+(?:e-?[0-9]{1,2})?")
_COUNT = re.compile(r"[0-9]{1,4}")
_START_STEP = re.compile(r"([^,]*),step:(.*)")


@attrs.frozen
class _Wanted:
    """A rule as it was asked for, with what it needs to know of the plan."""

    text: str
    parameter: str
    runs: int
    quorum: int | None

    def refused(self, bound: str) -> InputError:
        return InputError("stop", bound, self.text)

    def too_few_runs(self, least: int) -> InputError:
        bound = f"{least} or more with the stop rule {self.text}"
        return InputError("runs", bound, self.runs, mend="With fewer it can never stop a vote.")

    def share(self, bound: str, fits: Callable[[Fraction], bool]) -> Fraction:
        """The parameter as an exact fraction."""
        value = Fraction(self.parameter) if _NUMBER.fullmatch(self.parameter) else None
        if value is None or not fits(value):
            raise self.refused(bound)
        return value

    def whole(self, text: str, low: int, bound: str) -> int:
        """A whole number from `low` to the runs of the plan."""
        value = int(text) if _COUNT.fullmatch(text) else None
        if value is None or not low <= value <= self.runs:
            raise self.refused(f"{bound} to the number of runs ({self.runs})")
        return value


def _all(wanted: _Wanted) -> Rule:
    if wanted.parameter:
        raise wanted.refused("all, without anything after it")
    return All(wanted.text, wanted.runs)


def _decided(wanted: _Wanted) -> Rule:
    if wanted.parameter not in ("", "winner"):
        raise wanted.refused("decided or decided:winner")
    return Decided(wanted.text, wanted.runs, wanted.quorum, wanted.parameter == "winner")


def _certified(wanted: _Wanted) -> Rule:
    alpha = wanted.share(
        f"certified:ALPHA with ALPHA from 1e-9 to {float(MOST_ALPHA):g}",
        lambda value: LEAST_ALPHA <= value <= MOST_ALPHA,
    )
    votes = certified_votes(alpha, wanted.runs)
    if not votes:
        raise wanted.too_few_runs(least_runs(alpha))
    return Certified(wanted.text, wanted.runs, wanted.quorum, votes, alpha)


def _posterior(wanted: _Wanted) -> Rule:
    chance = wanted.share("posterior:P with P above 0.5 and below 1", _is_chance)
    votes = posterior_votes(chance, wanted.runs)
    if not votes:
        raise wanted.too_few_runs(next(n for n in range(1, 80) if 2 ** (n + 1) * (1 - chance) >= 1))
    return Threshold(wanted.text, wanted.runs, wanted.quorum, votes)


def _predictive(wanted: _Wanted) -> Rule:
    chance = wanted.share("predictive:P with P above 0.5 and below 1", _is_chance)
    return Predictive(wanted.text, wanted.runs, wanted.quorum, chance)


def _is_chance(value: Fraction) -> bool:
    return Fraction(1, 2) < value < 1


def _voi(wanted: _Wanted) -> Rule:
    if wanted.parameter:
        raise wanted.refused("voi, without anything after it")
    if wanted.runs > MOST_RUNS:
        raise InputError("runs", f"at most {MOST_RUNS} with the stop rule voi", wanted.runs)
    return ValueOfInformation(wanted.text, wanted.runs, wanted.quorum, voi_votes(wanted.runs))


def _ahead(wanted: _Wanted) -> Rule:
    lead = wanted.whole(wanted.parameter, 1, "ahead:K with K from 1")
    return Threshold(wanted.text, wanted.runs, wanted.quorum, ahead_votes(lead, wanted.runs))


def _window(wanted: _Wanted) -> Rule:
    width = wanted.whole(wanted.parameter, 2, "window:W with W from 2")
    return Window(wanted.text, wanted.runs, wanted.quorum, width)


def _start_step(wanted: _Wanted) -> Rule:
    found = _START_STEP.fullmatch(wanted.parameter)
    if found is None:
        raise wanted.refused("start:N,step:M, such as start:3,step:2")
    start = wanted.whole(found[1], 2, "start:N,step:M with N from 2")
    step = wanted.whole(found[2], 1, "start:N,step:M with M from 1")
    return StartStep(wanted.text, wanted.runs, wanted.quorum, start, step)


@attrs.frozen
class Kind:
    """A kind of rule, as the help shows it."""

    form: str
    """How it is written."""
    price: str
    """What it promises, and what that costs."""
    make: Callable[[_Wanted], Rule]
    """Reads the parameter; raises InputError."""
    proved: bool = False
    """Whether its promise is a proof, which needs votes that stay as they were counted."""


RULES: dict[str, Kind] = {
    "all": Kind("all", "Asks every run.", _all),
    "decided": Kind(
        "decided[:winner]",
        "Lossless: stops when no outcome of the other runs can change outcome, answer or grade "
        "(:winner: the grade may change). Spares the fewest runs.",
        _decided,
        proved=True,
    ),
    "certified": Kind(
        "certified:ALPHA",
        "Anytime-valid: stops when the leader is, but for an error of ALPHA, the one most common answer of "
        "this ensemble (which does not make it true). A close question takes nearly every run.",
        _certified,
        proved=True,
    ),
    "posterior": Kind(
        "posterior:P",
        "Adaptive-Consistency's Beta rule on the top two. P is no error rate: posterior:0.95 stops on the "
        "wrong answer 11 % of the time.",
        _posterior,
    ),
    "predictive": Kind(
        "predictive:P",
        "Stops when the leader still leads at the end with chance P. It follows the full vote into its "
        "errors: predictive:0.95 stops on the wrong answer 24 % of the time.",
        _predictive,
    ),
    "voi": Kind(
        "voi",
        "Value of information: the fewest runs for its agreement with the full vote. It follows the full "
        "vote into its errors: voi stops on the wrong answer 21 % of the time.",
        _voi,
    ),
    "ahead": Kind(
        "ahead:K",
        "The first answer to lead by K votes. ahead:3 stops on the wrong answer 35 % of the time.",
        _ahead,
    ),
    "window": Kind(
        "window:W",
        "Early-stopping self-consistency: W runs in a row, from a multiple of W on, of one answer. window:5 "
        "stops on the wrong answer 10 % of the time.",
        _window,
    ),
    "start": Kind(
        "start:N,step:M",
        "Asks N, and M more while they differ. start:3,step:2 stops on the wrong answer 9 % of the time.",
        _start_step,
    ),
}
"""Every rule by its name, in the order of the help."""

PRICED = (
    "How often a rule stops on the wrong answer is told for a close question, 55 % against 45 %, and at most "
    "40 runs, all of which together have it wrong 21 % of the time."
)
"""What the prices of `RULES` are measured on."""


def parse_rule(text: str, *, runs: int, quorum: int | None = None, tolerance: bool = False) -> Rule:
    """The stop rule of that text, such as `certified:0.05`, for a plan of `runs` runs and that quorum.

    Spaces and case do not matter. `tolerance`: numbers are grouped within a tolerance, so that a later
    vote may regroup earlier ones and nothing can be proved from the counts so far. Raises InputError: an
    unknown rule (with the list, and the nearest), a parameter out of its range, a number of runs at which
    the rule could never stop a vote, or a proved rule with a tolerance.
    """
    if not isinstance(text, str):
        raise InputError("stop", "a text such as certified:0.05", text)
    written = "".join(text.split()).lower()
    name, _, parameter = written.partition(":")
    kind = RULES.get(name)
    if kind is None:
        forms = ", ".join(kind.form for kind in RULES.values())
        near = get_close_matches(name, RULES, n=1, cutoff=0.5)
        mend = f"Did you mean {RULES[near[0]].form}?" if near else None
        raise InputError("stop", f"one of {forms}", text, mend=mend)
    if kind.proved and tolerance:
        raise InputError(
            "stop",
            "a rule other than decided and certified where numbers have a tolerance, or texts are clustered",
            text,
            mend="Later numbers may regroup earlier ones, so nothing is certain before the last run.",
        )
    return kind.make(_Wanted(written, parameter, runs, quorum))
