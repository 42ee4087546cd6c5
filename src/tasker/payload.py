"""Payload: JSON, and only JSON, in and out of the database.

A payload is any value that Tasker stores: a context, results, what a signal brings. Values are encoded by
pydantic, by alias, for the round trip. What would not come back as it went is refused with its path, never
stored bent: NaN, U+0000, keys that are no strings, iterators, secrets, and whatever does not read back.

The quick way is one encoding, one decoding and one comparison, all in C: a value that comes back equal is
fine. Only what differs is looked at closely.

Here belongs nothing about steps or templates: `tasker.definition.signature` words the errors for those.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Set
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pydantic_core import SchemaSerializer, SchemaValidator, ValidationError, from_json, to_json

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_BASE64: dict[str, Any] = {"ser_json_bytes": "base64", "val_json_bytes": "base64"}
_ANY = SchemaSerializer({"type": "any"})
_DEPTH = 200
_ITERATOR = "an iterator or generator"


class NotJSON(ValueError):
    """A value cannot be stored as JSON and come back.

    Attributes:
        path: where, from `$` (the whole): `$.lines[0].raw`.
        message: what is wrong, as a clause: "which is not JSON".
        what: the culprit in words: "a Response".
        hint: what to write instead, as a sentence; may be empty.
    """

    def __init__(self, path: str, message: str, what: str = "a value", hint: str = "") -> None:
        self.path, self.message, self.what, self.hint = path, message, what, hint
        super().__init__(f"{what} at {path}, {message}" + (f". {hint}" if hint else ""))


def adapter(annotation: Any) -> TypeAdapter[Any]:
    """Build pydantic's adapter for an annotation, such that bytes are base64 in JSON, in models too.

    A model that sets `ser_json_bytes` or `val_json_bytes` itself keeps its own.

    Example:
        >>> adapter(list[bytes]).dump_json([b"Tasker"])
        b'["VGFza2Vy"]'
    """
    from pydantic import PydanticUserError, TypeAdapter

    made: TypeAdapter[Any]
    try:
        made = TypeAdapter(annotation, config=_BASE64)  # type: ignore[arg-type]
    except PydanticUserError as error:
        if error.code != "type-adapter-config-unused":
            raise
        made = TypeAdapter(annotation)
    if _holds_bytes(made.core_schema):
        made.validator, made.serializer = _rebuilt(_with_base64(made.core_schema))
    return made


def encode(value: Any, adapter: TypeAdapter[Any] | None = None) -> str:
    """Turn a value into JSON text.

    Args:
        value: what to store.
        adapter: of its annotation, made by `adapter`; what does not read back through it is refused.
            Without one the value's own class says which fields there are.

    Raises:
        NotJSON: the value would not come back as it went.

    Example:
        >>> encode({"order": 17, "lines": ("a", "b")})
        '{"order":17,"lines":["a","b"]}'
    """
    try:
        kind: Any = type(value)
        through = _adapter_of_class(kind) if adapter is None and hasattr(kind, "__pydantic_validator__") else adapter
        if through is None:
            raw = to_json(value, by_alias=True, round_trip=True, inf_nan_mode="null", bytes_mode="base64")
            same = from_json(raw) == value
        else:
            raw = through.serializer.to_json(value, by_alias=True, round_trip=True, warnings=False)
            same = through.validator.validate_json(raw) == value
        if same is True and b"\\u0000" not in raw and b"Infinity" not in raw:
            return raw.decode()
    except Exception:  # whatever a serializer of the user's raises is explained below
        pass
    return _encode_carefully(value, adapter)


def decode(text: str) -> Any:
    """Turn JSON text back into what JSON knows: dicts, lists, strings, numbers, True, False, None."""
    return from_json(text)


def canonical(value: Any) -> str:
    """Write a JSON value in the one form that equal values share: keys sorted, no spaces.

    Example:
        >>> canonical({"b": 1, "a": [True, None]})
        '{"a":[true,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(text_or_value: Any) -> str:
    """SHA-256, in hex, of a text, or of the canonical JSON of any other value."""
    text = text_or_value if isinstance(text_or_value, str) else canonical(text_or_value)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def a(thing: str) -> str:
    """Put the indefinite article before a name.

    Example:
        >>> a("Order"), a("Response")
        ('an Order', 'a Response')
    """
    vowel = thing[:1] in set("AEIOUaeiou") and not thing.startswith(("UUID", "Uni", "Use", "uni"))
    return f"an {thing}" if vowel else f"a {thing}"


def _encode_carefully(value: Any, adapter: TypeAdapter[Any] | None) -> str:
    """The long way: find what is wrong with a value, or that its difference is none that matters."""
    try:
        plain = (
            _ANY.to_python(value, by_alias=True, round_trip=True) if adapter is None else _own(adapter, value, "python")
        )
    except Exception as error:
        raise _unserialisable(value, error) from error
    # Secrets and iterators first: they do encode, but into something else.
    _refuse_strangers(plain, "$")
    try:
        raw = _encode_freely(value) if adapter is None else _own(adapter, value, "json")
    except Exception as error:
        raise _unserialisable(plain, error) from error
    if adapter is None:
        _compare(plain, from_json(raw), "$")
    else:
        _compare(plain, _own(adapter, _read_back(raw, adapter), "python"), "$")
    _refuse_nul(from_json(raw), "$")
    return str(raw, "utf-8")


def _own(adapter: TypeAdapter[Any], value: Any, mode: str) -> Any:
    """Dump with the fields of each value's own class, also where the annotation names one of its bases."""
    method: Any = adapter.serializer.to_json if mode == "json" else adapter.serializer.to_python
    options: dict[str, Any] = {"by_alias": True, "round_trip": True, "warnings": False}
    try:
        return method(value, **options, polymorphic_serialization=True)
    except TypeError as error:  # an older pydantic-core, which knows only the coarser way
        if "polymorphic_serialization" not in str(error):
            raise
        # It asks each class's own serializer, which would write bytes as text.
        return method(value, **options, serialize_as_any=not _holds_bytes(adapter.core_schema))


def _read_back(raw: bytes, adapter: TypeAdapter[Any]) -> Any:
    try:
        return adapter.validator.validate_json(raw)
    except ValidationError as error:
        raise _unreadable(error) from error
    except Exception as error:  # a validator of the user's may raise anything
        raise NotJSON("$", f"which does not read back: {type(error).__name__}: {error}") from error


def _encode_freely(value: Any) -> bytes:
    """Encode without an annotation; models write bytes as base64 here too, as their readers expect it."""
    return to_json(_models_dumped(value), by_alias=True, round_trip=True, bytes_mode="base64")


def _models_dumped(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _models_dumped(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_models_dumped(part) for part in value]
    if hasattr(type(value), "__pydantic_serializer__"):
        model: Any = type(value)
        return from_json(_own(_adapter_of_class(model), value, "json"))
    return value


@functools.lru_cache(maxsize=256)
def _adapter_of_class(model: Any) -> TypeAdapter[Any]:
    return adapter(model)


def _refuse_strangers(value: Any, path: str, depth: int = 0) -> None:
    """Refuse what pydantic encodes without complaint, but not as itself."""
    if depth > _DEPTH:
        raise NotJSON(f"{path[:40]}…", "which holds itself, or is nested too deep", a(type(value).__name__))
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        raise NotJSON(path, "which is not JSON", _number_name(value), "Use None or a string")
    if _is_secret(value):
        hint = "Pass a reference, and fetch the secret in the handler"
        raise NotJSON(path, "which would be stored as '**********'", a(type(value).__name__), hint)
    if isinstance(value, Iterator):
        raise NotJSON(path, "which can be read only once", _ITERATOR, "Use list(…)")
    for key, part in _parts(value):
        _refuse_strangers(part, path + key, depth + 1)


def _compare(plain: Any, back: Any, path: str) -> None:
    """Refuse keys and bytes that did not come back as what they were."""
    if isinstance(plain, Mapping):
        for key, part in plain.items():
            there = isinstance(back, Mapping) and key in back
            if not isinstance(key, str) and not there:
                hint = f"Write str(key), or annotate it dict[{type(key).__name__}, …]"
                raise NotJSON(path, "which is not a string", f"the key {key!r}", hint)
            _compare(part, back[key] if there else None, f"{path}.{key}")
    elif isinstance(plain, list | tuple):
        others = back if isinstance(back, list | tuple) and len(back) == len(plain) else [None] * len(plain)
        for index, (part, other) in enumerate(zip(plain, others, strict=True)):
            _compare(part, other, f"{path}[{index}]")
    elif isinstance(plain, bytes) and isinstance(back, bytes) and plain != back:
        hint = "Set ser_json_bytes and val_json_bytes to 'base64' in the config of their model"
        raise NotJSON(path, "which would come back as others", "bytes", hint)


def _refuse_nul(value: Any, path: str) -> None:
    """Refuse U+0000: PostgreSQL stores it in no text."""
    if isinstance(value, str) and "\0" in value:
        raise NotJSON(path, "which no database stores", "a string with U+0000", 'Use text.replace("\\0", "")')
    if isinstance(value, dict):
        for key in value:
            _refuse_nul(key, path)
    for key, part in _parts(value):
        _refuse_nul(part, path + key)


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What a container holds, each with its piece of the path."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield f".{key}", part
    elif isinstance(value, list | tuple | Set) and not isinstance(value, range):
        for index, part in enumerate(value):
            yield f"[{index}]", part
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield f".{field.name}", getattr(value, field.name, None)
    elif isinstance(fields := getattr(type(value), "model_fields", None), dict):
        for name in fields:
            yield f".{name}", getattr(value, name, None)


def _unserialisable(value: Any, error: Exception) -> NotJSON:
    """Word what cannot be encoded: the deepest part that fails alone."""
    path, culprit = _find(value, "$", 0)
    if isinstance(culprit, Iterator):
        return NotJSON(path, "which can be read only once", _ITERATOR, "Use list(…)")
    if isinstance(culprit, str):
        return NotJSON(path, "which is not Unicode text", "a string with half a surrogate pair")
    if isinstance(culprit, type):
        return NotJSON(path, "which is not JSON", f"the class {culprit.__name__}", "Return an instance of it")
    if culprit is None or type(culprit) in (bytes, dict, list, tuple, set, frozenset):
        return NotJSON(path, f"which is not JSON: {_reason(error)}")
    name = type(culprit).__name__
    if hasattr(type(culprit), "__pydantic_serializer__"):
        return NotJSON(path, f"which is not JSON: its serializer raised {_reason(error)}", a(name))
    response = callable(getattr(culprit, "json", None))
    example = ", e.g. response.json()" if response else ""
    return NotJSON(path, "which is not JSON", a(name), f"Return a model or plain values{example}")


def _reason(error: Exception) -> str:
    return str(error).removeprefix("Error serializing to JSON: ").removeprefix("Error calling function ")


def _find(value: Any, path: str, depth: int) -> tuple[str, Any]:
    if depth < _DEPTH:
        for key, part in _parts(value):
            try:
                to_json(part, bytes_mode="base64")
            except Exception:
                return _find(part, path + key, depth + 1)
    return path, value


def _unreadable(error: ValidationError) -> NotJSON:
    """Word the first fault of a value that its own annotation does not read."""
    first = error.errors(include_url=False, include_context=False)[0]
    path = "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    return NotJSON(path, f"which does not read back: {first['msg']}")


def _is_secret(value: Any) -> bool:
    return type(value).__module__ == "pydantic.types" and type(value).__name__.startswith("Secret")


def _number_name(value: float | Decimal) -> str:
    return "NaN" if math.isnan(value) else "infinity" if value > 0 else "-infinity"


def _holds_bytes(schema: Any) -> bool:
    todo: list[Any] = [schema]
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            if node.get("type") == "bytes":
                return True
            todo.extend(node.values())
        elif isinstance(node, list | tuple):
            todo.extend(node)
    return False


def _with_base64(node: Any) -> Any:
    """Copy a core schema such that every model in it writes and reads bytes as base64."""
    if isinstance(node, list):
        return [_with_base64(part) for part in node]
    if isinstance(node, tuple):
        return tuple(_with_base64(part) for part in node)
    if not isinstance(node, dict):
        return node
    copy = {key: part if key in ("metadata", "cls") else _with_base64(part) for key, part in node.items()}
    if copy.get("type") in ("model", "dataclass", "typed-dict"):
        copy["config"] = {**_BASE64, **(node.get("config") or {})}
    return copy


def _rebuilt(schema: Any) -> tuple[SchemaValidator, SchemaSerializer]:
    config: Any = _BASE64
    try:  # else nested models would bring the validators they were built with, and text for bytes
        return (
            SchemaValidator(schema, config, _use_prebuilt=False),
            SchemaSerializer(schema, config, _use_prebuilt=False),
        )
    except TypeError:  # an older pydantic-core, which always builds anew
        return SchemaValidator(schema, config), SchemaSerializer(schema, config)
