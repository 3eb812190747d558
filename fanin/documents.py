"""`Json`: documents by a JSON Schema or a pydantic model, checked by a validator (the extra `schema`)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import attrs

from fanin.answers.document import Check, Document, Problems
from fanin.answers.json_accepting import accepting
from fanin.answers.json_shape import read_shape
from fanin.answers.json_text import BadJsonError, Path, canonical_json, parse_json, without_broken
from fanin.answers.number import Number
from fanin.errors import FaninError, InputError, MissingExtraError

if TYPE_CHECKING:
    from pydantic import BaseModel

_MAX_REASON = 200


@attrs.frozen(init=False)
class Json(Document):
    """A JSON document, of which every field is voted on by itself.

    - `schema`: a JSON Schema (a dict, or the path of a file), or a pydantic model class. Documents are
      checked with jsonschema, `format` included, or strictly with the model; nothing is repaired: what is
      invalid is spoiled, and only that.
    - `keys`: path of a list -> the property of its items that tells them apart, as `{"items": "sku"}`; a list
      within a list is `orders/*/items`. Lists without one are aligned by what their items have in common.
    - `rel_tol`, `abs_tol`: when two numbers are one, as for `Number`.

    An enumeration is voted on as a choice, a boolean as true or false, a number with the tolerance, a string
    by its normal form, a date by its day; a map or a union of several types as a whole. A field that may be
    left out has `(absent)` as a choice.

    Raises InputError for a schema that cannot be used (invalid, endless, with a reference to another
    document, which is never fetched, or too large), or a key that is not in it; FaninError for a file that
    cannot be read; MissingExtraError without the extra `schema`.
    """

    def __init__(
        self,
        schema: Mapping[str, Any] | str | FilePath | type[BaseModel],
        *,
        keys: Mapping[str, str] | None = None,
        rel_tol: float = 0.0,
        abs_tol: float = 0.0,
    ) -> None:
        found, check = _of_model(schema) if isinstance(schema, type) else _of_schema(schema)
        keys = dict(keys or {})
        self.__attrs_init__(
            json.dumps(found, ensure_ascii=False, indent=1),
            read_shape(found, keys),
            check(),
            Number(rel_tol=rel_tol, abs_tol=abs_tol),
            tuple(sorted(keys.items())),
        )


def _of_schema(schema: Any) -> tuple[Mapping[str, Any], Callable[[], Check]]:
    if isinstance(schema, str | FilePath):
        schema = read_schema(FilePath(schema))
    if not isinstance(schema, Mapping):
        raise InputError("schema", "a JSON Schema, the path of one, or a pydantic model", schema)
    try:
        # A schema that was put together in Python goes by the same bounds as one from a file.
        plain = parse_json(json.dumps(schema))
    except BadJsonError as problem:
        raise InputError("schema", "JSON that can be used", str(problem)) from None
    except (TypeError, ValueError, RecursionError):
        raise InputError("schema", "made of what JSON has", schema) from None
    return plain, lambda: _validator(json.dumps(plain))


def read_schema(path: FilePath) -> Any:
    """The JSON that a schema's file holds. Raises FaninError, which names the file."""
    try:
        found, broken = without_broken(parse_json(path.read_bytes().decode("utf-8-sig")))
    except OSError as error:
        raise FaninError(f"{path}: the schema cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise FaninError(f"{path}: the schema is not UTF-8 text (byte {error.start})") from None
    except BadJsonError as problem:
        raise FaninError(f"{path}: the schema is unusable: {problem}") from None
    if broken:
        raise FaninError(f"{path}: the schema is unusable: {broken[0][0][-1]!r}: {broken[0][1]}")
    return found


@lru_cache(maxsize=64)
def _validator(schema_text: str) -> Check:
    """jsonschema's validator of the draft that the schema names, 2020-12 where it names none."""
    schema = json.loads(schema_text)
    try:
        from jsonschema import Draft202012Validator, SchemaError
        from jsonschema.validators import validator_for
    except ImportError:
        raise MissingExtraError("a schema", "schema") from None
    from referencing import Registry

    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        at = "/".join(map(str, error.absolute_path)) or "its root"
        raise InputError(
            "schema", "a valid JSON Schema", f"{error.message[:_MAX_REASON]}", mend=f"It is wrong at {at}."
        ) from None
    # An empty registry fetches nothing.
    validator = kind(schema, registry=Registry(), format_checker=kind.FORMAT_CHECKER)

    accepts = accepting(schema, kind.FORMAT_CHECKER.conforms)

    def check(document: Any) -> Problems:
        if accepts is not None and accepts(document):
            return []
        try:
            return [problem for error in validator.iter_errors(document) for problem in _located(error)]
        except (OverflowError, RecursionError) as error:
            return [((), f"it is beyond what can be checked ({error})")]

    return check


def _located(error: Any) -> Iterator[tuple[Path, str]]:
    """Where an error of jsonschema lies, as closely as it tells, and what it says."""
    path: Path = tuple(error.absolute_path)
    why = error.message if len(error.message) <= _MAX_REASON else f"{error.message[:_MAX_REASON]}..."
    missing = _left_out(error)
    more = _in_excess(error)
    if missing or more:
        yield from (((*path, name), "it is left out") for name in missing)
        yield from (((*path, name), "there is no such field") for name in more)
    elif error.validator in ("anyOf", "oneOf") and (inner := _of_one_branch(error)):
        for below in inner:
            yield from _located(below)
    else:
        yield path, why


def _left_out(error: Any) -> list[str]:
    """The fields that an object lacks, where that is the error."""
    if not isinstance(error.instance, dict):
        return []
    if error.validator == "required":
        needed = error.validator_value
    elif error.validator == "dependentRequired":
        needed = [
            name for of, names in error.validator_value.items() if of in error.instance for name in names
        ]
    else:
        return []
    return [name for name in needed if name not in error.instance]


def _in_excess(error: Any) -> list[str]:
    """The fields of an object that nothing but `additionalProperties` names, where that is the error."""
    if error.validator != "additionalProperties" or not isinstance(error.instance, dict):
        return []
    named, patterns = (error.schema.get(word, {}) for word in ("properties", "patternProperties"))
    return [
        name
        for name in error.instance
        if name not in named and not any(re.search(pattern, name) for pattern in patterns)
    ]


def _of_one_branch(error: Any) -> list[Any]:
    """The errors of the one branch that is not null, where there is just one and the value is none."""
    branches = error.validator_value
    others = [place for place, branch in enumerate(branches) if branch != {"type": "null"}]
    if len(others) != 1 or not error.context:
        return []
    return [below for below in error.context if below.schema_path[0] == others[0]]


@lru_cache(maxsize=64)
def _of_model(model: type[Any]) -> tuple[Mapping[str, Any], Callable[[], Check]]:
    try:
        from pydantic import BaseModel, ValidationError
    except ImportError:
        raise MissingExtraError("a pydantic model", "schema") from None
    if not issubclass(model, BaseModel):
        raise InputError("schema", "a JSON Schema, the path of one, or a pydantic model", model)

    def check(document: Any) -> Problems:
        try:
            # Strict, and from JSON: a "5" is no 5, but a date may be a text.
            model.model_validate_json(canonical_json(document), strict=True)
        except ValidationError as error:
            return [_located_by_model(document, one) for one in error.errors(include_url=False)]
        return ()

    return model.model_json_schema(schema_generator=_decimals_as_numbers()), lambda: check


@lru_cache(maxsize=1)
def _decimals_as_numbers() -> type[Any]:
    """Asks for a Decimal as a number; pydantic's own schema takes any text as well."""
    from pydantic.json_schema import GenerateJsonSchema

    class Generating(GenerateJsonSchema):
        def decimal_schema(self, schema: Any) -> dict[str, Any]:
            found = super().decimal_schema(schema)
            branches = found.get("anyOf", ())
            return next((branch for branch in branches if branch.get("type") == "number"), found)

    return Generating


def _located_by_model(document: Any, error: Mapping[str, Any]) -> tuple[Path, str]:
    """Where an error of pydantic lies: its `loc` as far as that leads through the document."""
    path: list[str | int] = []
    place = document
    for step in error["loc"]:
        inside = (isinstance(place, dict) and step in place) or (
            isinstance(place, list) and isinstance(step, int) and step < len(place)
        )
        if not inside:
            if error["type"] == "missing":
                return (*path, step), "it is left out"
            break
        path.append(step)
        place = place[step]
    return tuple(path), str(error["msg"])[:_MAX_REASON]
