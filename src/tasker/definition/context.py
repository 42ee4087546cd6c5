"""Context: what a task is given, checked against the template's model or JSON Schema before anything is stored.

Every fault is reported at once, with its path and the nearest spelling; defaults are applied, so that what is
stored is whole.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import ValidationError

from tasker.definition.annotations import type_name
from tasker.definition.faults import misspelt, of_pydantic, of_schema
from tasker.definition.signature import Typed
from tasker.definition.typed_dicts import is_typed_dict
from tasker.errors import DefinitionError, InvalidContext, Problem
from tasker.payload import NotJSON, a, decode, encode


class AnyContext:
    """A template without model or schema: any object."""

    typed = Typed(Any)
    wants = "an object (a dict with string keys)"

    def __init__(self, ref: str) -> None:
        self.ref = ref

    def schema(self) -> Mapping[str, Any] | None:
        """The JSON Schema that is stored with the policy."""
        return None

    def encode(self, value: Any) -> str:
        """Check a context and turn it into JSON text, defaults applied."""
        text = self._text({} if value is None else value)
        if not text.startswith("{"):
            raise self._refusal([Problem("$", f"expected an object, got {a(type(value).__name__)}")])
        return text

    def _text(self, value: Any) -> str:
        try:
            return encode(value)
        except NotJSON as error:
            raise self._refusal([_problem(error)]) from error

    def _refusal(self, problems: list[Problem]) -> InvalidContext:
        count = "1 fault:" if len(problems) == 1 else f"{len(problems)} faults:"
        return InvalidContext(f"{self.ref} wants {self.wants}; nothing was stored. {count}", problems)


class ModelContext(AnyContext):
    """A template with a model: pydantic's, a dataclass or a TypedDict."""

    def __init__(self, ref: str, model: Any, typed: Typed) -> None:
        super().__init__(ref)
        self.model, self.typed = model, typed
        self.wants = a(type_name(model))
        self._fields = _field_names(model)
        self._free = isinstance(getattr(model, "model_config", None), dict) and "extra" in model.model_config

    def schema(self) -> Mapping[str, Any] | None:
        return self.typed.schema

    def encode(self, value: Any) -> str:
        if not is_typed_dict(self.model) and isinstance(value, self.model):
            return self._checked(value)
        if value is not None and not isinstance(value, Mapping):
            raise self._refusal([Problem("$", f"expected {self.wants}, got {a(type(value).__name__)}")])
        given = {} if value is None else dict(value)
        text = self._text(given)
        problems: list[Problem] = []
        made: Any = None
        try:
            made = self.typed.read(text)
        except ValidationError as error:
            problems = of_pydantic(error, self._fields)
        except Exception as error:  # a validator of the user's may raise anything
            raise self._refusal([Problem("$", f"{type(error).__name__}: {error}")]) from error
        # A model ignores what it does not know, unless told otherwise; a misspelt field would be lost so.
        if not self._free:
            known = {str(problem.path) for problem in problems}
            problems += [one for one in misspelt(given, self._fields) if one.path not in known]
        if problems:
            raise self._refusal(_without_meant(problems))
        return self._checked(made)

    def _checked(self, value: Any) -> str:
        try:
            return encode(value, self.typed.adapter)
        except NotJSON as error:
            if isinstance(error.__cause__, ValidationError):
                raise self._refusal(of_pydantic(error.__cause__, self._fields)) from error
            raise self._refusal([_problem(error)]) from error


class SchemaContext(AnyContext):
    """A template with a JSON Schema."""

    wants = "a context that fits its context_schema"

    def __init__(self, ref: str, schema: Mapping[str, Any]) -> None:
        super().__init__(ref)
        from jsonschema import validators
        from jsonschema.exceptions import SchemaError
        from referencing import Registry

        self._schema = json.loads(_schema_text(ref, schema))
        kind = validators.validator_for(self._schema, default=validators.validator_for({}))
        try:
            kind.check_schema(self._schema)
        except SchemaError as error:
            where = ".".join(map(str, error.absolute_path)) or "$"
            raise DefinitionError(f"{ref}: context_schema is no JSON Schema: {where}: {error.message}") from None
        # An empty registry: a schema never makes Tasker fetch another one from the network.
        nothing: Any = Registry()
        self._validator = kind(self._schema, format_checker=kind.FORMAT_CHECKER, registry=nothing)
        extend: Any = validators.extend
        self._defaults = extend(kind, {"properties": _set_defaults(kind)})(self._schema, registry=nothing)
        self._errors({})

    def schema(self) -> Mapping[str, Any] | None:
        return self._schema  # type: ignore[no-any-return]

    def encode(self, value: Any) -> str:
        made = decode(super().encode(value))
        problems = of_schema(self._errors(made))
        if problems:
            raise self._refusal(_without_meant(problems))
        return encode(made)

    def _errors(self, value: Any) -> list[Any]:
        """Fill in defaults, then find every fault, in order of their paths."""
        from referencing.exceptions import Unresolvable

        try:
            for _ in self._defaults.iter_errors(value):
                pass
            errors = self._validator.iter_errors(value)
            return sorted(errors, key=lambda error: list(map(str, error.absolute_path)))
        except Unresolvable as error:
            said = f"refers to {error.ref!r}, which is not in it, and nothing is fetched"
            raise DefinitionError(f"{self.ref}: context_schema {said}") from None


def _schema_text(ref: str, schema: Mapping[str, Any]) -> str:
    try:
        return encode(dict(schema))
    except NotJSON as error:
        raise DefinitionError(f"{ref}: context_schema holds {error}") from error


def _set_defaults(kind: Any) -> Any:
    """Make `properties` fill in defaults, as the documentation of jsonschema shows it."""
    plain = kind.VALIDATORS["properties"]

    def properties(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if isinstance(instance, dict):
            for name, inner in wanted.items():
                if isinstance(inner, dict) and "default" in inner:
                    instance.setdefault(name, copy.deepcopy(inner["default"]))
        yield from plain(validator, wanted, instance, schema)

    return properties


def _field_names(model: Any) -> dict[str, Any]:
    """Every key that a model reads, aliases included."""
    if isinstance(fields := getattr(model, "model_fields", None), dict):
        names = {}
        for name, field in fields.items():
            aliases = [one for one in (field.alias, field.validation_alias) if one is not None]
            names.update(dict.fromkeys([one for one in aliases if isinstance(one, str)] or [name]))
            for one in aliases:
                names.update(dict.fromkeys(c for c in getattr(one, "choices", []) if isinstance(c, str)))
        by_name = any(model.model_config.get(key) for key in ("populate_by_name", "validate_by_name"))
        return {**names, **(dict.fromkeys(fields) if by_name else {})}
    if dataclasses.is_dataclass(model):
        return dict.fromkeys(field.name for field in dataclasses.fields(model))
    return dict.fromkeys(getattr(model, "__annotations__", {}))


def _without_meant(problems: list[Problem]) -> list[Problem]:
    """Leave out "is missing" where the same field was given, misspelt: one mistake, one fault."""
    asked = [problem.message for problem in problems if "did you mean " in problem.message]
    meant = {message.rpartition("did you mean ")[2].strip("?'") for message in asked}
    return [one for one in problems if not (one.message == "is missing" and one.path in meant)]


def _problem(error: NotJSON) -> Problem:
    path = error.path.removeprefix("$").removeprefix(".").replace("[", ".").replace("]", "").removeprefix(".") or "$"
    return Problem(path, f"{error.what}, {error.message}{f'. {error.hint}' if error.hint else ''}")
