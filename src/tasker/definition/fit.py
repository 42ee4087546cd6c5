"""Fit: whether what one step returns can ever be read as what another one wants.

Two JSON Schemas are compared: what the parent's return type writes, and what the child's annotation reads. Only
what can never work is refused: the kinds of JSON have nothing in common, or a required field is missing. A
narrower model than the parent's is fine. What a schema does not tell is taken to fit.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tasker.definition.faults import NAMES
from tasker.definition.signature import Typed

Schema = Mapping[str, Any]

_DECIMAL = "x-decimal"
_DEPTH = 6
_BY_VALUE = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_TIMES = frozenset({"date-time", "date", "time", "duration"})


@dataclass(frozen=True)
class Misfit:
    """Why nothing fits.

    Attributes:
        path: field by field, from the whole.
        missing: required, but not there; empty where the kinds differ.
        wants, gets: the kinds of JSON.
    """

    path: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    wants: str = ""
    gets: str = ""


def misfit(parent: Typed, child: Typed, key: str | None = None) -> Misfit | None:
    """Compare a return type with a parameter's.

    Args:
        parent: what is written.
        child: what is read.
        key: the parent is one of several in a dict that the child reads, under this name.

    Returns:
        None where some value fits, or nobody can tell.
    """
    written, read = _written(parent), _read(child)
    if written is None or read is None:
        return None
    # A model may read a field by its name or its alias; either is enough.
    found = _compared(written, read[0], key)
    return found if found and _compared(written, read[1], key) else None


def _written(typed: Typed) -> Schema | None:
    """The schema of what is written, made once per type."""
    if "written" not in vars(typed):
        vars(typed)["written"] = _schema(typed, "serialization", True)
    return vars(typed)["written"]  # type: ignore[no-any-return]


def _read(typed: Typed) -> tuple[Schema, Schema] | None:
    """The schemas of what is read, by alias and by name, made once per type; None where they do not tell all."""
    if "read_as" not in vars(typed):
        judged = typed.adapter is not None and not _transforms(typed.adapter.core_schema)
        both = [_schema(typed, "validation", by_alias) for by_alias in (True, False)] if judged else [None]
        vars(typed)["read_as"] = None if None in both else tuple(both)
    return vars(typed)["read_as"]  # type: ignore[no-any-return]


def _schema(typed: Typed, mode: Literal["validation", "serialization"], by_alias: bool) -> Schema | None:
    if typed.adapter is None:
        return None
    from pydantic import PydanticUserError

    try:
        return typed.adapter.json_schema(mode=mode, by_alias=by_alias, schema_generator=_generator())
    except (PydanticUserError, NotImplementedError, TypeError, ValueError):
        return None


@functools.cache
def _generator() -> Any:
    from pydantic.json_schema import GenerateJsonSchema

    class Exact(GenerateJsonSchema):
        """Pydantic's schemas, with what they leave out: decimals are numbers, and a default is written too."""

        def decimal_schema(self, schema: Any) -> Any:
            return {**super().decimal_schema(schema), _DECIMAL: True}

        def field_is_required(self, field: Any, total: bool) -> bool:
            if self.mode == "serialization" and field["type"] != "typed-dict-field":
                return True
            return super().field_is_required(field, total)

    return Exact


def _compared(written: Schema, read: Schema, key: str | None) -> Misfit | None:
    wanted: Iterator[Any] = _branches(read, read)
    if key is None:
        return _Comparison(written, read).schemas(written, read)
    objects = [one for one in wanted if "object" in _kinds(one)]
    if not objects:
        return Misfit(wants=_names(_kinds_of(read, read)), gets="an object of results by step name")
    inner = [_property(one, key) for one in objects]
    if any(one is None for one in inner):
        return None
    return _Comparison(written, read).schemas(written, {"anyOf": inner})


class _Comparison:
    def __init__(self, written: Schema, read: Schema) -> None:
        self.written, self.read = written, read

    def schemas(self, parent: Any, child: Any, path: tuple[str, ...] = ()) -> Misfit | None:
        if len(path) > _DEPTH:
            return None
        first: Misfit | None = None
        for gives in _branches(parent, self.written):
            for takes in _branches(child, self.read):
                found = self._pair(gives, takes, path)
                if found is None:
                    return None
                if first is None or (found.missing and not first.missing):
                    first = found
        if first is None or first.missing or len(first.path) > len(path):
            return first
        return Misfit(path, wants=_names(_kinds_of(child, self.read)), gets=_names(_kinds_of(parent, self.written)))

    def _pair(self, gives: Schema, takes: Schema, path: tuple[str, ...]) -> Misfit | None:
        given, taken = _written_kinds(gives), _read_kinds(takes)
        if "any" in given or "any" in taken:
            return None
        if not given & taken:
            return Misfit(path, wants=_names(_kinds(takes)), gets=_names(_kinds(gives)))
        if given & taken != {"object"} or "properties" not in gives:
            return None
        return self._objects(gives, takes, path)

    def _objects(self, gives: Schema, takes: Schema, path: tuple[str, ...]) -> Misfit | None:
        there = gives["properties"]
        if not gives.get("additionalProperties") and not gives.get("patternProperties"):
            missing = tuple(name for name in takes.get("required", ()) if name not in there)
            if missing:
                return Misfit(path, missing)
        for name, inner in takes.get("properties", {}).items():
            if name in gives.get("required", ()):
                found = self.schemas(there[name], inner, (*path, name))
                if found is not None:
                    return found
        return None


def _branches(schema: Any, root: Schema, depth: int = 0) -> Iterator[Schema]:
    """The alternatives of a schema, references followed."""
    if not isinstance(schema, Mapping) or depth > 20:
        yield {}
    elif "$ref" in schema:
        yield from _branches(root.get("$defs", {}).get(str(schema["$ref"]).rpartition("/")[2], {}), root, depth + 1)
    elif alternatives := schema.get("anyOf") or schema.get("oneOf"):
        for one in alternatives:
            yield from _branches(one, root, depth + 1)
    else:
        yield schema


def _kinds(schema: Schema) -> set[str]:
    kind = schema.get("type")
    if isinstance(kind, str):
        return {kind}
    if isinstance(kind, list):
        return set(kind)
    values = schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else []
    return {_BY_VALUE.get(type(value), "any") for value in values} or {"any"}


def _kinds_of(schema: Any, root: Schema) -> set[str]:
    return set().union(*(_kinds(one) for one in _branches(schema, root)))


def _written_kinds(schema: Schema) -> set[str]:
    kinds = _kinds(schema)
    if _DECIMAL in schema:
        return kinds | {"number", "integer"}
    return kinds | {"number", "integer"} if kinds & {"number", "integer"} else kinds


def _read_kinds(schema: Schema) -> set[str]:
    kinds = _kinds(schema)
    # Moments and durations are read from numbers too.
    if kinds & {"number", "integer"} or schema.get("format") in _TIMES:
        return kinds | {"number", "integer"}
    return kinds


def _property(schema: Schema, key: str) -> Any:
    if key in schema.get("properties", {}):
        return schema["properties"][key]
    rest = schema.get("additionalProperties")
    return rest if isinstance(rest, Mapping) else None


def _names(kinds: set[str]) -> str:
    ordered = sorted(kinds, key=lambda kind: (kind == "null", kind))
    return " or ".join("nothing" if kind == "null" else NAMES.get(kind, "anything") for kind in ordered)


def _transforms(schema: Any) -> bool:
    """Whether reading may change the value first, or a field has many aliases: no JSON Schema tells of those."""
    todo: list[Any] = [schema]
    while todo:
        node = todo.pop()
        if isinstance(node, Mapping):
            if node.get("type") in ("function-before", "function-wrap", "function-plain"):
                return True
            if isinstance(node.get("validation_alias"), list):
                return True
            todo.extend(part for key, part in node.items() if key not in ("metadata", "cls", "serialization"))
        elif isinstance(node, list | tuple):
            todo.extend(node)
    return False
