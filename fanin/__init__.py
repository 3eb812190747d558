"""fanin: ask a language model many times at once; get one answer, an honest grade and the evidence.

    verdict = await fanin.vote("Should we merge?", answer=fanin.YesNo(), runs=5, backend="groq")
    verdict.answer, verdict.grade, verdict.votes

Every name is loaded when it is first used, so `import fanin` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fanin._version import __version__ as __version__
    from fanin.answers import Answer as Answer
    from fanin.answers import Choice as Choice
    from fanin.answers import Number as Number
    from fanin.answers import Spoiled as Spoiled
    from fanin.answers import Text as Text
    from fanin.answers import YesNo as YesNo
    from fanin.backend import Backend as Backend
    from fanin.backend import Capabilities as Capabilities
    from fanin.conductor import Interrupt as Interrupt
    from fanin.connecting import connect as connect
    from fanin.errors import CallError as CallError
    from fanin.errors import CassetteError as CassetteError
    from fanin.errors import CassetteMissError as CassetteMissError
    from fanin.errors import FaninError as FaninError
    from fanin.errors import InputError as InputError
    from fanin.errors import MissingKeyError as MissingKeyError
    from fanin.policy.pricing import Price as Price
    from fanin.taping import tape as tape
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
    "Answer": "fanin.answers",
    "Backend": "fanin.backend",
    "Ballot": "fanin.values",
    "CallError": "fanin.errors",
    "Capabilities": "fanin.backend",
    "CassetteError": "fanin.errors",
    "CassetteMissError": "fanin.errors",
    "Choice": "fanin.answers",
    "Completion": "fanin.values",
    "Event": "fanin.values",
    "Failure": "fanin.values",
    "Fake": "fanin_backends.fake",
    "FaninError": "fanin.errors",
    "InputError": "fanin.errors",
    "Interrupt": "fanin.conductor",
    "Message": "fanin.values",
    "MissingKeyError": "fanin.errors",
    "Number": "fanin.answers",
    "Price": "fanin.policy.pricing",
    "Request": "fanin.values",
    "Spoiled": "fanin.answers",
    "Text": "fanin.answers",
    "Usage": "fanin.values",
    "Verdict": "fanin.verdict",
    "YesNo": "fanin.answers",
    "__version__": "fanin._version",
    "connect": "fanin.connecting",
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
