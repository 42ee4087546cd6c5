"""Placeholders: the fields in the strings of a ready handler, found at definition, filled at each attempt.

`{context.order_id}` and `{results.fetch_order.lines[0].sku}` are read from JSON values by key and by index,
never by attribute. `${VAR}` and `${VAR:-default}` come from the worker's environment (`$${VAR}` is that text
itself). `{{` and `}}` are braces.

Used by `tasker.handlers.http_step` and `tasker.handlers.command_step`; knows neither HTTP nor processes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any, Never

from tasker.definition.spelling import did_you_mean, listed
from tasker.errors import DefinitionError, PermanentError, UnknownOption

_VARIABLE = re.compile(r"(\$?\$\{[A-Za-z_][A-Za-z0-9_]*(?::-[^}]*)?\})")
_FIELD = re.compile(r"(\w*)((?:\.[^.\[\]]+|\[[^\[\]]+\])*)")
_KEY = re.compile(r"\.([^.\[\]]+)|\[([^\[\]]+)\]")
_ROOTS = ("context", "results")


@dataclass(frozen=True)
class Variable:
    """`${VAR}`, `${VAR:-default}` or `$${VAR}`, as written."""

    text: str

    def read(self) -> str:
        from tasker.definition.environment import fill

        return str(fill(self.text, os.environ))


@dataclass(frozen=True)
class Facts:
    """What fields may read.

    Attributes:
        context: the task's context, as JSON made it.
        results: gives the results of a step by name; LookupError: it does not come before this step.
    """

    context: Any
    results: Callable[[str], Any]


@dataclass(frozen=True)
class Field:
    """`{root.path:spec}`.

    Attributes:
        name: as written, without braces.
        root: `context` or `results`.
        path: keys and indices below the root; of `results` the first is a step's name.
        spec: how the value is formatted, as for `format()`.
    """

    name: str
    root: str
    path: tuple[str, ...]
    spec: str

    def read(self, facts: Facts) -> Any:
        """Look the value up.

        Raises:
            PermanentError: `invalid_input`, naming the field and what there is instead.
        """
        value, where, rest = facts.context, self.root, self.path
        if self.root == "results":
            value, where, rest = self._results(facts), f"results.{self.path[0]}", self.path[1:]
        for key in rest:
            value, where = self._below(value, where, key), f"{where}.{key}"
        return value

    def _results(self, facts: Facts) -> Any:
        try:
            return facts.results(self.path[0])
        except LookupError as error:
            raise self.refused(f"there is no step {self.path[0]!r} before this step") from error

    def _below(self, value: Any, where: str, key: str) -> Any:
        if isinstance(value, Mapping):
            if key in value:
                return value[key]
            raise self.refused(f"{where} has no {key!r}.{did_you_mean(key, value)} It has: {listed(value)}")
        if isinstance(value, list):
            if key.isdecimal() and int(key) < len(value):
                return value[int(key)]
            raise self.refused(f"{where} is a list of {len(value)}; there is no [{key}]")
        why = " (the step was skipped, or left no results)" if value is None and where.startswith("results.") else ""
        raise self.refused(f"{where} is {_kind(value)}{why}, and has no {key!r}")

    def text(self, facts: Facts) -> str:
        """The value as it reads inside a longer string: JSON's spelling, strings without quotes."""
        value = self.read(facts)
        if value is None:
            raise self.refused("it is null, which has no text")
        if self.spec:
            return self._formatted(value)
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    def _formatted(self, value: Any) -> str:
        try:
            return format(value, self.spec)
        except (ValueError, TypeError) as error:
            raise self.refused(f"{_kind(value)} cannot be formatted as {self.spec!r} ({error})") from error

    def refused(self, why: str) -> PermanentError:
        return PermanentError(f"field {{{self.name}}}: {why}", code="invalid_input", details={"field": self.name})


Part = str | Variable | Field


@dataclass(frozen=True)
class Text:
    """A string with its placeholders found.

    Example:
        >>> facts = Facts({"order_id": 17}, lambda step: {"total": 12.5})
        >>> Text.parse("order {context.order_id}: {results.fetch_order.total:.2f}", "url").fill(facts)
        'order 17: 12.50'
    """

    parts: tuple[Part, ...]

    @classmethod
    def parse(cls, text: str, where: str) -> Text:
        """Find the placeholders.

        Raises:
            DefinitionError: a field is not one of `context` or `results`; the message begins with `where`.
        """
        parts: list[Part] = []
        for index, piece in enumerate(_VARIABLE.split(text)):
            parts += [Variable(piece)] if index % 2 else _fields(piece, where)
        return cls(tuple(parts))

    def fill(self, facts: Facts, encode: Callable[[str], str] = lambda text: text) -> str:
        """Give the string with everything filled in; `encode` is applied to what fields read."""
        return "".join(self.part(part, facts, encode) for part in self.parts)

    @staticmethod
    def part(part: Part, facts: Facts, encode: Callable[[str], str]) -> str:
        if isinstance(part, Field):
            return encode(part.text(facts))
        return part.read() if isinstance(part, Variable) else part

    def value(self, facts: Facts) -> Any:
        """Like `fill`, but a string that is exactly one field keeps the JSON type of its value."""
        if len(self.parts) == 1 and isinstance(only := self.parts[0], Field) and not only.spec:
            return only.read(facts)
        return self.fill(facts)


def _fields(text: str, where: str) -> Iterator[Part]:
    try:
        pieces = list(Formatter().parse(text))
    except ValueError as error:
        raise DefinitionError(f"{where}: {text!r}: {error}. Literal braces are written {{{{ and }}}}") from None
    for literal, name, spec, conversion in pieces:
        if literal:
            yield literal
        if name is not None:
            yield _field(name, spec or "", conversion, where)


def _field(name: str, spec: str, conversion: str | None, where: str) -> Field:
    if conversion or "{" in spec:
        raise DefinitionError(
            f"{where}: field {{{name}}} takes a format such as :.2f at most, no !r and no fields in it"
        )
    found = _FIELD.fullmatch(name)
    if not found or found[1] not in _ROOTS:
        raise DefinitionError(
            f"{where}: field {{{name}}} is neither of 'context' nor of 'results'."
            f"{did_you_mean(re.split(r'[.[]', name)[0], _ROOTS)} "
            "Write {context.order_id} or {results.fetch_order.total}; literal braces are {{ and }}"
        )
    path = tuple(dotted or bracketed for dotted, bracketed in _KEY.findall(found[2]))
    if found[1] == "results" and not path:
        raise DefinitionError(f"{where}: field {{results}} names no step. Write {{results.fetch_order}}")
    return Field(name, found[1], path, spec)


def compiled(value: Any, where: str) -> Any:
    """Replace every string in a JSON value, at any depth, by its `Text`; keys stay as they are.

    Raises:
        DefinitionError: something in it is not JSON, or a field is wrong.
    """
    if isinstance(value, str):
        return Text.parse(value, where)
    if isinstance(value, Mapping):
        if wrong := next((key for key in value if not isinstance(key, str)), None):
            raise DefinitionError(f"{where}: the key {wrong!r} is not a string")
        return {key: compiled(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [compiled(item, f"{where}.{index}") for index, item in enumerate(value)]
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and value - value == 0):
        return value
    raise DefinitionError(f"{where}: {value!r} is not JSON. Write plain values: strings, numbers, lists, dicts")


def filled(value: Any, facts: Facts) -> Any:
    """Give a compiled JSON value with everything filled in."""
    if isinstance(value, Text):
        return value.value(facts)
    if isinstance(value, dict):
        return {key: filled(item, facts) for key, item in value.items()}
    return [filled(item, facts) for item in value] if isinstance(value, list) else value


def steps_read(value: Any) -> Iterator[str]:
    """Name the steps whose results the fields of a compiled JSON value read."""
    if isinstance(value, Text):
        yield from (part.path[0] for part in value.parts if isinstance(part, Field) and part.root == "results")
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from steps_read(item)


def label(handler: Callable[..., Any], name: str, line: str, options: Mapping[str, Any], texts: Any) -> None:
    """Make a ready handler tell what it is.

    `__doc__` becomes the `line` that it sends or runs; `options` is what was written, for who looks for `${VAR}`
    in it; `reads` names the steps whose results its fields want.
    """
    handler.__name__ = handler.__qualname__ = name
    handler.__doc__ = line
    vars(handler).update(options=dict(options), reads=tuple(dict.fromkeys(steps_read(texts))))


def refuse_unknown(handler: str, unknown: Mapping[str, Never], options: Sequence[str]) -> None:
    """Refuse keywords that mean nothing, in words.

    Raises:
        UnknownOption: there is one.
    """
    for name in unknown:
        hint = did_you_mean(name, options)
        if name in ("after", "config", "inputs", "priority", "retry", "system", "timeout"):
            hint = f" It belongs to the step: step({handler}(…), {name}=…)."
        raise UnknownOption(f"{handler}(): no option {name!r}.{hint} Options: {', '.join(options)}")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return {bool: "a boolean", str: "a string", dict: "an object", list: "a list"}.get(type(value), "a number")
