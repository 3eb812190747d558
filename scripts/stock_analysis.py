"""Three specialists with tools in parallel, then an aggregator: the exercise that panels are taught with.

    python scripts/stock_analysis.py                 from cassettes/stock.json: no key, no network
    python scripts/stock_analysis.py --record URL    asks an OpenAI-compatible server, and keeps the tape

Prints every agent's message list, step by step, and the report. All market data is made up.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import fanin
from fanin.show import one_line

ROOT = Path(__file__).resolve().parent.parent
TAPE = ROOT / "cassettes" / "stock.json"
QUERY = "Analyse NVIDIA Corp. (NVDA) stock."
MODEL = "gpt-4o-mini"

_MARKET = json.loads((Path(__file__).parent / "stock_data.json").read_text("utf-8"))["symbols"]


def _of(symbol: str) -> dict[str, Any]:
    try:
        return _MARKET[symbol.strip().upper()]
    except KeyError:
        raise ValueError(f"there is no data for {symbol!r}, only for {', '.join(_MARKET)}") from None


def get_financial_data(symbol: str) -> dict[str, float]:
    """Revenue, growth, margin, valuation and debt of a company.

    Args:
        symbol: The ticker symbol, as AAPL.
    """
    return dict(_of(symbol)["financial"])


def get_stock_price(symbol: str) -> dict[str, float]:
    """The latest closing price in US dollars, and its change since the day before.

    Args:
        symbol: The ticker symbol, as AAPL.
    """
    before, last = _of(symbol)["prices_usd"][-2:]
    return {"price_usd": last, "change_usd": round(last - before, 2)}


def get_price_history(symbol: str, days: int = 10) -> list[float]:
    """Closing prices in US dollars, the oldest first.

    Args:
        symbol: The ticker symbol, as AAPL.
        days: How many days, 1 to 10.
    """
    if not 1 <= days <= 10:
        raise ValueError(f"days must be from 1 to 10, not {days}")
    return list(_of(symbol)["prices_usd"][-days:])


def search_news(symbol: str) -> list[str]:
    """The latest headlines about a company.

    Args:
        symbol: The ticker symbol, as AAPL.
    """
    return list(_of(symbol)["news"])


def get_social_sentiment(symbol: str) -> dict[str, int]:
    """How many of the latest 100 posts about a company are positive, neutral and negative.

    Args:
        symbol: The ticker symbol, as AAPL.
    """
    return dict(_of(symbol)["posts"])


# Small local models have no tool calls of their own: each next step is asked for as JSON.
_HOW: dict[str, Any] = {
    "native_tools": False,
    "max_tokens": 220,
    "temperature": 0.2,
    "limits": fanin.ToolLimits(turns=5),
}

SPECIALISTS = (
    fanin.Agent(
        "Fundamental",
        "You are a fundamental analyst. You have no figures: get them with get_financial_data before you"
        " write anything. Then write three sentences about them.",
        tools=(get_financial_data,),
        **_HOW,
    ),
    fanin.Agent(
        "Technical",
        "You are a technical analyst. You have no prices. Your first reply is a call of get_stock_price, your"
        " second one a call of get_price_history, and your third one is final: three sentences about price"
        " and trend.",
        tools=(get_stock_price, get_price_history),
        **_HOW,
    ),
    fanin.Agent(
        "Sentiment",
        "You are a sentiment analyst. You have no news: get them with search_news, then get_social_sentiment,"
        " before you write anything. Then write three sentences about them.",
        tools=(search_news, get_social_sentiment),
        **_HOW,
    ),
)
AGGREGATOR = fanin.Agent(
    "Aggregator",
    "You lead a team of stock analysts. Answer with one paragraph that begins with the words `In short,` and"
    " says where they agree, where they differ, and what follows.",
    max_tokens=300,
    temperature=0.2,
)


def analyse(concurrency: int = 3, **options: Any) -> fanin.Report:
    """The panel's report; `options` are further ones of `fanin.panel`."""
    return fanin.panel_sync(
        SPECIALISTS,
        QUERY,
        aggregator=AGGREGATOR,
        backend="openai",
        model=MODEL,
        concurrency=concurrency,
        **options,
    )


def flow(report: fanin.Report, width: int = 88) -> str:
    """Every agent's message list as it grew: what it is sent first, then turn after turn."""
    runs = [*report.agents, *([] if report.aggregator is None else [report.aggregator])]
    return "\n\n".join("\n".join([run.name, *_grown(run, width)]) for run in runs)


def _grown(run: fanin.AgentRun, width: int) -> list[str]:
    lines, turn = ["  sent"], 0
    for message in run.messages:
        if message.role == "assistant":
            turn += 1
            lines.append(f"  turn {turn}")
        calls = " ".join(f"{call.name}{call.arguments}" for call in message.tool_calls)
        lines.append(f"    {message.role:<11}{one_line(calls or message.content, width)}")
    return lines


def main(arguments: list[str]) -> int:
    """Replays or records, and prints; 0 where there is a report."""
    if arguments[:1] == ["--record"] and len(arguments) == 2:
        with fanin.tape(TAPE, mode="all"):
            # A small machine answers one at a time, and takes its time for each.
            report = analyse(1, base_url=arguments[1], timeout_s=1800.0)
    elif not arguments:
        with fanin.tape(TAPE, mode="none"):
            report = analyse()
    else:
        print(__doc__, file=sys.stderr)
        return 2
    print(flow(report))
    print(f"\n{report.text}")
    return 0 if report.report is not None else 4


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
