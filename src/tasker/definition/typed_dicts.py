"""TypedDicts: those of `typing` are not complete before Python 3.12; pydantic wants those of `typing_extensions`."""

from __future__ import annotations

import functools
import operator
import sys
import types
import typing
from typing import Any

import typing_extensions


def is_typed_dict(annotation: Any) -> bool:
    """Whether a class is a TypedDict, of either module."""
    return typing_extensions.is_typeddict(annotation)


def modern(annotation: Any) -> Any:
    """Rebuild the TypedDicts of an annotation, and of what it is made of, where this Python needs it."""
    if sys.version_info >= (3, 12):
        return annotation
    if typing.is_typeddict(annotation) and type(annotation).__module__ == "typing":
        return _rebuilt(annotation)
    args = typing.get_args(annotation)
    made = tuple(modern(arg) for arg in args)
    if not args or all(new is old for new, old in zip(made, args, strict=True)):
        return annotation
    if isinstance(annotation, types.UnionType):
        return functools.reduce(operator.or_, made)
    return annotation.copy_with(made) if hasattr(annotation, "copy_with") else typing.get_origin(annotation)[made]


@functools.lru_cache(maxsize=256)
def _rebuilt(old: Any) -> Any:
    try:
        hints = typing.get_type_hints(old, include_extras=True)
    except NameError:
        return old  # pydantic says what is missing
    fields = {name: modern(hint) for name, hint in hints.items()}
    for name in old.__optional_keys__:
        if typing.get_origin(fields[name]) is not typing_extensions.NotRequired:
            fields[name] = typing_extensions.NotRequired[fields[name]]
    made: Any = typing_extensions.TypedDict(old.__name__, fields)  # type: ignore[misc]
    made.__module__, made.__qualname__, made.__doc__ = old.__module__, old.__qualname__, old.__doc__
    return made
