"""Plain functions as tools: what a model is told of them, and its arguments checked.

The JSON Schema comes from the hints (pydantic) and the docstring (docstring-parser), which are loaded
when the first tool is made; both come with the extra `fanin[tools]`.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

import attrs

from fanin.errors import InputError, MissingExtraError
from fanin.values import ToolSpec

if TYPE_CHECKING:
    from docstring_parser import Docstring
    from pydantic import TypeAdapter

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""What a tool may be called (OpenAI API reference, "Create chat completion", `tools`)."""

_MOST_PROBLEMS = 10


@attrs.frozen
class Tool:
    """A function that a model may call."""

    spec: ToolSpec
    """What the model is told."""
    function: Callable[..., Any]
    """What is called, sync or async."""
    _arguments: TypeAdapter[Any] = attrs.field(repr=False, eq=False)

    def read(self, arguments: str) -> dict[str, Any]:
        """The arguments, of the types that the hints name, from a model's JSON text; nothing is called.

        Numbers written as texts are numbers, defaults are filled in, no text is no arguments. Raises
        ValueError with one sentence that tells a model what to mend.
        """
        from pydantic import ValidationError

        try:
            given: dict[str, Any] = self._arguments.validate_json(arguments if arguments.strip() else "{}")
        except ValidationError as error:
            raise ValueError(_problems(error)) from None
        return given


def as_tools(functions: Iterable[Callable[..., Any]]) -> tuple[Tool, ...]:
    """The tools that the functions are, in their order.

    Raises InputError for what cannot be one (no hint for a parameter, two of one name), and
    MissingExtraError where the extra is not installed.
    """
    tools = tuple(_as_tool(function) for function in functions)
    names = [tool.spec.name for tool in tools]
    for name in names:
        if names.count(name) > 1:
            raise InputError("tools", "functions of different names", name)
    return tools


def _as_tool(function: Callable[..., Any]) -> Tool:
    told = _told(function)
    name, text = getattr(told, "__name__", None), inspect.getdoc(told) or ""
    if not callable(told) or isinstance(told, type) or not isinstance(name, str):
        raise InputError("tool", "a function", function, mend="Wrap it in a function of its own: def ...")
    if name == "__call__":
        own = type(told.__self__)
        name, text = own.__name__, inspect.cleandoc(told.__doc__ or own.__doc__ or "")
    if not _NAME.fullmatch(name):
        raise InputError("tool", "named with at most 64 letters, digits, _ and -", name)
    try:
        import docstring_parser
        from pydantic import TypeAdapter
    except ImportError:
        raise MissingExtraError("an agent with tools", "tools") from None
    try:
        doc = docstring_parser.parse(text)
    except docstring_parser.ParseError:
        doc = docstring_parser.Docstring()
        doc.short_description = text
    parameters = _parameters(function, told, name, doc)
    with _says_what(name):
        arguments: TypeAdapter[Any] = TypeAdapter(_taking(parameters))
        schema = arguments.json_schema(schema_generator=_without_titles())
    spec = ToolSpec(name, (doc.description or "").strip(), json.dumps(schema, separators=(",", ":")))
    return Tool(spec, function, arguments)


def _told(function: Any) -> Any:
    """What has the name, the docstring and the hints: a partial's function, the `__call__` of an object."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if hasattr(function, "__name__") or not callable(function) else function.__call__


def _parameters(
    function: Callable[..., Any], told: Callable[..., Any], name: str, doc: Docstring
) -> list[inspect.Parameter]:
    """The parameters as keyword ones, each hint with what the docstring says of it.

    What a partial gives by name is settled, and no model is told of it.
    """
    said = {param.arg_name: param.description for param in doc.params}
    with _says_what(name):
        signature = inspect.signature(function)
        hints = get_type_hints(told, include_extras=True)
    settled = function.keywords if isinstance(function, functools.partial) else {}
    found = []
    for each in signature.parameters.values():
        if each.name in settled:
            continue
        if each.kind not in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY):
            raise InputError(f"every parameter of the tool {name}", "one that is given by name", str(each))
        if each.name not in hints:
            mend = f"A model is told its type, as in: def {name}({each.name}: str)."
            raise InputError(f"every parameter of the tool {name}", "hinted", each.name, mend=mend)
        hint = _described(hints[each.name], said.get(each.name))
        found.append(each.replace(kind=each.KEYWORD_ONLY, annotation=hint))
    return found


def _described(hint: Any, text: str | None) -> Any:
    if not text:
        return hint
    from pydantic import Field

    # A description of the hint's own comes after this one, and wins.
    base, *more = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    return Annotated[(base, Field(description=text), *more)]


def _taking(parameters: list[inspect.Parameter]) -> Any:
    """A function of these parameters that gives back what it is given: what pydantic checks them by."""

    def take(**given: Any) -> dict[str, Any]:
        return given

    take.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    take.__annotations__ = {each.name: each.annotation for each in parameters}
    return take


def _without_titles() -> Any:
    from pydantic.json_schema import GenerateJsonSchema

    class WithoutTitles(GenerateJsonSchema):
        """Titles repeat the names, and a model reads them for money."""

        def field_title_should_be_set(self, schema: Any) -> bool:
            return False

        def emit_warning(self, kind: Any, detail: str) -> None:
            """A default that JSON cannot hold is left out, and so may the model leave the argument out."""

    return WithoutTitles


@contextmanager
def _says_what(name: str) -> Iterator[None]:
    """Whatever a hint raises becomes an InputError about the tool: a hint may be any expression."""
    try:
        yield
    except Exception as error:
        what = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"the hints of the tool {name}", "types that JSON can hold", what) from error


def _problems(error: Any) -> str:
    """What is wrong with the arguments, one after the other."""
    problems: list[Mapping[str, Any]] = error.errors(include_url=False, include_context=False)
    if problems[0]["type"] == "json_invalid":
        return f"The arguments are not JSON: {problems[0]['msg'].removeprefix('Invalid JSON: ')}."
    said = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in problems[:_MOST_PROBLEMS]]
    more = [f"and {len(problems) - _MOST_PROBLEMS} more"] if len(problems) > _MOST_PROBLEMS else []
    return f"The arguments do not fit: {'; '.join([*said, *more])}."
