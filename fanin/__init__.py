"""fanin: ask a language model many times at once; get one answer, an honest grade and the evidence.

    verdict = await fanin.vote("Should we merge?", answer=fanin.YesNo(), runs=5, backend="groq")
    verdict.answer, verdict.grade, verdict.votes

Every name is loaded when it is first used, so `import fanin` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fanin._version import __version__ as __version__
    from fanin.agent import Agent as Agent
    from fanin.agent_run import AgentRun as AgentRun
    from fanin.agent_run import ToolLimits as ToolLimits
    from fanin.analysed import Analysis as Analysis
    from fanin.analysis import analyze as analyze
    from fanin.analysis import analyze_sync as analyze_sync
    from fanin.answers import Answer as Answer
    from fanin.answers import Choice as Choice
    from fanin.answers import Date as Date
    from fanin.answers import Labels as Labels
    from fanin.answers import Number as Number
    from fanin.answers import Spoiled as Spoiled
    from fanin.answers import Text as Text
    from fanin.answers import YesNo as YesNo
    from fanin.backend import Backend as Backend
    from fanin.backend import Capabilities as Capabilities
    from fanin.batching.runner import batch as batch
    from fanin.connecting import connect as connect
    from fanin.documents import Json as Json
    from fanin.errors import CallError as CallError
    from fanin.errors import CassetteError as CassetteError
    from fanin.errors import CassetteMissError as CassetteMissError
    from fanin.errors import FaninError as FaninError
    from fanin.errors import InputError as InputError
    from fanin.errors import MissingKeyError as MissingKeyError
    from fanin.panels import panel as panel
    from fanin.panels import panel_sync as panel_sync
    from fanin.policy.pricing import Price as Price
    from fanin.report import Report as Report
    from fanin.taping import tape as tape
    from fanin.terms import Interrupt as Interrupt
    from fanin.units import Quantity as Quantity
    from fanin.values import Ballot as Ballot
    from fanin.values import Completion as Completion
    from fanin.values import Event as Event
    from fanin.values import Failure as Failure
    from fanin.values import Message as Message
    from fanin.values import Request as Request
    from fanin.values import Usage as Usage
    from fanin.verdict import Verdict as Verdict
    from fanin.voting import vote as vote
    from fanin.voting import vote_sync as vote_sync
    from fanin_backends.fake import Fake as Fake

_HOMES = {
    "Agent": "fanin.agent",
    "AgentRun": "fanin.agent_run",
    "Analysis": "fanin.analysed",
    "Answer": "fanin.answers",
    "Backend": "fanin.backend",
    "Ballot": "fanin.values",
    "CallError": "fanin.errors",
    "Capabilities": "fanin.backend",
    "CassetteError": "fanin.errors",
    "CassetteMissError": "fanin.errors",
    "Choice": "fanin.answers",
    "Completion": "fanin.values",
    "Date": "fanin.answers",
    "Event": "fanin.values",
    "Failure": "fanin.values",
    "Fake": "fanin_backends.fake",
    "FaninError": "fanin.errors",
    "InputError": "fanin.errors",
    "Interrupt": "fanin.terms",
    "Json": "fanin.documents",
    "Labels": "fanin.answers",
    "Message": "fanin.values",
    "MissingKeyError": "fanin.errors",
    "Number": "fanin.answers",
    "Price": "fanin.policy.pricing",
    "Quantity": "fanin.units",
    "Report": "fanin.report",
    "Request": "fanin.values",
    "Spoiled": "fanin.answers",
    "Text": "fanin.answers",
    "ToolLimits": "fanin.agent_run",
    "Usage": "fanin.values",
    "Verdict": "fanin.verdict",
    "YesNo": "fanin.answers",
    "__version__": "fanin._version",
    "batch": "fanin.batching.runner",
    "analyze": "fanin.analysis",
    "analyze_sync": "fanin.analysis",
    "connect": "fanin.connecting",
    "panel": "fanin.panels",
    "panel_sync": "fanin.panels",
    "tape": "fanin.taping",
    "vote": "fanin.voting",
    "vote_sync": "fanin.voting",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - names of the table above


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
