"""A panel written down: a TOML file with `[[agents]]` and one `[aggregator]`.

    backend = "groq"                    # defaults of all agents stand at the top

    [[agents]]
    name = "Technical"
    system = "You are a technical analyst."
    tools = ["prices:get_stock_price"]  # module:function, looked up beside the file first

    [aggregator]
    system = "Write one report from the analyses."

An agent may be a panel of its own: `name = "Finance"` and `panel = "finance.toml"`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import attrs

from fanin.agent import MAX_NAME, Agent
from fanin.agent_run import ToolLimits
from fanin.answers import Answer
from fanin.answers.auto import parse_answer
from fanin.beside import module_beside
from fanin.errors import ConfigError, InputError
from fanin.seating import AGGREGATOR, Member, Panel
from fanin.tools import as_tools

_Where: TypeAlias = "tuple[str | int, ...]"
"""The place of a value in the file: `("agents", 0, "tools")`."""

_DEFAULTS: dict[str, tuple[type, ...]] = {
    "backend": (str,),
    "model": (str,),
    "temperature": (int, float),
    "max_tokens": (int,),
    "answer": (str, list),
    "native_tools": (bool,),
    "limits": (dict,),
}
_TOP: dict[str, tuple[type, ...]] = _DEFAULTS | {
    "name": (str,),
    "require_all": (bool,),
    "vote": (str, list),
    "max_chars": (int,),
    "agents": (list,),
    "aggregator": (dict,),
}
_AGENT: dict[str, tuple[type, ...]] = _DEFAULTS | {"name": (str,), "system": (str,), "tools": (list,)}
_LIMITS: dict[str, tuple[type, ...]] = {
    "turns": (int,),
    "calls": (int,),
    "timeout_s": (int, float),
    "max_bytes": (int,),
}
_INNER: dict[str, tuple[type, ...]] = {"name": (str,), "panel": (str,)}
_KINDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", list: "a list"}
_KINDS[dict] = "a table"


def read_panel(path: str | Path, defaults: Mapping[str, Any] | None = None) -> Panel:
    """The panel that the file describes, and the panels that it names; relative to the file they stand in.

    `defaults` go before what stands at the top of a file, and after what an agent has of its own: any of
    backend, model, temperature, max_tokens, answer, native_tools, limits. A default model goes with the
    default backend, and an aggregator gives no typed answer unless it says so itself.

    Runs the modules that hold the tools. Raises ConfigError with the line for what cannot be used: no
    TOML, unknown keys and tools (with the nearest one), a panel that holds itself.
    """
    return _read(Path(path), dict(defaults or {}), ())


def _read(path: Path, defaults: dict[str, Any], above: tuple[Path, ...]) -> Panel:
    file = _File.load(path)
    top = file.data
    file.check(top, _TOP, ())
    if not isinstance(top.get("agents"), list) or not top["agents"]:
        raise file.error((), "there are no agents", "Name one or more, each under [[agents]].")
    usual = _merged({key: top[key] for key in _DEFAULTS if key in top}, defaults)
    inside = (*above, path.resolve())
    members = [_member(file, place, usual, defaults, inside) for place in range(len(top["agents"]))]
    chief = _aggregator(file, usual)
    options: dict[str, Any] = {key: top[key] for key in ("require_all", "max_chars") if key in top}
    if "vote" in top:
        options["vote"] = file.answer(top["vote"], ("vote",))
    _check_names(file, [*(member.name for member in members), chief.name])
    with file.at(()):
        return Panel(top.get("name", path.stem[:MAX_NAME].strip()), members, chief, **options)


def _check_names(file: _File, names: list[str]) -> None:
    """Raises ConfigError where two of the names are one; the aggregator's is the last."""
    for place, name in enumerate(names):
        if name in names[:place]:
            where: _Where = ("agents", place)
            if place == len(names) - 1:
                where = ("aggregator",) if "aggregator" in file.data else ("agents", names.index(name))
            problem = f"there are two agents called {name!r}"
            raise file.error(where, problem, "Give each a name of its own; the aggregator's is Aggregator.")


def _merged(own: dict[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """`own` with `usual` before it: a model stays with the backend it was named beside."""
    merged = own | dict(usual)
    if "backend" in usual and "model" not in usual and own.get("backend") != usual["backend"]:
        merged.pop("model", None)
    return merged


def _member(
    file: _File, place: int, usual: Mapping[str, Any], defaults: dict[str, Any], inside: tuple[Path, ...]
) -> Member:
    where: _Where = ("agents", place)
    table = file.data["agents"][place]
    if not isinstance(table, dict):
        raise file.error(("agents",), "agents must be tables, each under [[agents]]")
    if "panel" not in table:
        return _agent(file, table, where, usual)
    if apart := [key for key in table if key in _AGENT and key not in _INNER]:
        mend = "An agent that is a panel has a name and a panel; all else stands in its own file."
        raise file.error((*where, apart[0]), f"{apart[0]} does not go with panel", mend)
    file.check(table, _INNER, where)
    path = file.path.parent / table["panel"]
    if path.resolve() in inside:
        chain = " -> ".join(each.name for each in (*inside, path))
        raise file.error((*where, "panel"), f"a panel holds itself ({chain})", "Take it out of one of them.")
    with file.at((*where, "name")):
        return attrs.evolve(_read(path, defaults, inside), name=_needed(file, table, "name", where))


def _aggregator(file: _File, usual: Mapping[str, Any]) -> Agent:
    table = file.data.get("aggregator", {})
    named = {"name": AGGREGATOR.name, "system": AGGREGATOR.system} | table
    unanswered = {key: value for key, value in usual.items() if key != "answer"}
    return _agent(file, named, ("aggregator",), unanswered)


def _agent(file: _File, table: dict[str, Any], where: _Where, usual: Mapping[str, Any]) -> Agent:
    file.check(table, _AGENT, where)
    fields = dict(usual) | table
    if "backend" in table and "model" not in table and table["backend"] != usual.get("backend"):
        fields.pop("model", None)
    for key in ("name", "system"):
        fields[key] = _needed(file, table, key, where)
    if "answer" in fields:
        fields["answer"] = file.answer(
            fields["answer"], (*where, "answer") if "answer" in table else ("answer",)
        )
    if "limits" in fields:
        place: _Where = (*where, "limits") if "limits" in table else ("limits",)
        file.check(fields["limits"], _LIMITS, place)
        with file.at(place):
            fields["limits"] = ToolLimits(**fields["limits"])
    fields["tools"] = tuple(
        _tool(file, spec, (*where, "tools")) for spec in file.texts(table, "tools", where)
    )
    with file.at(where):
        return Agent(**fields)


def _needed(file: _File, table: Mapping[str, Any], key: str, where: _Where) -> Any:
    if key not in table:
        raise file.error(where, f"an agent has no {key}", f'Give it one: {key} = "...".')
    return table[key]


def _tool(file: _File, spec: str, where: _Where) -> Callable[..., Any]:
    module_name, colon, name = spec.partition(":")
    if not colon or not all(map(str.isidentifier, [*module_name.split("."), name])):
        raise file.error(where, f"{spec!r} names no tool", 'Write "module:function".')
    module = _module(file, module_name, where)
    function = getattr(module, name, None)
    if not callable(function):
        from difflib import get_close_matches

        known = [each for each, thing in vars(module).items() if callable(thing) and not each.startswith("_")]
        near = get_close_matches(name, known, n=1)
        there = f"It has: {', '.join(sorted(known))}." if known else "It has none."
        mend = f"Did you mean {module_name}:{near[0]}?" if near else there
        raise file.error(where, f"there is no tool {name!r} in {module_name}", mend)
    with file.at(where):
        as_tools([function])
    tool: Callable[..., Any] = function
    return tool


def _module(file: _File, name: str, where: _Where) -> ModuleType:
    """The module of that name beside the file, else the installed one."""
    try:
        return module_beside(file.path.parent, name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0] and error.name != name:
            raise file.error(where, f"the module {name} needs {error.name}, which is not installed") from None
        raise file.error(
            where, f"there is no module {name!r}", f"Neither {name}.py beside the file, nor an installed one."
        ) from None
    except (Exception, SystemExit) as error:
        # Somebody's module may fail in any way; which one it was is said here.
        raise file.error(
            where, f"the module {name} cannot be loaded: {type(error).__name__}: {error}"
        ) from error


@attrs.frozen
class _File:
    """A TOML file, and the lines its values stand on."""

    path: Path
    text: str
    data: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> _File:
        try:
            text = path.read_text("utf-8")
            return cls(path, text, tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(str(path), f"not valid TOML: {error}") from None
        except RecursionError:
            raise ConfigError(str(path), "not valid TOML: nested too deeply") from None
        except FileNotFoundError:
            raise ConfigError(str(path), "there is no such file") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(str(path), f"cannot be read: {error}") from None

    def error(self, where: _Where, problem: str, mend: str | None = None) -> ConfigError:
        line = self.line(where)
        return ConfigError(str(self.path), f"line {line}: {problem}" if line else problem, mend=mend)

    @contextmanager
    def at(self, where: _Where) -> Iterator[None]:
        """Within it, an InputError becomes a ConfigError with the line."""
        try:
            yield
        except InputError as error:
            field = (*where, error.field)
            raise self.error(field if self.line(field) else where, error.message, error.mend) from None

    def line(self, where: _Where) -> int | None:
        """The line on which a value begins: that after which the file's beginning holds it.

        A value over several lines is no TOML until its end, so it begins after the last beginning that was.
        """
        lines = self.text.split("\n")
        begins = 1
        for number in range(1, len(lines) + 1) if where else ():
            try:
                data: Any = tomllib.loads("\n".join(lines[:number]))
            except tomllib.TOMLDecodeError:
                continue
            if _holds(data, where):
                return begins
            begins = number + 1
        return None

    def check(self, table: dict[str, Any], known: Mapping[str, tuple[type, ...]], where: _Where) -> None:
        """Raises ConfigError for a key that is not known, and for a value of another type."""
        for key, value in table.items():
            if key not in known:
                raise self.error((*where, key), f"there is no setting {key!r}", _mend(key, known))
            kinds = known[key]
            fits = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
            if not fits:
                told = [kind for kind in kinds if kind is not int or float not in kinds]
                wanted = " or ".join(_KINDS[kind] for kind in told)
                raise self.error((*where, key), f"{key} must be {wanted}, not {value!r}")

    def texts(self, table: Mapping[str, Any], key: str, where: _Where) -> list[str]:
        texts = table.get(key, [])
        if not all(isinstance(text, str) for text in texts):
            raise self.error((*where, key), f"{key} must be a list of texts, not {texts!r}")
        return list(texts)

    def answer(self, spec: str | list[Any] | Answer, where: _Where) -> Answer:
        """The answer type: a name, or the choices."""
        with self.at(where):
            if isinstance(spec, list):
                from fanin.answers import Choice

                return Choice(spec)
            return parse_answer(spec) if isinstance(spec, str) else spec


def _mend(key: str, known: Mapping[str, object]) -> str:
    if key == "base_url":
        return "An address is given with --base-url, or in fanin.toml: the key goes there."
    from difflib import get_close_matches

    near = get_close_matches(key, known, n=1)
    return f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."


def _holds(data: Any, where: _Where) -> bool:
    for step in where:
        if isinstance(step, int):
            if not isinstance(data, list) or len(data) <= step:
                return False
        elif not isinstance(data, dict) or step not in data:
            return False
        data = data[step]
    return True
