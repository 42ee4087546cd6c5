"""Faults: what pydantic and JSON Schema say is wrong with a value, in one wording.

"order_id: expected an integer, got 'seventeen'": where, what was wanted, what was there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tasker.definition.spelling import did_you_mean
from tasker.errors import Problem

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails, ValidationError

_EXPECTED = {
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "int_parsing_size": "an integer of fewer digits",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "decimal_type": "a decimal number",
    "decimal_parsing": "a decimal number",
    "string_type": "a string",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "an object",
    "mapping_type": "an object",
    "dataclass_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "none_required": "null",
    "date_type": "a date",
    "date_parsing": "a date",
    "date_from_datetime_parsing": "a date",
    "datetime_type": "a date and time",
    "datetime_parsing": "a date and time",
    "datetime_from_date_parsing": "a date and time",
    "timezone_aware": "a date and time with its zone",
    "time_type": "a time",
    "time_parsing": "a time",
    "time_delta_type": "a duration",
    "time_delta_parsing": "a duration",
    "uuid_type": "a UUID",
    "uuid_parsing": "a UUID",
    "url_type": "a URL",
    "url_parsing": "a URL",
    "bytes_type": "bytes in base64",
    "bytes_invalid_encoding": "bytes in base64",
}
NAMES = {
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def shown(value: Any) -> str:
    """Write a value into an error, shortened."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def of_pydantic(error: ValidationError, fields: Iterable[str] = ()) -> list[Problem]:
    """Word every fault that pydantic found.

    Args:
        error: what it raised.
        fields: names that the outermost object knows, for the nearest spelling of one it does not.
    """
    known = list(fields)
    return [_of_detail(detail, known) for detail in error.errors(include_url=False)]


def _of_detail(detail: ErrorDetails, fields: list[str]) -> Problem:
    kind, where = detail["type"], dotted(detail["loc"])
    if kind == "missing":
        return Problem(where, "is missing")
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return unknown_field(where, fields if len(detail["loc"]) == 1 else [])
    expected = _EXPECTED.get(kind)
    if kind in ("enum", "literal_error"):
        expected = f"one of {detail.get('ctx', {}).get('expected', '…')}"
    if expected:
        return Problem(where, f"expected {expected}, got {shown(detail['input'])}")
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if isinstance(detail["input"], dict | list):
        return Problem(where, message)
    return Problem(where, f"{message}, got {shown(detail['input'])}")


def unknown_field(where: str, fields: Iterable[str]) -> Problem:
    """Word a field that does not exist: "no such field; did you mean 'customer'?"."""
    asked = did_you_mean(where, fields).replace(" Did", "; did")
    return Problem(where, f"no such field{asked}")


def of_schema(errors: Iterable[Any]) -> list[Problem]:
    """Word every fault that JSON Schema found (`jsonschema.ValidationError`)."""
    problems: list[Problem] = []
    for error in errors:
        problems += _of_schema_error(error)
    return list(dict.fromkeys(problems))


def _of_schema_error(error: Any) -> list[Problem]:
    path, value, wanted = tuple(error.absolute_path), error.instance, error.validator_value
    if error.validator == "required":
        missing = [name for name in wanted if name not in value and f"'{name}'" in error.message]
        return [Problem(dotted((*path, name)), "is missing") for name in missing]
    if error.validator == "additionalProperties" and wanted is False and not error.schema.get("patternProperties"):
        known = list(error.schema.get("properties", {}))
        return [
            Problem(dotted((*path, name)), unknown_field(name, known).message) for name in value if name not in known
        ]
    if error.validator == "type":
        kinds = [wanted] if isinstance(wanted, str) else list(wanted)
        names = " or ".join(NAMES.get(kind, kind) for kind in kinds)
        return [Problem(dotted(path), f"expected {names}, got {shown(value)}")]
    if error.validator in ("enum", "const"):
        choices = wanted if error.validator == "enum" else [wanted]
        return [Problem(dotted(path), f"expected one of {', '.join(map(repr, choices))}, got {shown(value)}")]
    return [Problem(dotted(path), error.message)]


def dotted(path: Iterable[int | str]) -> str:
    """Write a path as `lines.0.sku`; `$` for the whole."""
    return ".".join(map(str, path)) or "$"


def misspelt(given: Mapping[str, Any], fields: Mapping[str, Any]) -> list[Problem]:
    """Find keys of an object that a model would ignore, but that look like a field that was not given."""
    absent = [name for name in fields if name not in given]
    strangers = [str(key) for key in given if key not in fields]
    return [unknown_field(key, absent) for key in strangers if did_you_mean(key, absent)]
