"""When to stop asking, and how many runs to ask next. Pure: counts in, a number out."""

from fanin.policy.stopping.certified import Certified
from fanin.policy.stopping.forecasting import Forecast, forecast
from fanin.policy.stopping.parsing import RULES, parse_rule
from fanin.policy.stopping.rule import WAVES, Rule, Seen, Waves, next_wave, seen_of

__all__ = [
    "RULES",
    "WAVES",
    "Certified",
    "Forecast",
    "Rule",
    "Seen",
    "Waves",
    "forecast",
    "next_wave",
    "parse_rule",
    "seen_of",
]
