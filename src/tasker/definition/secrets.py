"""Secrets: types that hide their value, which JSON would store as asterisks."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

from tasker.definition.typed_dicts import is_typed_dict
from tasker.errors import DefinitionError
from tasker.payload import a


def refuse_secrets(annotation: Any, instead: str) -> None:
    """Refuse a type that holds a `SecretStr`, `SecretBytes` or other `Secret`.

    Args:
        annotation: a model, or any type made of some.
        instead: what to do, as a sentence.

    Raises:
        DefinitionError: it names the field.
    """
    for owner, kind in _secrets(annotation, "it", set()):
        raise DefinitionError(f"{owner} is {a(kind)}. It would be stored as '**********'. {instead}")


def _secrets(annotation: Any, owner: str, seen: set[int]) -> Iterator[tuple[str, str]]:
    if isinstance(annotation, type) and annotation.__module__ == "pydantic.types":
        if annotation.__name__.startswith("Secret"):
            yield owner, annotation.__name__.partition("[")[0]
        return
    if id(annotation) in seen:
        return
    seen.add(id(annotation))
    for part in typing.get_args(annotation):
        yield from _secrets(part, owner, seen)
    origin = typing.get_origin(annotation)
    if isinstance(origin, type) and origin.__module__ == "pydantic.types" and origin.__name__.startswith("Secret"):
        yield owner, origin.__name__
    for name, hint in _fields(annotation):
        yield from _secrets(hint, f"{annotation.__name__}.{name}", seen)


def _fields(annotation: Any) -> list[tuple[str, Any]]:
    if not isinstance(annotation, type):
        return []
    if isinstance(fields := getattr(annotation, "model_fields", None), dict):
        return [(name, field.annotation) for name, field in fields.items()]
    if dataclasses.is_dataclass(annotation) or is_typed_dict(annotation):
        try:
            return list(typing.get_type_hints(annotation).items())
        except Exception:  # pydantic resolves more than typing does, and complains itself where it cannot
            return []
    return []
