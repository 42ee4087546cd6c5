"""Annotations: what a handler's parameters and results are, resolved when the template is sealed.

They may be strings, name classes that are local to the function that defines the template, or belong to a
decorated, bound or partial function.
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from tasker.errors import DefinitionError

_IF_TYPE_CHECKING = (
    'Is it imported under "if TYPE_CHECKING:"? Import it plainly. '
    '(If ruff moved it: leave out "from __future__ import annotations" here, or ignore TC for this file.)'
)


def function_of(handler: Any) -> Any:
    """Find the plain function inside partials, bound methods, decorators and callable instances."""
    while True:
        if isinstance(handler, functools.partial):
            handler = handler.func
        elif inspect.ismethod(handler):
            handler = handler.__func__
        elif hasattr(handler, "__wrapped__"):
            handler = handler.__wrapped__
        elif inspect.isfunction(handler) or inspect.isbuiltin(handler) or isinstance(handler, type):
            return handler
        elif inspect.ismethod(call := getattr(handler, "__call__", None)):  # noqa: B004 - its function is wanted
            handler = call
        else:
            return handler


def raw(handler: Any) -> dict[str, Any]:
    """The annotations as they are written: objects or strings."""
    return dict(getattr(function_of(handler), "__annotations__", None) or {})


def needed_locals(handler: Any, caller: Mapping[str, Any]) -> dict[str, Any]:
    """Keep those of the caller's locals that annotations written as strings may name."""
    written = " ".join(hint for hint in raw(handler).values() if isinstance(hint, str))
    words = set(re.findall(r"\w+", written))
    return {word: caller[word] for word in words if word in caller}


def resolved(handler: Any, locals_: Mapping[str, Any], skip: frozenset[str], whose: str) -> dict[str, Any]:
    """Evaluate the annotations of a handler.

    Args:
        handler: a step's handler.
        locals_: what the caller's scope knew when the step was written.
        skip: parameters whose annotations do not matter.
        whose: "step 'fetch_order' (shop/tasks.py:12)".

    Returns:
        Parameter (or "return") → type; only those that are annotated.

    Raises:
        DefinitionError: a name in an annotation does not exist at run time.
    """
    written = {name: hint for name, hint in raw(handler).items() if name not in skip}
    globals_ = getattr(function_of(handler), "__globals__", {})
    holder = SimpleNamespace(__annotations__=written)
    try:
        return typing.get_type_hints(holder, globals_, dict(locals_), include_extras=True)
    except NameError as error:
        raise DefinitionError(
            f"{whose}: {error.name!r} in its annotations does not exist at run time. {_IF_TYPE_CHECKING}"
        ) from None
    except Exception as error:
        raise DefinitionError(f"{whose}: its annotations cannot be evaluated: {error}") from error


def type_name(annotation: Any) -> str:
    """Name a type as its author writes it: `Order`, `list[int]`, `Order | None`."""
    if annotation is None or annotation is type(None):
        return "None"
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__name__
    return re.sub(r"\b(?:[A-Za-z_]\w*(?:\.<locals>)?\.)+(?=[A-Za-z_])", "", str(annotation)).replace("NoneType", "None")
